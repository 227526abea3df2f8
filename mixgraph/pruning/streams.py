"""Signals of a song as streams, which are rendered block by block when they are read; silence is not rendered.

A stream is always rendered in the same blocks, from the same position on, so that its samples do not depend on the
order in which they are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from mixgraph.graph.types import INPUT, OUTPUT, MixGraph
from mixgraph.graph.values import GraphValues
from mixgraph.processors.collection import Processors
from mixgraph.render.execute import execute, skip
from mixgraph.render.plan import RenderPlan, make_plan
from mixgraph.render.values import GraphParameters, StreamState

_GRAIN = 4096  # samples; silence is looked for at this resolution
_GRAINS_AT_ONCE = 256


class Stream(Protocol):
    """A signal that is zero outside samples `start` to `stop`; `width` is 1 for mono."""

    start: int
    stop: int
    width: int

    def read(self, first: int, last: int) -> Tensor | None:
        """Reads samples [first, last) as (width, samples), or None if all of them are known to be zero."""
        ...

    def attach(self) -> int:
        """Registers a reader, which reads from the start on; returns its number."""
        ...

    def forget(self, reader: int, before: int) -> None:
        """Declares that a reader will not read samples before `before` again."""
        ...


class Source:
    """A dry track.

    Args:
        audio: (2, L), on any device.
        mono: whether both channels are equal.
        stop: the sample at which the song's rendering ends, at or after L.
        like: a tensor with the device and dtype to render in.
    """

    def __init__(self, audio: Tensor, mono: bool, stop: int, like: Tensor) -> None:
        self.audio, self.like = audio[:1] if mono else audio, like
        self.start, self.stop, self.width = 0, stop, self.audio.shape[0]
        self.sounding: list[bool] = []
        for part in self.audio.split(_GRAINS_AT_ONCE * _GRAIN, dim=-1):
            grains = F.pad(part, (0, -part.shape[-1] % _GRAIN)).unflatten(-1, (-1, _GRAIN))
            self.sounding += (grains != 0).any(dim=-1).any(dim=0).tolist()

    def read(self, first: int, last: int) -> Tensor | None:
        if not any(self.sounding[max(0, first) // _GRAIN : -(-max(0, last) // _GRAIN)]):
            return None
        length = self.audio.shape[-1]
        inside = self.audio[:, max(0, first) : max(0, min(last, length))].to(self.like)
        return F.pad(inside, (max(0, -first), last - max(first, 0) - inside.shape[-1]))

    def attach(self) -> int:
        return 0

    def forget(self, reader: int, before: int) -> None:
        pass


class Silence:
    """A stream of silence with the length of a song's rendering."""

    def __init__(self, stop: int) -> None:
        self.start, self.stop, self.width = 0, stop, 1

    def read(self, first: int, last: int) -> Tensor | None:
        return None

    def attach(self) -> int:
        return 0

    def forget(self, reader: int, before: int) -> None:
        pass


@dataclass(frozen=True)
class Chain:
    """A series of processors with their values.

    Attributes:
        nodes: the processors' keys in the cache of responses, e.g. node numbers.
        types: the type of each processor.
        parameters: the values of each processor: name -> (1, *shape).
        weights: dry/wet weights, (processors,).
    """

    nodes: tuple[int, ...]
    types: tuple[str, ...]
    parameters: tuple[Mapping[str, Tensor], ...]
    weights: Tensor

    def plan(self, processors: Processors, block: int, mono: Sequence[bool]) -> RenderPlan:
        """Plans the rendering from the input, or from it and the first processor's key; `mono` says which are mono."""
        inputs, count = len(mono), len(self.nodes)
        types = (*(INPUT,) * inputs, *self.types, OUTPUT)
        edges = [(0, inputs), *((i, inputs) for i in range(1, inputs))]
        edges += [(i, i + 1) for i in range(inputs, inputs + count)]
        ports = tuple((0, int(0 < source < inputs)) for source, _ in edges)
        graph = MixGraph(types, tuple(edges), ("",) * len(types), ("",) * inputs, ports=ports)
        return make_plan(graph, processors, block, "one_by_one", mono=[i for i, is_mono in enumerate(mono) if is_mono])

    def by_type(self) -> GraphParameters:
        by_type: dict[str, dict[str, Tensor]] = {}
        for node_type, values in zip(self.types, self.parameters, strict=True):
            of_type = by_type.setdefault(node_type, {})
            for name, value in values.items():
                of_type[name] = torch.cat((of_type[name], value)) if name in of_type else value
        return by_type


class Responses:
    """Caches spectra of impulse responses by node, FFT length and channels, the latest ones up to `max_bytes`.

    Args:
        max_bytes: the memory of all responses; computing a dropped response again gives the same values.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.spectra: dict[tuple[int, int, int], Tensor] = {}

    def get(self, keys: Mapping[int, tuple[int, int, int]]) -> dict[int, Tensor]:
        return {index: self.spectra[key] for index, key in keys.items() if key in self.spectra}

    def put(self, keys: Mapping[int, tuple[int, int, int]], responses: Mapping[int, Tensor]) -> None:
        self.spectra.update({keys[index]: response for index, response in responses.items()})
        size = sum(_bytes(r) for r in self.spectra.values())
        while size > self.max_bytes and self.spectra:
            size -= _bytes(self.spectra.pop(next(iter(self.spectra))))


class Rendered:
    """A stream: the sum of other streams, processed by a chain.

    Args:
        sources: the streams that are summed.
        chain: the processors that the sum goes through; an empty chain gives the sum itself.
        processors: one module for each type.
        responses: the cache of impulse responses.
        block: the length of a block in samples.
        keep: whether all rendered samples can be read again; otherwise those that all readers have passed are dropped.
        keys: the streams whose sum is the key of the chain's first processor.
    """

    def __init__(
        self,
        sources: Sequence[Stream],
        chain: Chain,
        processors: Processors,
        responses: Responses,
        block: int,
        keep: bool = True,
        keys: Sequence[Stream] = (),
    ) -> None:
        self.inlets = [tuple(sources)] + ([tuple(keys)] if keys else [])
        self.chain, self.processors, self.responses = chain, processors, responses
        self.keep = keep
        self.passed: list[int] = []
        self.places = [(stream, stream.attach()) for streams in self.inlets for stream in streams]
        start, stop = min(s.start for s, _ in self.places), max(s.stop for s, _ in self.places)
        self.block = min(block, stop - start)
        widths = [max(s.width for s in streams) for streams in self.inlets]
        plan = chain.plan(processors, self.block, [width == 1 for width in widths]) if chain.nodes else None
        self.plan: RenderPlan | None = plan
        self.input = start
        self.start, self.stop = (start - plan.lookahead, stop - plan.lookahead) if plan else (start, stop)
        self.width = plan.widths[-2] if plan else widths[0]
        self.memory = sum(processors[t].before + processors[t].after for t in chain.types if processors[t].linear)
        self.quiet = self.memory  # samples of silence that have been processed
        self.state = StreamState()
        self.pieces: list[Tensor | None] = []

    def read(self, first: int, last: int) -> Tensor | None:
        while self.start + len(self.pieces) * self.block < min(last, self.stop):
            self.pieces.append(self._next())
        signal: Tensor | None = None
        low, high = max(first, self.start), min(last, self.stop)
        for index in range((low - self.start) // self.block, -(-(high - self.start) // self.block)):
            piece = self.pieces[index]
            if piece is None:
                continue
            offset = self.start + index * self.block
            a, b = max(low, offset), min(high, offset + self.block)
            if (a, b) == (first, last):
                return piece[:, a - offset : b - offset]
            if signal is None:
                signal = piece.new_zeros(self.width, last - first)
            signal[:, a - first : b - first] = piece[:, a - offset : b - offset]
        return signal

    def attach(self) -> int:
        if self.keep:
            return 0
        self.passed.append(0)
        return len(self.passed) - 1

    def forget(self, reader: int, before: int) -> None:
        if self.keep:
            return
        self.passed[reader] = (before - self.start) // self.block
        for index in range(min(*self.passed, len(self.pieces))):
            self.pieces[index] = None

    @property
    def num_bytes(self) -> int:
        """The memory of the stream if all of it is rendered and nothing is silent."""
        return (self.stop - self.start) * self.width * 4

    def _next(self) -> Tensor | None:
        first = self.input + len(self.pieces) * self.block
        entering = [_sum(streams, first, first + self.block) for streams in self.inlets]
        for stream, place in self.places:
            stream.forget(place, first + self.block)
        if self.plan is None:
            return entering[0]
        parameters = self.chain.by_type()
        silent = all(signal is None for signal in entering)
        if silent and self.quiet >= self.memory:
            skip(self.plan, self.processors, parameters, self.state)
            return None
        self.quiet = self.quiet + self.block if silent else 0
        silence = self.chain.weights.new_zeros(1, self.block)
        stereo = torch.stack([(silence if signal is None else signal).expand(2, -1) for signal in entering])
        inputs = len(entering)
        steps = list(enumerate(self.plan.steps))[inputs:-1]
        keys = {
            i: (self.chain.nodes[s.nodes[0] - inputs], s.region.n_fft if s.region else 0, s.width) for i, s in steps
        }
        self.state.responses = self.responses.get(keys)
        starts = torch.tensor([first], device=stereo.device)
        values = GraphValues(self.plan.whole, parameters, self.chain.weights)
        mix, _ = execute(self.plan, values, self.processors, stereo, self.state, starts=starts)
        self.responses.put(keys, self.state.responses)
        self.state.responses = {}
        return mix[0, : self.width]


def _sum(sources: Sequence[Stream], first: int, last: int) -> Tensor | None:
    total: Tensor | None = None
    for source in sources:
        signal = source.read(first, last)
        if signal is not None:
            total = signal if total is None else total + signal
    return total


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
