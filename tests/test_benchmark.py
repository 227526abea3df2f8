"""The benchmark runs, and what it writes is complete; no time is asserted."""

import json
import math

import pytest

from tools import benchmark
from tools.benchmarks.cases import Case, make_graph, make_song
from tools.benchmarks.extrapolation import peer_search_seconds
from tools.benchmarks.parts import PARTS
from tools.benchmarks.picture import growth
from tools.benchmarks.pool import Measured, NotRun, Runner, Worker
from tools.benchmarks.table import Row, add_row, reference_lines, to_markdown

RATE = 8000


@pytest.fixture(scope="module")
def folder(tiny_song, tmp_path_factory):
    out = tmp_path_factory.mktemp("benchmark")
    arguments = ["--quick", "--no-peer", "--sample-rate", str(RATE), "--threads", "1", "--songs", str(tiny_song)]
    benchmark.main([*arguments, "--out", str(out)])
    return out


def test_a_quick_run_measures_every_part(folder):
    found = json.loads((folder / "benchmark.json").read_text())
    assert {row["part"] for row in found["rows"]} == set(PARTS)
    for row in found["rows"]:
        assert list(row["median"]) == ["ours tuned"], row
        assert all(math.isfinite(value) and value > 0 for value in row["median"].values()), row
        assert row["ratio"] == {}
    assert set(found["growth"]) == {
        "step against tracks",
        "evaluation against tracks",
        "step against clip seconds",
        "evaluation against song seconds",
    }
    assert found["machine"]["threads"] == 1


def test_phases_add_up(folder):
    rows = json.loads((folder / "benchmark.json").read_text())["rows"]
    phases = {row["measure"]: row["median"]["ours tuned"] for row in rows if row["part"] == "step"}
    assert phases.pop("total") == pytest.approx(sum(phases.values()))


def test_tables_and_picture(folder):
    text = (folder / "benchmark.md").read_text()
    for part in PARTS:
        assert f"## {part.capitalize()}" in text
    assert "| 2 | brute_force | yes | one trial |" in text
    assert (folder / "growth.png").read_bytes().startswith(b"\x89PNG")


def rows_of_both():
    rows = []
    answers = {"ours": [0.1, 0.2, 0.3], "peer": [3.0, 5.0, 4.0]}
    found = {Runner(s, "default"): Measured([{"total": v} for v in own]) for s, own in answers.items()}
    add_row(rows, "step", {"tracks": 8, "share": 1.0}, "total", found, "total")
    found = {Runner("ours", "default"): Measured([{"total": 1.0}]), Runner("peer", "default"): Measured([], "over 9 s")}
    add_row(rows, "sweep", {"axis": "tracks", "value": 128}, "step", found, "total")
    return rows


def test_ratios_are_of_medians_and_what_was_not_run_says_why():
    rows = rows_of_both()
    assert rows[0].ratio("default") == pytest.approx(20)
    assert rows[1].ratio("default") is None
    text = to_markdown(rows, {"threads": 2}, [])
    assert "| 8 | 1.0 | total | 0.2 s | 4 s | 20.0x |" in text
    assert "not run (over 9 s)" in text
    assert "K=8 step total: 4 s, reference 4.04 s, -1%, within 25 %" in text


def test_a_peer_off_the_reference_is_said_to_be():
    rows = [Row("step", {"tracks": 8, "share": 1.0}, "total", samples={"peer default": [2.0]})]
    lines = reference_lines(rows, 1)
    assert "-50%, NOT within 25 %" in lines[0]
    assert any("1 thread(s) here, 2 there" in line for line in lines)


def test_growth_is_the_exponent():
    rows = [
        Row("sweep", {"axis": "tracks", "value": k}, "step", samples={"ours tuned": [0.1 * k**0.5]}) for k in (2, 8, 32)
    ]
    assert growth(rows) == {"step against tracks": {"ours tuned": 0.5}}


def test_extrapolation_counts_what_a_search_does():
    rounds = [{"before": 10, "after": 5, "trials": 8}, {"before": 5, "after": 5, "trials": 5}]
    # Steps cost 4 s a full console, evaluations 12 s; half of it costs half. Round 1: 9 evaluations before, 1 after.
    expected = 300 * 4 + (9 * 12 + 6 + 50 * 2) + (6 * 6 + 6 + 50 * 2) + 6
    found = peer_search_seconds((300, 2, 50), rounds, (1.0, 4.0, 12.0), (0.5, 2.0, 6.0))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(("tracks", "subgroups"), [(2, 1), (8, 3), (24, 6), (32, 8)])
def test_consoles(tracks, subgroups):
    case = Case(tracks=tracks, seconds=0.5, sample_rate=RATE)
    assert [len(case.subgroups), sum(map(len, case.subgroups.values()))] == [subgroups, tracks]
    song = make_song(case)
    graph = make_graph(case, song)
    assert len(graph.processors) == 7 * (tracks + subgroups)
    assert len(make_graph(Case(tracks=tracks, share=0.3), song).processors) == round(0.3 * len(graph.processors))
    silence = song.sources.abs().amax(dim=-1)
    assert (silence > 0.01).all()
    assert (song.sources[:, 0] != song.sources[:, 1]).any(dim=-1).all()


def test_a_worker_over_its_limit_is_ended():
    worker = Worker(Runner("ours", "default"), 1)
    with pytest.raises(NotRun, match=r"over 0\.01 s"):
        worker.ask({"do": "peak"}, 0.01)
    assert worker.process is None


def test_the_peer_is_refused_where_it_is_not_installed(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        benchmark.parse(["--peer"])
    assert "grafx is not installed" in capsys.readouterr().err
    assert benchmark.parse([]).peer is False
