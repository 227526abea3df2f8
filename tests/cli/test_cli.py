"""The command line on a tiny real song: results, refusals, interruption, resumption, sweeps."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml

from callbacks.result_places import default_path
from mixgraph import __main__ as entry
from mixgraph.losses import LossSettings, SongTarget, make_match_loss
from mixgraph.results.found_graph import load_result
from mixgraph.results.rendering import read_tracks
from mixgraph.songs import load_song

ROOT = Path(__file__).parents[2]
OTHERS = {"sweeps", "estimator.yaml", "automix.yaml", "demixer.yaml", "demixer_realtime.yaml", "demixer_v2.yaml"}
"""Sweeps, and models of their own (see tests/estimators, tests/demixing)."""
CONFIGS = sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "configs").rglob("*.yaml") if not OTHERS & {*p.parts})
FILES = {
    "graph.json", "parameters.safetensors", "metrics.json", "timings.json", "trace.jsonl", "config.yaml", "log.csv",
    "mix_target.flac", "mix_found.flac", "graph.svg", "graph.png", "spectrograms.png", "progress.png",
    "console.svg", "settings.txt", "settings.png", "search.log", "report.html", "loss_increases.png",
}  # fmt: skip
UNMEASURED = FILES - {"loss_increases.png"}
"""Those of a search that did not come to measure what each processor is worth."""


def settings(song: Path, result: Path, **options) -> list[str]:
    all_settings = {
        "data.path": song, "data.sample_rate": 8000, "data.steps_per_stage": 4, "data.scored_seconds": 1.0,
        "model.track_chain": "eg", "model.subgroup_chain": "gr", "pruning.console_stages": 2, "pruning.rounds": 2,
        "result.path": result, "result.log_every": 2, "trainer.accelerator": "cpu",
    } | {name.replace("__", "."): value for name, value in options.items()}  # fmt: skip
    return [f"--{name}={value}" for name, value in all_settings.items()]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["mixgraph", *map(str, arguments)])
    entry.main()


@pytest.fixture
def process(warm_python):
    """Starts `python -m mixgraph` as a process whose output is one text, and whose pictures are blank if need be."""

    def start(*arguments: str, environment: dict[str, str] | None = None, blank: bool = True):
        everything = os.environ | {"PYTHONPATH": str(ROOT)} | (environment or {})
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return warm_python.start("mixgraph", *arguments, env=everything, blank=blank, **pipes)

    return start


@pytest.fixture
def undrawn(blank) -> Iterator[None]:
    """The pictures of searches in this process are blank, but for those of `result`."""
    with blank():
        yield


@pytest.fixture(scope="module")
def result(tiny_song, tmp_path_factory):
    folder = tmp_path_factory.mktemp("result") / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        run(patch, "fit", *settings(tiny_song, folder))
    return folder


@pytest.mark.parametrize("config", CONFIGS)
def test_every_config_parses_against_the_real_signatures(config, monkeypatch, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "fit", "--config", ROOT / config, "--data.path=x", "--print_config")
    assert stop.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    config_settings = yaml.safe_load((ROOT / config).read_text()) or {}

    def contains(parsed, written):
        for key, value in written.items():
            if isinstance(value, dict) and isinstance(parsed[key], dict):
                contains(parsed[key], value)
            elif key != "path":
                assert parsed[key] == value, key

    contains(printed, config_settings)


@pytest.mark.long
@pytest.mark.parametrize("config", ["any_order", "attack_release", "paper", "reference"])
@pytest.mark.usefixtures("undrawn")
def test_a_search_by_settings_of_processors_ends_with_a_result_that_renders(config, tiny_song, tmp_path, monkeypatch):
    place = tmp_path / "result"
    chains = {"model.track_chain": "cnd", "model.subgroup_chain": "r"} if config in ("paper", "reference") else {}
    short = {"pruning.console_stages": 1, "pruning.rounds": 1, "pruning.leave_one_out": False, **chains}
    arguments = [a for a in settings(tiny_song, place, **short) if chains or "chain" not in a]
    run(monkeypatch, "fit", "--config", ROOT / f"configs/{config}.yaml", *arguments)
    result, song = load_result(place), load_song(tiny_song, 8000)
    written = torch.tensor(soundfile.read(place / "mix_found.flac", dtype="float32")[0].T)
    assert torch.allclose(result.render(song.sources / song.level), written, atol=1e-4)  # of FLAC's 24 or 16 bits
    options = yaml.safe_load((ROOT / f"configs/{config}.yaml").read_text())["model"].get("processors", {})
    assert result.processor_options == options


@pytest.mark.parametrize(("front_end", "second"), [("mel", "nsgt"), ("nsgt", "mel")])
@pytest.mark.long
@pytest.mark.usefixtures("undrawn")
def test_a_result_has_the_opinion_of_the_front_end_that_was_not_searched_by(
    front_end, second, result, tiny_song, tmp_path, monkeypatch
) -> None:
    place = result
    if front_end != "mel":
        place = tmp_path / "result"
        run(monkeypatch, "fit", *settings(tiny_song, place), f"--model.loss.front_end={front_end}")
    metrics, song = load_result(place).metrics, load_song(tiny_song, 8000)
    assert (metrics.front_end, metrics.second_opinion.front_end) == (front_end, second)
    target = SongTarget(make_match_loss(8000, LossSettings(front_end=second)), song.mix)
    assert metrics.second_opinion.dry_sum == pytest.approx(target.score(song.sources.sum(0)).loss["full"], rel=1e-5)
    mix = load_result(place).render(song.sources / song.level) * song.level
    assert metrics.second_opinion.found == pytest.approx(target.score(mix).loss["full"], rel=1e-3)
    assert metrics.second_opinion.console < metrics.second_opinion.dry_sum
    line = f"Second opinion (match loss by the front end {second}, not by {front_end}): dry sum"
    assert line in (place / "settings.txt").read_text()


def test_table_1_has_eight_consoles() -> None:
    chains = {yaml.safe_load(p.read_text())["model"]["track_chain"] for p in (ROOT / "configs/consoles").glob("*.yaml")}
    assert chains == {"", "g", "sg", "esg", "esgr", "ecsgr", "ecnsgr", "ecnsgdr"}


def test_result_folder_is_whole_and_consistent(result, tiny_song) -> None:
    assert {p.name for p in result.iterdir()} == FILES
    metrics = json.loads((result / "metrics.json").read_text())
    graph = json.loads((result / "graph.json").read_text())
    assert set(metrics["losses"]) == {"dry_sum", "console", "found"}
    for losses in metrics["losses"].values():
        assert set(losses["loss"]) == set(losses["loss_prediction"]) == {"full", "lr", "mid", "side"}
    left = metrics["num_processors"]["found"]
    assert (
        left == sum(n["weight"] is not None for n in graph["nodes"]) == sum(metrics["num_processors_by_type"].values())
    )
    assert metrics["pruning_ratio"] == 1 - left / metrics["num_processors"]["console"]
    console, found_loss = (metrics["losses"][name]["loss"]["full"] for name in ("console", "found"))
    assert metrics["within_tolerance"] is (found_loss <= console + metrics["tolerance"])
    trace = [json.loads(line) for line in (result / "trace.jsonl").read_text().splitlines()]
    rounds = [row for row in trace if row["kind"] == "round"]
    assert [row["round"] for row in rounds] == [0, 1]
    assert rounds[-1]["remaining"] == left
    for row in (r for r in trace if r["kind"] == "trial"):
        assert row["accepted"] == (not row["stopped"] and row["loss"] <= row["bound"])
    end = [r["loss_increase"] for r in trace if r["kind"] == "leave_one_out" and r["when"] == "end"]
    assert [n["loss_increase"] for n in graph["nodes"] if n["weight"] is not None] == pytest.approx(end)
    steps = [float(line.split(",")[0]) for line in (result / "log.csv").read_text().splitlines()[1:]]
    assert steps == [2, 4, 6, 8, 10, 12, 14, 16]


def test_result_renders_again_to_the_same_audio(result, tiny_song, monkeypatch, tmp_path) -> None:
    for block in (1000, 1 << 18):
        with pytest.raises(SystemExit) as stop:
            run(
                monkeypatch,
                "render",
                result,
                "--tracks",
                tiny_song / "tracks",
                "--out",
                tmp_path / "m.flac",
                "--block",
                block,
                "--overwrite",
            )
        assert stop.value.code == 0
        again, rate = soundfile.read(tmp_path / "m.flac")
        first, _ = soundfile.read(result / "mix_found.flac")
        assert rate == 8000
        assert np.abs(again - first).max() < 2e-6  # float32 rounding and 24 bits
    result_graph = load_result(result)
    song = load_song(tiny_song, sample_rate=8000)
    assert result_graph.level == song.level
    assert torch.allclose(read_tracks(result_graph, tiny_song / "tracks").sources * song.level, song.sources, atol=1e-7)


def test_no_path_date_or_host_in_the_result(result, tiny_song) -> None:
    for name in FILES - {"timings.json", "search.log", "mix_target.flac", "mix_found.flac", "graph.png"}:
        data = (result / name).read_bytes()
        assert not re.search(rb"20\d\d-\d\d-\d\d", data), name
        if name.endswith((".json", ".yaml", ".jsonl", ".csv", ".svg")):
            assert not re.search(rf"\b{re.escape(os.uname().nodename)}\b".encode(), data), name
            assert not re.search(rb"[\s\"']/(tmp|home|root|work)\b", data), name


@pytest.mark.long
def test_same_seed_same_result(result, tiny_song, tmp_path) -> None:
    """In another process and working folder, with another hash seed, locale and time zone."""
    again = tmp_path / "again"
    elsewhere = {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "77", "LC_ALL": "C", "TZ": "Asia/Tokyo"}
    words = [sys.executable, "-m", "mixgraph", "fit", *settings(tiny_song, again)]
    done = subprocess.run(words, cwd=tmp_path, env=os.environ | elsewhere, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("graph.json", "parameters.safetensors", "trace.jsonl", "graph.svg", "mix_found.flac", "log.csv"):
        assert (again / name).read_bytes() == (result / name).read_bytes(), name


@pytest.mark.long
def test_a_fresh_python_reports_a_result(result, tmp_path) -> None:
    words = [sys.executable, "-m", "mixgraph", "report", str(result), "--out", "page.html"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "page.html").stat().st_size > 10_000


@pytest.mark.long
@pytest.mark.usefixtures("undrawn")
def test_saved_config_runs_again(result, tiny_song, monkeypatch, tmp_path) -> None:
    copy = tmp_path / "copy"
    config = tmp_path / "config.yaml"
    config.write_text((result / "config.yaml").read_text())
    run(monkeypatch, "fit", "--config", config, f"--data.path={tiny_song}", f"--result.path={copy}")
    assert (copy / "graph.json").read_bytes() == (result / "graph.json").read_bytes()


@pytest.mark.long
@pytest.mark.usefixtures("undrawn")
def test_existing_result_is_kept_unless_asked(result, tiny_song, monkeypatch, tmp_path) -> None:
    before = (result / "graph.json").read_bytes()
    with pytest.raises(SystemExit, match=r"result.path: .* exists and is kept; .*--result.overwrite=true"):
        run(monkeypatch, "fit", *settings(tiny_song, result))
    assert (result / "graph.json").read_bytes() == before
    folder = tmp_path / "twice"
    for _ in range(2):
        run(monkeypatch, "fit", *settings(tiny_song, folder, result__overwrite="true", pruning__rounds=0))
    assert {p.name for p in folder.iterdir()} == UNMEASURED


@pytest.mark.long
def test_killed_search_goes_on_from_its_last_stage(result, process, tiny_song, tmp_path) -> None:
    """A real process, really killed; what it ends with is what an undisturbed search ends with."""
    folder = tmp_path / "killed"
    checkpoint = tmp_path / "killed.partial" / "stage.ckpt"
    child = process("fit", *settings(tiny_song, folder))
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (checkpoint.exists() and _epoch(checkpoint) >= 2):
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert checkpoint.exists()
    assert not folder.exists()
    refused = process("fit", *settings(tiny_song, folder))
    output = refused.communicate()[0]
    command = f"python -m mixgraph fit --config {checkpoint.parent / 'config.yaml'} --ckpt_path {checkpoint}"
    assert f"holds a search that did not end; go on with\n  {command}\n" in output
    resumed = process(*command.split()[3:])
    output = resumed.communicate()[0]
    assert resumed.returncode == 0, output
    for name in ("graph.json", "parameters.safetensors", "trace.jsonl", "log.csv"):
        assert (folder / name).read_bytes() == (result / name).read_bytes(), name
    log = (folder / "search.log").read_text()  # of both processes; a stage whose checkpoint was not written comes twice
    assert re.search(
        r"  The search begins: 4 stages, 10 processors\n.*  Stage 2/4: .*goes on after stage \d: ", log, re.S
    )
    assert re.search(
        r"  Stage 4/4: .*\n.*  report\.html was made .*\n.*  The search is done: match loss of the whole song \d", log
    )


def _epoch(checkpoint: Path) -> int:
    try:
        return torch.load(checkpoint, weights_only=True)["epoch"]
    except (EOFError, RuntimeError, FileNotFoundError):  # pragma: no cover - it is renamed into place
        return -1


@pytest.mark.long
def test_ctrl_c_ends_with_a_valid_result(process, tiny_song, tmp_path) -> None:
    folder = tmp_path / "stopped"
    child = process("fit", *settings(tiny_song, folder, data__steps_per_stage=2000))
    log = tmp_path / "stopped.partial"
    deadline = time.monotonic() + 120
    lines = []
    while time.monotonic() < deadline:
        lines.append(child.stdout.readline())
        if "minutes" in lines[-1]:
            break
    time.sleep(2)
    assert log.exists()
    child.send_signal(signal.SIGINT)
    output = child.communicate(timeout=120)[0]
    assert child.returncode == 0, output
    assert "ending with the graph as it is" in output
    assert re.search(r"Stopped after \d+ of 8000 steps, with the graph as it was\.\nMatch loss", output)
    assert {p.name for p in folder.iterdir()} == UNMEASURED
    assert 0 < json.loads((folder / "timings.json").read_text())["steps"] < 4000


@pytest.mark.long
@pytest.mark.parametrize("moment", ["training", "trials"])
def test_sigterm_keeps_the_state_and_has_a_code_of_its_own(result, process, tiny_song, tmp_path, moment) -> None:
    """A real process, terminated while it trains or tries; the command that it tells ends as if nothing had been."""
    folder = tmp_path / "terminated"
    partial = tmp_path / "terminated.partial"
    child = process("fit", *settings(tiny_song, folder), "--progress.refresh_every=1")
    stages = 1 if moment == "training" else 2  # the third one begins with trials
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (
        (partial / "stage.ckpt").exists() and _epoch(partial / "stage.ckpt") >= stages - 1
    ):
        time.sleep(0.005)
    child.send_signal(signal.SIGTERM)
    output = child.communicate(timeout=60)[0]
    assert child.returncode == 143, output
    assert not folder.exists()
    assert {path.name for path in partial.iterdir()} >= {"config.yaml", "stage.ckpt"}
    command = f"python -m mixgraph fit --config {partial / 'config.yaml'} --ckpt_path {partial / 'stage.ckpt'}"
    assert f"The search did not end. To go on:\n  {command}\n" in output
    again = process(*command.split()[3:])
    output = again.communicate()[0]
    assert again.returncode == 0, output
    for name in ("graph.json", "parameters.safetensors", "trace.jsonl", "log.csv"):
        assert (folder / name).read_bytes() == (result / name).read_bytes(), name


@pytest.mark.parametrize("where", ["before the search", "in a Trainer that we do not know"])
def test_sigterm_elsewhere_has_the_same_code(where, monkeypatch) -> None:
    """Raised at once by our own handler, or, between two steps, by Lightning, whose exception has no code."""
    from lightning.pytorch.utilities.exceptions import SIGTERMException

    def end(arguments):
        if where == "before the search":
            signal.raise_signal(signal.SIGTERM)
        raise SIGTERMException

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(entry, "_run", end)
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "fit")
    assert stop.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.long
def test_a_second_ctrl_c_has_a_code_of_its_own(process, tiny_song, tmp_path) -> None:
    child = process("fit", *settings(tiny_song, tmp_path / "r", pruning__console_stages=500))
    for words in ("Stage 2/", "Interrupted"):
        while words not in (line := child.stdout.readline()):
            assert line, "the search ended"
        child.send_signal(signal.SIGINT)
    output = child.communicate(timeout=60)[0]
    assert child.returncode == 130, output
    assert not (tmp_path / "r").exists()
    assert "The search did not end. To go on:" in output


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:budget. too short")  # which it is on a machine that is busy
def test_budget_scales_the_schedule_and_is_kept(tiny_song, monkeypatch, tmp_path, caplog) -> None:
    folder = tmp_path / "budget"
    started = time.monotonic()
    run(monkeypatch, "fit", *settings(tiny_song, folder, data__steps_per_stage=5000), "--budget=20s")
    assert time.monotonic() - started < 90  # the search's 20 s, reading and pictures; the schedule would take an hour
    assert 0 < json.loads((folder / "timings.json").read_text())["steps"] < 5000
    fitted = re.search(r"To fit the budget: \d+ stages of (\d+) steps, \d pruning rounds?", caplog.text)
    assert fitted is not None
    assert 5 <= int(fitted.group(1)) < 1000
    with pytest.raises(SystemExit, match="budget: a duration such as 90s, 20m or 1h30m, got '20 minutes'"):
        run(monkeypatch, "fit", *settings(tiny_song, folder), "--budget=20 minutes")


def test_validate_test_and_predict_of_a_found_graph(result, tiny_song, monkeypatch, capsys, tmp_path) -> None:
    metrics = json.loads((result / "metrics.json").read_text())
    options = [o for o in settings(tiny_song, tmp_path / "predicted") if not o.startswith("--model")]
    run(monkeypatch, "validate", *options, f"--start={result}")
    table = capsys.readouterr().out
    assert f"{metrics['losses']['found']['loss']['full']:.6f}"[:7] in table
    run(monkeypatch, "test", *options, f"--start={result}")
    table = capsys.readouterr().out
    for name in ("song/full", "song_prediction_norm/full", "paper/full", "paper_prediction_norm/full"):
        assert name in table
    run(monkeypatch, "predict", *options, f"--start={result}")
    with pytest.raises(SystemExit, match=r"result\.path: in .*tracks the mix would be among the tracks"):
        run(monkeypatch, "predict", *options, f"--start={result}", f"--result.path={tiny_song / 'tracks'}")
    assert not list((tiny_song / "tracks").glob("mix_found*"))
    predicted, _ = soundfile.read(tmp_path / "predicted" / "mix_found.flac")
    first, _ = soundfile.read(result / "mix_found.flac")
    assert np.abs(predicted - first).max() < 2e-6


@pytest.mark.long
@pytest.mark.usefixtures("undrawn")
def test_fit_starts_from_a_found_graph(result, tiny_song, monkeypatch, tmp_path) -> None:
    folder = tmp_path / "further"
    run(monkeypatch, "fit", *settings(tiny_song, folder, pruning__rounds=0), f"--start={result}")
    first, further = (json.loads((p / "metrics.json").read_text()) for p in (result, folder))
    assert further["num_processors"]["console"] == first["num_processors"]["found"]
    assert further["losses"]["found"]["loss"]["full"] < first["losses"]["found"]["loss"]["full"]
    before = (folder / "graph.json").read_bytes()
    with pytest.raises(SystemExit, match=r"start: .*further is where the result goes"):  # what it needs to go on
        run(monkeypatch, "fit", *settings(tiny_song, folder), f"--start={folder}", "--result.overwrite=true")
    assert (folder / "graph.json").read_bytes() == before
    message = r"model\.track_chain: the search starts from the graph of .*, so that 'ecg' would be without effect"
    with pytest.raises(SystemExit, match=message):
        run(monkeypatch, "fit", *settings(tiny_song, tmp_path / "x", model__track_chain="ecg"), f"--start={result}")
    with pytest.raises(SystemExit, match=r"was found at 8000 Hz, data\.sample_rate is 16000"):
        run(monkeypatch, "fit", *settings(tiny_song, tmp_path / "x", data__sample_rate=16000), f"--start={result}")
    options = settings(tiny_song, tmp_path / "x", model__processors='{"equalizer": {"window": "periodic"}}')
    with pytest.raises(SystemExit, match=r"was found with model\.processors=\{\}, got \{'equalizer': .*config.yaml"):
        run(monkeypatch, "fit", *options, f"--start={result}")


@pytest.mark.long
def test_a_learning_rate_of_30_ends_with_the_last_good_graph(tiny_song, monkeypatch, tmp_path) -> None:
    options = settings(tiny_song, tmp_path / "r", model__track_chain="ecg", model__optimizer__learning_rate=30)
    message = r"mixgraph: training broke down at step [2-9]: .*, which comes from the (output|gradient) of .*\(track "
    with pytest.raises(SystemExit, match=message):
        run(monkeypatch, "fit", *options)
    assert load_result(tmp_path / "r").weights.shape == (13,)
    assert "learning_rate (it is 30)" in json.loads((tmp_path / "r" / "metrics.json").read_text())["failure"]


def check_csv_logger(logged: Path, folder: Path) -> None:
    """A logger to files has all settings, metrics at their steps, and every song's rounds, figures and pictures."""
    hyperparameters = yaml.safe_load((logged / "hparams.yaml").read_text())
    assert hyperparameters["pruning"]["rounds"] == 2
    assert hyperparameters["model"]["optimizer"]["learning_rate"] == 0.03  # a default that no option states
    with (logged / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    def values(name: str) -> dict[int, float]:
        return {int(row["step"]): float(row[name]) for row in rows if row.get(name)}

    assert list(values("match/full/tiny")) == list(range(16))
    assert list(values("pruning/loss/duo")) == [8, 12]
    losses = {
        name: json.loads((folder / name / "metrics.json").read_text())["losses"]["found"]["loss"]["full"]
        for name in ("tiny", "duo")
    }
    assert values("search/found_loss") == {16: pytest.approx(sum(losses.values()) / 2)}
    for name, loss in losses.items():
        assert values(f"search/found_loss/{name}") == {16: pytest.approx(loss)}
        for picture in (folder / name).glob("*.png"):
            assert (logged / "pictures" / f"{name}_{picture.name}").read_bytes() == picture.read_bytes()


@pytest.mark.long
def test_two_songs_in_one_search(result, tiny_song, duo_song, monkeypatch, capsys, caplog, tmp_path) -> None:
    """For real: found together, saved for each, found again from the saved settings, measured and gone on from."""
    both, folder = f"[{tiny_song},{duo_song}]", tmp_path / "both"
    logger = ["--trainer.logger=CSVLogger", f"--trainer.logger.save_dir={tmp_path}", "--trainer.logger.name=logged"]
    run(monkeypatch, "fit", *settings(both, folder), *logger)
    check_csv_logger(tmp_path / "logged" / "version_0", folder)
    for name in ("tiny", "duo"):
        assert {p.name for p in (folder / name).iterdir()} == FILES
        assert f"Result in {folder / name}: graph.json" in caplog.text
    assert re.search(r"Stage 3/4: \d+ trials, 12 steps so far, match loss \d\.\d{3}, \d+ processors", caplog.text)
    # tiny: 3 tracks of 2 and 2 subgroups of 2 processors, duo: 2 and 1
    for name, count in (("tiny", 10), ("duo", 6)):
        log = (folder / name / "search.log").read_text().splitlines()
        assert [re.sub(r"^.{19}  (Stage ./.|The search \w+|report\.html was).*", r"\1", line) for line in log] == [
            "The search begins", *(f"Stage {stage}/4" for stage in (1, 2, 3, 4)), "report.html was", "The search is",
        ]  # fmt: skip
        assert f", {count} processors, " in log[1]
    assert "16 processors, 16 steps of" in caplog.text
    assert load_result(folder / "tiny").graph == load_result(result).graph
    config = yaml.safe_load((folder / "duo" / "config.yaml").read_text())
    assert config["data"]["path"] == [os.path.relpath(song, folder / "duo") for song in (tiny_song, duo_song)]
    assert config["result"]["path"] == ".."
    run(monkeypatch, "fit", "--config", folder / "duo" / "config.yaml", f"--result.path={tmp_path / 'again'}")
    for name in ("tiny", "duo"):
        assert (tmp_path / "again" / name / "graph.json").read_bytes() == (folder / name / "graph.json").read_bytes()

    options = [o for o in settings(both, tmp_path / "predicted") if not o.startswith("--model")]
    start = f"--start=[{folder / 'tiny'},{folder / 'duo'}]"
    capsys.readouterr()
    run(monkeypatch, "validate", *options, start)
    table = capsys.readouterr().out
    run(monkeypatch, "predict", *options, start)
    for name in ("tiny", "duo"):
        loss = json.loads((folder / name / "metrics.json").read_text())["losses"]["found"]["loss"]["full"]
        assert re.search(rf"song/full/{name}\W+{loss:.6f}"[:-1], table)
        predicted, _ = soundfile.read(tmp_path / "predicted" / name / "mix_found.flac")
        first, _ = soundfile.read(folder / name / "mix_found.flac")
        assert np.abs(predicted - first).max() < 2e-6
    with pytest.raises(SystemExit, match=r"the graph is of duo, tiny \(in this order\), got tiny, duo"):
        run(monkeypatch, "validate", *options, f"--start=[{folder / 'duo'},{folder / 'tiny'}]")
    with pytest.raises(SystemExit, match=r"the graph is of tiny \(in this order\), got tiny, duo"):
        run(monkeypatch, "validate", *options, f"--start={result}")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--model.track_chain=ezg", r"unknown processor letter 'z' in chain 'ezg'; known are .*c \(compressor\)"),
        ("--data.path=nowhere", "nowhere"),
        ("--pruning.tolerance=-1", "tolerance: at least 0"),
        (
            "--model.rendering.block=1",
            "block: at least 512 samples, got 1; any size gives the same mix, and every block ",
        ),
        ("--data.steps_per_stage=0", "steps_per_stage: at least 1, at most 1000000, got 0"),
        ("--data.steps_per_stage=1000000000", "steps_per_stage: at least 1, at most 1000000, got 1000000000"),
        ("--data.warm_up_seconds=1e9", "warm_up_seconds, scored_seconds: .*, at most 120 s, got 1e\\+09 and 1"),
        ("--data.scored_seconds=.nan", "warm_up_seconds, scored_seconds: .*, at most 120 s, got 1 and nan"),
        ("--pruning.rounds=1000000000", "console_stages, rounds: .*, at most 10000, got 2 and 1000000000"),
        ("--start=nowhere", "nowhere: graph.json is missing"),
        ("--trainer.max_steps=5", "trainer.max_steps: -1 is needed, got 5: a search that it cuts would pass for"),
        ("--trainer.fast_dev_run=true", "trainer.fast_dev_run: False is needed, got True"),
        ("--pruning.tolerance=-1e-3", "tolerance: at least 0, in units of the match loss, got -0.001"),
        ("--result.path=/proc/1/r", r"^mixgraph: /proc/1/r: nothing can be written here \(.*\); choose another path"),
        (f"--result.path={'n' * 246}", r"^mixgraph: n+: nothing can be written here \(File name too long\)"),
        (f"--ckpt_path={__file__}", r"test_cli\.py: the checkpoint is empty, cut short or damaged"),
        ("--ckpt_path=none.ckpt", r"^mixgraph: none\.ckpt: a checkpoint is needed, got none"),
    ],
)
def test_bad_settings_are_refused_before_training(option, message, tiny_song, monkeypatch, tmp_path) -> None:
    with pytest.raises(SystemExit, match=message):
        run(monkeypatch, "fit", *settings(tiny_song, tmp_path / "r"), option)
    assert not (tmp_path / "r").exists()


def test_the_rate_of_a_song_that_is_not_there_is_refused_in_one_line(monkeypatch, tmp_path) -> None:
    with pytest.raises(SystemExit, match=r"^mixgraph: .*none: folder expected, got none"):
        run(monkeypatch, "fit", *settings(tmp_path / "none", tmp_path / "r", data__sample_rate="song"))


@pytest.mark.parametrize("option", ["--model.trck_chain=e", "--pruning.sampler=random", "--data.sample_rate=fast"])
def test_misspelt_options_are_refused(option, tiny_song, monkeypatch, tmp_path, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "fit", *settings(tiny_song, tmp_path / "r"), option)
    assert stop.value.code == 2
    assert option.split("=")[0].lstrip("-").split(".")[-1] in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.usefixtures("undrawn")
def test_a_search_at_the_rate_of_the_song_has_its_number_everywhere(tiny_song, monkeypatch, tmp_path, caplog) -> None:
    """Also on the way from its own configuration and checkpoint, and beside the same search with the number."""
    fixed = {"pruning__rounds": 1, "data__steps_per_stage": 2, "result__page": "false"}
    run(monkeypatch, "fit", *settings(tiny_song, tmp_path / "word", data__sample_rate="song", **fixed))
    assert "Sample rate of the search: 8000 Hz, that of the mix." in caplog.text
    run(monkeypatch, "fit", *settings(tiny_song, tmp_path / "number", **fixed))
    for file in ("graph.json", "parameters.safetensors", "metrics.json"):
        assert (tmp_path / "word" / file).read_bytes() == (tmp_path / "number" / file).read_bytes(), file
    assert yaml.safe_load((tmp_path / "word" / "config.yaml").read_text())["data"]["sample_rate"] == 8000
    again = [
        "--config",
        tmp_path / "word" / "config.yaml",
        "--data.sample_rate=song",
        f"--result.path={tmp_path}/again",
    ]
    run(monkeypatch, "fit", *again)
    assert (tmp_path / "again" / "graph.json").read_bytes() == (tmp_path / "word" / "graph.json").read_bytes()


@pytest.mark.long
@pytest.mark.usefixtures("undrawn")
def test_interpolation_follows_overrides(tiny_song, monkeypatch, tmp_path) -> None:
    """`omegaconf+` with relative paths (it is experimental: this pins its behaviour), and one source of the rate."""
    base, overlay = tmp_path / "a.yaml", tmp_path / "b.yaml"
    base.write_text("data: {steps_per_stage: 3}\nresult: {log_every: '${data.steps_per_stage}'}\n")
    overlay.write_text("data: {steps_per_stage: 4}\n")
    short = settings(tiny_song, tmp_path, pruning__rounds=0, pruning__console_stages=1, pruning__leave_one_out="false")
    fixed = [*(o for o in short if "steps_per" not in o and "result" not in o), "--result.page=false"]
    for arguments, steps in (([], 3), (["--config", overlay], 4), (["--data.steps_per_stage=5"], 5)):
        folder = tmp_path / str(steps)
        run(monkeypatch, "fit", "--config", base, *fixed, *arguments, f"--result.path={folder}")
        saved = yaml.safe_load((folder / "config.yaml").read_text())
        assert (saved["data"]["steps_per_stage"], saved["result"]["log_every"]) == (steps, steps)
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "fit", *fixed, "--model.sample_rate=1")
    assert stop.value.code == 2


@pytest.mark.long
@pytest.mark.usefixtures("undrawn")
def test_a_folder_whose_name_is_an_interpolation_is_a_folder(tiny_song, monkeypatch, tmp_path, capsys) -> None:
    """Its configuration gives it again; names that act on a terminal are shown."""
    name = "e\u0301 \x1b[31m${x} ${data.seed}"
    folder = shutil.copytree(tiny_song, tmp_path / name)
    (folder / "tracks" / "kick.wav").rename(folder / "tracks" / "k\x1b[2J${x}$y$.wav")
    (folder / "song.yaml").unlink()
    out = tmp_path / "r"
    options = {"pruning__rounds": 0, "pruning__console_stages": 1, "data__steps_per_stage": 1}
    run(monkeypatch, "fit", *settings(folder, out, **options))
    assert "\x1b" not in capsys.readouterr().out
    assert json.loads((out / "metrics.json").read_text())["tracks"][1]["name"] == r"k\x1b[2J${x}$y$"
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "fit", "--config", out / "config.yaml", "--print_config")
    assert stop.value.code == 0
    assert os.path.realpath(yaml.safe_load(capsys.readouterr().out)["data"]["path"]) == str(folder)
    (folder / "mix.wav").unlink()
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "fit", *settings(folder, tmp_path / "r2"))
    assert r"\x1b[31m${x} ${data.seed}: 1 problem" in str(stop.value.code)
    assert len(str(stop.value.code).splitlines()) == 2


def test_results_of_a_sweep_do_not_collide(tiny_song, monkeypatch) -> None:
    song = load_song(tiny_song, sample_rate=8000)
    monkeypatch.delenv("WANDB_SWEEP_ID", raising=False)
    assert default_path(song) == Path("results/tiny")
    monkeypatch.setenv("WANDB_SWEEP_ID", "s")
    monkeypatch.setenv("WANDB_RUN_ID", "r7")
    assert default_path(song) == Path("results/tiny_r7")


def test_a_checkpoint_that_holds_code_is_refused(tiny_song, monkeypatch, tmp_path) -> None:
    class Hostile:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"state_dict": {}, "x": Hostile()}, tmp_path / "bad.ckpt")
    with pytest.raises(SystemExit, match=r"bad\.ckpt: the checkpoint holds more than data, and is not read"):
        run(monkeypatch, "fit", *settings(tiny_song, tmp_path / "r"), f"--ckpt_path={tmp_path / 'bad.ckpt'}")
    assert not (tmp_path / "ran").exists()


def wandb_records(path: Path) -> Iterator[Any]:
    """The records of a run file of wandb: a log of LevelDB, in blocks of 32 KiB behind a header of 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    data, position, record = path.read_bytes(), 7, b""
    while position < len(data):
        left = 32768 - position % 32768
        if left < 7:  # too little for the checksum (4 bytes), the length (2) and the kind (1) of a part
            position += left
            continue
        length, kind = int.from_bytes(data[position + 4 : position + 6], "little"), data[position + 6]
        position += 7 + length
        record += data[position - length : position]
        if kind in (1, 4):  # a whole record, or the last part of one
            yield wandb_internal_pb2.Record.FromString(record)
            record = b""


def check_wandb_run(run_folder: Path, result: Path) -> None:
    """All settings, metrics at their steps, final figures in the summary, pictures and excerpts are in a run."""

    def values(items: Any) -> dict[str, Any]:  # a picture has several values, whose names begin with its own
        return {item.key or item.nested_key[0]: json.loads(item.value_json) for item in items}

    settings, summary, history, captions = {}, {}, [], {}
    for record in wandb_records(next(run_folder.glob("*.wandb"))):
        settings |= values(record.config.update)
        summary |= values(record.summary.update)
        history += [values(record.history.item)] if record.history.item else []
        for item in record.history.item:
            if item.nested_key[1:] == ["captions"]:
                captions[item.nested_key[0]] = json.loads(item.value_json)
    assert {"data", "model", "pruning", "result", "trainer", "seed_everything"} <= settings.keys()
    assert settings["pruning"]["sampler"] == "dry_wet"
    assert settings["model"]["loss"]["denominator"] == "target"  # a default that no configuration states

    def steps(name: str) -> list[int]:
        return [row["trainer/global_step"] for row in history if name in row]

    trace = [json.loads(line) for line in (result / "trace.jsonl").read_text().splitlines()]
    rounds = {row["step"]: row for row in trace if row["kind"] == "round"}
    assert steps("match/full") == list(range(16))
    assert steps("pruning/loss") == list(rounds)
    assert [row["pruning/loss"] for row in history if "pruning/loss" in row] == [
        pytest.approx(row["end_loss"]) for row in rounds.values()
    ]
    assert steps("search/found_loss") == [16]
    metrics = json.loads((result / "metrics.json").read_text())
    assert summary["search/found_loss"] == pytest.approx(metrics["losses"]["found"]["loss"]["full"])
    assert summary["search/pruning_ratio"] == pytest.approx(metrics["pruning_ratio"])
    pictures = sorted(path.stem for path in result.glob("*.png"))
    names = ("graph", "loss_increases", "progress", "settings", "spectrograms")
    assert [name for name in names if steps(name) == [16]] == pictures
    media = (run_folder / "files" / "media" / "images").iterdir()
    assert sorted(path.read_bytes() for path in media) == sorted(path.read_bytes() for path in result.glob("*.png"))
    audio = run_folder / "files" / "media" / "audio"
    assert len(list(audio.iterdir())) == 2
    for name in ("mix_target", "mix_found"):  # the whole song, which is shorter than an excerpt
        assert steps(name) == [16]
        assert captions[name] == ["0.0 to 3.0 s of Tiny"]
        samples, rate = soundfile.read(next(audio.glob(f"{name}_*.wav")))
        whole, whole_rate = soundfile.read(result / f"{name}.flac", always_2d=True)
        assert rate == whole_rate == 8000
        np.testing.assert_allclose(samples, np.broadcast_to(whole, samples.shape), rtol=0, atol=1 / 2**15)


@pytest.mark.long
def test_sweep_runs_through_the_command_line(process, tiny_song, tmp_path) -> None:
    """wandb's own command builder and an emulated agent, offline; the run file holds all that a search logs."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

    sweep = yaml.safe_load((ROOT / "configs/sweeps/sampling.yaml").read_text())
    assert sweep["parameters"]["pruning.sampler"]["values"] == ["brute_force", "dry_wet", "hybrid"]
    chosen = {"pruning.sampler": "dry_wet", "pruning.tolerance": 0.1}
    built = create_sweep_command_args({"args": {name: {"value": value} for name, value in chosen.items()}})
    assert built["args"] == ["--pruning.sampler=dry_wet", "--pruning.tolerance=0.1"]
    command = [part for part in sweep["command"] if part != "${env}"]
    arguments = command[command.index("${program}") + 1 : -1] + built["args"]
    assert command[-1] == "${args}"
    assert arguments[0] == "fit"
    parameters = tmp_path / "params.yaml"
    parameters.write_text(yaml.safe_dump({"wandb_version": 1} | {n: {"value": v} for n, v in chosen.items()}))
    environment = {
        "WANDB_MODE": "offline", "WANDB_SWEEP_ID": "s1", "WANDB_RUN_ID": "r1", "WANDB_DIR": str(tmp_path),
        "WANDB_SWEEP_PARAM_PATH": str(parameters), "WANDB_SILENT": "true",
    }  # fmt: skip
    small = [o for o in settings(tiny_song, tmp_path / "swept") if "result.path" not in o]
    small += [f"--result.path={tmp_path / 'swept'}", f"--trainer.logger.init_args.save_dir={tmp_path}"]
    child = process(*arguments, *small, environment=environment, blank=False)
    output = child.communicate()[0]
    assert child.returncode == 0, output
    config = yaml.safe_load((tmp_path / "swept" / "config.yaml").read_text())
    assert (config["pruning"]["sampler"], config["pruning"]["tolerance"]) == ("dry_wet", 0.1)
    (run_folder,) = (tmp_path / "wandb").glob("offline-run-*-r1")
    check_wandb_run(run_folder, tmp_path / "swept")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--buget=20m"], "unrecognized arguments: --buget=20m\nHINT: did you mean --budget? All options"),
        (["--pruning.round=1"], "unrecognized arguments: --pruning.round=1\nHINT: did you mean --pruning.rounds? All"),
        (["--track", "y"], "unrecognized arguments: --track y\nHINT: did you mean --tracks? All options"),
        (
            ["--pruning.sampler=brute"],
            "pruning.sampler: one of brute_force, dry_wet, hybrid, got 'brute'. HINT: did you mean brute_force?",
        ),
        (
            ["--trainer.logger=TensorBoardLogger"],
            "trainer.logger: TensorBoardLogger needs a value of save_dir\n"
            "HINT: --trainer.logger.save_dir=VALUE sets it. All options",
        ),
        (
            ["--trainer.logger=CSVLogger", "--trainer.logger.save_dr=x"],
            "trainer.logger.save_dr: CSVLogger has no option of this name\nHINT: did you mean save_dir? All options",
        ),
        (
            ["--model.loss.denominator=tarjet"],
            "model.loss.denominator: Expected one of ['target', 'prediction']. Got value: tarjet\n"
            "HINT: did you mean target? All options",
        ),
        (["--data.steps_per_stage=many"], "data.steps_per_stage"),
    ],
)
def test_wrong_options_are_told_in_a_few_lines(options, message, monkeypatch, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "fit", "--data.path=x", *options)
    assert stop.value.code == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.endswith("All options: python -m mixgraph fit --help-all\n")
    assert len(printed.splitlines()) <= 3
