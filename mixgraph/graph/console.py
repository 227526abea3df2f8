"""Mixing consoles: the full graphs that a search starts from (paper section 2.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mixgraph.graph.types import INPUT, MIX, OUTPUT, MixGraph
from mixgraph.processors import types_from_letters


def build_console(
    subgroups: Mapping[str, Sequence[str]],
    track_chain: str = "ecnsgdr",
    subgroup_chain: str = "ecnsgdr",
    name: str = "",
) -> MixGraph:
    """Builds the console of a song: each track through a chain, summed by subgroup, each sum through a chain.

    Args:
        subgroups: subgroup name -> names of its tracks; the order of both is the order of sources.
        track_chain: processor letters of every track, in order; `""` sums the dry tracks.
        subgroup_chain: processor letters of every subgroup, in order.
        name: of the song.

    Returns:
        The graph, in node order: inputs, track chains, and per subgroup its mix node and chain, then the output.

    Raises:
        ValueError: no tracks, an empty subgroup, a track in two subgroups, or an unknown processor letter.
    """
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

    track_types, subgroup_types = types_from_letters(track_chain), types_from_letters(subgroup_chain)
    types, names, edges = [INPUT] * len(tracks), list(tracks), []

    def extend(node: int, chain: Sequence[str], name: str) -> int:
        for node_type in chain:
            types.append(node_type)
            names.append(name)
            edges.append((node, len(types) - 1))
            node = len(types) - 1
        return node

    track_ends = {track: extend(i, track_types, track) for i, track in enumerate(tracks)}
    subgroup_ends = []
    for group, members in subgroups.items():
        types.append(MIX)
        names.append(group)
        mix = len(types) - 1
        edges += [(track_ends[track], mix) for track in members]
        subgroup_ends.append(extend(mix, subgroup_types, group))
    types.append(OUTPUT)
    names.append(name)
    edges += [(end, len(types) - 1) for end in subgroup_ends]
    owner = {track: group for group, members in subgroups.items() for track in members}
    return MixGraph(tuple(types), tuple(edges), tuple(names), tuple(owner[t] for t in tracks))
