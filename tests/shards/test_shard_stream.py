"""GraphShards: nothing lost, nothing twice, nothing that hangs; batches that keep graphs and tracks together."""

import os
import pickle
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import lightning as L
import pytest
import torch

from datamodules import GraphShards
from mixgraph.graph import MixGraph, build_console
from mixgraph.graph.convert import from_pyg, parameters_from_pyg
from mixgraph.graph.io import GraphFile
from mixgraph.processors import make_processors
from mixgraph.shards import read_shards
from mixgraph.shards.examples import Stretch, rendered
from mixgraph.shards.pack import Origin, pack_sample
from mixgraph.shards.pyg import to_batch
from mixgraph.shards.stream import Node, TrainingLoader, evaluation_loader
from mixgraph.shards.write import write_shards

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than this machine has
ALL = [f"s{n:03d}" for n in range(11)]
LONG = pytest.mark.long  # each worker is a process that loads torch


def keys(loader) -> list[str]:
    return [example.sample.key for batch in loader for example in batch]


@pytest.mark.parametrize("workers", [0, 2, *(pytest.param(workers, marks=LONG) for workers in (1, 3, 6))])
@pytest.mark.parametrize("batch_size", [pytest.param(1, marks=LONG), 4])
def test_evaluation_sees_every_sample_once(stream, workers, batch_size) -> None:
    data = GraphShards(str(stream), validation="train", batch_size=batch_size, num_workers=workers)
    for _ in range(2):  # a second pass is as exact as the first
        assert sorted(keys(data.val_dataloader())) == ALL


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=LONG), pytest.param(5, marks=LONG)])
def test_nodes_share_evaluation_without_loss_or_duplication(stream, workers) -> None:
    source = GraphShards(str(stream)).source("train")
    shares = [keys(evaluation_loader(source, workers, Node(rank, 2))) for rank in range(2)]
    assert sorted(shares[0] + shares[1]) == ALL
    assert min(map(len, shares)) > 0
    assert [keys(evaluation_loader(source, workers, Node(rank, 9))) for rank in range(4, 9)] == [[]] * 5


@pytest.mark.parametrize("workers", [0, 1, *(pytest.param(workers, marks=LONG) for workers in (2, 6))])
def test_training_epochs_have_one_length_on_every_node(stream, workers) -> None:
    data = GraphShards(str(stream), batch_size=2, shuffle_buffer=5)
    source = data.source("train")
    for rank in range(2):
        loader = TrainingLoader(source, 7, lambda: 3, workers, Node(rank, 2), 5)
        batches = [keys([batch]) for batch in loader]
        assert [len(batch) for batch in batches] == [2] * 7
        assert {key for batch in batches for key in batch} <= set(ALL)
        assert [keys([batch]) for batch in loader] == batches  # the same epoch again
    others = []
    for epoch in (3, 4):
        loaders = [TrainingLoader(source, 7, lambda e=epoch: e, workers, Node(rank, 2), 5) for rank in (0, 1)]
        others += map(keys, loaders)
    assert len({tuple(other) for other in others}) == 4


def test_draws_are_even_in_the_long_run(stream) -> None:
    loader = TrainingLoader(GraphShards(str(stream)).source("train"), 2200, lambda: 0, shuffle_buffer=20)
    counts = Counter(keys(loader))
    # A shard is drawn with a share of 1/4, and gives all its samples: about 200 draws of each, 14 standard deviation.
    assert counts.keys() == set(ALL)
    assert 140 < min(counts.values()) <= max(counts.values()) < 260


@pytest.mark.parametrize(
    ("workers", "batch_size"), [(0, 4), (2, 4), *(pytest.param(*case, marks=LONG) for case in ((2, 2), (2, 100)))]
)
def test_epochs_without_resampling_see_every_sample_once(stream, workers, batch_size) -> None:
    data = GraphShards(str(stream), resample=False, num_workers=workers, batch_size=batch_size)
    epochs = [keys(data.train_dataloader()) for _ in range(2)]
    assert [sorted(epoch) for epoch in epochs] == [ALL, ALL]
    assert epochs[0] != epochs[1]


SCRIPT = """
import sys
from datamodules import GraphShards
data = GraphShards(sys.argv[1], batch_size=2, num_workers=2, audio=True, segment_seconds=0.1)
for _ in range(2):
    print([(e.sample.key, e.start, float(e.target.sum())) for batch in data.train_dataloader() for e in batch])
"""


@pytest.mark.long
def test_a_seed_gives_the_same_epochs_in_every_process(stream) -> None:
    root = Path(__file__).parent.parent.parent
    printed = []
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
        command = [sys.executable, "-c", SCRIPT, str(stream)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        printed.append(done.stdout.splitlines())
    assert printed[0] == printed[1]
    assert printed[0][0] != printed[0][1]


def test_segments_are_random_in_training_and_fixed_in_evaluation(stream) -> None:
    options = {"audio": True, "segment_seconds": 0.1, "validation": "train"}
    data = GraphShards(str(stream), **options, epoch_samples=40)
    starts: dict[str, set[int]] = {}
    for batch in data.train_dataloader():
        (example,) = batch
        length = example.sample.num_samples
        assert 0 <= example.start <= length - 800
        assert torch.equal(example.tracks, example.sample.audio.tracks(example.start, example.start + 800))
        assert torch.equal(example.target, example.sample.audio.mix(example.start, example.start + 800))
        starts.setdefault(example.sample.key, set()).add(example.start)
    assert max(map(len, starts.values())) > 1
    for batch in data.val_dataloader():
        assert batch[0].start == (batch[0].sample.num_samples - 800) // 2
    long = Stretch(audio=True, seconds=1.0).cut(next(read_shards(stream)))
    assert (long.start, long.tracks.shape) == (0, (2, 2, 8000))
    assert not long.tracks[..., long.sample.num_samples :].any()


def test_a_rendered_target_is_what_the_graph_makes(stream) -> None:
    for sample in read_shards(stream / "train"):
        length = sample.num_samples
        whole = sample.render(sample.audio.tracks(0, length))
        cut = Stretch(audio=True, target="rendered", seconds=0.2, warm_up_seconds=1.0).cut(sample, "draw")
        # The warm-up reaches the song's start, so that nothing is missing but float32 rounding.
        assert (cut.target - whole[:, cut.start : cut.start + 1600]).abs().max() < 1e-4 * whole.abs().max()
        assert torch.equal(cut.tracks, sample.audio.tracks(cut.start, cut.start + 1600))
        all_of_it = Stretch(audio=True, target="rendered").cut(sample)
        assert (all_of_it.target - whole).abs().max() < 1e-4 * whole.abs().max()
        assert (cut.target - sample.audio.mix(cut.start, cut.start + 1600)).abs().max() > 0.1


def test_a_rendered_target_knows_where_in_the_song_it_is(tmp_path) -> None:
    """A fader that falls to silence over the second second; samples are excerpts of two seconds."""
    rate, length = 1000, 6000
    graph = build_console({"all": ["tone"]}, "f", "")
    points = make_processors(rate)["fader"].points
    falling = torch.full((1, points), -7.0)
    falling[0, :2] = 0.0
    values = {"fader": {"log_gain": falling}}
    tracks = torch.full((1, 2, length), 0.5)
    file = GraphFile(graph, rate, torch.ones(1))
    fields = pack_sample("k-s", file, values, Origin("d", "s", length), tracks=tracks, mix=tracks[0])
    write_shards([("train", *fields)], tmp_path / "set")
    (sample,) = read_shards(tmp_path / "set" / "train")
    whole = sample.render(sample.audio.tracks(0, length))
    assert torch.allclose(whole[0, [100, 5000]], 0.5 * torch.tensor([0.0, -7.0]).exp())
    for start in (0, 900, 3000):
        assert torch.allclose(rendered(sample, start, start + 500, 0.2), whole[:, start : start + 500])
    later = replace(sample, meta=sample.meta | {"excerpt_start": 3000})
    assert torch.allclose(later.render(tracks[..., 3000:]), whole[:, 3000:])


def test_batches_keep_tracks_nodes_and_edges_together(stream) -> None:
    data = GraphShards(str(stream), format="pyg", batch_size=4, audio=True, segment_seconds=0.1, validation="train")
    samples = {sample.key: sample for sample in read_shards(stream)}
    keys = []
    for batch in data.val_dataloader():
        for i, part in enumerate(batch.to_data_list()):
            sample = samples[part.key]
            keys.append(part.key)
            graph = from_pyg(part)
            assert isinstance(graph, MixGraph)
            assert graph == sample.graph
            assert torch.equal(part.weight, sample.weights)
            assert torch.equal(part.loss_increase, sample.loss_increases)
            parameters = parameters_from_pyg(part, sample.processors())
            for node_type, type_parameters in sample.parameters.items():
                assert all(torch.equal(value, parameters[node_type][name]) for name, value in type_parameters.items())
            start = int(part.start)
            assert torch.equal(part.tracks, sample.audio.tracks(start, start + 800))
            assert torch.equal(part.target[0], sample.audio.mix(start, start + 800))
            assert torch.equal(batch.tracks[batch.tracks_batch == i], part.tracks)
            # Track k is that of node source_index[k], whose graph is the track's graph.
            nodes = batch.source_index[batch.tracks_batch == i]
            assert (batch.batch[nodes] == i).all()
            assert batch.x[nodes].eq(0).all()  # inputs
            assert torch.equal(nodes - batch.ptr[i], torch.tensor(sample.graph.inputs))
            assert (batch.processor_index_batch == i).sum() == len(sample.graph.processors)
    assert sorted(keys) == ALL


def test_batches_leave_workers_unchanged(stream) -> None:
    options = {"format": "pyg", "batch_size": 4, "audio": True, "segment_seconds": 2.0, "validation": "train"}
    here = GraphShards(str(stream), **options).val_dataloader()
    there = GraphShards(str(stream), num_workers=1, **options).val_dataloader()
    large = 0
    for mine, sent in zip(here, there, strict=True):
        assert type(sent) is type(mine)
        assert len(sent.to_data_list()) == len(mine.to_data_list()) == mine.num_graphs
        for whole, other in [(mine, sent), *zip(mine.to_data_list(), sent.to_data_list(), strict=True)]:
            assert whole.keys() == other.keys()
            for name in whole.keys():  # noqa: SIM118 (not a dict)
                if isinstance(whole[name], torch.Tensor):
                    assert torch.equal(whole[name].nan_to_num(nan=-7.0), other[name].nan_to_num(nan=-7.0)), name
                    assert whole[name].dtype == other[name].dtype
                    large += whole[name].numel() > 1 << 14
                else:
                    assert whole[name] == other[name]
    assert large > 0  # those that go through shared memory are among them


def test_unknown_loss_increases_are_nan_in_batches(stream) -> None:
    first, second = (Stretch().cut(s) for _, s in zip(range(2), read_shards(stream / "train"), strict=False))
    batch = to_batch([replace(first, sample=replace(first.sample, loss_increases=None)), second])
    count = len(first.sample.graph.processors)
    assert batch.loss_increase[:count].isnan().all()
    assert torch.equal(batch.loss_increase[count:], second.sample.loss_increases)


class Weights(L.LightningModule):
    """Learns one number: the mean dry/wet weight."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.nn.Parameter(torch.zeros(()))
        self.keys_seen: list[str] = []
        self.validated: list[str] = []

    def training_step(self, batch, index):
        self.keys_seen += batch.key
        return (batch.weight - self.mean).square().mean()

    def validation_step(self, batch, index):
        self.validated += batch.key

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*")
@pytest.mark.filterwarnings("ignore:Trying to infer the `batch_size`")
def test_lightning_trains_on_it(stream) -> None:
    module = Weights()
    data = GraphShards(str(stream), format="pyg", batch_size=2, epoch_samples=12)
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = L.Trainer(max_epochs=3, accelerator="cpu", devices=1, num_sanity_val_steps=0, **quiet)
    trainer.fit(module, datamodule=data)
    assert len(module.keys_seen) == 36
    assert len({tuple(module.keys_seen[i : i + 12]) for i in (0, 12, 24)}) == 3  # each epoch has an order of its own
    assert sorted(module.validated) == sorted([f"s{n}" for n in range(100, 105)] * 3)
    assert 0.1 < module.mean.item() < 0.9


def test_lists_of_examples_travel_to_devices(stream) -> None:
    data = GraphShards(str(stream), audio=True, segment_seconds=0.1)
    batch = next(iter(data.val_dataloader()))
    (moved,) = data.transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert {moved.tracks.device.type, moved.target.device.type, moved.sample.weights.device.type} == {"meta"}


def test_samples_travel_between_processes_unchanged(full) -> None:
    for sample in read_shards(full):
        double = {
            t: {n: v.double() for n, v in type_parameters.items()} for t, type_parameters in sample.parameters.items()
        }
        for sent in (sample, replace(sample, parameters=double), replace(sample, loss_increases=None)):
            received = pickle.loads(pickle.dumps(sent))
            assert (received.key, received.graph, received.meta, received.shard) == (
                sent.key,
                sent.graph,
                sent.meta,
                sent.shard,
            )
            assert received.trace() == sent.trace()
            assert torch.equal(received.weights, sent.weights)
            assert {t: list(type_parameters) for t, type_parameters in received.parameters.items()} == {
                t: list(type_parameters) for t, type_parameters in sent.parameters.items()
            }
            for node_type, type_parameters in sent.parameters.items():
                assert all(
                    torch.equal(value, received.parameters[node_type][name]) for name, value in type_parameters.items()
                )
            assert (received.loss_increases is None) == (sent.loss_increases is None)
            if sent.loss_increases is not None:
                assert torch.equal(received.loss_increases, sent.loss_increases)
            assert torch.equal(received.audio.mix(0, 100), sent.audio.mix(0, 100))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size, num_workers: at least 1 and 0, got 0 and 0"),
        ({"epoch_samples": 0}, "epoch_samples: at least 1, or null, got 0"),
        ({"target": "other"}, "target: 'mix' or 'rendered' is needed, got 'other'"),
        ({"segment_seconds": 0.0}, r"segment_seconds: above 0 is needed, got 0\.0"),
        ({"warm_up_seconds": -1.0}, r"warm_up_seconds: at least 0 is needed, got -1\.0"),
    ],
)
def test_wrong_settings_are_refused(stream, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        GraphShards(str(stream), **options)


def test_an_empty_shard_does_not_hang_training(stream, tmp_path) -> None:
    (tmp_path / "a.tar").write_bytes(bytes(10240))
    source = replace(GraphShards(str(stream)).source("train"), shards=(tmp_path / "a.tar",))
    with pytest.raises(ValueError, match=r"a\.tar: at least one sample is needed, got none"):
        keys(TrainingLoader(source, 1, lambda: 0))


def test_what_is_missing_is_said(stream, plain, tmp_path) -> None:
    with pytest.raises(ValueError, match="split 'test' has no shards; there are train, validation"):
        GraphShards(str(stream)).test_dataloader()
    with pytest.raises(FileNotFoundError, match="the index of a data set is needed, got none"):
        GraphShards(str(tmp_path)).train_dataloader()
    with pytest.raises(
        ValueError, match=r"Tiny-tiny: has no audio\. HINT: name the folder of the songs with audio_root"
    ):
        next(iter(GraphShards(str(plain), audio=True).train_dataloader()))
    with pytest.raises(ValueError, match="format: 'sample' or 'pyg' is needed, got 'x'"):
        GraphShards(str(stream), format="x").train_dataloader()
    with pytest.raises(ValueError, match="one length is needed in a batch, got"):
        list(GraphShards(str(stream), format="pyg", audio=True, batch_size=3).val_dataloader())
    with pytest.raises(ValueError, match="node: 0 <= rank < count is needed, got 2 of 2"):
        Node(2, 2)
