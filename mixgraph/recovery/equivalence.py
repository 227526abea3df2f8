"""Comparison of a found graph with the true one, where graphs are equal that no one can tell apart by listening.

Four differences between graphs cannot be heard, and what a comparison without them counts as missed and as wrong is
partly right. `match_chains` counts with more and more of them taken out:

- `as placed`: a processor is found where its track or subgroup has its type, in the order of the signal.
- `order`: linear processors next to each other may stand in any order. (Left/right and mid/side processors commute
  exactly only where one of them treats both of its channels alike; they count as commuting.)
- `single tracks`: the chain of a subgroup of one track goes on where the track's ends. The two are one chain.
- `common gain`: a gain of the subgroup is the same as one on each of its tracks, and the other way round: dynamics
  between them are the same with thresholds that are moved by that gain.
- `doubles`: two gains, equalizers or imagers between the same nonlinear neighbours are one: their product.

The last one reduces both graphs before it counts, so that its numbers of processors are smaller.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mixgraph.graph.types import SEND, MixGraph
from mixgraph.processors import processor_type, registered
from mixgraph.processors.dynamics import DynamicRangeProcessor

AS_PLACED, ORDER, SINGLE_TRACKS, COMMON_GAIN, DOUBLES = (
    "as placed",
    "order",
    "single tracks",
    "common gain",
    "doubles",
)
EQUIVALENCES = (AS_PLACED, ORDER, SINGLE_TRACKS, COMMON_GAIN, DOUBLES)
_GAIN = "gain_panning"
_MERGING = (_GAIN, "equalizer", "stereo_imager")

ChainPlace = tuple[str, str, tuple[str, ...]]
"""Level (`track`, `subgroup`, ...), name, and branch of a chain."""
Groups = Mapping[str, Sequence[str]]
"""The tracks of each subgroup."""


@dataclass(frozen=True)
class PlacedProcessor:
    """A processor in a chain.

    Attributes:
        place: its chain.
        type: its type; of types that do the same job, the paper's.
        worth: the loss increase without it; None where it is not known.
        label: names it in reports.
    """

    place: ChainPlace
    type: str
    worth: float | None = None
    label: str = ""


@dataclass(frozen=True)
class Step:
    """The processors that are in both graphs, with one more equivalence than in the step before.

    Attributes:
        true, found: the processors of both graphs; fewer than those that were given only in the step `doubles`.
        recovered: indices of the true processors that were found.
        right: indices of the found processors that are true.
    """

    true: tuple[PlacedProcessor, ...]
    found: tuple[PlacedProcessor, ...]
    recovered: frozenset[int]
    right: frozenset[int]

    @property
    def precision(self) -> float | None:
        """The share of the found processors that are true, whatever these are worth; None if none was found."""
        return len(self.right) / len(self.found) if self.found else None

    def recall(self, least_worth: float = 0.0) -> float | None:
        """The share found of the true processors that are worth so much; None if there are none, or worths unknown."""
        worths = [one.worth for one in self.true]
        if least_worth > 0 and None in worths:
            return None
        wanted = [i for i, worth in enumerate(worths) if least_worth <= 0 or (worth or 0.0) >= least_worth]
        return len(self.recovered.intersection(wanted)) / len(wanted) if wanted else None

    def f1(self, least_worth: float = 0.0) -> float | None:
        """The harmonic mean of precision and that recall: 0 if nothing is found, None if there is nothing to find."""
        precision, recall = self.precision or 0.0, self.recall(least_worth)
        if recall is None:
            return None
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    def to_dict(self, least_worths: Iterable[float]) -> dict[str, Any]:
        """Numbers and shares for JSON: `recall` and `f1` by the least worth."""
        least = list(least_worths)
        return {
            "true": len(self.true),
            "found": len(self.found),
            "right": len(self.right),
            "recovered": len(self.recovered),
            "precision": self.precision,
            "recall": {f"{worth:g}": self.recall(worth) for worth in least},
            "f1": {f"{worth:g}": self.f1(worth) for worth in least},
            "missed": [_described(self.true[i]) for i in range(len(self.true)) if i not in self.recovered],
            "spurious": [_described(self.found[i]) for i in range(len(self.found)) if i not in self.right],
        }


def _described(processor: PlacedProcessor) -> dict[str, Any]:
    return {"label": processor.label or _label(processor), "worth": processor.worth}


def _label(processor: PlacedProcessor) -> str:
    level, name, branch = processor.place
    return f"{', '.join((f'{level} {name}', *branch))}: {processor.type}"


def placed_processors(graph: MixGraph, worths: Sequence[float | None] | None = None) -> list[PlacedProcessor]:
    """Lists the processors of a graph, each chain in the order of the signal.

    Args:
        graph: the graph of one song.
        worths: of each processor, in the graph's order: its loss increase, where it is known.
    """
    worth_of = dict(zip(graph.processors, worths or [None] * len(graph.processors), strict=True))
    placed = []
    for node in graph.topological_order:
        if node in worth_of:
            branch = graph.branch(node)
            if graph.types[node] == SEND:  # a track has one to each bus
                branch = (*branch, *(graph.names[bus] for bus in graph.successors[node]))
            place = graph.level(node), graph.names[node], branch
            placed.append(PlacedProcessor(place, kind(graph.types[node]), worth_of[node], graph.label(node)))
    return placed


def tracks_of_groups(graph: MixGraph) -> dict[str, tuple[str, ...]]:
    """Returns the tracks of each subgroup of a graph."""
    return {group: tuple(graph.names[graph.inputs[row]] for row in rows) for group, rows in graph.members.items()}


def kind(node_type: str) -> str:
    """Maps a type to the paper's type that does the same job; returns other types unchanged."""
    processor = registered().get(node_type)
    return (processor.paper_type if processor else "") or node_type


def match_chains(true: Sequence[PlacedProcessor], found: Sequence[PlacedProcessor], groups: Groups) -> dict[str, Step]:
    """Matches the processors of two graphs of one song, with one equivalence more in each step.

    Of equal ones, those that are worth more are matched first.

    Args:
        true: the processors that made the mix, each chain in the order of the signal.
        found: those that a search found.
        groups: the tracks of each subgroup.

    Returns:
        `EQUIVALENCES` -> what is in both graphs by this equivalence and those before; tracks before subgroups.
    """
    true, found = (sorted(side, key=lambda one: one.place[0] != "track") for side in (true, found))
    folded_true, folded_found = _folded(true, groups), _folded(found, groups)
    steps = {
        AS_PLACED: _match(true, found, commuting=False),
        ORDER: _match(true, found),
        SINGLE_TRACKS: _match(folded_true, folded_found),
    }
    steps[COMMON_GAIN] = _with_common_gains(steps[SINGLE_TRACKS], groups)
    reduced = _match(_without_doubles(folded_true), _without_doubles(folded_found))
    steps[DOUBLES] = _with_common_gains(reduced, groups)
    # Processors keep the places that they were given with, but for reduced ones.
    for name in (SINGLE_TRACKS, COMMON_GAIN):
        steps[name] = replace(steps[name], true=tuple(true), found=tuple(found))
    return steps


def _match(true: Sequence[PlacedProcessor], found: Sequence[PlacedProcessor], commuting: bool = True) -> Step:
    chains: defaultdict[ChainPlace, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for side, processors in enumerate((true, found)):
        for i, processor in enumerate(processors):
            chains[processor.place][side].append(i)
    pairs = [pair for ours, theirs in chains.values() for pair in _match_chain(true, found, ours, theirs, commuting)]
    return Step(tuple(true), tuple(found), frozenset(i for i, _ in pairs), frozenset(j for _, j in pairs))


_Pairs = tuple[tuple[int, int], ...]


def _match_chain(
    true: Sequence[PlacedProcessor],
    found: Sequence[PlacedProcessor],
    ours: list[int],
    theirs: list[int],
    commuting: bool,
) -> _Pairs:
    """Returns the most pairs of one type such that all that do not commute are in one order in both chains.

    Between one pair that does not commute and the next, linear processors are a set: the largest common one is taken.
    """

    def is_fixed(processor: PlacedProcessor) -> bool:
        return not (commuting and is_linear(processor.type))

    def value(pairs: _Pairs) -> tuple[int, float]:
        return len(pairs), sum((true[i].worth or 0.0) + 1e-6 * (found[j].worth or 0.0) for i, j in pairs)

    ends = len(ours), len(theirs)
    fixed = [
        (a, b)
        for a, i in enumerate(ours)
        for b, j in enumerate(theirs)
        if true[i].type == found[j].type and is_fixed(true[i]) and is_fixed(found[j])
    ]
    best: dict[tuple[int, int], _Pairs] = {(-1, -1): ()}
    for a, b in [*sorted(fixed), ends]:
        options = []
        for (before_a, before_b), pairs in best.items():
            if before_a < a and before_b < b:
                loose_true = [i for i in ours[before_a + 1 : a] if not is_fixed(true[i])]
                loose_found = [j for j in theirs[before_b + 1 : b] if not is_fixed(found[j])]
                options.append((*pairs, *_common(true, found, loose_true, loose_found)))
        chosen = max(options, key=value)
        best[a, b] = chosen if (a, b) == ends else (*chosen, (ours[a], theirs[b]))
    return best[ends]


def _common(
    true: Sequence[PlacedProcessor], found: Sequence[PlacedProcessor], ours: Sequence[int], theirs: Sequence[int]
) -> _Pairs:
    """Pairs two sets of processors by type, the most valuable first."""
    pairs: list[tuple[int, int]] = []
    for node_type in dict.fromkeys(true[i].type for i in ours):
        left, right = (
            sorted((i for i in run if side[i].type == node_type), key=lambda i, side=side: -(side[i].worth or 0.0))  # type: ignore[misc]
            for run, side in ((ours, true), (theirs, found))
        )
        pairs += zip(left, right, strict=False)
    return tuple(pairs)


def is_linear(node_type: str) -> bool:
    """Whether processors of a type commute with their linear neighbours; one that splits or cuts a chain does not."""
    processor = processor_type(node_type)
    return processor.linear and processor.outlets == 1 and not processor.cuts


def _follows_gain(node_type: str) -> bool:
    """Whether a gain before a processor is the same as one behind it, with other settings of the processor."""
    return is_linear(node_type) or issubclass(processor_type(node_type), DynamicRangeProcessor)


def _folded(processors: Sequence[PlacedProcessor], groups: Groups) -> list[PlacedProcessor]:
    """Puts what stands in a subgroup of one track behind the chain of that track; in the order that was given."""
    track_of = {group: tracks[0] for group, tracks in groups.items() if len(tracks) == 1}

    def moved(processor: PlacedProcessor) -> PlacedProcessor:
        level, name, branch = processor.place
        if level != "subgroup" or name not in track_of or branch:
            return processor
        return replace(processor, place=("track", track_of[name], ()))

    return [moved(processor) for processor in processors]


def _without_doubles(processors: Sequence[PlacedProcessor]) -> list[PlacedProcessor]:
    """Leaves one of several gains, equalizers or imagers that linear processors alone stand between."""
    kept: list[PlacedProcessor] = []
    first: dict[tuple[ChainPlace, str], int] = {}
    for processor in processors:
        key = processor.place, processor.type
        if not is_linear(processor.type):
            first = {other: i for other, i in first.items() if other[0] != processor.place}
        if key in first:
            earlier = kept[first[key]]
            known = [worth for worth in (earlier.worth, processor.worth) if worth is not None]
            kept[first[key]] = replace(earlier, worth=max(known, default=None))
            continue
        if processor.type in _MERGING:
            first[key] = len(kept)
        kept.append(processor)
    return kept


def _with_common_gains(step: Step, groups: Groups) -> Step:
    """Adds what is the same when a gain that all tracks of a subgroup share is put on the subgroup, or taken from it.

    - A true gain of the subgroup is recovered by gains on all of its tracks, all of which are then right.
    - A found gain of the subgroup is right where all tracks have true ones, one of which was missed: it stands for it.
    """
    recovered, right = set(step.recovered), set(step.right)
    for group, tracks in groups.items():
        if len(tracks) < 2:
            continue
        true, found = _GroupGains.of(step.true, group, tracks), _GroupGains.of(step.found, group, tracks)
        missed = [i for i in true.on_group if i not in recovered]
        if missed and found.on_all_tracks and found.can_move:
            recovered.add(max(missed, key=lambda i: step.true[i].worth or 0.0))
            right.update(gains[0] for gains in found.on_tracks.values())
        spurious = [i for i in found.on_group if i not in right]
        lacking = [gains[0] for gains in true.on_tracks.values() if gains and gains[0] not in recovered]
        if spurious and lacking and true.on_all_tracks and true.can_move:
            recovered.add(max(lacking, key=lambda i: step.true[i].worth or 0.0))
            right.add(spurious[0])
    return replace(step, recovered=frozenset(recovered), right=frozenset(right))


@dataclass(frozen=True)
class _GroupGains:
    """The gains of a subgroup and of its tracks, and whether all that stands between them lets a gain be moved."""

    on_group: tuple[int, ...]
    on_tracks: dict[str, tuple[int, ...]]
    can_move: bool

    @property
    def on_all_tracks(self) -> bool:
        return all(self.on_tracks.values())

    @staticmethod
    def of(processors: Sequence[PlacedProcessor], group: str, tracks: Sequence[str]) -> _GroupGains:
        def chain(level: str, name: str) -> list[int]:
            return [i for i, one in enumerate(processors) if one.place == (level, name, ())]

        def gains(chain: Iterable[int]) -> tuple[int, ...]:
            return tuple(i for i in chain if processors[i].type == _GAIN)

        chains = {track: chain("track", track) for track in tracks}
        on_group = chain("subgroup", group)
        between = (i for members in (*chains.values(), on_group) for i in members)
        return _GroupGains(
            gains(on_group),
            {track: gains(members) for track, members in chains.items()},
            all(_follows_gain(processors[i].type) for i in between),
        )
