"""Rendering of whole songs in blocks, equal to rendering at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import torch
from torch import Tensor

from mixgraph.graph.types import MixGraph
from mixgraph.processors.collection import Processors
from mixgraph.render.execute import execute
from mixgraph.render.plan import lookahead, make_plan
from mixgraph.render.values import GraphParameters, StreamState, check_arguments, fit_length

BLOCK = 1 << 17
"""Samples of a block: found by trying, for 8 to 128 tracks."""

LEAST_BLOCK = 512
"""Samples of a block that commands take at least. Shorter ones give the same mix, but each transforms whole impulse
responses, of up to two seconds, for its few samples: with blocks of one sample a song takes days."""


def check_block(block: int) -> None:
    """Refuses blocks of rendering that are so short that a song would take hours."""
    if block < LEAST_BLOCK:
        raise ValueError(
            f"block: at least {LEAST_BLOCK} samples, got {block}; any size gives the same mix, and every block "
            f"transforms whole impulse responses, so that shorter ones take hours. HINT: the default, {BLOCK}"
        )


ReadSources = Callable[[int, int], Tensor]


def render_blocks(
    graph: MixGraph,
    processors: Processors,
    read: ReadSources,
    parameters: GraphParameters,
    weights: Tensor,
    length: int,
    block: int = BLOCK,
    mono: Collection[int] = (),
    first: int = 0,
) -> Iterator[Tensor]:
    """Yields the mix of a song, piece by piece, with its true history.

    Args:
        graph: what to render.
        processors: one module a type.
        read: (start, stop) -> sources, (inputs, 2, at most stop - start); what is missing at the end is zero.
        parameters: type -> name -> (nodes of the type, *shape).
        weights: (processors,).
        length: L, of the song in samples.
        block: samples a block; the result does not depend on it but for rounding.
        mono: rows of the sources that are the same on both channels.
        first: where in the songs the sources begin, in samples.

    Yields:
        (songs, 2, samples); the pieces have L samples together.
    """
    plan = make_plan(graph, processors, min(block, length + lookahead(graph, processors)), mono=mono)
    state = StreamState()
    position = -plan.lookahead  # of the mix; the song starts at 0
    for start in range(0, length + plan.lookahead, plan.block):
        sources = fit_length(read(start, min(start + plan.block, length)), plan.block)
        check_arguments(plan, sources, parameters, weights)
        starts = torch.full((graph.num_songs,), first + start, device=weights.device)
        mix, _ = execute(plan, processors, sources, parameters, weights, state, starts=starts)
        piece = mix[..., max(0, -position) : max(0, min(plan.block, length - position))]
        position += plan.block
        if piece.shape[-1]:
            yield piece


def render_song(
    graph: MixGraph,
    processors: Processors,
    sources: Tensor,
    parameters: GraphParameters,
    weights: Tensor,
    block: int = BLOCK,
    mono: Collection[int] = (),
    first: int = 0,
) -> Tensor:
    """Renders sources (inputs, 2, L), on any device, in blocks to (songs, 2, L) on the device of the weights."""

    def read(start: int, stop: int) -> Tensor:
        return sources[..., start:stop].to(weights.device, weights.dtype)

    length, done = sources.shape[-1], 0
    mix = weights.new_empty(graph.num_songs, 2, length)
    for piece in render_blocks(graph, processors, read, parameters, weights, length, block, mono, first):
        mix[..., done : done + piece.shape[-1]] = piece
        done += piece.shape[-1]
    return mix
