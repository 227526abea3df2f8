"""Stages that end when the loss has converged: how many steps they take, and that a stopped search ends alike."""

import json
from types import SimpleNamespace

import lightning as L
import pytest

from callbacks import IterativePruning, ResultFolder
from callbacks.iterative_pruning import song_evaluator
from callbacks.stage_ending import StageEnding
from datamodules import SongData
from mixgraph.graph import build_console
from mixgraph.losses import LossSettings
from mixgraph.search import search
from mixgraph.search.module import ConsoleModule

pytestmark = pytest.mark.usefixtures("blank_pictures")

STEPS = 4
SAME = ("graph.json", "parameters.safetensors", "metrics.json", "trace.jsonl", "log.csv")


class Keep(L.Callback):
    """A checkpoint from the end of every stage."""

    def __init__(self, folder):
        self.folder = folder

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.save_checkpoint(self.folder / f"stage_{trainer.current_epoch}.ckpt", weights_only=False)


def find(path, folder, checkpoint=None, callbacks=(), **pruning):
    data = SongData(str(path), sample_rate=8000, steps_per_stage=STEPS, scored_seconds=1.0)
    module = ConsoleModule("ecg", "gr", sample_rate=8000)
    settings = {"console_stages": 3, "rounds": 2, "leave_one_out": False, "ending": 9.0, "ending_steps": 1} | pruning
    trials = IterativePruning(**settings)
    result = ResultFolder(str(folder), log_every=1, page=False)
    saved = None if checkpoint is None else str(checkpoint)
    callbacks = [trials, result, *callbacks]
    search(module, data, callbacks, trials.num_stages, "cpu", saved, enable_progress_bar=False)
    return json.loads((folder / "metrics.json").read_text())["steps"]


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match=r"ending: at least 0, in units of the match loss, or null, got -1"):
        IterativePruning(ending=-1)
    with pytest.raises(ValueError, match=r"ending_steps: at least 1, got 0"):
        StageEnding(0.1, 0)


@pytest.mark.parametrize("settings", [{"reduction": "sum"}, {"denominator": "prediction"}, {}])
def test_what_is_measured_is_the_loss_that_a_round_ends_with(tiny_song, settings) -> None:
    data = SongData(str(tiny_song), sample_rate=8000)
    graph = build_console(data.song.subgroups, "eg", "g", data.song.name)
    module = ConsoleModule(sample_rate=8000, loss=LossSettings(**settings)).build(graph)
    of_round = song_evaluator(module, data.song).evaluate(()).loss
    ending = StageEnding(0.1, 1)
    assert not ending.has_converged(SimpleNamespace(datamodule=data), module, 1)  # there is none to compare with
    assert ending.before == pytest.approx(of_round, rel=2e-5)  # blocks of another length
    ending.restart(of_round)
    assert ending.has_converged(SimpleNamespace(datamodule=data), module, 2)  # nothing was trained


@pytest.mark.parametrize(
    ("console", "rounds", "converged", "past"), [(3, 2, False, 1), (3, 2, True, 3), (3, 0, True, 2), (1, 2, True, 1)]
)
def test_the_stages_of_a_converged_console_are_over_but_for_the_last_of_all(console, rounds, converged, past) -> None:
    pruning = IterativePruning(console, rounds)
    pruning.console_has_converged = converged
    assert (pruning.stages_past(1), pruning.stages_past(4)) == (past, 4)


@pytest.mark.long
def test_stages_end_when_the_loss_no_longer_falls(tiny_song, tmp_path, caplog) -> None:
    """A fall of 9 is never reached: the second measurement ends the console, the first one a round, not the last."""
    with caplog.at_level("INFO"):
        assert find(tiny_song, tmp_path / "r", callbacks=[Keep(tmp_path)]) == 2 + 0 + 0 + 1 + STEPS
    assert "the training of the console ends after 2 steps" in caplog.text
    assert "the training of the stage ends after 1 steps" in caplog.text
    # A bound alone: the same as without the setting.
    assert find(tiny_song, tmp_path / "b", ending=0.0, ending_steps=99) == 5 * STEPS
    for stage in ("stage_0", "stage_1", "stage_3"):  # where the console ends, a skipped stage, and a round that ends
        assert find(tiny_song, tmp_path / stage, tmp_path / f"{stage}.ckpt") == 2 + 1 + STEPS, stage
        for name in SAME:
            assert (tmp_path / stage / name).read_bytes() == (tmp_path / "r" / name).read_bytes(), (stage, name)
    # Turned off where the console has converged, it is trained on.
    assert find(tiny_song, tmp_path / "off", tmp_path / "stage_0.ckpt", ending=None) == 2 + 4 * STEPS
