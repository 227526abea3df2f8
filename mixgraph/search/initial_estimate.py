"""Starts a console from what the estimator says of a song: settings and dry/wet weights of its processors."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from mixgraph.estimators import EstimatorModule, Prediction, estimate_song
from mixgraph.graph import MixGraph, song_nodes
from mixgraph.processors import Processor, Processors
from mixgraph.recovery.agreement import ChainKey, chain_keys
from mixgraph.search.trained_graph import TrainedGraph
from mixgraph.songs.song import Song

LEAST_WEIGHT, MOST_WEIGHT = 0.1, 0.9
"""Dry/wet weights start between these, so that their logits can still move either way."""


@torch.no_grad()
def init_from_estimate(
    console: TrainedGraph, song: Song, processors: Processors, estimator: EstimatorModule, changed: Collection[str]
) -> str:
    """Sets the processors of a song to what an estimator says of them; returns in words what it could not say.

    A processor takes the settings that the estimator expects of it if it is kept, and a dry/wet weight that is the
    expected one times the probability that it is kept. Settings that are heard in the mix (`init_from_mix`) stay, and
    so does every processor that the estimator does not know. Where the estimator knows a subgroup of one track and the
    console has no chain for it, each processor of the track takes the likelier one of both.

    Args:
        console: the graph whose values are replaced.
        song: one of the graph's songs.
        processors: one module for each type.
        estimator: a trained estimator.
        changed: the types whose options differ from those that the estimator was trained with.

    Returns:
        An empty text, or sentences that name what starts as without the estimator, and why.
    """
    if reasons := list(_unlike_training(estimator, song)):
        return (
            f"{song.name}: {' and '.join(reasons)}: the search starts without the estimate, as with "
            "model.initial_values=heard."
        )
    prediction = estimate_song(estimator, song)
    expected = _expected(prediction)
    graph = console.part(song).graph
    nodes, weights = song_nodes(console.graph, console.song_number(song)), console.weights
    order = {node: i for i, node in enumerate(console.graph.processors)}
    unknown: dict[str, str] = {}
    keys = chain_keys(graph)
    for key, node in keys.items():
        places = [place for place in _places(key, graph, keys) if place in expected]
        if key.type in changed:
            unknown[key.type] = "has other options"
        elif not places:
            unknown.setdefault(key.type, "some stand where it knows none")
            if all(other.type != key.type for other in expected):
                unknown[key.type] = "is none of its types"
        else:
            place = max(places, key=lambda place: float(prediction.probability[expected[place][1]]))
            predicted, index = expected[place]
            row = console.graph.rows[nodes[node]]
            _set(console.values[key.type], row, processors[key.type], prediction, predicted)
            weight = prediction.values.weights[index] * prediction.probability[index]
            weights[order[nodes[node]]] = weight.clamp(LEAST_WEIGHT, MOST_WEIGHT)
    console.dry_wet_logits.copy_(torch.logit(weights, eps=1e-6))
    if not unknown:
        return ""
    named = ", ".join(f"{name} ({why})" for name, why in unknown.items())
    return f"{song.name}: the estimator does not know all of its processors; these start as without it: {named}."


def trained_on(estimator: EstimatorModule, name: str) -> bool:
    """Whether an estimator says that it was trained on tracks of a song, by the name of its folder."""
    return name in estimator.about.get("songs", ())


def _unlike_training(estimator: EstimatorModule, song: Song) -> Iterator[str]:
    rate, tracks, most = estimator.task.sample_rate, len(song.tracks), estimator.about.get("max_tracks")
    if song.sample_rate != rate:
        yield f"the estimator was trained at {rate} Hz, the search is at {song.sample_rate} Hz"
    if tracks == 1:
        yield "it has one track, and the estimator was trained on songs of two or more"
    if most is not None and tracks > most:
        yield f"it has {tracks} tracks, and the estimator was trained on songs of at most {most}"


def _expected(prediction: Prediction) -> dict[ChainKey, tuple[int, int]]:
    """Key of each predicted processor -> its node, and its place among the processors."""
    graph = prediction.values.graph
    order = {node: i for i, node in enumerate(graph.processors)}
    return {key: (node, order[node]) for key, node in chain_keys(graph).items()}


def _places(key: ChainKey, graph: MixGraph, keys: Collection[ChainKey]) -> Iterator[ChainKey]:
    """The processor itself, and that of its subgroup where the track is alone in it and the console lacks that one."""
    yield key
    if key.level != "track":
        return
    owner = {graph.names[node]: group for node, group in zip(graph.inputs, graph.subgroups, strict=True)}
    group = owner[key.name]
    alone = list(owner.values()).count(group) == 1
    if alone and all((other.level, other.name) != ("subgroup", group) for other in keys):
        yield replace(key, level="subgroup", name=group)


def _set(values: nn.Module, row: int, processor: Processor, prediction: Prediction, node: int) -> None:
    """Copies the predicted settings of a processor, but for those of types that hear theirs in the mix."""
    if type(processor).initial_values_from_mix is not Processor.initial_values_from_mix:
        return
    assert isinstance(values, nn.ParameterDict)
    graph = prediction.values.graph
    predicted: dict[str, Tensor] = dict(prediction.values.parameters[graph.types[node]])
    for name, value in values.items():
        value[row] = predicted[name][graph.rows[node]].to(value)
