"""Mixing consoles: the full graphs that a search starts from (paper section 2.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Literal, get_args

from mixgraph.graph.chains import Link, read_chain
from mixgraph.graph.types import INPUT, MIX, OUTPUT, SEND, MixGraph

MASTER = "mix"
"""The name of the sum of all subgroups."""
SIDECHAIN = "sidechain_compressor"
SingleTrackSubgroups = Literal["chain", "bare"]
"""What a subgroup of one track has: a chain as any other, or none beside that of its track."""


def build_console(
    subgroups: Mapping[str, Sequence[str]],
    track_chain: str = "ecnsgdr",
    subgroup_chain: str = "ecnsgdr",
    name: str = "",
    master_chain: str = "",
    returns: Mapping[str, str] | None = None,
    sidechains: Mapping[str, str] | None = None,
    single_track_subgroups: SingleTrackSubgroups = "chain",
) -> MixGraph:
    """Builds the console of a song: each track through a chain, summed by subgroup, each sum through a chain.

    With a master chain, the subgroups are summed once more, and their sum goes through it. A return is a bus to which
    every track sends some of its chain's output; it is summed with the subgroups.

    A chain is a sequence of letters. Behind a splitter stand the chains of its outlets, whose outputs are summed:
    `"et(c,sg)r"` is an equalizer, then a compressor on the mid and an imager and a gain on the side, then a reverb for
    both; `"b(c,b(c,c))"` is a compressor of three bands.

    Args:
        subgroups: subgroup name -> names of its tracks; the order of both is the order of sources.
        track_chain: chain of every track; `""` sums the dry tracks.
        subgroup_chain: chain of every subgroup.
        name: name of the song.
        master_chain: chain of the sum of the subgroups; `""` leaves the sum to the output.
        returns: name of each return bus -> its chain.
        sidechains: name of a track or subgroup -> name of another one: the chain of the first ends with a sidechain
            compressor, whose key is the output of the other's chain. A name of both a track and a subgroup means
            the subgroup.
        single_track_subgroups: `"bare"` builds no chain for a subgroup of one track, which nothing can tell from the
            track's; `"chain"` builds one as for any other.

    Returns:
        The graph, in node order: inputs, track chains, per subgroup its mix node and chain, per return its sends, mix
        node and chain, the master's mix node and chain (where there is one), then the output. The edges to keys come
        last.

    Raises:
        ValueError: no tracks, an empty subgroup, a track in two subgroups, a return named like a subgroup or without
            a chain, a chain that cannot be read, or a sidechain whose track, subgroup or key does not exist or whose
            key waits for it.
    """
    _check_subgroups(subgroups)
    if single_track_subgroups not in get_args(SingleTrackSubgroups):
        raise ValueError(f"single_track_subgroups: chain or bare, got {single_track_subgroups!r}")
    tracks = [track for members in subgroups.values() for track in members]
    chains = {letters: read_chain(letters) for letters in (track_chain, subgroup_chain, master_chain, "")}
    for bus, letters in (returns or {}).items():
        if bus in subgroups or not letters:
            raise ValueError(f"returns: {bus!r}: a name that no subgroup has, and letters of a chain, got {letters!r}")
        chains[letters] = read_chain(letters)
    desk = _Desk([INPUT] * len(tracks), list(tracks))
    keyed = _check_sidechains(sidechains or {}, subgroups)
    listening: dict[tuple[str, str], int] = {}

    def strip(heads: Ends, letters: str, name: str, level: str) -> Ends:
        ends = desk.extend(heads, chains[letters], name)
        if (level, name) in keyed:
            ends = desk.extend(ends, (Link(SIDECHAIN),), name)
            listening[level, name] = ends[0][0]
        return ends

    track_ends = {track: strip([(i, 0)], track_chain, track, "track") for i, track in enumerate(tracks)}
    group_ends = {
        group: strip(
            desk.gather(MIX, [track_ends[track] for track in members], group),
            "" if single_track_subgroups == "bare" and len(members) == 1 else subgroup_chain,
            group,
            "subgroup",
        )
        for group, members in subgroups.items()
    }
    ends = list(group_ends.values())
    for bus, letters in (returns or {}).items():
        sends = [desk.extend(end, (Link(SEND),), track) for track, end in track_ends.items()]
        ends.append(desk.extend(desk.gather(MIX, sends, bus), chains[letters], bus))
    if master_chain:
        ends = [desk.extend(desk.gather(MIX, ends, MASTER), chains[master_chain], MASTER)]
    desk.gather(OUTPUT, ends, name)
    for listener, (level, other) in keyed.items():
        for end, outlet in group_ends[other] if level == "subgroup" else track_ends[other]:
            desk.connect(end, outlet, listening[listener], inlet=1)
    owner = {track: group for group, members in subgroups.items() for track in members}
    return MixGraph(
        types=tuple(desk.types),
        edges=tuple(desk.edges),
        names=tuple(desk.names),
        subgroups=tuple(owner[track] for track in tracks),
        ports=tuple(desk.ports),
    )


Ends = list[tuple[int, int]]
"""Nodes and their outlets, where a chain ends: several where it parted."""


class _Desk:
    """A graph under construction."""

    def __init__(self, types: list[str], names: list[str]) -> None:
        self.types, self.names = types, names
        self.edges: list[tuple[int, int]] = []
        self.ports: list[tuple[int, int]] = []

    def connect(self, source: int, outlet: int, destination: int, inlet: int = 0) -> None:
        self.edges.append((source, destination))
        self.ports.append((outlet, inlet))

    def gather(self, node_type: str, ends: Sequence[Ends], name: str) -> Ends:
        """Adds a node that sums the outputs of some chains."""
        self.types.append(node_type)
        self.names.append(name)
        for node, outlet in (end for parts in ends for end in parts):
            self.connect(node, outlet, len(self.types) - 1)
        return [(len(self.types) - 1, 0)]

    def extend(self, ends: Ends, chain: Sequence[Link], name: str) -> Ends:
        """Adds a chain of processors behind the outputs of others."""
        for link in chain:
            ends = self.gather(link.type, [ends], name)
            if link.branches:
                node = ends[0][0]
                parts = [self.extend([(node, outlet)], branch, name) for outlet, branch in enumerate(link.branches)]
                ends = [end for part in parts for end in part]
        return ends


def _check_sidechains(
    sidechains: Mapping[str, str], subgroups: Mapping[str, Sequence[str]]
) -> dict[tuple[str, str], tuple[str, str]]:
    """Returns (level, name) of each track or subgroup with a sidechain -> that of its key."""
    level = {track: "track" for members in subgroups.values() for track in members}
    level |= dict.fromkeys(subgroups, "subgroup")
    for name in (name for pair in sidechains.items() for name in pair):
        if name not in level:
            raise ValueError(f"sidechains: {name!r} is no track or subgroup; there are {', '.join(level)}")
    keyed = {(level[listener], listener): (level[other], other) for listener, other in sidechains.items()}
    waiting = TopologicalSorter({listener: [other] for listener, other in keyed.items()})
    for group, members in subgroups.items():
        waiting.add(("subgroup", group), *(("track", track) for track in members))
    try:
        waiting.prepare()
    except CycleError as error:
        path = " -> ".join(" ".join(place) for place in reversed(error.args[1]))
        raise ValueError(f"sidechains: {path}: none can wait for what is made of it") from error
    return keyed


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
