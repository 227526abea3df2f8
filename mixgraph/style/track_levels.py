"""The level of every track in a mix, and graphs in which it stays within bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mixgraph.graph import MixGraph, prune_values
from mixgraph.graph.edit import without_inputs
from mixgraph.graph.values import GraphValues
from mixgraph.names import visible
from mixgraph.processors import Processors
from mixgraph.render import BLOCK, render_song
from mixgraph.songs.loudness import integrated_loudness

GAIN = "gain_panning"
_DB = math.log(10) / 20
_TRIES = 4
_LEAST = 0.1  # dB outside that are let be


@dataclass(frozen=True)
class TrackLevels:
    """The loudness of a mix, and of each track in it, alone, in LUFS; minus infinity where nothing sounds."""

    mix: float
    tracks: tuple[float, ...]

    @property
    def relative(self) -> tuple[float, ...]:
        """The level of each track against the mix, in LU."""
        return tuple(track - self.mix if math.isfinite(track) else -math.inf for track in self.tracks)


@torch.no_grad()
def track_levels(
    values: GraphValues,
    processors: Processors,
    sources: Tensor,
    sample_rate: int,
    known: Mapping[int, float] | None = None,
    block: int = BLOCK,
) -> TrackLevels:
    """Measures the loudness of the mix that a graph makes, and of each track in it.

    A track is heard alone, through its chain and those behind it. Takes about as long as rendering the graph twice for
    every track.

    Args:
        values: the graph of one song.
        processors: one module for each type.
        sources: dry tracks, (inputs, 2, L).
        sample_rate: in Hz.
        known: row of a track -> its loudness, where it need not be measured.
        block: length of a block of rendering, in samples.

    Raises:
        ValueError: fewer than 0.4 s.
    """
    mix = integrated_loudness(_rendered(values, processors, sources, block), sample_rate)
    tracks = []
    for row in range(len(values.graph.inputs)):
        if known is not None and row in known:
            tracks.append(known[row])
        elif not bool(sources[row].any()):
            tracks.append(-math.inf)
        else:
            alone = _rendered(track_alone(values, row), processors, sources[row : row + 1], block)
            tracks.append(integrated_loudness(alone, sample_rate))
    return TrackLevels(mix, tuple(tracks))


def track_alone(values: GraphValues, row: int) -> GraphValues:
    """Returns the part of a song's graph that one track goes through, with its values.

    Args:
        values: the graph of one song.
        row: the track's rank among the inputs.
    """
    whole = values.graph
    graph, nodes = without_inputs(whole, set(range(len(whole.inputs))) - {row})
    place = {node: i for i, node in enumerate(whole.processors)}
    rows = {t: [whole.rows[i] for i in nodes if whole.types[i] == t] for t in graph.count()}
    parameters = {t: {name: value[rows[t]] for name, value in values.parameters[t].items()} for t in rows}
    return GraphValues(graph, parameters, values.weights[[place[i] for i in nodes if i in place]])


def _rendered(values: GraphValues, processors: Processors, sources: Tensor, block: int) -> Tensor:
    return render_song(values.graph, processors, sources, values.parameters, values.weights, block)[0]


# Bounds.


@dataclass(frozen=True, eq=False)
class HeldLevels:
    """A graph whose tracks stay within bounds.

    Attributes:
        values: the graph.
        changes_db: the change of each track's level against the mix, in LU; 0 for tracks that are silent in the song.
        notes: what was done for it, in words; none where nothing had to be done.
    """

    values: GraphValues
    changes_db: tuple[float, ...]
    notes: tuple[str, ...]


class LevelsNotHeld(ValueError):
    """Tracks whose levels cannot be brought into their bounds; the message names them."""


@torch.no_grad()
def hold_levels(
    values: GraphValues,
    processors: Processors,
    sources: Tensor,
    sample_rate: int,
    before: Sequence[float],
    bounds_db: tuple[float, float],
) -> HeldLevels:
    """Moves tracks whose level in the mix has left its bounds back to them, so that none is silenced.

    A track's gain is changed, or one is put at its start where there is none. Where that does not suffice, because a
    gate or a filter takes the track away, the dynamics of its chains are removed, and at last all of its own chain.

    Args:
        values: the graph of one song.
        processors: one module for each type.
        sources: dry tracks, (inputs, 2, L).
        sample_rate: in Hz.
        before: the levels against the mix from which changes are counted; tracks at minus infinity are left.
        bounds_db: the largest change down (below 0) and up.

    Raises:
        LevelsNotHeld: a track stays outside. With bounds of less than about a dB this is possible: the level of a mix
            against its tracks also depends on how alike they sound.
    """
    low, high = bounds_db
    names = [values.graph.names[node] for node in values.graph.inputs]
    notes: dict[str, str] = {}
    levels = track_levels(values, processors, sources, sample_rate)
    for removed in ("", "dynamics", "chain"):
        for attempt in range(_TRIES):
            changes = _changes(levels, before)
            outside = [row for row, change in enumerate(changes) if not low - _LEAST < change < high + _LEAST]
            if not outside:
                bounds = f"so that its level moves by {low:g} to {high:+g} dB at most"
                sentences = (f"{name}: {what}, {bounds}" for name, what in notes.items())
                return HeldLevels(values, changes, tuple(sentences))
            for row in outside:
                if removed and attempt == 0:
                    values, shared = _without(values, processors, row, removed)
                    others = f", with the {removed} of {', '.join(shared)}" if shared else ""
                    notes[names[row]] = f"its {removed} had to be removed{others}"
                elif math.isfinite(changes[row]):
                    values = change_level(values, row, min(max(changes[row], low), high) - changes[row])
                    notes.setdefault(names[row], "its gain was held")
            # Dynamics of a bus are those of other tracks, too.
            kept = () if removed and attempt == 0 else set(range(len(names))) - set(outside)
            known = {row: levels.tracks[row] for row in kept}
            levels = track_levels(values, processors, sources, sample_rate, known)
    raise LevelsNotHeld(
        f"the levels of {', '.join(names[row] for row in outside)} could not be kept within {low:g} and {high:+g} dB"
    )


def _changes(levels: TrackLevels, before: Sequence[float]) -> tuple[float, ...]:
    pairs = zip(levels.relative, before, strict=True)
    return tuple(now - then if math.isfinite(then) else 0.0 for now, then in pairs)


def _without(values: GraphValues, processors: Processors, row: int, what: str) -> tuple[GraphValues, tuple[str, ...]]:
    """Removes the dynamics of all chains that a track goes through, or all processors of its own chain.

    Returns the graph, and the chains that processors were removed from which other tracks go through, too.
    """
    graph = values.graph
    if what == "dynamics":
        gone = {i for i in graph.processors if row in graph.sources[i] and not processors[graph.types[i]].linear}
    else:
        gone = {i for i in graph.processors if graph.sources[i] == (row,)}
    buses = [i for i in sorted(gone) if len(graph.sources[i]) > 1]
    shared = dict.fromkeys(f"{graph.level(i)} {visible(graph.names[i])}".rstrip() for i in buses)
    return prune_values(values, [i for i in graph.processors if i not in gone]), tuple(shared)


def track_gains(graph: MixGraph) -> dict[int, int]:
    """Row of each track that has a gain in its own chain, outside of branches -> the node of the last one."""
    order = {node: place for place, node in enumerate(graph.topological_order)}
    gains: dict[int, int] = {}
    for node in sorted(graph.nodes_of(GAIN), key=order.__getitem__):
        if len(graph.sources[node]) == 1 and graph.level(node) == "track" and not graph.branch(node):
            gains[graph.sources[node][0]] = node
    return gains


def blended_gains(log_gain: Tensor, weight: Tensor) -> Tensor:
    """The gain of both channels of a gain with its dry/wet weight, (..., 2)."""
    return 1 - weight.unsqueeze(-1) * (1 - log_gain.exp())


def change_level(values: GraphValues, row: int, change_db: float) -> GraphValues:
    """Returns a graph in which the gain of one track differs by some dB, at its gain, or else at one before its chain.

    Args:
        values: the graph of one song.
        row: the track's rank among the inputs.
        change_db: the change of both channels.
    """
    node = track_gains(values.graph).get(row)
    if node is None:
        values, node = _with_gain(values, row)
    graph = values.graph
    place, gain = graph.processors.index(node), graph.rows[node]
    log_gains, weights = values.parameters[GAIN]["log_gain"].clone(), values.weights.clone()
    wanted = blended_gains(log_gains[gain], weights[place]) * math.exp(_DB * change_db)
    weight = max(float(weights[place]), 1 - 0.5 * float(wanted.min()))  # so that the wet gain stays above 0
    weights[place] = weight
    log_gains[gain] = ((wanted - (1 - weight)) / weight).clamp(min=1e-3).log()
    parameters = {**values.parameters, GAIN: {**values.parameters[GAIN], "log_gain": log_gains}}
    return GraphValues(graph, parameters, weights)


def _with_gain(values: GraphValues, row: int) -> tuple[GraphValues, int]:
    """Puts a gain of 0 dB behind an input; returns the graph, and the gain's node."""
    graph = values.graph
    source = graph.inputs[row]
    node = source + 1
    number = [old if old <= source else old + 1 for old in range(len(graph))]
    edges, ports = [(source, node)], [(0, 0)]
    for (start, end), port in zip(graph.edges, graph.ports, strict=True):
        behind = start == source and port[1] == 0  # keys listen to the track as before
        edges.append((node if behind else number[start], number[end]))
        ports.append(port)

    def inserted(items: tuple[str, ...], item: str) -> tuple[str, ...]:
        return (*items[:node], item, *items[node:])

    changed = MixGraph(
        types=inserted(graph.types, GAIN),
        edges=tuple(edges),
        names=inserted(graph.names, graph.names[source]),
        subgroups=graph.subgroups,
        ports=tuple(ports),
    )
    first, place = changed.rows[node], changed.processors.index(node)
    old = values.parameters.get(GAIN, {"log_gain": values.weights.new_zeros(0, 2)})["log_gain"]
    log_gains = torch.cat((old[:first], old.new_zeros(1, 2), old[first:]))
    weights = torch.cat((values.weights[:place], values.weights.new_full((1,), 0.5), values.weights[place:]))
    return GraphValues(changed, {**values.parameters, GAIN: {"log_gain": log_gains}}, weights), node
