"""NaN and infinity in a training: noticed, traced to their nodes, and undone."""

import json

import lightning as L
import pytest
import torch
from torch import nn

from callbacks import IterativePruning, ResultFolder
from datamodules import SongData
from mixgraph.graph import build_console
from mixgraph.results.found_graph import load_result
from mixgraph.search import search
from mixgraph.search.finite import FiniteWatch, find_origin
from mixgraph.search.module import ConsoleModule

pytestmark = pytest.mark.usefixtures("blank_pictures")

RATE = 8000
DRUMS = "subgroup drums: gain_panning"


@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_what_was_good_is_kept_however_late_it_is_asked_for(broken) -> None:
    """As on a GPU: the steps after the bad one are taken, too, before anybody looks."""
    value = nn.Parameter(torch.zeros(3))
    watch = FiniteWatch([value])
    for step in range(6):
        value.grad = torch.full((3,), float("inf") if broken == "gradient" and step == 3 else 1.0)
        watch(torch.tensor(float("nan") if broken == "loss" and step == 3 else 1.0))
        value.data += 1
        assert (watch.steps_until_bad() if step in (2, 5) else None) == {5: 3}.get(step)
    assert (watch.good[0].tolist(), watch.bad[0].tolist()) == ([2.0] * 3, [3.0] * 3)
    watch.restore(watch.good)
    assert (value.tolist(), value.grad) == ([2.0] * 3, None)


@pytest.mark.parametrize(
    ("of", "text"),
    [
        ("values", "the values of compressor (track hat: compressor), in log_threshold"),
        (
            "output",
            "the output of equalizer (track lead: equalizer), with log_magnitude at 8685.89 dB (-48 to 24 are meant)",
        ),
        ("gradient", "the gradient of gain_panning (subgroup drums: gain_panning), in log_gain"),
        ("weight", "the gradient of gain_panning (subgroup drums: gain_panning), in the dry/wet weight"),
        ("", "no single processor"),
    ],
)
def test_processors_where_it_arose_are_named(tiny_song, of, text) -> None:
    graph = build_console({"drums": ("kick", "hat"), "lead": ("lead",)}, "ec", "g")
    module = ConsoleModule("ec", "g", sample_rate=RATE).build(graph)
    values, weights = module.parameters_by_type(), module.weights
    gradients = {t: {n: torch.zeros_like(v) for n, v in type_values.items()} for t, type_values in values.items()}
    rows = {graph.label(node): graph.rows[node] for node in graph.processors}
    if of == "values":
        values["compressor"]["log_threshold"].data[rows["track hat: compressor"]] = float("nan")
    elif of == "output":
        values["equalizer"]["log_magnitude"].data[rows["track lead: equalizer"]] = 1000.0
    elif of in ("gradient", "weight"):  # those of the tracks before it are spoilt, too
        for track in ("kick", "hat"):
            gradients["equalizer"]["log_magnitude"][rows[f"track {track}: equalizer"]] = float("nan")
        if of == "gradient":
            gradients["gain_panning"]["log_gain"][rows[DRUMS]] = float("inf")
    clip = SongData(str(tiny_song), sample_rate=RATE, scored_seconds=1.0).clips()(0)
    weight_gradient = torch.zeros_like(weights)
    if of == "weight":
        weight_gradient[[graph.label(node) for node in graph.processors].index(DRUMS)] = float("inf")
    origin = find_origin(graph, module.processors, clip, values, weights, gradients, weight_gradient)
    assert origin.text(graph) == text


class Break(L.Callback):
    """Sets a value to NaN before a step, and keeps those with which the step before was taken."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step - 1:
            self.kept = pl_module.values["equalizer"]["log_magnitude"].detach().clone()
        if trainer.global_step == self.step:
            pl_module.values["compressor"]["log_threshold"].data[1] = float("nan")


def test_a_search_that_breaks_down_ends_with_its_last_good_graph(tiny_song, tmp_path) -> None:
    data = SongData(str(tiny_song), sample_rate=RATE, steps_per_stage=3, scored_seconds=1.0)
    folder, breaks = tmp_path / "r", Break(4)  # the second step of the second stage
    module = ConsoleModule("ec", "g", sample_rate=RATE)
    callbacks = [breaks, IterativePruning(2, 1), ResultFolder(str(folder), page=False)]
    message = r"at step 5: its loss is nan, which comes from the values of compressor \(track hat: compressor\), in "
    message += r"log_threshold\. HINT"
    with pytest.raises(FloatingPointError, match=message):
        search(module, data, callbacks, 3, "cpu", enable_progress_bar=False)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["failure"].startswith("training broke down at step 5")
    assert (metrics["steps"], metrics["planned_steps"]) == (5, 9)
    assert torch.equal(load_result(folder).parameters["equalizer"]["log_magnitude"], breaks.kept)
    assert (folder / "stage.ckpt").exists()  # from which it goes on with other settings
