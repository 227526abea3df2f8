"""Nothing strays from its device: searches on a GPU that only pretends, where tensors of two devices do not mix."""

import itertools
from contextlib import contextmanager, suppress
from functools import partial

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from callbacks.iterative_pruning import song_evaluator
from datamodules import SongData
from mixgraph.dsp import constants
from mixgraph.dsp.slicqt import NSGT, SliCQT, make_scale
from mixgraph.graph import batch, build_console
from mixgraph.graph.values import GraphValues
from mixgraph.losses import LossSettings, make_match_loss
from mixgraph.processors import registered
from mixgraph.render import make_plan, render_plan
from mixgraph.search.captured import StaticStep
from mixgraph.search.finite import FiniteWatch
from mixgraph.search.module import ConsoleModule
from mixgraph.search.settings import RenderSettings
from mixgraph.songs.training_clips import ClipReader, SongsReader
from tools.gpu.networks import METHODS, batch_of, make_estimator
from tools.gpu.workloads import Training, move_clip

RATE = 8000
LETTERS = "".join(t.letter for t in registered().values() if t.inlets == t.outlets == 1 and not t.cuts)
CONSOLES = {
    "letters": {
        "track_chain": LETTERS,
        "subgroup_chain": "ecnsgdr",
        "master_chain": "ec",
        "returns": {"room": "er"},
        "sidechains": {"lead": "kick"},
    },
    "splitters": {"track_chain": "et(c,sg)r", "subgroup_chain": "eb(c,b(c,c))d"},
}


@pytest.fixture(scope="module")
def data(tiny_song):
    return SongData(str(tiny_song), sample_rate=RATE, scored_seconds=1.0)


@pytest.fixture
def pretended(monkeypatch):
    """The pretended GPU has no values: what is read from it is a half."""

    def halves(shape):
        return [halves(shape[1:]) for _ in range(shape[0])] if len(shape) else 0.5

    monkeypatch.setattr(FakeTensor, "tolist", lambda self: halves(self.shape), raising=False)
    monkeypatch.setattr(FakeTensor, "__float__", lambda self: 0.5, raising=False)
    monkeypatch.setattr(FakeTensor, "__bool__", lambda self: False, raising=False)
    constants.forget()  # made for a pretended device, they must not stay for what runs after on a real one
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        yield lambda tensor: mode.from_tensor(tensor).to("cuda")
    constants.forget()


def move(module, to_gpu) -> None:
    for part in module.modules():
        for name, value in part.named_parameters(recurse=False):
            part._parameters[name] = torch.nn.Parameter(to_gpu(value.data))
        for name, value in part.named_buffers(recurse=False):
            part._buffers[name] = to_gpu(value)


@pytest.mark.long
@pytest.mark.parametrize("console", ["letters", "splitters"])
def test_a_search_stays_on_its_device(data, console, request) -> None:
    song, clip = data.song, data.clips()(0)
    module = ConsoleModule(sample_rate=RATE, **CONSOLES[console])
    module.build(module._console(song.subgroups, song.name))
    oracle = ConsoleModule(sample_rate=RATE, **CONSOLES[console], rendering=RenderSettings(renderer="reference"))
    oracle.build(module.graph)
    to_gpu = request.getfixturevalue("pretended")
    clip = clip._replace(**{name: to_gpu(getattr(clip, name)) for name in ("sources", "targets", "starts")})
    for module_or_oracle in (module, oracle):
        move(module_or_oracle, to_gpu)
        assert {loss.device.type for loss in module_or_oracle.losses(clip).values()} == {"cuda"}
    assert module.render(song).device.type == "cpu"  # of whole songs, blocks travel
    trials = song_evaluator(module, song)
    trials.evaluate(())
    trials.evaluate((3,))
    trials.evaluate((1, 2), 0.1)
    trials.accept((3,))
    assert trials.mix().device.type == "cuda"
    module.prune(module.graph.processors[::2])
    assert module.losses(clip)["loss"].device.type == "cuda"


def test_what_strays_is_noticed(data, request) -> None:
    song, clip = data.song, data.clips()(0)
    module = ConsoleModule("eg", "g", sample_rate=RATE).build(build_console(song.subgroups, "eg", "g"))
    to_gpu = request.getfixturevalue("pretended")
    move(module, to_gpu)
    with pytest.raises(RuntimeError, match="device"):
        module.losses(clip._replace(targets=to_gpu(clip.targets), starts=to_gpu(clip.starts)))


def is_there(value) -> bool:
    return isinstance(value, torch.Tensor) and value.device.type != "cpu"


class Traffic(TorchDispatchMode):
    """Keeps the names of operations that move values between the host and a device, for which a GPU waits.

    `torch.tensor` of host values on a device is one of them, and dispatches nothing; see `HostMade`.
    """

    moves = ("_to_copy", "copy_", "_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2")

    def __init__(self) -> None:
        super().__init__()
        self.transfers: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name.startswith("index") and any(v.dtype == torch.bool for v in tree_leaves(args[1:]) if is_there(v)):
            self.transfers.append("boolean index")
        result = func(*args, **(kwargs or {}))
        devices = {value.device.type for value in (*args, result) if isinstance(value, torch.Tensor)}
        if name in self.moves and (len(devices) > 1 or (name not in ("_to_copy", "copy_") and devices != {"cpu"})):
            self.transfers.append(name)
        return result


class HostMade(TorchFunctionMode):
    """Adds the names of functions that make tensors on a device out of values of the host."""

    def __init__(self, transfers: list[str]) -> None:
        super().__init__()
        self.transfers = transfers

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func in (torch.tensor, torch.as_tensor, torch.asarray) and result.device.type != "cpu":
            self.transfers.append(func.__name__)
        return result


@contextmanager
def watched():
    """All that moves between the host and a device."""
    with Traffic() as traffic, HostMade(traffic.transfers):
        yield traffic.transfers


META = torch.device("meta")
"""A device without values, whose tensors cannot be read either, and on which gradients can be taken."""


def test_traffic_is_seen() -> None:
    there = torch.ones(3, device=META)
    for move_something in (
        lambda: torch.tensor([1, 2], device=META),
        lambda: torch.zeros(()).to(there),
        lambda: there.copy_(torch.ones(3)),
    ):
        with watched() as transfers:
            move_something()
        assert len(transfers) == 1
    for read_something in (lambda: there[there > 0], lambda: there.index_put_((there > 0,), there.sum())):
        with watched() as transfers, suppress(NotImplementedError):
            read_something()
        assert "boolean index" in transfers or "nonzero" in transfers
    with watched() as transfers:
        (there + 1).to(torch.float64)
        torch.tensor([1.0, 2.0]).sum().item()  # of the host itself
    assert transfers == []
    with pytest.raises((RuntimeError, NotImplementedError)):
        there.sum().item()


@pytest.fixture(scope="module")
def data_30k(tiny_song):
    """At the rate of the reverb's noise: elsewhere torchaudio's resampling makes a constant on the host each time."""
    return SongData(str(tiny_song), sample_rate=30_000, scored_seconds=0.2, warm_up_seconds=0.1)


def on_device(module, clip) -> Training:
    module.to(META)
    return Training(module, [move_clip(clip, META)])


# Without gain staging there are no energies; without delays no penalty.
@pytest.mark.parametrize("chain", ["ecnsgdr", "cg"])
def test_a_training_step_moves_nothing_between_host_and_device(data_30k, chain) -> None:
    """Once plans, constants and the optimizer's state are there."""
    song = data_30k.song
    module = ConsoleModule(chain, chain, warm_up_seconds=0.1).build(build_console(song.subgroups, chain, chain))
    module.prune_phase, module.pruning_steps = True, 10
    training = on_device(module, data_30k.clips()(0))
    module.loudest = module.target(song).loudest.unsqueeze(0)
    training.step()
    for keep in (module.graph.processors, module.graph.processors[::3]):
        module.prune(keep)
        training = Training(module, training.clips)
        # What a CUDA graph would hold: the watch for NaN, too.
        watch = FiniteWatch(module.parameters())
        step = StaticStep(module.losses, training.optimizer, watch, training.clips[0])
        step.run()
        with watched() as transfers:
            step.run()
        assert transfers == []
    assert module.dry_wet_logits.grad.device == META


@pytest.mark.long
def test_a_training_step_of_several_songs_moves_nothing_between_host_and_device(tiny_song, duo_song) -> None:
    songs = SongData([str(tiny_song), str(duo_song)], sample_rate=30_000).songs
    module = ConsoleModule(warm_up_seconds=0.1)
    module.build(batch([build_console(song.subgroups, name=song.name) for song in songs]))
    training = on_device(module, SongsReader([ClipReader(s, 3000, 6000, module.lookahead, 0) for s in songs])(0))
    training.step()
    with watched() as transfers:
        training.step()
    assert transfers == []


@pytest.mark.parametrize("method", METHODS)
def test_every_schedule_stays_on_its_device(data_30k, method) -> None:
    module = ConsoleModule().build(build_console(data_30k.song.subgroups))
    training = on_device(module, data_30k.clips()(0))
    clip, parameters = training.clips[0], module.parameters_by_type()
    plan = make_plan(module.graph, module.processors, clip.targets.shape[-1] + module.lookahead, method)
    render = partial(render_plan, plan, processors=module.processors, sources=clip.sources, starts=clip.starts)
    values = GraphValues(module.graph, parameters, module.weights)
    render(values)
    with watched() as transfers:
        render(values).mix.sum().backward()
    assert transfers == []
    assert module.dry_wet_logits.grad.device == META


def test_the_estimator_stays_on_its_device(monkeypatch) -> None:
    """As far as its shapes do not depend on values: which nodes are of a type is read on the host."""
    module, examples = make_estimator(quick=True)
    types = batch_of(examples, 2).x
    monkeypatch.setattr(torch.Tensor, "nonzero", nonzero_of(types))
    batch = batch_of(examples, 2).to(META)
    module.to(META)
    estimate = module(batch)
    assert {v.device for type_parameters in estimate.parameters.values() for v in type_parameters.values()} == {META}
    loss = torch.nn.functional.binary_cross_entropy(estimate.keep, batch.keep) + estimate.weights.sum()
    loss.backward()
    assert {p.grad.device for p in module.network.encoder.parameters()} == {META}


def nonzero_of(types):
    """Stands in for `nonzero` of a mask that has no values: as many nodes of each type as there are, in turn."""
    counts = [int((types == number).sum()) for number in range(3, int(types.max()) + 1)]
    left = itertools.cycle(counts)
    return lambda mask: torch.zeros(next(left), 1, dtype=torch.long, device=mask.device)


def constant_q(name: str) -> SliCQT | NSGT:
    scale = make_scale("bark", 20, 100.0, 3500.0)
    return SliCQT(scale, RATE, 1024) if name == "sliced" else NSGT(scale, 3000, RATE)


def there_and_back(transform: SliCQT | NSGT, signal: torch.Tensor) -> torch.Tensor:
    spectrum = transform(signal)
    assert spectrum.flat.device == signal.device
    return transform.inverse(spectrum, 3000) if isinstance(transform, SliCQT) else transform.inverse(spectrum)


@pytest.mark.parametrize("name", ["sliced", "whole"])
def test_constant_q_transforms_stay_on_their_device(name, pretended) -> None:
    transform = constant_q(name)
    move(transform, pretended)
    assert there_and_back(transform, pretended(torch.randn(2, 3000))).device.type == "cuda"


@pytest.mark.parametrize("name", ["sliced", "whole"])
def test_constant_q_transforms_and_their_gradients_move_nothing_to_the_host(name) -> None:
    transform = constant_q(name).to(META)
    signal = torch.zeros(2, 3000, device=META, requires_grad=True)
    with watched() as transfers:
        there_and_back(transform, signal).square().sum().backward()
    assert transfers == []
    assert signal.grad.device == META


def test_the_nsgt_front_end_stays_on_its_device(pretended) -> None:
    loss = make_match_loss(RATE, LossSettings(front_end="nsgt"))
    move(loss, pretended)
    prediction, target = (pretended(torch.randn(1, 2, RATE)) for _ in range(2))
    assert loss(prediction, target).full.device.type == "cuda"


def test_the_nsgt_front_end_moves_its_constants_once() -> None:
    loss = make_match_loss(RATE, LossSettings(front_end="nsgt")).to(META)
    prediction = torch.zeros(1, 2, RATE, device=META, requires_grad=True)
    target = loss.features(torch.zeros(1, 2, RATE, device=META))
    with watched() as transfers:
        loss(prediction, target).full.sum().backward()
    assert transfers == []
