"""The network: whatever the order of tracks, whatever else is in the batch."""

import pytest
import torch
from torch_geometric.data import Batch

from mixgraph.estimators.cache import segment_starts
from mixgraph.estimators.examples import Console, add_labels, console_data, console_of, console_of_subgroups
from mixgraph.estimators.features import FeatureExtractor
from mixgraph.estimators.module import EstimatorModule, best_threshold
from mixgraph.estimators.prediction import estimate
from mixgraph.estimators.settings import EstimatorLosses, EstimatorTask, NetworkSettings
from mixgraph.estimators.statistics import training_statistics
from mixgraph.graph import GraphValues, build_console, relabel

TASK = EstimatorTask(sample_rate=8000, segment_seconds=2.0, track_chain="esgd", subgroup_chain="cgr")
SMALL = NetworkSettings(width=32, num_layers=2, dropout=0.0)


@pytest.fixture
def module(examples) -> EstimatorModule:
    torch.manual_seed(0)
    module = EstimatorModule(TASK, SMALL).eval()
    module.standardise(training_statistics(examples, TASK.types))
    return module


def console(subgroups: dict[str, list[str]]) -> Console:
    return console_of_subgroups(subgroups, TASK.track_chain, TASK.subgroup_chain, "song")


def test_permuted_tracks_give_permuted_predictions(module) -> None:
    tracks = 0.1 * torch.randn(4, 2, TASK.num_samples, generator=torch.Generator().manual_seed(2))
    mix = (tracks * torch.tensor([0.5, 2.0, 1.0, 0.3]).view(4, 1, 1)).sum(dim=0)
    ours = console({"a": ["t0", "t1"], "b": ["t2", "t3"]})
    theirs = console({"b": ["t3", "t2"], "a": ["t1", "t0"]})
    song_prediction = estimate(module, ours, tracks, mix)
    turned = estimate(module, theirs, tracks[[3, 2, 1, 0]], mix)

    def by_name(prediction) -> dict[tuple[str, str], tuple[float, float, list[float]]]:
        graph, values = prediction.console.graph, prediction.values
        numbers = {}
        for place, node in enumerate(graph.processors):
            type_parameters = values.parameters[graph.types[node]]
            first = next(iter(type_parameters.values()))[graph.rows[node]].flatten()[:8].tolist()
            key = (graph.names[node], graph.types[node])
            numbers[key] = (float(prediction.probability[place]), float(values.weights[place]), first)
        return numbers

    before, after = by_name(song_prediction), by_name(turned)
    assert before.keys() == after.keys()
    for key, (keep, weight, numbers) in before.items():
        # Features of sums in another order differ by rounding, and logs of small values magnify it.
        assert after[key][0] == pytest.approx(keep, abs=2e-3), key
        assert after[key][1] == pytest.approx(weight, abs=2e-3), key
        assert after[key][2] == pytest.approx(numbers, abs=5e-3), key
    kept = [p for p, _, _ in before.values()]
    assert max(kept) - min(kept) > 0.01  # tracks are told apart


def test_a_batch_equals_its_songs_one_by_one(module, examples) -> None:
    assert len({data.num_nodes for data in examples}) > 1
    together = module(Batch.from_data_list(examples))
    alone = [module(data) for data in examples]
    assert torch.allclose(together.keep, torch.cat([a.keep for a in alone]), atol=1e-5)
    assert torch.allclose(together.weights, torch.cat([a.weights for a in alone]), atol=1e-5)
    for t, type_parameters in together.parameters.items():
        for name, value in type_parameters.items():
            parts = torch.cat([a.parameters[t][name] for a in alone if t in a.parameters])
            assert torch.allclose(value, parts, atol=1e-4), (t, name)


def test_labels_are_those_of_the_graph_whatever_its_numbering(generated) -> None:
    module = EstimatorModule(TASK, SMALL)
    sample = generated[0]
    graph = sample.values.graph
    order = list(range(len(graph)))[::-1]
    turned = relabel(graph, order)
    parameters = {
        t: {name: value[[graph.rows[order[i]] for i in turned.nodes_of(t)]] for name, value in type_parameters.items()}
        for t, type_parameters in sample.values.parameters.items()
    }
    place = {node: i for i, node in enumerate(graph.processors)}
    weights = sample.values.weights[[place[order[i]] for i in turned.processors]]
    extract = FeatureExtractor(8000)
    labels = []
    for values, tracks in (
        (sample.values, sample.sources),
        (GraphValues(turned, parameters, weights), sample.sources.flip(0)),
    ):
        where = console_of(values.graph, TASK.track_chain, TASK.subgroup_chain)
        ordered_tracks = tracks[list(where.order)]
        inputs = console_data(where, extract(ordered_tracks, sample.mix, where.groups), TASK.types)
        data = add_labels(inputs, where, values, module.codes)
        names = [where.graph.label(node) for node in where.graph.processors]
        labels.append(sorted(zip(names, data.keep.tolist(), data.weight.tolist(), strict=True)))
        assert int(data.keep.sum()) == len(graph.processors)
    assert labels[0] == labels[1]


def test_a_processor_that_the_console_lacks_is_named(generated) -> None:
    sample = next(s for s in generated if "delay" in s.values.graph.count())
    where = console_of(sample.values.graph, "eg", "cgr")
    inputs = console_data(where, FeatureExtractor(8000)(sample.sources, sample.mix, where.groups), TASK.types)
    with pytest.raises(ValueError, match=r"processors that the console has are needed, got .*delay"):
        add_labels(inputs, where, sample.values, EstimatorModule(TASK, SMALL).codes)


def test_the_match_loss_reaches_every_head_through_the_renderer(module, examples, generated) -> None:
    trained = EstimatorModule(TASK, SMALL, EstimatorLosses(match=1.0))
    trained.load_state_dict(module.state_dict())
    data = examples[0].clone()
    train = [s for s in generated if s.split == "train"]
    data.clip_tracks, data.clip_mix = train[0].sources, train[0].mix.unsqueeze(0)
    data.graph = console_of(train[0].values.graph, TASK.track_chain, TASK.subgroup_chain).graph
    batch = Batch.from_data_list([data, data])
    losses = trained.losses_of(batch, trained.network(batch))
    trained.zero_grad()
    losses["match"].backward()
    for t in data.graph.count():
        assert trained.network.heads[t].out.weight.grad.abs().max() > 0, t
    assert float(losses["match"].detach()) > 0.1
    with pytest.raises(ValueError, match=r"losses.match: needs audio; set data.clip_seconds"):
        trained.losses_of(examples[1], trained.network(examples[1]))


def test_of_the_best_thresholds_the_one_is_taken_that_keeps_fewest() -> None:
    keep, labels = torch.tensor([0.1, 0.2, 0.6, 0.9]), torch.tensor([0.0, 0.0, 1.0, 1.0])
    threshold, f1 = best_threshold(keep, labels)
    assert f1 == 1
    assert threshold == pytest.approx(0.59, abs=0.001)
    assert best_threshold(torch.tensor([0.3]), torch.tensor([0.0]))[1] == 0


@pytest.mark.parametrize(
    ("length", "most", "expected"), [(50, 8, [0]), (100, 8, [0]), (250, 8, [16, 133]), (1000, 2, [266, 633])]
)
def test_segments_are_spread_evenly(length, most, expected) -> None:
    assert segment_starts(length, 100, most) == expected


def test_console_keeps_the_order_of_subgroups() -> None:
    graph = build_console({"b": ["x", "y"], "a": ["z"]}, "g", "")
    where = console_of(graph, "g", "")
    assert where.order == (0, 1, 2)
    assert where.groups == ((0, 1), (2,))
    turned = console_of(relabel(graph, [2, 1, 0, *range(3, len(graph))]), "g", "")
    assert [turned.graph.names[i] for i in turned.graph.inputs] == ["y", "x", "z"]
    assert turned.order == (1, 2, 0)
