"""The mixing graph as a frozen value."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

from mixgraph.names import visible
from mixgraph.processors.registry import registered

INPUT, MIX, OUTPUT = "input", "mix", "output"
AUXILIARY = (INPUT, MIX, OUTPUT)
SEND = "send"
"""The processor on the way to a return bus."""
PLAIN = (0, 0)
"""The port of an edge from the only outlet of a node to the input of another."""


@dataclass(frozen=True)
class MixGraph:
    """An audio processing graph: nodes with a type, edges that carry stereo audio, sums where edges meet.

    The input of a node is the sum of its predecessors' outputs (paper eq. 27). A node may have several outlets (a
    splitter) and a second inlet, its key, which it listens to (a sidechain): each edge has a port (paper eq. 28).
    Row `i` of a processor type's parameters belongs to the `i`-th node of that type in node order, source `k` to
    the `k`-th input. Several songs in one graph are disconnected components with different `songs` numbers.

    Attributes:
        types: the type of each node: `"input"`, `"mix"`, `"output"` or a processor's name.
        edges: `(source, destination)` pairs of node numbers.
        names: the name of each node: the track of an input, the subgroup of a mix node, the track or subgroup that a
            processor works on, the song of an output.
        subgroups: the subgroup of each input, in node order ("" where there is none).
        songs: the song number of each node; all zero for one song.
        ports: (outlet of the source, inlet of the destination) of each edge, from 0; all (0, 0) by default.
    """

    types: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    names: tuple[str, ...]
    subgroups: tuple[str, ...]
    songs: tuple[int, ...] = ()
    ports: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if not self.songs:
            object.__setattr__(self, "songs", (0,) * len(self.types))
        if not self.ports:
            object.__setattr__(self, "ports", (PLAIN,) * len(self.edges))
        validate(self)

    def __len__(self) -> int:
        return len(self.types)

    @cached_property
    def predecessors(self) -> tuple[tuple[int, ...], ...]:
        """The nodes that feed each node's input, in edge order; its key aside."""
        return self._feeding(0)

    @cached_property
    def keys(self) -> tuple[tuple[int, ...], ...]:
        """The nodes that feed each node's key, in edge order."""
        return self._feeding(1)

    def _feeding(self, inlet: int) -> tuple[tuple[int, ...], ...]:
        feeding: list[list[int]] = [[] for _ in self.types]
        for (source, destination), port in zip(self.edges, self.ports, strict=True):
            if port[1] == inlet:
                feeding[destination].append(source)
        return tuple(map(tuple, feeding))

    @cached_property
    def feeders(self) -> tuple[tuple[int, ...], ...]:
        """The nodes that each node waits for: those of its input and of its key."""
        if not self.has_ports:
            return self.predecessors
        return tuple(tuple(dict.fromkeys(p + k)) for p, k in zip(self.predecessors, self.keys, strict=True))

    @cached_property
    def has_ports(self) -> bool:
        """Whether any edge leaves a second outlet or leads to a key."""
        return any(port != PLAIN for port in self.ports)

    @cached_property
    def successors(self) -> tuple[tuple[int, ...], ...]:
        """The nodes that each node feeds, by input or key, in edge order."""
        feeding: list[list[int]] = [[] for _ in self.types]
        for source, destination in self.edges:
            feeding[source].append(destination)
        return tuple(map(tuple, feeding))

    @cached_property
    def inputs(self) -> tuple[int, ...]:
        return self.nodes_of(INPUT)

    @cached_property
    def sources(self) -> tuple[tuple[int, ...], ...]:
        """The rows of the sources (ranks among the inputs) that reach the input of each node."""
        reaching: list[set[int]] = [set() for _ in self.types]
        for node in self.topological_order:
            if self.types[node] == INPUT:
                reaching[node].add(self.rows[node])
            reaching[node].update(row for p in self.predecessors[node] for row in reaching[p])
        return tuple(tuple(sorted(rows)) for rows in reaching)

    @cached_property
    def members(self) -> dict[str, tuple[int, ...]]:
        """Returns, by subgroup of a song, the numbers of its tracks among the inputs (no buses, no master)."""
        rows: dict[str, tuple[int, ...]] = dict.fromkeys(map(self.names.__getitem__, self.nodes_of(MIX)), ())
        for row, group in enumerate(self.subgroups):
            rows[group] = (*rows.get(group, ()), row)
        return {name: tracks for name, tracks in rows.items() if tracks}

    @cached_property
    def outputs(self) -> tuple[int, ...]:
        return self.nodes_of(OUTPUT)

    @cached_property
    def processors(self) -> tuple[int, ...]:
        """The nodes that can be pruned; dry/wet weight `i` belongs to `processors[i]`."""
        return tuple(i for i, t in enumerate(self.types) if t not in AUXILIARY)

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """The row of each node in its type's parameters: its rank among the nodes of its type."""
        ranks: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)
        return tuple([next(ranks[node_type]) for node_type in self.types])

    @cached_property
    def topological_order(self) -> tuple[int, ...]:
        return tuple(_topological_order(len(self), self.edges))

    @property
    def num_songs(self) -> int:
        return max(self.songs) + 1

    def nodes_of(self, node_type: str) -> tuple[int, ...]:
        return tuple(i for i, t in enumerate(self.types) if t == node_type)

    def count(self) -> dict[str, int]:
        """The number of nodes of each processor type, in order of first appearance."""
        return {node_type: n for node_type, n in Counter(self.types).items() if node_type not in AUXILIARY}

    def chain_head(self, node: int) -> int:
        """The input or mix node upstream of `node` along its chain; the first node behind which several chains meet.

        A chain may part at a splitter and come together again.
        """
        return self._chains[0][node]

    def branch(self, node: int) -> tuple[str, ...]:
        """The outlets of splitters between the head of a node's chain and the node, where the chain is parted there."""
        outlet_labels = []
        for splitter, outlet in self._chains[1][node]:
            names = registered()[self.types[splitter]].outlet_names if self.types[splitter] in registered() else ()
            outlet_labels.append(names[outlet] if outlet < len(names) else f"outlet {outlet}")
        return tuple(outlet_labels)

    @cached_property
    def _chains(self) -> tuple[list[int], list[tuple[tuple[int, int], ...]]]:
        """For each node: the head of its chain, and the (splitter, outlet) pairs between them."""
        splitters = {source for (source, _), (outlet, _) in zip(self.edges, self.ports, strict=True) if outlet}
        arriving: list[list[tuple[int, int]]] = [[] for _ in self.types]
        for (source, destination), (outlet, inlet) in zip(self.edges, self.ports, strict=True):
            if inlet == 0:
                arriving[destination].append((source, outlet))
        heads = list(range(len(self)))
        branches: list[tuple[tuple[int, int], ...]] = [()] * len(self)
        for node in self.topological_order:
            before = {heads[p] for p, _ in arriving[node]}
            if self.types[node] not in (INPUT, MIX) and len(before) == 1:
                (heads[node],) = before
                paths = [branches[p] + (((p, outlet),) if p in splitters else ()) for p, outlet in arriving[node]]
                shared = takewhile(lambda steps: len(set(steps)) == 1, zip(*paths, strict=False))
                branches[node] = tuple(steps[0] for steps in shared)
        return heads, branches

    def level(self, node: int) -> str:
        """The kind of chain that a node is in: `"track"`, `"subgroup"`, `"return"` or `"master"`."""
        head = self.chain_head(node)
        if self.types[head] != MIX:
            return "track"
        if all(self.types[p] == SEND for p in self.predecessors[head]):
            return "return"
        fed_by_sums = any(self.types[self.chain_head(p)] == MIX for p in self.predecessors[head])
        return "master" if fed_by_sums else "subgroup"

    def label(self, node: int) -> str:
        """A readable name of a node for messages and traces, e.g. `track kick, side: equalizer`."""
        node_type, name = self.types[node], visible(self.names[node])
        if node_type == OUTPUT:
            return f"output {name}".rstrip()
        place = ", ".join((f"{self.level(node)} {name}", *self.branch(node)))
        if node_type == SEND:
            return f"{place}: send to {', '.join(visible(self.names[s]) for s in self.successors[node])}"
        return place if node_type in AUXILIARY else f"{place}: {node_type}"


def validate(graph: MixGraph) -> None:
    """Checks what the types cannot say; the types of processors are checked where a registry is at hand.

    Raises:
        ValueError: lengths that differ, an edge to a node that does not exist, a repeated edge, a cycle (with its
            path), an input with predecessors, a node that nothing feeds or that feeds nothing, an edge between
            songs, a port that cannot be, or a song without exactly one output. The message names the node.
    """
    size = len(graph.types)
    for field, count in (("names", len(graph.names)), ("songs", len(graph.songs))):
        if count != size:
            raise ValueError(f"{field}: one entry a node is needed ({size} nodes), got {count}")
    num_inputs = graph.types.count(INPUT)
    if len(graph.subgroups) != num_inputs:
        raise ValueError(f"subgroups: one entry an input is needed ({num_inputs} inputs), got {len(graph.subgroups)}")
    for source, destination in graph.edges:
        if not (0 <= source < size and 0 <= destination < size):
            raise ValueError(f"edge {source} -> {destination}: node numbers go from 0 to {size - 1}")
        if graph.songs[source] != graph.songs[destination]:
            raise ValueError(f"edge {source} -> {destination} connects two songs; songs must be disconnected")
    if len(graph.ports) != len(graph.edges):
        raise ValueError(f"ports: one an edge is needed ({len(graph.edges)} edges), got {len(graph.ports)}")
    for (source, destination), (outlet, inlet) in zip(graph.edges, graph.ports, strict=True) if graph.has_ports else ():
        plain = [i for i, port in ((source, outlet), (destination, inlet)) if port and graph.types[i] in AUXILIARY]
        if outlet < 0 or inlet not in (0, 1) or plain:
            allowed = "outlets count from 0, inlets are 0 and 1 (the key), and both are 0 at inputs, mixes and outputs"
            raise ValueError(f"edge {source} -> {destination}: port ({outlet}, {inlet}): {allowed}")
    cables = list(zip(graph.edges, graph.ports, strict=True)) if graph.has_ports else graph.edges
    if len(set(cables)) != len(cables):
        repeated = next(edge for i, edge in enumerate(graph.edges) if cables[i] in cables[:i])
        raise ValueError(f"edge {repeated[0]} -> {repeated[1]} is given twice")
    if not _is_plainly_sound(graph):
        _check_flow(graph)
    for song in range(graph.num_songs):
        count = sum(t == OUTPUT and s == song for t, s in zip(graph.types, graph.songs, strict=True))
        if count != 1:
            raise ValueError(f"song {song}: exactly one output is needed, got {count}")


def _is_plainly_sound(graph: MixGraph) -> bool:
    """Whether all edges lead to later nodes and fit the types of both ends, so that there is no cycle or loose end.

    Consoles are such graphs, and data sets have many; what is not one is looked at closely.
    """
    fed, feeding = {destination for _, destination in graph.edges}, {source for source, _ in graph.edges}
    return (
        not graph.has_ports
        and all(source < destination for source, destination in graph.edges)
        and fed == {i for i, t in enumerate(graph.types) if t != INPUT}
        and feeding == {i for i, t in enumerate(graph.types) if t != OUTPUT}
    )


def _check_flow(graph: MixGraph) -> None:
    _topological_order(len(graph), graph.edges)
    for i, node_type in enumerate(graph.types):
        problem = ""
        if node_type == INPUT and graph.feeders[i]:
            problem = f": an input has no predecessors, got {list(graph.feeders[i])}"
        elif node_type != INPUT and not graph.predecessors[i]:
            problem = " is dangling: nothing feeds it"
        elif node_type == OUTPUT and graph.successors[i]:
            problem = f": an output has no successors, got {list(graph.successors[i])}"
        elif node_type != OUTPUT and not graph.successors[i]:
            problem = " is dangling: it feeds nothing"
        if problem:
            raise ValueError(f"node {i} ({node_type} {graph.names[i]!r}){problem}")


def _topological_order(size: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    predecessors: list[list[int]] = [[] for _ in range(size)]
    successors: list[list[int]] = [[] for _ in range(size)]
    for source, destination in edges:
        predecessors[destination].append(source)
        successors[source].append(destination)
    waiting = [len(p) for p in predecessors]
    ready = [i for i in range(size) if waiting[i] == 0]
    order: list[int] = []
    while ready:
        node = ready.pop(0)
        order.append(node)
        for successor in successors[node]:
            waiting[successor] -= 1
            if waiting[successor] == 0:
                ready.append(successor)
    if len(order) < size:
        path = [next(i for i in range(size) if waiting[i] > 0)]
        while path.count(path[-1]) < 2:  # every node that waits has a predecessor that waits
            path.append(next(p for p in predecessors[path[-1]] if waiting[p] > 0))
        cycle = path[path.index(path[-1]) :][::-1]
        raise ValueError("the graph has a cycle: " + " -> ".join(map(str, cycle)))
    return order
