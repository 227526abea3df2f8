"""Captured steps: what a CUDA graph replays computes what a plain step does, on tensors that stay where they are."""

import pytest
import torch

from callbacks import IterativePruning
from datamodules import SongData
from mixgraph.graph import build_console
from mixgraph.processors import make_processors
from mixgraph.search import captured, search
from mixgraph.search.module import ConsoleModule
from mixgraph.search.settings import RegularizerSettings, RenderSettings

RATE = 8000
SUBGROUPS = {"drums": ("kick", "hat"), "lead": ("lead",)}


def data(path):
    return SongData(str(path), sample_rate=RATE, steps_per_stage=6, scored_seconds=0.5)


@pytest.fixture
def pretended(monkeypatch):
    """Records and replays on a CPU; returns where the inputs of every replay are."""
    places = []

    def record(step):
        terms = {}
        static = step.__self__

        def replay() -> None:
            places.append((static.clip.sources.data_ptr(), static.clip.targets.data_ptr(), static.pressure.data_ptr()))
            for name, value in step().items():
                terms.setdefault(name, torch.empty_like(value)).copy_(value)

        return replay, terms

    monkeypatch.setattr(captured, "record", record)
    monkeypatch.setattr(captured, "run_aside", lambda step: step())
    monkeypatch.setattr("mixgraph.search.module.check_capture", lambda *_: None)
    return places


def course(path, capture: bool):
    """A search in which the pressure of sparsity rises, processors go, and the rate falls."""
    settings = RegularizerSettings(sparsity_weight=0.05, sparsity_ramp_steps=8)
    module = ConsoleModule(
        "cg", "g", "", sample_rate=RATE, regularizers=settings, rendering=RenderSettings(capture=capture)
    )
    losses = []
    module.on_train_batch_end = lambda *_: losses.append(float(module.watched_loss))
    pruning = IterativePruning(1, 2, tolerance=0.5, leave_one_out=False)
    search(module, data(path), [pruning], 3, "cpu", enable_progress_bar=False)
    return module, losses


@pytest.mark.long
def test_captured_steps_search_as_plain_ones_do(tiny_song, pretended) -> None:
    (plain, losses), (replayed, same_losses) = (course(tiny_song, capture) for capture in (False, True))
    assert len(losses) == 18
    assert same_losses == pytest.approx(losses, rel=1e-5)  # rates are float32 tensors
    assert replayed.graph == plain.graph
    assert len(plain.graph.processors) < 9
    for name, value in plain.named_parameters():
        torch.testing.assert_close(dict(replayed.named_parameters())[name], value, rtol=1e-4, atol=1e-5)
    assert len(pretended) == 3 * (6 - captured.WARM_UP_STEPS)
    of_stages = [pretended[first : first + 3] for first in range(0, len(pretended), 3)]
    assert [len(set(places)) for places in of_stages] == [1, 1, 1]  # the same tensors are read in every step of a stage


def test_a_cpu_refuses_captured_steps(tiny_song) -> None:
    module = ConsoleModule("g", "", sample_rate=RATE, rendering=RenderSettings(capture=True))
    with pytest.raises(
        ValueError, match=r"rendering\.capture: CUDA graphs need an NVIDIA GPU, and the search runs on cpu"
    ):
        search(module, data(tiny_song), [], 1, "cpu", enable_progress_bar=False)


@pytest.mark.parametrize("options", [{"gradient_clip_val": 0.5}, {"accumulate_grad_batches": 2}])
def test_what_would_change_gradients_between_captured_steps_is_refused(tiny_song, pretended, options) -> None:
    module = ConsoleModule("g", "", sample_rate=RATE, rendering=RenderSettings(capture=True))
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=rf"rendering\.capture: .* got trainer\.{name}={value}\. HINT"):
        search(module, data(tiny_song), [], 1, "cpu", enable_progress_bar=False, **options)


@pytest.mark.parametrize(
    ("chain", "renderer", "message"),
    [
        ("gA", "fast", "a step with attack_release_compressor waits for the host"),
        ("gr", "fast", "a step with reverb waits"),  # at another rate than its noise's
        ("g", "reference", "renderer must be fast, got reference"),
    ],
)
def test_what_waits_for_the_host_is_not_captured(chain, renderer, message) -> None:
    processors = make_processors(RATE, {})
    letter = next(p.letter for p in processors.values() if p.name == "attack_release_compressor")
    graph = build_console(SUBGROUPS, chain.replace("A", letter), "g")
    with pytest.raises(ValueError, match=message):
        captured.check_capture(torch.device("cuda"), graph, processors, renderer)
    captured.check_capture(torch.device("cuda"), build_console(SUBGROUPS, "ecg", "g"), processors, "fast")


def test_clips_of_another_shape_are_refused(tiny_song) -> None:
    clip = data(tiny_song).clips()(0)
    module = ConsoleModule("g", "g", sample_rate=RATE).build(build_console(SUBGROUPS, "g", "g"))
    step = captured.StaticStep(module.losses, module.configure_optimizers(), None, clip)
    with pytest.raises(ValueError, match="clips of a captured step have the shapes"):
        step.write(clip._replace(sources=clip.sources[..., 1:]), 0.0)
    with pytest.raises(ValueError, match="the mono tracks of the first one"):
        step.write(clip._replace(mono=(1,)), 0.0)
