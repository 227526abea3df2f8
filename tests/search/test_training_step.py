"""The training step: the same objective however it is rendered, and no waiting for the device."""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from datamodules import SongData
from mixgraph.graph import build_console
from mixgraph.search.module import ConsoleModule
from mixgraph.search.settings import RegularizerSettings, RenderSettings
from mixgraph.songs.training_clips import ClipReader

RATE = 8000


@pytest.fixture(scope="module")
def song(tiny_song):
    """A mono track, one that is silent at the start, and one in stereo."""
    song = SongData(str(tiny_song), sample_rate=RATE).song
    sources = song.sources.clone()
    sources[0] = sources[0, :1]
    sources[1, :, :17_000] = 0
    return replace(song, sources=sources, mono=(True, False, False))


@pytest.fixture(scope="module")
def clips(song):
    return ClipReader(song, warm_up=8000, scored=8000, lookahead=2046, seed=0)


SEVEN = {"track_chain": "ecnsgdr", "subgroup_chain": "ecnsgdr"}
WIRED = {"track_chain": "eb(c,g)n", "subgroup_chain": "t(e,sg)r", "sidechains": {"lead": "kick"}}


def console(song, wiring=SEVEN, **rendering):
    module = ConsoleModule(
        sample_rate=song.sample_rate,
        rendering=RenderSettings(**rendering),
        regularizers=RegularizerSettings(gain_staging_weight=0.1, sparsity_weight=0.01),
    )
    module.build(build_console(song.subgroups, **wiring))
    module.prune_phase, module.pruning_steps = True, 1000
    module.loudest = module.target(song).loudest.unsqueeze(0)
    return module


def gradients(module, clip):
    losses = module.losses(clip)
    losses["loss"].backward()
    return losses, {name: p.grad.clone() for name, p in module.named_parameters()}


@pytest.mark.parametrize("wiring", [SEVEN, WIRED], ids=["seven", "wired"])
@pytest.mark.parametrize("other", [{"shortcuts": False}, {"renderer": "reference"}, {"schedule": "one_by_one"}])
def test_other_ways_to_render_give_the_same_objective_and_gradients(song, clips, other, wiring) -> None:
    clip = clips.at(-2000)
    assert clip.mono == (0,)
    assert clip.silent == (1,)
    expected, slow = gradients(console(song, wiring, **other), clip)
    losses, fast = gradients(console(song, wiring), clip)
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value.item(), rel=1e-5, abs=1e-6), name
    for name, gradient in slow.items():
        # Float32. The gradients of z have modulus 1 whatever arrives: where next to nothing arrives, its direction is
        # rounding, and where exactly nothing does (a silent track), both are 0.
        if "delay_z" not in name:
            error = (fast[name] - gradient).norm() / gradient.norm()
            assert error < 2e-3, name


def test_a_plan_is_made_once_for_each_set_of_silent_tracks(song, clips) -> None:
    module = console(song)
    plans = [module.plan(16_000, clip.mono, clip.silent) for clip in (clips.at(-2000), clips.at(-1500), clips.at(4000))]
    assert plans[0] is plans[1]
    assert plans[0] is not plans[2]
    module.prune(module.graph.processors[5:])
    assert module.plan(16_000).whole is module.graph


class Spy(TorchDispatchMode):
    """Refuses every operation that hands a tensor's values, or a size made of them, to the host."""

    waits = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "_unique", "unique_dim")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert name not in self.waits, f"{name} waits for the device"
        assert not (name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1])), "boolean mask"
        return func(*args, **(kwargs or {}))


def refuse(*_):
    raise AssertionError("the host reads a tensor")


def test_spy_sees_what_it_should() -> None:
    values = torch.ones(3)
    for wait in (lambda: values.sum().item(), lambda: bool(values.any()), lambda: values[values > 0]):
        with pytest.raises(AssertionError), Spy():
            wait()


@pytest.mark.parametrize("shortcuts", [True, False])
def test_a_training_step_never_waits_for_the_device(tiny_song, monkeypatch, shortcuts) -> None:
    song = SongData(str(tiny_song), sample_rate=30_000).song  # elsewhere torchaudio's resampling counts on the host
    module = console(song, shortcuts=shortcuts)
    clip = ClipReader(song, warm_up=30_000, scored=30_000, lookahead=2046, seed=0)(0)
    module.losses(clip)  # plans and constants are made once
    for name in ("tolist", "numpy", "cpu"):
        monkeypatch.setattr(torch.Tensor, name, refuse)
    with Spy():
        module.losses(clip)["loss"].backward()
    assert module.dry_wet_logits.grad is not None
