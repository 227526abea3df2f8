"""Mixing consoles: the full graphs that a search starts from (paper section 2.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mixgraph.graph.types import INPUT, MIX, OUTPUT, SEND, MixGraph
from mixgraph.processors import processor_type, types_from_letters

MASTER = "mix"
"""The name of the sum of all subgroups."""


def build_console(
    subgroups: Mapping[str, Sequence[str]],
    track_chain: str = "ecnsgdr",
    subgroup_chain: str = "ecnsgdr",
    name: str = "",
    master_chain: str = "",
    returns: Mapping[str, str] | None = None,
) -> MixGraph:
    """Builds the console of a song: each track through a chain, summed by subgroup, each sum through a chain.

    With a master chain, the subgroups are summed once more, and their sum goes through it. A return is a bus to which
    every track sends some of what comes out of its chain; it is summed with the subgroups.

    Args:
        subgroups: subgroup name -> names of its tracks; the order of both is the order of sources.
        track_chain: processor letters of every track, in order; `""` sums the dry tracks.
        subgroup_chain: processor letters of every subgroup, in order.
        name: of the song.
        master_chain: processor letters of the sum of the subgroups; `""` leaves the sum to the output.
        returns: name of each return bus -> processor letters of its chain.

    Returns:
        The graph, in node order: inputs, track chains, per subgroup its mix node and chain, per return its sends, mix
        node and chain, the master's mix node and chain (where there is one), then the output.

    Raises:
        ValueError: no tracks, an empty subgroup, a track in two subgroups, a return named like a subgroup or without
            a chain, an unknown processor letter, or one that would cut a chain.
    """
    _check_subgroups(subgroups)
    tracks = [track for members in subgroups.values() for track in members]
    track_types, subgroup_types, master_types = map(_chain, (track_chain, subgroup_chain, master_chain))
    for bus, chain in (returns or {}).items():
        if bus in subgroups or not chain:
            raise ValueError(f"returns: {bus!r}: a name that no subgroup has, and letters of a chain, got {chain!r}")
    types, names, edges = [INPUT] * len(tracks), list(tracks), []

    def extend(node: int, chain: Sequence[str], name: str) -> int:
        for node_type in chain:
            types.append(node_type)
            names.append(name)
            edges.append((node, len(types) - 1))
            node = len(types) - 1
        return node

    track_ends = {track: extend(i, track_types, track) for i, track in enumerate(tracks)}

    def gather(node_type: str, ends: Sequence[int], name: str) -> int:
        types.append(node_type)
        names.append(name)
        edges.extend((end, len(types) - 1) for end in ends)
        return len(types) - 1

    ends = [
        extend(gather(MIX, [track_ends[track] for track in members], group), subgroup_types, group)
        for group, members in subgroups.items()
    ]
    for bus, chain in (returns or {}).items():
        sends = [extend(end, (SEND,), track) for track, end in track_ends.items()]
        ends.append(extend(gather(MIX, sends, bus), _chain(chain), bus))
    if master_types:
        ends = [extend(gather(MIX, ends, MASTER), master_types, MASTER)]
    gather(OUTPUT, ends, name)
    owner = {track: group for group, members in subgroups.items() for track in members}
    return MixGraph(tuple(types), tuple(edges), tuple(names), tuple(owner[t] for t in tracks))


def _check_subgroups(subgroups: Mapping[str, Sequence[str]]) -> None:
    tracks = [track for members in subgroups.values() for track in members]
    if not tracks:
        raise ValueError("subgroups: a console needs at least one track, got none")
    for track in tracks:
        if tracks.count(track) > 1:
            owners = [group for group, members in subgroups.items() if track in members]
            raise ValueError(f"subgroups: track {track!r} must be in exactly one subgroup, got {owners}")
    for group, members in subgroups.items():
        if not members:
            raise ValueError(f"subgroups: {group!r} has no tracks")


def _chain(letters: str) -> tuple[str, ...]:
    types = types_from_letters(letters)
    for node_type, letter in zip(types, letters, strict=True):
        if processor_type(node_type).cuts:
            raise ValueError(
                f"chain {letters!r}: {letter} ({node_type}) would cut it when it is removed; returns have sends"
            )
    return types
