"""Consoles that start from what the estimator says of a song."""

import pytest
import torch

from datamodules import SongData
from mixgraph.graph import build_console
from mixgraph.search import search
from mixgraph.search.module import ConsoleModule

RATE = 30000
OPTIONS = {"equalizer": {"window": "periodic"}}


def started(path, chain="ecd", rate=RATE, **options):
    module = ConsoleModule(chain, chain, sample_rate=rate, **options)
    data = SongData(str(path), sample_rate=rate, steps_per_stage=1, scored_seconds=1.0, cache_dir=None)
    search(module, data, [], 0, "cpu", enable_progress_bar=False)
    return module, data.song


def values_of(module):
    return {f"{t}.{n}": v.detach() for t, values in module.parameters_by_type().items() for n, v in values.items()}


def test_other_estimators_are_named_for_estimates_alone_and_must_be_there(tiny_song) -> None:
    with pytest.raises(
        ValueError, match=r"estimated_checkpoint: acts with initial_values=estimated alone, got a\.ckpt"
    ):
        ConsoleModule(estimated_checkpoint="a.ckpt")
    with pytest.raises(FileNotFoundError, match=r"estimated_checkpoint: .* got gone\.ckpt, which is not there"):
        started(tiny_song, "g", 8000, initial_values="estimated", estimated_checkpoint="gone.ckpt")


def test_a_subgroup_of_one_track_may_be_bare() -> None:
    subgroups = {"drums": ["kick", "hat"], "lead": ["lead"]}
    graph = build_console(subgroups, "eg", "c", single_track_subgroups="bare", sidechains={"lead": "drums"})
    places = [(graph.types[node], graph.level(node), graph.names[node]) for node in graph.processors]
    of_subgroups = [("compressor", "subgroup", "drums"), ("sidechain_compressor", "subgroup", "lead")]
    assert [place for place in places if place[1] == "subgroup"] == of_subgroups
    assert graph.members == build_console(subgroups, "eg", "c").members
    with pytest.raises(ValueError, match=r"single_track_subgroups: chain or bare, got 'none'"):
        build_console(subgroups, single_track_subgroups="none")


@pytest.mark.long
def test_a_console_starts_as_the_estimator_says(tiny_song, caplog) -> None:
    from mixgraph.estimators import estimate_song, load_estimator
    from mixgraph.search.initial_estimate import LEAST_WEIGHT, MOST_WEIGHT

    (heard, song), (module, _) = started(tiny_song), started(tiny_song, initial_values="estimated")
    says = estimate_song(load_estimator(), song)
    labels = {says.console.graph.label(node): i for i, node in enumerate(says.console.graph.processors)}
    expected = says.values.weights * says.probability
    for i, node in enumerate(module.graph.processors):
        at = labels[module.graph.label(node)]
        assert float(module.weights[i].detach()) == pytest.approx(
            float(expected[at].clamp(LEAST_WEIGHT, MOST_WEIGHT)), abs=1e-5
        )
    graph, types = says.values.graph, module.graph.count()
    for kind in types:
        for node in module.graph.nodes_of(kind):
            (other,) = [n for n in graph.processors if graph.label(n) == module.graph.label(node)]
            for name, values in module.values[kind].items():
                source = heard.values[kind][name][module.graph.rows[node]]
                if kind != "delay":  # which hears its echoes in the mix
                    source = says.values.parameters[kind][name][graph.rows[other]]
                torch.testing.assert_close(values[module.graph.rows[node]].detach(), source.detach())
    # Where each of two chains could have a processor of the only track, the likelier one counts.
    bare, _ = started(tiny_song, initial_values="estimated", single_track_subgroups="bare")
    of_lead = [i for i, node in enumerate(bare.graph.processors) if bare.graph.names[node] == "lead"]
    assert len(of_lead) == 3
    for i in of_lead:
        kind = bare.graph.types[bare.graph.processors[i]]
        pair = [k for k, n in enumerate(graph.processors) if (graph.types[n], graph.names[n]) == (kind, "lead")]
        assert len(pair) == 2
        best = max(pair, key=lambda k: float(says.probability[k]))
        assert float(bare.weights[i].detach()) == pytest.approx(float(expected[best].clamp(0.1, 0.9)), abs=1e-5)
    # What it does not know starts as without it, and that is told.
    with caplog.at_level("INFO"):
        low, _ = started(tiny_song, rate=8000, initial_values="estimated")
        other, _ = started(tiny_song, "ep", initial_values="estimated", processors=OPTIONS)
    assert "tiny: the estimator was trained at 30000 Hz, the search is at 8000 Hz: the search starts" in caplog.text
    assert "start as without it: equalizer (has other options), parametric_equalizer (is none of its types)." in (
        caplog.text
    )
    without, _ = started(tiny_song, rate=8000)
    drawn, _ = started(tiny_song, "ep", processors=OPTIONS)
    for ours, theirs in ((low, without), (other, drawn)):
        torch.testing.assert_close(ours.weights, theirs.weights)
        torch.testing.assert_close(values_of(ours), values_of(theirs))
