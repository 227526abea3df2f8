"""Builds with real searches in real processes, which are really killed."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from mixgraph.dataset import BuildFolder, FileHashes, find_sources
from mixgraph.results.found_graph import load_result
from mixgraph.system.locks import locked
from tools import build_dataset
from tools.dataset import machines
from tools.dataset.build import _take_in, make_jobs, resolve_settings
from tools.dataset.local import LocalWorkers
from tools.dataset.machines import usable_devices
from tools.dataset.outcome import Task
from tools.dataset.worker import Request

ROOT = Path(__file__).parent.parent.parent


def files(folder, *but):
    """All files below a folder, by relative name; `timings.json` and `search.log` say when and how long."""
    clocks = ("timings.json", "search.log")
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in (*clocks, *but))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.long
def test_every_song_ends_in_a_result_folder(plain, songs) -> None:
    out, output = plain
    assert "3 searches: 0 done before, 3 to do." in output
    assert [output.count(f"{name}/run_0: done") for name in ("duo", "tiny", "zoo")] == [1, 1, 1]
    assert "3 accepted, 0 rejected, 0 failed" in output
    assert not (out / "work").exists()
    assert not list(out.rglob("*.partial"))
    assert list(out.rglob("*.html")) == [out / "index.html"]  # songs have pages where someone asks for them
    for name in ("duo", "tiny", "zoo"):
        result = load_result(out / "results" / name / "run_0")
        assert 0 < len(result.graph.processors) <= 5
    settings = yaml.safe_load((out / "results" / "duo" / "run_0" / "config.yaml").read_text())
    assert (settings["data"]["path"], settings["data"]["sample_rate"], settings["seed_everything"]) == ("duo", 8000, 42)
    assert [row["status"] for row in rows(out / "songs.jsonl")] == ["accepted"] * 3
    assert rows(out / "songs.jsonl")[0]["search"]["agreement"] is None
    assert all(f'"song":"{name}"' in (out / "index.html").read_text().replace(" ", "") for name in ("duo", "tiny"))


@pytest.mark.long
def test_no_path_of_this_machine_is_in_a_result(plain, songs) -> None:
    for name, content in files(plain[0] / "results").items():
        assert str(songs.parent).encode() not in content, name
        assert str(plain[0]).encode() not in content, name


@pytest.mark.long
def test_the_longest_song_is_begun_first(plain) -> None:
    output = plain[1]
    assert output.index("tiny/run_0: new") < output.index("duo/run_0: new")  # three tracks against two


@pytest.mark.long
def test_a_build_that_is_killed_goes_on_to_the_same_results(songs, config, plain, tmp_path, build, arguments) -> None:
    out = tmp_path / "set"
    command = [sys.executable, "-m", "tools.build_dataset", *arguments(songs, config, out)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not list(out.glob("results/*/run_0")) or not list(out.glob("work/*/run_0/request.json")):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {path.parent.name: path.stat().st_ino for path in out.glob("results/*/run_0")}
    assert 0 < len(done) < 3
    output, code = build(songs, config, out)
    assert code == 0, output
    assert f"{len(done)} done before, {3 - len(done)} to do." in output
    assert "begun before" in output
    assert all((out / "results" / name / "run_0").stat().st_ino == inode for name, inode in done.items())
    assert files(out / "results") == files(plain[0] / "results")
    assert files(out / "shards") == files(plain[0] / "shards")
    assert not (out / "work").exists()


@pytest.mark.long
@pytest.mark.parametrize(
    ("number", "code", "output"),
    [
        (signal.SIGINT, 130, "stopped; this goes on from here:\n  python -m mixgraph build-dataset "),
        (signal.SIGTERM, 143, "terminated; this goes on from here:\n  python -m mixgraph build-dataset "),
    ],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_a_signal_ends_a_build_and_keeps_no_half_searched_song(
    songs, config, tmp_path, arguments, warm_python, number, code, output
):
    """A search that gets Ctrl-C itself ends with the graph as it is, which must not pass for its result here."""
    out = tmp_path / "set"
    words = [*arguments(songs, config, out), "--workers=1", "--", "--data.steps_per_stage=5000"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = warm_python.start("tools.build_dataset", *words, **pipes)
    end = time.monotonic() + 120
    while not list(out.glob("work/*/run_0/result.partial")):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(number)
    _, printed = process.communicate(timeout=60)
    assert (process.returncode, output in printed) == (code, True)
    assert not (out / "results").exists()
    with locked(out / ".lock", str):  # no worker is left
        pass


@pytest.fixture
def task(songs, config, tmp_path):
    """The search of one song, not yet begun."""
    settings = resolve_settings([str(config)], [])
    sources, _ = find_sources([songs / "tiny"], FileHashes(tmp_path / "hashes.json"))
    (job,) = make_jobs(sources, 1, settings)
    folder = BuildFolder(tmp_path / "set").work(job)
    return Task(job, folder, Request(str(job.song.folder), job.seed, settings, job.record(), 1))


@pytest.mark.long
def test_a_result_that_was_not_yet_in_its_place_is_taken_as_it_is(songs, config, plain, tmp_path, build) -> None:
    """As after a kill between the end of a search and its publication, or between the two renames of that."""
    out = tmp_path / "set"
    shutil.copytree(plain[0], out)
    work, result = out / "work" / "tiny" / "run_0", out / "results" / "tiny" / "run_0"
    work.mkdir(parents=True)
    result.rename(work / "result")
    record = json.loads((work / "result" / "job.json").read_text())
    (work / "request.json").write_text(json.dumps({"record": record}))
    (work / "result" / "job.json").unlink()
    inode = (work / "result").stat().st_ino
    (out / ".shards.1.partial").mkdir()
    (out / ".songs.jsonl.1.partial").write_text("half")
    output, code = build(songs, config, out)
    assert (code, "tiny/run_0: begun before" in output) == (0, True)
    assert result.stat().st_ino == inode
    assert files(out / "results") == files(plain[0] / "results")
    assert not list(out.glob("*.partial"))


def kill_at(workers, checkpoint, times, number=signal.SIGKILL):
    """Sends a signal to the running worker when its checkpoint stands; again after it was started anew."""
    killed = set()

    def watch():
        while len(killed) < times:
            if checkpoint.exists():
                for process in list(workers._running):
                    if process.pid not in killed:
                        killed.add(process.pid)
                        process.send_signal(number)
            time.sleep(0.002)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_is_killed_is_started_again_and_goes_on(task, plain, warm_workers, number) -> None:
    workers = LocalWorkers(1, 1, retries=1)
    thread = kill_at(workers, task.folder / "result.partial" / "stage.ckpt", 1, number)
    (outcome,) = workers.run([task])
    thread.join(5)
    assert (outcome.reason, outcome.attempts) == ("", 2)
    config = yaml.safe_load((task.folder / "settings.yaml").read_text())
    assert config["ckpt_path"].endswith("stage.ckpt")  # it did not begin anew
    assert files(outcome.result) == files(plain[0] / "results" / "tiny" / "run_0")
    # The log says where the search goes on, so that a stage which stands twice in it is explained.
    begins, *lines, done = (line[21:] for line in (outcome.result / "search.log").read_text().splitlines())
    assert (begins[:19], done[:19]) == ("The search begins: ", "The search is done:")
    stage, resumed = 0, 0
    for line in lines:
        if goes_on := re.match(r"The search goes on after stage (\d): 5 stages, ", line):
            assert int(goes_on[1]) <= stage
            stage, resumed = int(goes_on[1]), resumed + 1
        else:
            stage += 1
            assert line.startswith(f"Stage {stage}/5: ")
    assert (stage, resumed) == (5, 1)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (-signal.SIGKILL, "its process was killed by signal 9, 3 times (too little memory, or a full disk?)"),
        (-signal.SIGTERM, "its process was terminated, 3 times"),
        (143, "its process was terminated, 3 times"),
    ],
)
def test_a_worker_that_is_always_killed_is_left_to_the_next_build(task, monkeypatch, code, reason) -> None:
    monkeypatch.setattr(LocalWorkers, "_process", lambda *_: code)
    (outcome,) = LocalWorkers(1, 1, retries=2).run([task])
    assert (outcome.result, outcome.reason, outcome.resumable) == (None, reason, True)
    checkpoint = task.folder / "result.partial" / "stage.ckpt"
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"of its last stage")
    folder = BuildFolder(task.folder.parents[2])
    assert _take_in(folder, outcome) == f"failed: {reason}"
    assert checkpoint.is_file()
    assert folder.why_due([task.job]) == [f"failed before: {reason}"]
    _take_in(folder, replace(outcome, resumable=False))  # an error would come again
    assert not task.folder.exists()


@pytest.mark.long
def test_run_again_nothing_is_searched_and_the_shards_are_the_same(songs, config, plain, build) -> None:
    out, _ = plain
    before = files(out, ".lock")
    for left in ("tiny/run_0", "duo"):  # as a build leaves them that is killed at the very end
        (out / "work" / left).mkdir(parents=True)
    output, code = build(songs, config, out)
    assert (code, "3 searches: 3 done before, 0 to do." in output) == (0, True)
    assert files(out, ".lock") == before
    assert not (out / "work").exists()


@pytest.mark.long
def test_what_changed_is_redone_and_what_fails_does_not_stop_the_rest(songs, config, plain, tmp_path, build) -> None:
    """Audio of one song changes, another breaks, a third is as it was; then the broken one is mended."""
    root, out = tmp_path / "songs", tmp_path / "set"
    shutil.copytree(songs, root)
    shutil.copytree(plain[0], out)
    kick, broken = root / "tiny" / "tracks" / "kick.wav", root / "duo" / "tracks" / "hat.wav"
    audio, rate = soundfile.read(kick)
    soundfile.write(kick, audio * 0.5, rate, subtype="FLOAT")
    whole = broken.read_bytes()
    damaged, _ = soundfile.read(broken)
    damaged[7] = np.nan
    soundfile.write(broken, damaged, rate, subtype="FLOAT")

    output, code = build(root, config, out)
    assert code == 1
    assert "3 searches: 1 done before, 2 to do." in output
    assert "tiny/run_0: audio changed: tracks/kick.wav" in output
    assert "duo/run_0: audio changed: tracks/hat.wav" in output
    assert "2 accepted, 0 rejected, 1 failed" in output
    (failure,) = rows(out / "failures.jsonl")
    assert (failure["song"], failure["run"], failure["attempts"]) == ("duo", 0, 1)
    assert "finite samples expected" in failure["reason"]
    assert "Traceback" in failure["details"]
    (row,) = (row for row in rows(out / "songs.jsonl") if row["status"] == "failed")
    assert "finite samples expected" in row["reasons"][0]
    assert "duo" not in (out / "shards" / "index.json").read_text()  # though an older result is still there
    new, old = (folder / "results" / "tiny" / "run_0" / "parameters.safetensors" for folder in (out, plain[0]))
    assert new.read_bytes() != old.read_bytes()

    broken.write_bytes(whole)
    output, code = build(root, config, out)
    assert (code, "3 accepted, 0 rejected, 0 failed" in output) == (0, True)
    assert "3 done before" in output  # its old result is that of the mended audio
    assert rows(out / "failures.jsonl") == []


@pytest.mark.long
def test_several_runs_agree_or_not_and_changed_settings_are_named(songs, config, plain, tmp_path, build) -> None:
    out = tmp_path / "set"
    shutil.copytree(plain[0], out)
    output, code = build(
        songs, config, out, "--runs=2", "--match=t*", "--max-loss=0.01", "--", "--pruning.tolerance=0.3"
    )
    assert code == 0
    assert "tiny/run_0: settings changed: pruning.tolerance: 0.03 -> 0.3" in output
    assert "tiny/run_1: new" in output
    assert "0 accepted, 1 rejected, 0 failed" in output
    (row,) = rows(out / "songs.jsonl")
    search = row["search"]
    assert search["runs"] == [0, 1]
    assert search["losses"][search["runs"].index(search["best_run"])] == min(search["losses"])
    assert search["losses"][0] != search["losses"][1]
    assert {p["confidence"] for p in search["processors"]} <= {0.5, 1.0}
    assert 0 <= search["agreement"] <= 1
    (rejected,) = rows(out / "rejected.jsonl")
    assert list(rejected["rules"]) == ["max_loss"]
    quality = {row["rule"]: row for row in json.loads((out / "quality.json").read_text())}
    assert (quality["max_loss"]["limit"], quality["max_loss"]["rejected"]) == (0.01, 1)


@pytest.mark.long
def test_a_song_that_cannot_be_listed_fails_and_a_silent_mix_is_rejected(songs, config, plain, tmp_path, build) -> None:
    root, out = tmp_path / "songs", tmp_path / "set"
    shutil.copytree(songs, root)
    shutil.copytree(plain[0], out)
    (root / "zoo" / "mix.wav").unlink()
    shutil.copytree(root / "duo", root / "odd")
    (root / "odd" / "song.yaml").write_text("[]")
    shutil.copytree(root / "duo", root / "mute")
    soundfile.write(root / "mute" / "mix.wav", np.zeros((8000 * 3, 2)), 8000)
    os.mkdir(os.fsencode(root) + b"/f\xf6lder")
    (out / "results" / "tiny" / "run_0" / "graph.json").write_text("{")
    output, code = build(root, config, out, "--date-published=2026-11-29")
    assert (code, "1 accepted, 1 rejected, 3 failed" in output) == (1, True)
    failures = {failure["song"]: failure for failure in rows(out / "failures.jsonl")}
    assert sorted(failures) == ["mute", "odd", "tiny", "zoo"]
    assert failures.pop("mute")["unusable"]
    assert {(failure["run"], failure["unusable"]) for failure in failures.values()} == {(None, False)}
    (rejected,) = rows(out / "rejected.jsonl")
    assert rejected["song"] == "mute"
    assert rejected["rules"]["usable"].startswith("mute: the mix is silent, so that it is not made of")
    assert "graph.json" in failures["tiny"]["reason"]
    assert "remove them" in failures["tiny"]["reason"]
    assert {row["song"]: row["status"] for row in rows(out / "songs.jsonl")} == {
        "duo": "accepted", "mute": "rejected", "odd": "failed", "tiny": "failed", "zoo": "failed",
    }  # fmt: skip
    assert '"datePublished": "2026-11-29"' in (out / "shards" / "croissant.json").read_text()
    assert "| tiny | its search failed |" in (out / "shards" / "README.md").read_text()


@pytest.mark.long
def test_one_build_at_a_time(plain, songs, config, monkeypatch, arguments) -> None:
    monkeypatch.setattr("tools.build_dataset._LOCK_SECONDS", 0.2)
    with locked(plain[0] / ".lock", str), pytest.raises(SystemExit) as end, contextlib.redirect_stdout(io.StringIO()):
        build_dataset.main(arguments(songs, config, plain[0]))
    assert "another build runs" in str(end.value.code)


def test_wrong_settings_are_refused_before_anything_runs(songs, config, tmp_path, capsys, arguments) -> None:
    with pytest.raises(SystemExit) as end:
        build_dataset.main(arguments(songs, config, tmp_path / "set", "--", "--pruning.toleranse=1"))
    assert end.value.code == 2
    assert "toleranse" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_ray_is_an_optional_extra(songs, config, tmp_path, monkeypatch, arguments) -> None:
    monkeypatch.setattr(machines, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as end, contextlib.redirect_stdout(io.StringIO()):
        build_dataset.main(arguments(songs, config, tmp_path / "set", "--ray", "auto"))
    assert "mixgraph[cluster]" in str(end.value.code)


def test_workers_share_the_gpus_that_are_visible(monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    settings = {"trainer": {"accelerator": "auto"}}
    assert usable_devices(settings) == ["3", "5"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert usable_devices(settings) == ["0", "1"]
    assert usable_devices({"trainer": {"accelerator": "cpu"}}) == []
    workers = LocalWorkers(3, 1, ["3", "5"])
    assert [workers._devices.get() for _ in range(3)] == ["3", "5", "3"]


def test_overrides_and_seeds_reach_the_settings(config) -> None:
    settings = resolve_settings([str(config)], ["--seed_everything=5", "--pruning.tolerance=0.05"])
    assert settings["seed_everything"] == 5
    assert settings["pruning"]["tolerance"] == 0.05
    assert settings["data"]["sample_rate"] == 8000


def test_jobs_of_songs_at_their_own_rates_say_which(songs, config, tmp_path) -> None:
    settings = resolve_settings([str(config)], ["--data.sample_rate=song"])
    assert settings["data"]["sample_rate"] == "song"
    sources, _ = find_sources([songs / "tiny"], FileHashes(tmp_path / "hashes.json"))
    (job,) = make_jobs(sources, 1, settings)
    assert job.config["data"]["sample_rate"] == job.record()["settings"]["data"]["sample_rate"] == 8000
