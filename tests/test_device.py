"""Nothing strays from its device: searches on a GPU that only pretends, where tensors of two devices do not mix."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from callbacks.iterative_pruning import song_evaluator
from datamodules import SongData
from mixgraph.graph import build_console
from mixgraph.module import ConsoleModule
from mixgraph.processors import registered
from mixgraph.settings import RenderSettings

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
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        yield lambda tensor: mode.from_tensor(tensor).to("cuda")


def move(module, to_gpu) -> None:
    for part in module.modules():
        for name, value in part.named_parameters(recurse=False):
            part._parameters[name] = torch.nn.Parameter(to_gpu(value.data))
        for name, value in part.named_buffers(recurse=False):
            part._buffers[name] = to_gpu(value)


@pytest.mark.parametrize("console", CONSOLES)
def test_a_search_stays_on_its_device(data, console, request) -> None:
    song, clip = data.song, data.clips()(0)
    module = ConsoleModule(sample_rate=RATE, **CONSOLES[console])
    module.build(module._console(song.subgroups, song.name))
    oracle = ConsoleModule(sample_rate=RATE, **CONSOLES[console], rendering=RenderSettings(renderer="reference"))
    oracle.build(module.graph)
    to_gpu = request.getfixturevalue("pretended")
    clip = clip._replace(**{name: to_gpu(getattr(clip, name)) for name in ("sources", "targets", "starts")})
    for each in (module, oracle):
        move(each, to_gpu)
        assert {loss.device.type for loss in each.losses(clip).values()} == {"cuda"}
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
