"""A graph as the strips of a mixing desk: chains of effects, sums, sends and keys.

A strip is what a track of a DAW can do: sum what reaches it, pass it through a chain of effects, and hand the output
on, from the end of the chain alone. Any graph is made of such strips; sends to return buses become gains of sends, and
the outlets of splitters strips of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mixgraph.graph import INPUT, MIX, OUTPUT, MixGraph
from mixgraph.graph.edit import split_outlets
from mixgraph.graph.types import SEND

FADER = "fader"
OUT = -1
"""In place of a strip's number: the mix itself."""


@dataclass(frozen=True)
class Cable:
    """A connection from the end of a strip.

    Attributes:
        target: number of the strip that it leads to, or `OUT`.
        sends: nodes of the sends on the way, whose gains multiply.
        key: whether it leads to the key of the strip's compressor.
    """

    target: int
    sends: tuple[int, ...] = ()
    key: bool = False


@dataclass(frozen=True)
class Strip:
    """A strip of the desk.

    Attributes:
        head: the input or mix node that it begins with, or its first effect, which takes the sum of several strips.
        effects: nodes of its processors, in the signal's order.
        cables: where its output goes.
        folder: number of the strip that it stands in, as a track in a folder; `OUT` where it stands alone.
        main_send: whether its output is summed in the folder, or in the mix where it stands alone.
    """

    head: int
    effects: tuple[int, ...]
    cables: tuple[Cable, ...]
    folder: int
    main_send: bool

    @property
    def tail(self) -> int:
        """The node whose output the strip's is."""
        return (self.head, *self.effects)[-1]

    @property
    def sends(self) -> tuple[Cable, ...]:
        """The cables beside that to the folder or the mix."""
        if not self.main_send:
            return self.cables
        (main,) = [i for i, cable in enumerate(self.cables) if cable == Cable(self.folder)][:1]
        return self.cables[:main] + self.cables[main + 1 :]


@dataclass(frozen=True)
class Desk:
    """The strips of a graph.

    Attributes:
        graph: the graph, with a node for every outlet of its splitters.
        origin: the node of the original graph that each node is, or is an outlet of.
        strips: the strips, tracks first, so that each stands before those that it leads to.
    """

    graph: MixGraph
    origin: tuple[int, ...]
    strips: tuple[Strip, ...]


def find_strips(original: MixGraph) -> Desk:
    """Returns the strips of one song's graph."""
    graph, origin = split_outlets(original)
    cables = _contract_sends(graph)
    leaving: dict[int, list[tuple[int, tuple[int, ...], int]]] = {}
    arriving: dict[int, list[tuple[int, tuple[int, ...], int]]] = {}
    for source, destination, sends, inlet in cables:
        leaving.setdefault(source, []).append((destination, sends, inlet))
        arriving.setdefault(destination, []).append((source, sends, inlet))
    strip_of: dict[int, int] = {}
    chains: list[list[int]] = []
    kept = {source for source, *_ in cables} | {destination for _, destination, *_ in cables}
    for node in graph.topological_order:
        if graph.types[node] == OUTPUT or node not in kept:
            continue
        entering = [cable for cable in arriving.get(node, []) if cable[2] == 0]
        if len(entering) == 1 and graph.types[node] != MIX:
            source, sends, _ = entering[0]
            chain = chains[strip_of[source]]
            if not sends and len(leaving[source]) == 1 and _may_follow(graph, chain, node):
                chain.append(node)
                strip_of[node] = strip_of[source]
                continue
        strip_of[node] = len(chains)
        chains.append([node])
    strips: list[Strip] = []
    for chain in chains:
        outgoing = [
            Cable(OUT if graph.types[d] == OUTPUT else strip_of[d], sends, inlet == 1)
            for d, sends, inlet in leaving.get(chain[-1], [])
        ]
        effects = tuple(node for node in chain if graph.types[node] not in (INPUT, MIX))
        strips.append(_placed(chain[0], effects, tuple(outgoing)))
    return Desk(graph, origin, tuple(_stand_beside(strips, number) for number in range(len(strips))))


def _contract_sends(graph: MixGraph) -> list[tuple[int, int, tuple[int, ...], int]]:
    """Returns (source, destination, sends on the way, inlet) of all cables; sends are nodes no more.

    A send that leads to the mix itself stays a node.
    """
    contracted = {
        node for node in graph.nodes_of(SEND) if not any(graph.types[s] == OUTPUT for s in graph.successors[node])
    }
    arriving: dict[int, list[tuple[int, tuple[int, ...], int]]] = {}
    for (source, destination), (_, inlet) in zip(graph.edges, graph.ports, strict=True):
        arriving.setdefault(destination, []).append((source, (), inlet))
    cables: dict[int, list[tuple[int, tuple[int, ...], int]]] = {}
    for node in graph.topological_order:
        reaching: list[tuple[int, tuple[int, ...], int]] = []
        for source, _, inlet in arriving.get(node, []):
            if source in contracted:
                reaching += [(before, (*sends, source), inlet) for before, sends, _ in cables[source]]
            else:
                reaching.append((source, (), inlet))
        cables[node] = reaching
    return [
        (source, node, sends, inlet)
        for node, reaching in cables.items()
        if node not in contracted
        for source, sends, inlet in reaching
    ]


def _may_follow(graph: MixGraph, chain: Sequence[int], node: int) -> bool:
    """Whether a node may be in the same strip: one key a strip, and a fader is a strip's last."""
    has_key = bool(graph.keys[node]) and any(graph.keys[other] for other in chain)
    return not has_key and graph.types[chain[-1]] != FADER


def _placed(head: int, effects: tuple[int, ...], cables: tuple[Cable, ...]) -> Strip:
    plain = [cable.target for cable in cables if not cable.sends and not cable.key]
    if OUT in plain:
        return Strip(head, effects, cables, OUT, True)
    if len(plain) == 1:
        return Strip(head, effects, cables, plain[0], True)
    return Strip(head, effects, cables, OUT, False)


def _stand_beside(strips: Sequence[Strip], number: int) -> Strip:
    """Puts a strip whose output parts into the folder in which the first of its parts stands."""
    strip = strips[number]
    if strip.main_send or not strip.cables:
        return strip
    first = strips[strip.cables[0].target]
    return Strip(strip.head, strip.effects, strip.cables, first.folder if first.main_send else OUT, False)
