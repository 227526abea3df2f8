"""Searches that are stopped at any moment: nothing is lost, and they end as undisturbed ones do."""

import csv
import json
import signal

import lightning as L
import pytest

from callbacks import IterativePruning, ResultFolder
from callbacks.time_budget import TimeBudget
from datamodules import SongData
from mixgraph.losses import LossSettings
from mixgraph.results.found_graph import load_result
from mixgraph.search import search
from mixgraph.search.module import ConsoleModule
from mixgraph.search.settings import OptimizerSettings

pytestmark = pytest.mark.usefixtures("blank_pictures")

RATE, STEPS = 8000, 3
SAME = ("graph.json", "parameters.safetensors", "metrics.json", "trace.jsonl", "log.csv")


def find(path, folder, callbacks=(), checkpoint=None, rounds=2, stages=4, steps=STEPS, lufs=-16.0, **options):
    data = SongData(
        str(path), sample_rate=RATE, steps_per_stage=steps, scored_seconds=1.0, cache_dir=None, loudness_lufs=lufs
    )
    pruning = IterativePruning(console_stages=2, rounds=rounds, tolerance=options.get("tolerance", 0.03))
    all_callbacks = [*callbacks, pruning, ResultFolder(str(folder), log_every=2, page=False)]
    saved = None if checkpoint is None else str(checkpoint)
    settings = {name: options.get(name) for name in ("loss", "optimizer")}
    module = ConsoleModule("ecg", "gr", sample_rate=RATE, **settings)
    search(module, data, all_callbacks, stages, "cpu", saved, enable_progress_bar=False)
    return json.loads((folder / "metrics.json").read_text())


class StopAt(L.Callback):
    """Asks for the end of the search after a step, as Ctrl-C does, and fails when it ends if so told."""

    def __init__(self, step: int, fail: bool = False) -> None:
        self.step, self.fail = step, fail

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        trainer.should_stop = trainer.should_stop or trainer.global_step == self.step

    def on_train_end(self, trainer, pl_module):
        if self.fail:
            raise RuntimeError("power cut")


@pytest.fixture(scope="module")
def undisturbed(tiny_song, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "r"
    metrics = find(tiny_song, folder)
    assert (metrics["steps"], metrics["planned_steps"]) == (4 * STEPS, 4 * STEPS)
    assert not (folder / "stage.ckpt").exists()
    return folder


def assert_same(folder, other) -> None:
    for name in SAME:
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name


def test_a_stages_last_step_is_logged(undisturbed) -> None:
    with (undisturbed / "log.csv").open() as file:
        rows = [(int(row["step"]), row["stage"]) for row in csv.DictReader(file)]
    console, prune = [2, 3, 4, 6], [8, 9, 10, 12]  # every second, and the ends of stages of three
    assert rows == [(step, "console") for step in console] + [(step, "prune") for step in prune]


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(5, id="console", marks=pytest.mark.long),
        pytest.param(9, id="end of a round", marks=pytest.mark.long),
        pytest.param(11, id="last stage", marks=pytest.mark.long),
        pytest.param(12, id="end", marks=pytest.mark.long),
    ],
)
def test_a_search_that_was_stopped_is_finished_from_its_result(tiny_song, undisturbed, tmp_path, step) -> None:
    folder = tmp_path / "r"
    metrics = find(tiny_song, folder, [StopAt(step)])
    assert (metrics["steps"], metrics["planned_steps"]) == (step, 4 * STEPS)
    assert load_result(folder).weights.shape[0] == metrics["num_processors"]["found"]
    with pytest.raises(FileExistsError, match="exists and is kept"):
        find(tiny_song, folder)
    find(tiny_song, folder, checkpoint=folder / "stage.ckpt")
    assert_same(folder, undisturbed)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r"]
    assert not (folder / "stage.ckpt").exists()
    log = (folder / "search.log").read_text()
    messages = [line.split("  The search ")[1].split(":")[0] for line in log.splitlines() if "  The search " in line]
    assert messages == ["begins", "was stopped", f"goes on after stage {min((step - 1) // STEPS, 3)}", "is done"]


@pytest.mark.long
def test_a_search_that_is_stopped_twice_in_a_stage_keeps_its_checkpoint(tiny_song, undisturbed, tmp_path) -> None:
    folder = tmp_path / "r"
    find(tiny_song, folder, [StopAt(5)])
    find(tiny_song, folder, [StopAt(4)], checkpoint=folder / "stage.ckpt")
    find(tiny_song, folder, checkpoint=folder / "stage.ckpt")
    assert_same(folder, undisturbed)


@pytest.mark.long
def test_a_search_that_fails_while_it_ends_is_finished(tiny_song, undisturbed, tmp_path, caplog) -> None:
    folder = tmp_path / "r"
    with pytest.raises(RuntimeError, match="power cut"), caplog.at_level("INFO"):
        find(tiny_song, folder, [StopAt(0, fail=True)])
    checkpoint = tmp_path / "r.partial" / "stage.ckpt"
    assert f"The search did not end. To go on:\n  mixgraph.search.search(..., checkpoint='{checkpoint}')" in caplog.text
    find(tiny_song, folder, checkpoint=checkpoint)
    assert_same(folder, undisturbed)


@pytest.mark.long
def test_a_foreign_checkpoint_replaces_no_result(tiny_song, undisturbed, tmp_path) -> None:
    find(tiny_song, tmp_path / "a", [StopAt(5)])
    with pytest.raises(FileExistsError, match="exists and is kept"):
        find(tiny_song, undisturbed, checkpoint=tmp_path / "a" / "stage.ckpt")


def test_ctrl_c_is_given_back_when_a_search_fails(tiny_song, tmp_path) -> None:
    # Python leaves Ctrl-C ignored where the shell that started it does, in the background of a script.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(RuntimeError, match="power cut"):
            find(tiny_song, tmp_path / "r", [TimeBudget(), StopAt(2, fail=True)])
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.long
def test_a_search_that_goes_on_is_measured_as_before(tiny_song, tmp_path) -> None:
    folder = tmp_path / "r"
    find(tiny_song, folder, [StopAt(4)], tolerance=0.5)
    with pytest.raises(ValueError, match=r"loss\.denominator: the checkpoint was made with target, got prediction"):
        find(tiny_song, folder, checkpoint=folder / "stage.ckpt", loss=LossSettings(denominator="prediction"))
    with pytest.raises(ValueError, match=r"data\.loudness_lufs: the checkpoint was made with songs at"):
        find(tiny_song, folder, checkpoint=folder / "stage.ckpt", lufs=-20.0)
    metrics = find(tiny_song, folder, checkpoint=folder / "stage.ckpt", tolerance=0.01)
    assert metrics["tolerance"] == 0.01  # that the rounds were pruned with


@pytest.mark.long
def test_a_search_that_goes_on_has_the_optimizer_of_its_settings(tiny_song, tmp_path) -> None:
    class Watch(L.Callback):
        def __init__(self) -> None:
            self.groups_seen = []

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            groups = trainer.optimizers[0].param_groups
            self.groups_seen.append({(group["name"], group["lr"], tuple(group["betas"])) for group in groups})

    folder, watch = tmp_path / "r", Watch()
    find(tiny_song, folder, [StopAt(4)])
    slower = OptimizerSettings(0.001, None, {"dry_wet": 2.0, "equalizer": 3.0}, betas=(0.5, 0.6))
    find(tiny_song, folder, [watch], checkpoint=folder / "stage.ckpt", optimizer=slower)
    rates = {"dry_wet": 0.002, "equalizer": 0.003, "compressor": 0.001, "gain_panning": 0.001, "reverb": 0.001}
    assert len(watch.groups_seen) == 3 * STEPS
    assert watch.groups_seen == [{(name, rate, (0.5, 0.6)) for name, rate in rates.items()}] * (3 * STEPS)


@pytest.mark.long
def test_a_checkpoint_that_nothing_is_left_to_do_for_is_refused(tiny_song, tmp_path) -> None:
    folder = tmp_path / "r"
    find(tiny_song, folder, [StopAt(10)])  # three stages, and one step
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(
        ValueError, match="3 stages of the checkpoint are trained, more are needed to go on, got 3 in all"
    ):
        find(tiny_song, folder, checkpoint=folder / "stage.ckpt", stages=3)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r"]
