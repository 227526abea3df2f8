"""Sweeps whose trials are real processes of a small program, or real searches, some of which are killed."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from mixgraph.sweeps.folder import SweepFolder
from mixgraph.sweeps.space import Choice, Range
from mixgraph.sweeps.study import JOURNAL, Study
from mixgraph.sweeps.sweep_file import Bands, Metric, SweepFile
from tools import paper_figures
from tools.dataset.local import LocalWorkers
from tools.sweep import for_server, main, parse, read
from tools.sweeps.check import resolve_sweep
from tools.sweeps.run import SweepRun
from tools.sweeps.stopping import is_band
from tools.sweeps.worker import TrialRequest

pytest.importorskip("optuna", reason="Optuna is an optional extra")
ROOT = Path(__file__).parents[2]
LOSS = Metric("validation/loss", "minimize")
SPACE = (Range("x", 1, 0.0, 1.0), Choice("kind", 2, ("bad", "good"), (2, 2)))
SHORT = {
    "data.sample_rate": 8000, "data.steps_per_stage": 4, "data.scored_seconds": 1.0, "model.track_chain": "eg",
    "model.subgroup_chain": "gr", "pruning.console_stages": 2, "pruning.rounds": 2, "trainer.accelerator": "cpu",
}  # fmt: skip


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrialRequest, "program", "stand_in")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def sweep_of(method: str, bands: Bands | None = None, space: tuple = SPACE) -> SweepFile:
    return SweepFile(Path("sweep.yaml"), method, LOSS, space, ("fit",), 1, None, bands, {})


def run(folder: Path, sweep: SweepFile, trials: int, workers: int = 1, seed: int = 0) -> tuple[SweepRun, list[str]]:
    """Runs a sweep of the stand-in program; returns it and the lines that it printed."""
    folder.mkdir(exist_ok=True)
    lines: list[str] = []
    place = SweepFolder(folder, LOSS)
    place.digest = "0"
    settings = {"seed_everything": 1, "trainer": {}}
    sweep_run = SweepRun(sweep, settings, place, trials, seed, 1, lambda: LocalWorkers(workers, 1), lines.append)
    sweep_run.run()
    return sweep_run, lines


def values_of(sweep_run: SweepRun) -> list[dict]:
    return [trial.job.values for trial in sweep_run.trials]


def test_what_optuna_suggests_depends_on_the_trials_and_not_on_the_process(tmp_path: Path) -> None:
    def suggest(path: Path, restart_at: int | None) -> list[dict]:
        study, made = Study(path, LOSS, SPACE, 5), []
        for number in range(9):
            if number == restart_at:
                with path.open("a") as journal:
                    journal.write('{"op_code": 4, "half a')  # of a process that was killed while it wrote
                path.with_name(f"{path.name}.lock").symlink_to(path)
                study = Study(path, LOSS, SPACE, 5)
                assert study.values(3) == made[3]
            made.append(study.values(number))
            study.finish(number, None if number == 2 else (made[-1]["x"] - 0.3) ** 2)
            study.finish(number, 9.0)  # it knows already
        return made

    whole = suggest(tmp_path / "whole.log", None)
    assert suggest(tmp_path / "parts.log", 7) == whole
    assert len({values["x"] for values in whole}) == 9


def test_a_process_that_is_killed_leaves_all_values_of_a_trial_or_none(tmp_path) -> None:
    def told(study: Study, made: list[dict]) -> None:
        for number, values in enumerate(made):
            study.finish(number, (values["x"] - 0.3) ** 2)

    fixed = [{"x": k / 8, "kind": "good"} for k in range(7)]
    for asks in (True, False):
        path = tmp_path / f"{asks}.log"
        study, made = Study(path, LOSS, SPACE, 5), []
        for number in range(7):
            made.append(study.values(number, None if asks else fixed[number]))
            told(study, made)
        assert asks or made == fixed
        lines = path.read_text().splitlines(keepends=True)
        for count in range(len(lines) + 1):
            path.write_text("".join(lines[:count]))
            study = Study(path, LOSS, SPACE, 5)
            known = [study.values(number) for number in range(study.num_trials)]
            assert known == made[: len(known)]
            told(study, known)
            if asks and len(known) < 7:
                assert study.values(len(known)) == made[len(known)]


@pytest.mark.long
def test_bayes_finds_the_best_and_goes_on_after_a_failure_as_if_there_was_none(stand_in, tmp_path, monkeypatch) -> None:
    whole, _ = run(tmp_path / "whole", sweep_of("bayes"), 14)
    monkeypatch.setenv("STAND_IN_FAILS", "trial_003")
    parts, lines = run(tmp_path / "parts", sweep_of("bayes"), 4)
    assert parts.failures == {"trial_003": "it was told to"}
    assert "[4/4] trial_003: failed: it was told to" in lines
    assert "trial_003 failed: it was told to" in (tmp_path / "parts" / "trials.md").read_text()
    monkeypatch.delenv("STAND_IN_FAILS")
    parts, lines = run(tmp_path / "parts", sweep_of("bayes"), 14)
    assert lines[0] == "14 trials: 3 ended before, 11 to run."
    assert (parts.failures, values_of(parts)) == ({}, values_of(whole))
    runs = (tmp_path / "parts" / "runs.txt").read_text().split()
    assert sorted(runs) == sorted([*(f"trial_{number:03d}" for number in range(14)), "trial_003"])  # others once
    best = min(whole.trials, key=lambda trial: trial.value)
    assert best.job.values["kind"] == "good"
    assert best.value < 0.01  # |x - 0.3| < 0.1; by chance alone, of 14, it would be missed 25 times in 100


@pytest.mark.long
def test_two_trials_at_a_time_have_folders_of_their_own(stand_in, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("STAND_IN_SECONDS", "0.5")
    both, _ = run(tmp_path / "both", sweep_of("random"), 6, workers=2, seed=4)
    one, _ = run(tmp_path / "one", sweep_of("random"), 6, workers=1, seed=4)
    assert values_of(both) == values_of(one)
    assert [trial.value for trial in both.trials] == [trial.value for trial in one.trials]
    runs = (tmp_path / "both" / "runs.txt").read_text().split()
    assert sorted(runs) == sorted(path.name for path in (tmp_path / "both" / "trials").iterdir())
    assert not (tmp_path / "both" / "work").exists()
    assert not list((tmp_path / "both").rglob("*.lock"))


@pytest.mark.long
def test_the_winner_runs_with_further_seeds_and_not_again(stand_in, tmp_path) -> None:
    for due in (2, 0):
        sweep_run, lines = run(tmp_path, sweep_of("random"), 3)
        sweep_run.repeat_winner(3)
        best = min((trial for trial in sweep_run.trials if not trial.job.again), key=lambda trial: trial.value).job
        assert f"The winner, trial {best.number}, with 3 seeds: {due} to run." in lines
        again = [trial.job for trial in sweep_run.trials if trial.job.again]
        assert [(job.number, job.seed, job.values) for job in again] == [(best.number, k, best.values) for k in (2, 3)]
    names = sorted(path.name for path in (tmp_path / "trials").iterdir() if "seed" in path.name)
    assert names == [f"trial_{best.number:03d}_seed_{k}" for k in (2, 3)]


@pytest.mark.long
@pytest.mark.parametrize("method", ["grid", "bayes"])
def test_a_bad_trial_is_stopped_and_says_so(method, stand_in, tmp_path) -> None:
    space = (Choice("x", 1, (0.3, 0.9, 0.31), (1, 1, 1)), Choice("kind", 2, ("good",), (2,)))
    swept, lines = run(tmp_path / "swept", sweep_of(method, Bands(1, 2), space), 3)
    ends = {trial.job.values["x"]: (trial.state, trial.stages) for trial in swept.trials}
    if method == "grid":
        assert ends == {0.3: ("done", None), 0.9: ("stopped", 1), 0.31: ("stopped", 1)}
        assert lines[4].startswith("[2/3] trial_001: stopped early after 1 stages, validation/loss 1.36: others were")
    else:
        assert ends[next(iter(ends))] == ("done", None)
    table = (tmp_path / "swept" / "trials.md").read_text()
    assert table.count("stopped after 1") == sum(state == "stopped" for state, _ in ends.values())
    states = [trial.state.name for trial in Study(tmp_path / "swept" / JOURNAL, LOSS, space, 0)._study.get_trials()]
    assert sorted(states) == sorted("PRUNED" if t.state == "stopped" else "COMPLETE" for t in swept.trials)


def test_bands_are_powers() -> None:
    assert [stage for stage in range(1, 40) if is_band(stage, Bands(2, 3))] == [2, 6, 18]


def write(folder: Path, song: Path, **changes: object) -> Path:
    """A sweep over two tolerances of the tiny song."""
    words = [f"--{name}={value}" for name, value in SHORT.items()]
    command = ["${env}", "${interpreter}", "-m", "${program}", "fit", *words, "${args}"]
    content = {
        "program": "mixgraph",
        "method": "grid",
        "metric": {"name": "search/found_loss", "goal": "minimize"},
        "parameters": {"data.path": {"value": str(song)}, "pruning.tolerance": {"values": [0.01, 0.1]}},
        "command": command,
    }
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(content | changes, sort_keys=False))
    return path


@pytest.fixture(autouse=True)
def warm(warm_workers) -> None:
    """Trials of sweeps of this process are forks."""


def offline(path: Path, out: Path, *options: str) -> int | str | None:
    with pytest.raises(SystemExit) as end:
        main([str(path), "--offline", "--out", str(out), *options])
    return end.value.code


@pytest.mark.long
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"pruning.tolernce": {"value": 0.1}},
            r":7: .*pruning.tolernce.* HINT: did you mean --pruning.toleran",
        ),
        ({"pruning.tolerance": {"values": [0.1, "much"]}}, r":10: .*pruning.tolerance.*much"),
        ({"pruning.tolerance": {"values": [0.1, 0.2, -1]}}, r":11: tolerance: at least 0"),
        ({"pruning.sampler": {"values": ["hybrid", "brute"]}}, r":10: sampler: one of .*'brute'"),
        ({"data.steps_per_stage": {"min": 0.5, "max": 2.5, "distribution": "q_uniform", "q": 0.5}}, ":7: .*steps_per"),
    ],
)
def test_what_fit_does_not_take_is_refused_with_its_line(parameters, message, tiny_song, tmp_path) -> None:
    path = write(tmp_path, tiny_song, parameters=parameters | {"data.path": {"value": str(tiny_song)}})
    with pytest.raises(ValueError, match=f"sweep.yaml{message}"):
        resolve_sweep(read(*parse([str(path)])))
    assert os.listdir(tmp_path) == ["sweep.yaml"]
    good = write(tmp_path, tiny_song, parameters={"data.path": {"value": str(tiny_song)}})
    with pytest.raises(ValueError, match=r"^after --: .*pruning.ruonds=1.* HINT: did you mean --pruning.rounds"):
        resolve_sweep(read(*parse([str(good), "--", "--pruning.ruonds=1"])))


def kill_when(process: subprocess.Popen, ready, seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.long
def test_a_killed_sweep_of_searches_goes_on_and_ends_as_one_that_was_not(tiny_song, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    path, whole, parts = write(tmp_path, tiny_song), tmp_path / "whole", tmp_path / "parts"
    assert offline(path, whole, "--workers", "2", "--threads", "1") == 0
    words = [sys.executable, "-m", "mixgraph", "sweep", str(path), "--offline", "--out", str(parts), "--threads", "1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    kill_when(process, (parts / "work" / "trial_001" / "result.partial" / "stage.ckpt").exists)
    ended = (parts / "trials" / "trial_000" / "metrics.json").stat().st_mtime_ns
    assert os.listdir(parts / "trials") == ["trial_000"]
    assert offline(path, parts, "--threads", "1") == 0
    log = (parts / "sweep.log").read_text()
    assert "2 trials: 1 ended before, 1 to run." in log
    assert "trial_001 goes on: pruning.tolerance=0.1, seed 42" in log
    assert (parts / "trials" / "trial_000" / "metrics.json").stat().st_mtime_ns == ended
    assert "The search goes on after stage" in (parts / "trials" / "trial_001" / "search.log").read_text()
    for trial in ("trial_000", "trial_001"):
        for name in ("graph.json", "parameters.safetensors", "metrics.json", "trace.jsonl"):
            assert (parts / "trials" / trial / name).read_bytes() == (whole / "trials" / trial / name).read_bytes()
    assert (parts / "trials.png").is_file()
    content = json.loads((parts / "trials.json").read_text())
    losses = {trial["name"]: trial["figures"]["search/found_loss"] for trial in content["trials"]}
    assert content["winner"] == min(losses, key=losses.__getitem__)
    for trial, loss in losses.items():
        metrics = json.loads((parts / "trials" / trial / "metrics.json").read_text())
        assert loss == metrics["losses"]["found"]["loss"]["full"]
    other = write(
        tmp_path,
        tiny_song,
        parameters={"pruning.tolerance": {"values": [0.02]}, "data.path": {"value": str(tiny_song)}},
    )
    assert "has trials of another sweep: parameters.pruning.tolerance.values" in str(offline(other, parts))
    assert paper_figures.main(["10", str(parts), "--out", str(tmp_path / "figure_10.svg")]) == 0
    here = version("mixgraph")
    monkeypatch.setattr("tools.sweeps.run.version", lambda name: "99")
    assert f"has trials of version {here} of mixgraph, this is 99: trials of two versions" in str(offline(path, parts))


@pytest.mark.long
def test_a_search_that_learns_nothing_is_stopped(tiny_song, tmp_path) -> None:
    parameters = {"data.path": {"value": str(tiny_song)}, "model.optimizer.learning_rate": {"values": [0.03, 1e-9]}}
    stop = {"type": "hyperband", "min_iter": 1, "eta": 2}
    path = write(tmp_path, tiny_song, parameters=parameters, early_terminate=stop)
    assert offline(path, tmp_path / "out", "--threads", "1") == 0
    log = (tmp_path / "out" / "sweep.log").read_text()
    assert "[2/2] trial_001: stopped early after 1 stages, search/found_loss" in log
    assert os.listdir(tmp_path / "out" / "trials" / "trial_001") != []
    assert not (tmp_path / "out" / "trials" / "trial_001" / "metrics.json").exists()
    assert "stopped after 1" in (tmp_path / "out" / "trials.md").read_text()


NETWORK = """
import time

import lightning as L
import torch


class Line(L.LightningModule):
    def __init__(self, slope: float = 1.0) -> None:
        super().__init__()
        self.slope, self.weight = slope, torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch, index):
        return ((self.weight - self.slope) ** 2).sum()

    def validation_step(self, batch, index):
        time.sleep(0.3)
        self.log("validation/loss", ((self.weight - 1.0) ** 2).sum())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.4)


class Nothing(L.LightningDataModule):
    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.zeros(1, 1))

    val_dataloader = train_dataloader
"""


@pytest.mark.long
def test_a_killed_sweep_of_networks_goes_on_from_the_last_epoch(tmp_path, monkeypatch, warm_python) -> None:
    (tmp_path / "my_line.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)
    keep = {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint"}
    keep["init_args"] = {"dirpath": "meet", "filename": "best", "monitor": "validation/loss"}
    trainer = {"max_epochs": 8, "accelerator": "cpu", "callbacks": [keep], "enable_progress_bar": False}
    config = {"model": {"class_path": "my_line.Line"}, "data": {"class_path": "my_line.Nothing"}, "trainer": trainer}
    (tmp_path / "line.yaml").write_text(yaml.safe_dump(config))
    path = tmp_path / "sweep.yaml"
    content = {
        "program": "mixgraph",
        "method": "grid",
        "metric": {"name": "validation/loss", "goal": "minimize"},
        "parameters": {"model.slope": {"values": [0.5, 1.0]}},
        "command": ["${program}", "fit", "--config", "line.yaml", "${args}"],
    }
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    words = ["mixgraph", "sweep", str(path), "--offline", "--out", "out", "--threads", "1", "--import", "my_line"]
    options = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(ROOT)}, "stdout": subprocess.PIPE}
    process = warm_python.start(*words, **options, stderr=subprocess.STDOUT)
    work = tmp_path / "out" / "work" / "trial_001" / "training"
    kill_when(process, (work / "checkpoints" / "going_on.ckpt").exists)
    done = warm_python.run(*words, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 trials: 1 ended before, 1 to run." in done.stdout
    result = tmp_path / "out" / "trials" / "trial_001"
    assert sorted(path.name for path in (result / "log").iterdir()) == ["version_0", "version_1"]
    assert os.listdir(result / "checkpoints") == ["best.ckpt"]
    assert not (tmp_path / "meet").exists()
    trials = {
        trial["values"]["model.slope"]: trial
        for trial in json.loads((tmp_path / "out" / "trials.json").read_text())["trials"]
    }
    # Each step leaves a fifth of the distance; 0.5 stops at a distance of 0.5 from 1.
    assert trials[1.0]["value"] == pytest.approx(0.2**16, abs=1e-6)
    assert trials[0.5]["value"] == pytest.approx(0.25, abs=1e-3)


def test_what_the_server_gets_has_the_song_the_options_and_what_is_trusted(tiny_song, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("mixgraph.registry._imported", {})
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = write(tmp_path, tiny_song)
    options, overrides = parse([str(path), "--song", "another", "--import", "json", "--", "--pruning.rounds=1"])
    content = for_server(read(options, overrides), overrides)
    assert content["parameters"]["data.path"] == {"values": [os.path.abspath("another")]}
    assert content["command"][-3:] == ["--import=json", "--pruning.rounds=1", "${args}"]
    assert content["metric"] == {"name": "search/found_loss", "goal": "minimize"}


@pytest.mark.long
def test_two_runs_of_a_server_have_folders_of_their_own(tiny_song, tmp_path, warm_python) -> None:
    """Two agents at the same time, as Weights & Biases starts their runs."""
    words = ["mixgraph", "fit", "--result.path=null", f"--data.path={tiny_song}"]
    words += [f"--{name}={value}" for name, value in SHORT.items()] + ["--result.page=false"]
    processes = []
    for number in (1, 2):
        environment = os.environ | {"PYTHONPATH": str(ROOT), "WANDB_SWEEP_ID": "s", "WANDB_RUN_ID": f"r{number}"}
        processes.append(
            warm_python.start(*words, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL, blank=True)
        )
    assert [process.wait(300) for process in processes] == [0, 0]
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["tiny_r1", "tiny_r2"]


@pytest.mark.long
@pytest.mark.parametrize("name", ["estimator", "demixer"])
def test_networks_of_a_server_have_folders_of_their_own(name, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    places = []
    for number in (1, 2):
        monkeypatch.setenv("WANDB_RUN_ID", f"r{number}")
        trainer = resolve_sweep(read(*parse([f"configs/sweeps/{name}.yaml"])))["trainer"]
        places.append((trainer["default_root_dir"], trainer["callbacks"][0]["init_args"]["dirpath"]))
    assert places == [(f"results/{name}_r{k}", f"results/{name}_r{k}/checkpoints") for k in (1, 2)]
