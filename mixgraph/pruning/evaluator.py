"""Computes whole-song losses of pruned variants of one graph, and caches everything that a candidate does not change.

A graph is cut into segments: runs of nodes in which each has one predecessor and one successor. A console's segments
are its chains, cut in two after the dynamics, so that a candidate after the cut does not change them. A candidate
renders the segments that hold it and those downstream, as far into the song as its loss is read; the outputs of all
others are kept, as far as memory allows, and so are the candidate's own until the next trial. Outputs are summed anew
each time, never subtracted from. A segment is always rendered alone, in blocks of a size that no trial changes, so that
verdicts do not depend on what is cached.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mixgraph.graph.edit import split_outlets
from mixgraph.graph.types import INPUT, MIX, OUTPUT, MixGraph
from mixgraph.losses.whole_song import Reader, SongScore, SongTarget
from mixgraph.processors.collection import Processors, base_type
from mixgraph.pruning.streams import Chain, Rendered, Responses, Silence, Source, Stream
from mixgraph.pruning.trials import TrialLoss
from mixgraph.render.plan import lookahead
from mixgraph.render.values import GraphParameters

BLOCK = 1 << 18
CACHE_BYTES = 2 << 30
_RESPONSE_SHARE = 0.25  # of the memory


@dataclass(frozen=True)
class Segment:
    """A serial run of processors behind a head: an input, a mix, a sum, or a branch.

    Attributes:
        nodes: nodes of the graph, in order; the first may be an input, mix or output.
        sources: segments that feed the segment (none for an input).
        keys: segments that feed the key of the segment's first node.
    """

    nodes: tuple[int, ...]
    sources: tuple[int, ...]
    keys: tuple[int, ...] = ()


def segments(graph: MixGraph, processors: Processors) -> tuple[Segment, ...]:
    """Cuts a graph into segments, in topological order."""

    def nonlinear(node: int) -> bool:
        return graph.types[node] in processors and not processors[graph.types[node]].linear

    owner: dict[int, int] = {}
    runs: list[list[int]] = []
    for node in graph.topological_order:
        preds = graph.predecessors[node]
        serial = len(preds) == 1 and len(graph.successors[preds[0]]) == 1 and graph.types[node] not in (MIX, OUTPUT)
        serial = serial and not graph.keys[node]
        if serial and (nonlinear(node) or not nonlinear(preds[0])):
            owner[node] = owner[preds[0]]
            runs[owner[node]].append(node)
        else:
            owner[node] = len(runs)
            runs.append([node])
    return tuple(
        Segment(tuple(run), *(tuple(owner[p] for p in feeding[run[0]]) for feeding in (graph.predecessors, graph.keys)))
        for run in runs
    )


class SongEvaluator:
    """Evaluates removals of processors from the graph of one song; see the module's text.

    Args:
        graph: the graph of one song.
        processors: one module for each type.
        parameters: type -> name -> (nodes of the type, *shape).
        weights: dry/wet weights, (processors,).
        sources: the dry tracks, (inputs, 2, L).
        target: the target that the song's mix is compared with.
        block: length of a block of rendering, in samples.
        mono: rows of the sources whose channels are equal.
        cache_bytes: memory for kept outputs and responses, including those of the current trial; what does not fit is
            rendered again in every trial.
    """

    def __init__(
        self,
        graph: MixGraph,
        processors: Processors,
        parameters: GraphParameters,
        weights: Tensor,
        sources: Tensor,
        target: SongTarget,
        block: int = BLOCK,
        mono: Collection[int] = (),
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        if graph.num_songs != 1:
            raise ValueError(f"graph: one song is needed, got {graph.num_songs}; see graph.unbatch")
        self.whole, self.processors, self.target = graph, processors, target
        self.graph, self.whole_node = split_outlets(graph)
        graph = self.graph
        self.weights = weights.detach()
        row_of = {node: row for row, node in enumerate(self.whole.processors)}
        self.weight_row = {node: row_of[self.whole_node[node]] for node in graph.processors}
        self.parameters = {t: {name: value.detach() for name, value in v.items()} for t, v in parameters.items()}
        self.length = sources.shape[-1]
        self.span = span = self.length + lookahead(self.whole, processors)
        self.block = -(-span // -(-span // block))
        self.segments = segments(graph, processors)
        self.sources = {
            node: Source(sources[graph.rows[node]], graph.rows[node] in mono, span, self.weights)
            for node in graph.inputs
        }
        self.responses = Responses(int(_RESPONSE_SHARE * cache_bytes))
        self.kept, self.spare = self._fitting(cache_bytes - self.responses.max_bytes, span)
        self.removed: frozenset[int] = frozenset()
        self._streams: dict[int, Rendered] = {}
        self._tried: tuple[frozenset[int], dict[int, Rendered]] | None = None
        self._losses: dict[frozenset[int], float] = {}  # of all variants that were read to their end

    @torch.no_grad()
    def evaluate(
        self, removed: Collection[int], bound: float | None = None, ceilings: Sequence[float] | None = None
    ) -> TrialLoss:
        """Computes the song's match loss without the given processors (indices) and those accepted before.

        It stops as soon as the loss is above the bound, or a window's loss above its ceiling, if these are given.
        """
        without = self._removed_with(removed)
        if without in self._losses and ceilings is None:
            return TrialLoss(self._losses[without])
        self._tried = None  # frees the last trial's outputs before this trial makes its own
        streams = self._variant(without)
        loss, stopped = self.target.bounded_loss(self._reader(streams), bound, ceilings)
        if not stopped:
            self._losses[without] = loss
        self._tried = (without, streams)
        return TrialLoss(loss, stopped)

    @torch.no_grad()
    def accept(self, removed: Collection[int]) -> None:
        """Removes processors for all evaluations that follow."""
        without = self._removed_with(removed)
        streams = self._tried[1] if self._tried is not None and self._tried[0] == without else self._variant(without)
        self._streams = {index: stream for index, stream in streams.items() if stream.keep}
        self.removed, self._tried = without, None

    @torch.no_grad()
    def windows(self) -> list[float]:
        """Computes the loss of each window of the song without the removed processors."""
        return self.target.windows(self._reader(self._variant(self.removed)))

    @torch.no_grad()
    def score(self) -> SongScore:
        """Computes the song's loss without the removed processors, by part, window and denominator."""
        return self.target.score(self._reader(self._variant(self.removed)))

    @torch.no_grad()
    def mix(self) -> Tensor:
        """Renders the song without the removed processors, (2, L)."""
        return self._reader(self._variant(self.removed))(0, self.length)

    def count_rerendered(self, removed: Collection[int]) -> int:
        """The number of nodes that a removal renders again with a full cache; the cost of its trial depends on it."""
        changed = self._removed_with(removed) ^ self.removed
        stale: set[int] = set()
        for index, segment in enumerate(self.segments):
            if not changed.isdisjoint(segment.nodes) or not stale.isdisjoint(segment.sources + segment.keys):
                stale.add(index)
        return sum(len(self.segments[index].nodes) for index in stale)

    def _removed_with(self, removed: Collection[int]) -> frozenset[int]:
        rows = set(removed)
        return self.removed | {node for node, row in self.weight_row.items() if row in rows}

    def _fitting(self, num_bytes: int, span: int) -> tuple[frozenset[int], int]:
        """Chooses the segments whose outputs are kept, and how many of them a trial may hold twice, old and new.

        What every trial sums comes first, so from the output backwards. A trial of one candidate changes its segment
        and all that follow it.
        """
        samples = -(-span // self.block) * self.block
        room = num_bytes // (samples * 2 * self.weights.element_size())
        followers: dict[int, set[int]] = {index: set() for index in range(len(self.segments))}
        for index in reversed(range(len(self.segments))):
            for source in self.segments[index].sources + self.segments[index].keys:
                followers[source] |= {index} | followers[index]
        kept: set[int] = set()
        spare = 0
        for index in reversed(range(len(self.segments) - 1)):
            twice = max(spare, 1 + len(kept & followers[index]))
            if len(kept) + 1 + twice <= room:
                kept.add(index)
                spare = twice
        return frozenset(kept), spare

    def _variant(self, without: frozenset[int]) -> dict[int, Rendered]:
        """The streams of all segments; those that neither changed nor follow a change are the ones that are kept."""
        changed = without ^ self.removed
        streams: dict[int, Rendered] = {}
        stale: set[int] = set()
        spare = self.spare
        for index, segment in enumerate(self.segments):
            if not changed.isdisjoint(segment.nodes) or not stale.isdisjoint(segment.sources + segment.keys):
                stale.add(index)
            elif index in self._streams:
                streams[index] = self._streams[index]
                continue
            keep = index in self.kept and (index not in stale or spare > 0)
            streams[index] = self._stream(index, without, streams, keep)
            if keep and index not in stale:
                self._streams[index] = streams[index]
            spare -= keep and index in stale
        return streams

    def _stream(self, index: int, without: frozenset[int], streams: dict[int, Rendered], keep: bool) -> Rendered:
        segment = self.segments[index]
        head = segment.nodes[0]
        entering: list[Stream] = [streams[source] for source in segment.sources]
        if self.graph.types[head] == INPUT:
            entering = [self.sources[head]]
        if any(
            i in without and self.processors[self.graph.types[i]].cuts for i in segment.nodes if i in self.weight_row
        ):
            entering = [Silence(self.span)]
        nodes = tuple(i for i in segment.nodes if i in self.weight_row and i not in without)
        types = tuple(self.graph.types[i] for i in nodes)
        rows = [self.whole.rows[self.whole_node[i]] for i in nodes]
        values = tuple(
            {name: v[row : row + 1] for name, v in self.parameters[base_type(t)].items()}
            for row, t in zip(rows, types, strict=True)
        )
        chain = Chain(nodes, types, values, self.weights[[self.weight_row[i] for i in nodes]])
        keys = [streams[source] for source in segment.keys] if head in nodes else []
        return Rendered(entering, chain, self.processors, self.responses, self.block, keep, keys)

    def _reader(self, streams: dict[int, Rendered]) -> Reader:
        output = streams[len(self.segments) - 1]
        place = output.attach()

        def read(first: int, last: int) -> Tensor:
            mix = output.read(first, last)
            output.forget(place, last)
            if mix is None:
                return self.weights.new_zeros(2, last - first)
            return mix.expand(2, -1)

        return read
