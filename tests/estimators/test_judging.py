"""Baselines and scores."""

import itertools
import random

import pytest
import torch

from mixgraph.estimators.baselines import MeanSettings, best_slots, slots_of
from mixgraph.estimators.coding import make_codes
from mixgraph.estimators.evaluation import Judge, format_scores, read_test_song, true_nodes
from mixgraph.estimators.examples import vocabulary_of
from mixgraph.estimators.module import EstimatorModule
from mixgraph.estimators.prediction import Prediction
from mixgraph.estimators.settings import EstimatorTask, NetworkSettings
from mixgraph.estimators.statistics import training_statistics, weight_logit
from mixgraph.graph import GraphValues
from mixgraph.processors import make_processors
from mixgraph.shards import read_shards

TASK = EstimatorTask(8000, 2.0, "esgd", "cgr")


@pytest.fixture(scope="module")
def means(examples) -> MeanSettings:
    module = EstimatorModule(TASK, NetworkSettings(width=16, num_layers=1))
    module.standardise(training_statistics(examples, TASK.types))
    return MeanSettings(module)


@pytest.fixture
def tests(shards):
    return [read_test_song(sample, 8000, "esgd", "cgr") for sample in read_shards(shards / "test")]


def truth_of(song) -> Prediction:
    """The truth as a prediction, with values on the full console."""
    graph, true = song.console.graph, song.true
    nodes = true_nodes(song)
    by_label = {true.graph.label(n): i for i, n in enumerate(true.graph.processors)}
    weights = torch.zeros(len(graph.processors))
    processors = make_processors(8000)
    parameters = {t: processors[t].sample_initial_values(count) for t, count in graph.count().items()}
    for place, node in enumerate(graph.processors):
        if node in nodes:
            i = by_label[graph.label(node)]
            other, t = true.graph.processors[i], graph.types[node]
            weights[place] = true.weights[i]
            for name, value in true.parameters[t].items():
                parameters[t][name][graph.rows[node]] = value[true.graph.rows[other]]
    sure = (weights > 0).float()
    return Prediction(song.console, sure, nodes, GraphValues(graph, parameters, weights))


def test_the_truth_scores_perfectly(tests, means) -> None:
    judge = Judge(make_processors(8000), 8000)
    methods = {"truth": truth_of, "nothing": lambda song: means.nothing(song.console)}
    truth, nothing = judge.score(tests, methods, ["truth"])
    assert truth.agreement.f1 == 1
    assert max(truth.losses.values()) < 0.01  # what 24 bits of the shards leave, in quiet bands
    assert nothing.agreement.f1 == 0
    assert min(nothing.losses.values()) > 0.1
    for song in tests:
        dry = song.tracks.sum(dim=0)
        assert torch.equal(judge.render(song, means.nothing(song.console).graph), dry)
    assert max(error.error for error in truth.errors) < 1e-4
    assert not nothing.errors
    assert "| truth | 1.000 | 1.000 | 1.000 |" in format_scores([truth, nothing])
    with pytest.raises(ValueError, match="songs: at least one is needed"):
        judge.score([], methods, [])


def test_means_are_of_kept_processors(examples) -> None:
    codes = make_codes(make_processors(8000))
    statistics = training_statistics(examples, TASK.types)
    gains, logits = [], []
    for data in examples:
        of_type = data.x[data.processor_index] == vocabulary_of(TASK.types)["gain_panning"]
        is_kept = data.keep[of_type] > 0
        gains.append(data.code_gain_panning[is_kept])
        logits.append(weight_logit(data.weight[of_type][is_kept]))
    gains = torch.cat(gains)
    assert gains.shape[1] == codes["gain_panning"].size
    assert torch.allclose(statistics.code_mean["gain_panning"], gains.mean(dim=0), atol=1e-5)
    assert torch.allclose(statistics.code_spread["gain_panning"], gains.std(dim=0, correction=0), atol=1e-4)
    assert statistics.weight_mean["gain_panning"] == pytest.approx(float(torch.cat(logits).mean()), abs=1e-5)
    # Of a type that was never kept, nothing is known.
    none = examples[0].clone()
    none.keep = torch.zeros_like(none.keep)
    unknown = training_statistics([none], TASK.types)
    assert unknown.code_mean["gain_panning"].tolist() == [0.0, 0.0]
    assert unknown.code_spread["gain_panning"].tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match="examples: at least one"):
        training_statistics([], TASK.types)


def test_baselines_keep_what_they_say(tests, means) -> None:
    for song in tests:
        console = song.console
        assert means.everything(console).keep == console.graph.processors
        assert means.nothing(console).keep == ()
        chosen = means.best_by_type(console)
        expected = [
            n for n, slot in zip(console.graph.processors, slots_of(console), strict=True) if slot in means.best
        ]
        assert list(chosen.keep) == expected
        assert means.at_random(console).keep == means.at_random(console).keep  # seeded
        shared = means.at_rates(console)
        assert shared.keep == console.graph.processors
        rates = [means._rate(*slot) for slot in slots_of(console)]
        assert 0 < min(rates) < max(rates) <= 1
        expected_weights = means.everything(console).graph.weights * torch.tensor(rates)
        assert torch.allclose(shared.graph.weights, expected_weights)
        values = means.values(console)
        mean = means.module.get_buffer("mean_gain_panning")
        assert torch.allclose(
            values.parameters["gain_panning"]["log_gain"],
            mean.expand(len(values.parameters["gain_panning"]["log_gain"]), -1),
        )


def test_the_best_slots_are_the_best_of_all_sets() -> None:
    luck = random.Random(0)
    for _ in range(20):
        slots = {}
        for slot in itertools.product("abc", (0, 1)):
            of = luck.randint(1, 20)
            slots[slot] = (luck.randint(0, of), of)
        num_true = sum(kept for kept, _ in slots.values())

        def f1(chosen, slots=slots, num_true=num_true) -> float:
            kept, num_chosen = sum(slots[s][0] for s in chosen), sum(slots[s][1] for s in chosen)
            return 2 * kept / max(1, num_true + num_chosen)

        best = max(f1(c) for size in range(7) for c in itertools.combinations(slots, size))
        assert f1(best_slots(slots)) == pytest.approx(best)
