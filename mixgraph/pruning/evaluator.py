"""Whole-song losses of pruned variants of one graph, with everything cached that a candidate does not touch.

A graph is cut into segments: runs of nodes in which each has one predecessor and one successor. A console's segments
are its chains. A candidate renders the segments that hold it and those downstream; the outputs of all others are kept.
Outputs are summed anew each time, never subtracted from. A segment is always rendered alone, in blocks of a size that
depends on the song only, so that verdicts do not depend on what is cached.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mixgraph.graph.types import INPUT, OUTPUT, MixGraph
from mixgraph.losses.whole_song import SongTarget
from mixgraph.processors.base import Processors
from mixgraph.pruning.trials import TrialLoss
from mixgraph.render.execute import execute
from mixgraph.render.plan import lookahead, make_plan
from mixgraph.render.values import GraphParameters, StreamState

BLOCK = 1 << 18
_RESPONSE_CACHE_BYTES = 1 << 29


@dataclass(frozen=True)
class _Signal:
    """Audio from sample `start` on: (2, samples)."""

    start: int
    audio: Tensor

    def window(self, first: int, last: int) -> Tensor:
        return F.pad(self.audio, (self.start - first, last - self.start - self.audio.shape[-1]))


@dataclass(frozen=True)
class Segment:
    """A serial run of processors behind a head: an input, a mix, a sum, or a branch.

    Attributes:
        nodes: of the graph, in order; the first may be an input, mix or output.
        sources: segments that feed it (none for an input).
    """

    nodes: tuple[int, ...]
    sources: tuple[int, ...]


def segments(graph: MixGraph) -> tuple[Segment, ...]:
    """Cuts a graph into segments, in topological order."""
    owner: dict[int, int] = {}
    runs: list[list[int]] = []
    for node in graph.topological_order:
        preds = graph.predecessors[node]
        joins = len(preds) == 1 and len(graph.successors[preds[0]]) == 1 and graph.types[node] != OUTPUT
        if joins:
            owner[node] = owner[preds[0]]
            runs[owner[node]].append(node)
        else:
            owner[node] = len(runs)
            runs.append([node])
    return tuple(Segment(tuple(run), tuple(owner[p] for p in graph.predecessors[run[0]])) for run in runs)


class SongEvaluator:
    """Evaluates removals of processors from the graph of one song; see the module's text.

    Args:
        graph: of one song.
        processors: one module a type.
        parameters: type -> name -> (nodes of the type, *shape).
        weights: dry/wet weights, (processors,).
        sources: (inputs, 2, L).
        target: of the song.
        block: samples a block of rendering.
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
    ) -> None:
        if graph.num_songs != 1:
            raise ValueError(f"graph: one song is needed, got {graph.num_songs}; see graph.unbatch")
        self.graph, self.processors, self.target = graph, processors, target
        self.sources = sources
        self.weight_of = dict(zip(graph.processors, weights.detach(), strict=True))
        self.parameters: Mapping[str, Mapping[str, Tensor]] = {
            t: {name: value.detach() for name, value in values.items()} for t, values in parameters.items()
        }
        self.length = sources.shape[-1]
        self.span = self.length + lookahead(graph, processors)
        self.block = -(-self.span // -(-self.span // block))
        self.segments = segments(graph)
        self.removed: frozenset[int] = frozenset()
        self._responses: dict[tuple[int, int], Tensor] = {}
        self._outputs: dict[int, _Signal] = {}
        self._loss: float | None = None

    @torch.no_grad()
    def evaluate(self, removed: Collection[int], bound: float | None = None) -> TrialLoss:
        """The match loss of the song without the given processors (indices), on top of those accepted before."""
        gone = self.removed | {self.graph.processors[i] for i in removed}
        if gone == self.removed and self._loss is not None:
            return TrialLoss(self._loss)
        mix = self._mix(self._render(gone))
        loss, stopped = self.target.bounded_loss(mix, bound)
        if gone == self.removed:
            self._loss = loss
        return TrialLoss(loss, stopped)

    @torch.no_grad()
    def accept(self, removed: Collection[int]) -> None:
        """Removes processors for all evaluations that follow."""
        gone = self.removed | {self.graph.processors[i] for i in removed}
        self._outputs = self._render(gone)
        self.removed, self._loss = gone, None

    @torch.no_grad()
    def mix(self) -> Tensor:
        """The mix of the song without what was removed, (2, L)."""
        return self._mix(self._render(self.removed))

    def _mix(self, outputs: Mapping[int, _Signal]) -> Tensor:
        return outputs[len(self.segments) - 1].window(0, self.length)

    def _render(self, gone: frozenset[int]) -> dict[int, _Signal]:
        """The outputs of all segments; those that neither changed nor follow a change come from the cache."""
        changed = gone ^ self.removed
        outputs: dict[int, _Signal] = {}
        stale: set[int] = set()
        for index, segment in enumerate(self.segments):
            touched = not changed.isdisjoint(segment.nodes) or not stale.isdisjoint(segment.sources)
            if not touched and index in self._outputs:
                outputs[index] = self._outputs[index]
                continue
            if touched:
                stale.add(index)
            outputs[index] = self._render_segment(segment, gone, outputs)
            if not touched and not changed:
                self._outputs[index] = outputs[index]
        return outputs

    def _render_segment(self, segment: Segment, gone: frozenset[int], outputs: Mapping[int, _Signal]) -> _Signal:
        head = segment.nodes[0]
        if self.graph.types[head] == INPUT:
            audio = self.sources[self.graph.rows[head]].to(next(iter(self.weight_of.values()), self.sources))
            signal = _Signal(0, F.pad(audio, (0, self.span - self.length)))
        else:
            entering = [outputs[source] for source in segment.sources]
            start, stop = min(s.start for s in entering), max(s.start + s.audio.shape[-1] for s in entering)
            total = entering[0].window(start, stop)
            for other in entering[1:]:
                total = total + other.window(start, stop)
            signal = _Signal(start, total)
        chain = tuple(i for i in segment.nodes if i in self.weight_of and i not in gone)
        return self._render_chain(chain, signal) if chain else signal

    def _render_chain(self, chain: tuple[int, ...], signal: _Signal) -> _Signal:
        count = len(chain)
        types = (INPUT, *(self.graph.types[i] for i in chain), OUTPUT)
        graph = MixGraph(types, tuple((i, i + 1) for i in range(count + 1)), ("",) * (count + 2), ("",))
        parameters: dict[str, dict[str, Tensor]] = {}
        for node in chain:
            row = self.graph.rows[node]
            for name, value in self.parameters[self.graph.types[node]].items():
                own = parameters.setdefault(self.graph.types[node], {})
                own[name] = torch.cat((own[name], value[row : row + 1])) if name in own else value[row : row + 1]
        weights = torch.stack([self.weight_of[node] for node in chain])
        block = min(self.block, signal.audio.shape[-1])
        plan = make_plan(graph, self.processors, block, "one_by_one")
        state = StreamState()
        keys = {
            index: (chain[step.nodes[0] - 1], step.region.n_fft if step.region else 0)
            for index, step in enumerate(plan.steps[1:-1], start=1)
        }
        state.responses = {index: self._responses[key] for index, key in keys.items() if key in self._responses}
        pieces = []
        for start in range(0, signal.audio.shape[-1], block):
            piece = signal.audio[:, start : start + block]
            piece = F.pad(piece, (0, block - piece.shape[-1])).unsqueeze(0)
            pieces.append(execute(plan, self.processors, piece, parameters, weights, state)[0][0])
        self._remember({keys[index]: response for index, response in state.responses.items()})
        audio = torch.cat(pieces, dim=-1)[:, : signal.audio.shape[-1]]
        return _Signal(signal.start - plan.lookahead, audio)

    def _remember(self, responses: Mapping[tuple[int, int], Tensor]) -> None:
        self._responses.update(responses)
        size = sum(r.numel() * r.element_size() for r in self._responses.values())
        while size > _RESPONSE_CACHE_BYTES:  # the oldest go first; a response that is made again is the same
            oldest = self._responses.pop(next(iter(self._responses)))
            size -= oldest.numel() * oldest.element_size()
