"""The benchmark runs, and what it writes is complete; no time is asserted."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from mixgraph.songs.training_clips import ClipReader
from tools import benchmark
from tools.bench.cases import Case, make_graph, make_song, real_case
from tools.bench.kept_searches import FILE, Searches
from tools.bench.losses import common_losses
from tools.bench.machine import ROOT, versions
from tools.bench.ours import OurSide
from tools.bench.recipe import Recipe
from tools.bench.speed.extrapolation import Cost, continued, our_seconds, peer_seconds, with_fewest_trials
from tools.bench.speed.parts import PARTS
from tools.bench.speed.picture import growth
from tools.bench.speed.pool import Measured, NotRun, Runner, Worker
from tools.bench.speed.search import search
from tools.bench.speed.table import Row, add_row, published_lines, to_markdown

RATE = 8000
ABOUT = {
    "processor": "a machine",
    "threads": 2,
    "date": "today",
    "versions": {"mixgraph": "1"},
    "python": "3",
    "libc": "glibc",
    "load": 0.0,
}


def quick(song, out, *arguments):
    shared = ["--quick", "--no-peer", "--sample-rate", str(RATE), "--threads", "1", "--songs", str(song)]
    benchmark.main([*shared, "--out", str(out), *arguments])
    return json.loads((out / "benchmark.json").read_text())


@pytest.fixture(scope="module")
def folder(tiny_song, tmp_path_factory):
    out = tmp_path_factory.mktemp("benchmark")
    quick(tiny_song, out)
    return out


@pytest.mark.long
def test_a_quick_run_measures_every_part(folder):
    report = json.loads((folder / "benchmark.json").read_text())
    assert {row["part"] for row in report["rows"]} == set(PARTS)
    for row in report["rows"]:
        assert list(row["median"]) == ["ours tuned"], row
        assert all(math.isfinite(value) and value > 0 for value in row["median"].values()), row
        assert row["ratio"] == {}
    songs = {part: {row["case"].get("song") for row in report["rows"] if row["part"] == part} for part in PARTS}
    synthetic = {"synthetic, stereo", "synthetic, mono"}
    assert songs["step"] == synthetic | {"tiny"}
    assert songs["evaluation"] == songs["trial"] == synthetic
    assert set(report["growth"]) == {
        "step against tracks",
        "evaluation against tracks",
        "step against clip seconds",
        "evaluation against song seconds",
    }
    assert report["machine"]["threads"] == 1


@pytest.mark.long
def test_phases_add_up(folder):
    rows = json.loads((folder / "benchmark.json").read_text())["rows"]
    phases = {r["measure"]: r["median"]["ours tuned"] for r in rows if r["case"].get("song") == "tiny"}
    names = ("forward", "loss", "backward", "optimizer")
    assert phases["total"] == pytest.approx(sum(phases[name] for name in names))


@pytest.mark.long
def test_tables_and_picture(folder):
    text = (folder / "benchmark.md").read_text()
    for part in PARTS:
        assert f"## {part.capitalize()}" in text
    assert "| synthetic, mono | 2 | brute_force | yes | tuned |" in text
    assert "| tiny | 3 | 3 s | 2 + 1 x 1 | tuned |" in text
    assert "(EXTRAPOLATED)" in next(line for line in text.splitlines() if "6000 + 12 x 500 | tuned" in line)
    assert "tiny, ours tuned, seed 0: 3 steps on the loss over the target's norm, 35 -> " in text
    assert (folder / "growth.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.long
def test_a_search_that_is_kept_is_not_run_again(tiny_song, folder, tmp_path):
    first = json.loads((folder / "benchmark.json").read_text())
    (tmp_path / FILE).write_bytes((folder / FILE).read_bytes() + b'{"key": {"torn')
    again = quick(tiny_song, tmp_path, "--parts", "search", "--keep")
    before, after = ([r for r in report["rows"] if r["part"] == "search"] for report in (first, again))
    assert [row["samples"] for row in after] == [row["samples"] for row in before]
    assert after[0]["runs"] == {"ours tuned": [first["machine"]["date"]]}
    assert "(earlier run)" in (tmp_path / "benchmark.md").read_text()
    # Another seed is another search; the torn line stays alone.
    other = quick(tiny_song, tmp_path, "--parts", "search", "--keep", "--seeds", "0", "1")
    assert other["rows"][0]["runs"] == {"ours tuned": [first["machine"]["date"], ""]}
    assert "(1 of 2 in an earlier run)" in (tmp_path / "benchmark.md").read_text()
    assert len((tmp_path / FILE).read_text().splitlines()) == 3


@pytest.mark.long
def test_without_keep_everything_is_measured_anew(folder):
    lines = (folder / FILE).read_text().splitlines()
    assert [json.loads(line)["key"]["seed"] for line in lines] == [0]
    key = json.loads(lines[0])["key"]
    assert Searches(folder / FILE, "now", False, print).get(key) is None
    assert Searches(folder / FILE, "now", True, print).get(dict(reversed(key.items()))) is not None
    for name, value in (("malloc", "default"), ("threads", 2), ("seed", 1), ("song", "x"), ("versions", {})):
        assert Searches(folder / FILE, "now", True, print).get(key | {name: value}) is None


def test_versions_tell_sources_apart():
    ours, peer = versions("ours"), versions("peer")
    assert ours["torch"] == peer["torch"]
    assert ours["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert ours["sources"] != peer["sources"]
    assert set(ours) - set(peer) == {"mixgraph"}


def rows_of_both():
    rows = []
    answers = {"ours": [0.1, 0.2, 0.3], "peer": [3.0, 5.0, 4.0]}
    measured = {Runner(s, "default"): Measured([{"total": v} for v in seconds]) for s, seconds in answers.items()}
    add_row(rows, "step", {"song": "synthetic, stereo", "tracks": 8, "share": 1.0}, "total", measured, "total")
    measured = {
        Runner("ours", "default"): Measured([{"total": 1.0}]),
        Runner("peer", "default"): Measured([], "over 9 s"),
    }
    add_row(rows, "sweep", {"axis": "tracks", "value": 128}, "step", measured, "total")
    return rows


def test_ratios_are_of_medians_and_what_was_not_run_says_why():
    rows = rows_of_both()
    assert rows[0].ratio("default") == pytest.approx(20)
    assert rows[1].ratio("default") is None
    text = to_markdown(rows, ABOUT, [])
    assert "| song | tracks | share | malloc | total (s) |" in text
    assert "| synthetic, stereo | 8 | 1.0 | default | 0.2 / 4: **20.0x** |" in text
    assert "| tracks | 128 | default | 1 / not run (over 9 s) |" in text
    assert "K=8 step total: 4 s, published 4.04 s, -1%, within 25 %" in text


def test_ratios_that_mix_runs_are_marked():
    samples = {"ours tuned": [100.0, 120.0, 110.0], "peer tuned": [2200.0]}
    row = Row("search", {"song": "a"}, "search", samples=samples, notes={"peer tuned": "EXTRAPOLATED"})
    loss = Row("search", {"song": "a"}, "loss", "", samples={"ours tuned": [0.5], "peer tuned": [0.75]})
    assert "| a | tuned | 110 / 2200 (EXTRAPOLATED): **20.0x** | 0.5 / 0.75 |" in to_markdown([row, loss], ABOUT, [])
    assert not row.mixes_runs("tuned")
    row.runs = {"ours tuned": ["monday"] * 3}
    text = to_markdown([row, loss], ABOUT, [])
    assert "110 (earlier run) / 2200 (EXTRAPOLATED): **20.0x** (mixes runs)" in text
    row.runs["peer tuned"] = ["monday"]
    assert not row.mixes_runs("tuned")
    assert "2200 (EXTRAPOLATED, earlier run): **20.0x** |" in to_markdown([row, loss], ABOUT, [])
    row.runs["peer tuned"] = ["tuesday"]
    assert row.mixes_runs("tuned")


class RecordingPool:
    """Answers searches without running them, and notes who was asked in which order."""

    def __init__(self):
        self.runners = [Runner(side, malloc) for malloc in ("default", "tuned") for side in ("ours", "peer")]
        self.threads, self.requests, self.lines = 2, [], []
        self.log = self.lines.append

    def alternate(self, case, requests, repeats, warm_up=None, runners=None, seconds=None):
        (runner,) = runners
        results = []
        for request in requests:
            self.requests.append((runner.side, request["do"], request.get("seed", case.share)))
            results.append({runner: Measured([self.answer(runner.side, request, case.share)] * repeats)})
        return results

    def answer(self, side, request, share):
        if request["do"] != "search":
            return {"total": share * {"step": 2.0, "evaluation": 8.0}[request["do"]]}
        counts = {"types": {"reverb": 25, "delay": 10}, "types_after": {"reverb": 14}}
        trials = {"ours": 10, "peer": 20}[side]
        rounds = [{"before": 35, "after": 14, "trials": trials, "seconds": 5.0, "step": 0.1} | counts]
        return {
            "total": {"ours": 10.0, "peer": 400.0}[side] + request["seed"],
            "steps": 150,
            "step": 0.2,
            "console_step": 0.25,
            "rounds": rounds,
            "pruning_ratio": 0.6,
            "optimised": {"ours": "target", "peer": "prediction"}[side],
            "loss_target": 0.5,
            "loss_prediction": 0.6,
            "published_target": 0.7,
            "published_prediction": 0.8,
        }


def search_settings(song, whole):
    options = benchmark.parse(["--songs", str(song), "--no-peer", "--sample-rate", str(RATE), "--seeds", "0", "1", "2"])
    settings = benchmark.settings_of(options, Searches(None, "now", False, print))
    return replace(settings, recipe=Recipe(100, 1, 50), whole_peer_search=whole)


def test_searches_alternate_by_seed(tiny_song):
    pool = RecordingPool()
    rows = search(pool, search_settings(tiny_song, True))
    searches = [(side, seed) for side, what, seed in pool.requests if what == "search"]
    assert searches == [(side, seed) for seed in (0, 1, 2) for side in ("ours", "peer")]
    assert rows[0].samples == {"ours tuned": [10.0, 11.0, 12.0], "peer tuned": [400.0, 401.0, 402.0]}
    assert rows[0].notes == {}
    text = to_markdown(rows, ABOUT, [])
    times, losses = "11 / 401: **36.5x** | 0.2 / 0.2: **1.0x**", "0.5 / 0.5 | 0.6 / 0.6 | 0.7 / 0.7 | 0.8 / 0.8"
    assert f"| 100 + 1 x 50 | tuned | {times} | {losses} | 0.6 / 0.6 |" in text
    assert "tiny, peer tuned, seed 1: 150 steps on the loss over the prediction's norm, 35 -> 14 processors" in text
    # 100 steps of 2 s; 21 evaluations of 8 s, one of 3.2 s; 50 steps of .8 s.
    assert "peer tuned: its medians times its counts are 411 s, +3% of what was measured" in text
    evaluations = 21 * 8 + 3.2 + 8 * 22 * 3.2 + 3 * 16 * 3.2
    assert rows[-1].samples["peer tuned"] == pytest.approx([6000 * 2 + evaluations + 6000 * 0.8] * 3)


def test_what_is_extrapolated_is_marked(tiny_song):
    pool = RecordingPool()
    rows = search(pool, search_settings(tiny_song, False))
    assert [a for a in pool.requests if a[0] == "peer"] == [
        ("peer", what, share) for share in (1.0, pytest.approx(0.4)) for what in ("step", "evaluation")
    ]
    # At the least 3 trials of the 25 reverbs, and one of the 10 delays.
    assert rows[0].samples["peer tuned"] == pytest.approx([100 * 2 + 5 * 8 + 3.2 + 50 * 0.8] * 3)
    assert rows[0].notes == {"peer tuned": "EXTRAPOLATED"}
    longer = rows[-1]
    assert longer.case["steps"] == "6000 + 12 x 500"
    assert longer.notes == {"ours tuned": "EXTRAPOLATED", "peer tuned": "EXTRAPOLATED"}
    # Rounds 4, 8 and 12 try the 14 that are left, at .5 s a trial; the others have 10 trials.
    assert longer.samples["ours tuned"] == pytest.approx([6000 * 0.25 + 9 * 5 + 3 * 7 + 6000 * 0.1] * 3)
    evaluations = 5 * 8 + 3.2 + 8 * 4 * 3.2 + 3 * 16 * 3.2  # 2 trials of the 14 reverbs that are left
    assert longer.samples["peer tuned"] == pytest.approx([6000 * 2 + evaluations + 6000 * 0.8] * 3)
    assert "ours tuned: trials, as counted, by seed: 10, 10, 10, 14, 10, 10, 10, 14, 10, 10" in longer.details[0]
    assert "trials, the fewest that its rules can have, by seed: 4, 2, 2, 14, 2, 2, 2, 14, 2" in longer.details[1]


def test_a_peer_off_the_published_times_is_reported():
    case = {"song": "synthetic, stereo", "tracks": 8, "share": 1.0}
    rows = [Row("step", case, "total", samples={"peer default": [2.0]})]
    lines = published_lines(rows, 1)
    assert "-50%, NOT within 25 %" in lines[0]
    assert any("1 thread(s) here, 2 there" in line for line in lines)
    assert published_lines([replace(rows[0], case=case | {"song": "synthetic, mono"})], 2) == []


def test_growth_is_the_exponent():
    costs = {2: 1.0, 8: 2.0, 32: 8.0}
    rows = [Row("sweep", {"axis": "tracks", "value": k}, "step", samples={"ours tuned": [costs[k]]}) for k in costs]
    assert growth(rows) == {"step against tracks": {"ours tuned": {"all": 0.75, "last": 1.0}}}


def test_extrapolation_counts_what_a_search_does():
    rounds = [{"before": 10, "after": 5, "trials": 8}, {"before": 5, "after": 5, "trials": 5}]
    # Steps cost 4 s a full console, evaluations 12 s; half of it costs half. Round 1: 9 evaluations before, 1 after.
    expected = 300 * 4 + (9 * 12 + 6 + 50 * 2) + (6 * 6 + 6 + 50 * 2)
    seconds = peer_seconds(Recipe(300, 2, 50), rounds, Cost(1.0, 4.0, 12.0), Cost(0.5, 2.0, 6.0))
    assert seconds == pytest.approx(expected)


def test_a_longer_search_goes_on_like_a_measured_one():
    measured = [
        {"before": 40, "after": 30, "trials": 8, "seconds": 16.0, "step": 0.4},
        {"before": 30, "after": 28, "trials": 6, "seconds": 6.0, "step": 0.3},
        {"before": 28, "after": 26, "trials": 4, "seconds": 2.0, "step": 0.3},
        {"before": 26, "after": 20, "trials": 26, "seconds": 13.0, "step": 0.2},
    ]
    for of_round in measured:
        of_round |= {"types": {"equalizer": of_round["before"]}, "types_after": {"equalizer": of_round["after"]}}
    longer = continued(measured, 8)
    assert longer[:4] == measured
    assert [(of_round["before"], of_round["after"]) for of_round in longer[4:]] == [(20, 20)] * 4
    assert [of_round["trials"] for of_round in longer[4:]] == [4, 4, 4, 20]
    assert [of_round["seconds"] for of_round in longer[4:]] == [2.0, 2.0, 2.0, 10.0]
    assert [of_round["step"] for of_round in longer[4:]] == [0.2] * 4
    assert [of_round["types"] for of_round in longer[4:]] == [{"equalizer": 20}] * 4
    # The peer's rule halves 10 % down to one processor: 4, 2, 1 of 40; 2, 1 of 20.
    assert [of_round["trials"] for of_round in with_fewest_trials(longer)] == [3, 3, 3, 26, 2, 2, 2, 20]
    assert continued(measured, 2) == measured[:2]
    assert our_seconds(Recipe(100, 2, 10), 0.5, longer[:2]) == pytest.approx(50 + 16 + 4 + 6 + 3)


@pytest.mark.parametrize(("tracks", "subgroups"), [(2, 1), (8, 3), (24, 6), (32, 8)])
def test_consoles(tracks, subgroups):
    case = Case(tracks=tracks, seconds=0.5, sample_rate=RATE)
    assert [len(case.subgroups), sum(map(len, case.subgroups.values()))] == [subgroups, tracks]
    song = make_song(case)
    graph = make_graph(case, song)
    assert len(graph.processors) == 7 * (tracks + subgroups)
    assert len(make_graph(Case(tracks=tracks, share=0.3), song).processors) == round(0.3 * len(graph.processors))


@pytest.mark.parametrize("kind", ["stereo", "mono"])
def test_kinds_of_tracks(kind):
    song = make_song(Case(tracks=3, seconds=2.0, sample_rate=RATE, kind=kind))
    assert (song.sources.abs().amax(dim=-1) > 0.01).all()
    equal = (song.sources[:, 0] == song.sources[:, 1]).all(dim=-1).tolist()
    assert equal == list(song.mono) == [kind == "mono"] * 3
    assert (song.mix[0] != song.mix[1]).any()
    clip = ClipReader(song, 0, RATE, 0, 0).at(0)
    assert clip.mono == ((0, 1, 2) if kind == "mono" else ())
    assert clip.silent == ()


def test_a_real_song_brings_its_own_size(tiny_song):
    case = real_case(Case(sample_rate=RATE), str(tiny_song))
    assert (case.audio, case.tracks, case.seconds) == ("tiny", 3, 3.0)


def test_common_losses_of_a_mix_at_half_level():
    """Half the amplitude: spectral convergence 1/2 or 1, log distance ln 2."""
    song = make_song(Case(tracks=2, seconds=3.8, sample_rate=RATE))
    song = replace(song, mix=100 * song.sources.sum(dim=0))  # far above the floor of the magnitudes
    losses = common_losses(song, lambda sources, first: 50 * sources.sum(dim=0))
    assert losses["loss_target"] == pytest.approx(0.5 + math.log(2), rel=1e-5)  # float32 sums
    assert losses["loss_prediction"] == pytest.approx(1.0 + math.log(2), rel=1e-5)
    # By the published protocol there is a second clip, after the song's end, where both are silent.
    assert 2 * losses["published_target"] == pytest.approx(0.5 + math.log(2), rel=1e-5)
    assert 2 * losses["published_prediction"] == pytest.approx(1.0 + math.log(2), rel=1e-5)


@pytest.mark.long
def test_our_search_is_as_long_as_asked_and_hears_its_seed(tiny_song):
    case = Case(song=str(tiny_song), sample_rate=RATE)
    answers = [OurSide(case).search(4, 1, 2, seed) for seed in (0, 0, 1)]
    losses = [(answer["loss_target"], answer["loss_prediction"]) for answer in answers]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]
    assert [answer["steps"] for answer in answers] == [6, 6, 6]
    assert answers[0]["optimised"] == "target"
    (counted,) = answers[0]["rounds"]
    assert counted["before"] == sum(counted["types"].values()) == 35
    assert counted["after"] == sum(counted["types_after"].values())
    assert answers[0]["pruning_ratio"] == pytest.approx(1 - counted["after"] / 35)
    assert 0 < 4 * answers[0]["console_step"] + 2 * counted["step"] + counted["seconds"] <= answers[0]["total"]
    assert 6 * answers[0]["step"] == pytest.approx(4 * answers[0]["console_step"] + 2 * counted["step"])


def test_a_worker_over_its_limit_is_ended():
    worker = Worker(Runner("ours", "default"), 1)
    with pytest.raises(NotRun, match=r"over 0\.01 s"):
        worker.ask({"do": "peak"}, 0.01)
    assert worker.process is None


@pytest.mark.long
def test_a_worker_that_was_killed_is_started_anew():
    worker = Worker(Runner("ours", "default"), 1)
    worker.ask({"do": "peak"}, 60)
    os.kill(worker.process.pid, signal.SIGKILL)
    with pytest.raises(NotRun, match="the process ended with -9"):
        worker.ask({"do": "setup", "case": asdict(Case())}, 60)
    assert worker.ask({"do": "peak"}, 60)["bytes"] > 0
    worker.close()


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="Linux ends children with their parent, others do not")
def test_a_worker_ends_with_who_started_it():
    code = (
        "import time; from tools.bench.speed.pool import Runner, Worker; "
        "worker = Worker(Runner('ours', 'default'), 1); "
        "worker.ask({'do': 'peak'}, 60); print(worker.process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    os.kill(pid, signal.SIGSTOP)  # busy: it does not see that its input ends
    parent.kill()
    parent.wait()
    parent.stdout.close()
    status = Path(f"/proc/{pid}/stat")
    for _ in range(100):
        if not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] in "ZX":
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the worker outlived who started it")


def test_the_peer_is_refused_where_it_is_not_installed(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        benchmark.parse(["--peer"])
    assert "grafx is not installed" in capsys.readouterr().err
    assert benchmark.parse([]).peer is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--keep"], "--keep: there is nothing to take without --out"),
        (["--search-steps", "300", "0", "50"], "at least 1 each"),
        (["--search-steps", "320", "4", "50"], "CONSOLE a multiple of STEPS, got 320 4 50"),
    ],
)
def test_options_that_cannot_be_are_refused(arguments, message, capsys):
    with pytest.raises(SystemExit):
        benchmark.parse([*arguments, "--no-peer"])
    assert message in capsys.readouterr().err
