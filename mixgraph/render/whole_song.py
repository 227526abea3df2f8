"""Rendering of whole songs and clips: at once, or in blocks, which gives the same mix."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import torch
from torch import Tensor

from mixgraph.graph.types import MixGraph
from mixgraph.graph.values import GraphValues
from mixgraph.processors.collection import Processors
from mixgraph.render.execute import execute
from mixgraph.render.plan import RenderPlan, lookahead, make_plan
from mixgraph.render.products import StagedChannel
from mixgraph.render.schedule import Method
from mixgraph.render.values import GraphParameters, Rendering, StreamState, check_arguments, fit_length

BLOCK = 1 << 17
"""Samples of a block: the fastest size for 8 to 128 tracks."""

LEAST_BLOCK = 512
"""The fewest samples of a block that commands accept. Shorter blocks give the same mix, but every one transforms whole
impulse responses, of up to two seconds, for its few samples: with blocks of one sample a song takes days."""


def check_block(block: int) -> None:
    """Checks that blocks are not so short that a song would take hours.

    Raises:
        ValueError: a block below `LEAST_BLOCK`.
    """
    if block < LEAST_BLOCK:
        raise ValueError(
            f"block: at least {LEAST_BLOCK} samples, got {block}; any size gives the same mix, and every block "
            f"transforms whole impulse responses, so that shorter ones take hours. HINT: the default, {BLOCK}"
        )


ReadSources = Callable[[int, int], Tensor]
"""(start, stop) -> sources, (inputs, 2, at most stop - start); samples that are missing at the end are zero."""


def render(
    values: GraphValues,
    processors: Processors,
    sources: Tensor,
    *,
    length: int | None = None,
    method: Method = "auto",
    staged_channel: StagedChannel | None = None,
    mono: Collection[int] = (),
    silent: Collection[int] = (),
    starts: Tensor | None = None,
) -> Rendering:
    """Renders a graph at once.

    Args:
        values: the graph, of one song or several, and the settings of its processors; dry/wet weights in 0..1 (paper
            eq. 2).
        processors: a module for every processor type.
        sources: (inputs, 2, T) or (clips, inputs, 2, T); zero before and after.
        length: L, samples to render; T by default. Samples of the sources after L are look-ahead.
        method: the scheduling method, see `schedule`.
        staged_channel: the channel (`"mid"` or `"both"`) whose energies of gain-staged nodes are returned;
            no energies by default.
        mono: rows of the sources that are the same on both channels, see `make_plan`.
        silent: rows of the sources that are zero. Nodes that only they feed have no energies: they are in balance.
        starts: ([clips,] songs), the sample of every song at which its sources begin; 0 by default.
    """
    length = sources.shape[-1] if length is None else length
    block = length + lookahead(values.graph, processors)
    plan = make_plan(values.graph, processors, block, method, mono=mono, silent=silent)
    return render_plan(plan, values, processors, sources, staged_channel=staged_channel, starts=starts)


def render_plan(
    plan: RenderPlan,
    values: GraphValues,
    processors: Processors,
    sources: Tensor,
    *,
    staged_channel: StagedChannel | None = None,
    starts: Tensor | None = None,
) -> Rendering:
    """Renders plan.block - plan.lookahead samples by a plan that was made for the graph of `values`; see `render`."""
    check_arguments(plan, values, sources)
    sources = fit_length(sources, plan.block)
    mix, energies = execute(plan, values, processors, sources, staged_channel=staged_channel, starts=starts)
    return Rendering(mix[..., plan.lookahead :], energies, plan.block)


def render_blocks(
    values: GraphValues,
    processors: Processors,
    read: ReadSources,
    length: int,
    *,
    block: int = BLOCK,
    mono: Collection[int] = (),
    first: int = 0,
    method: Method = "auto",
) -> Iterator[Tensor]:
    """Yields the mix of a song, piece by piece, with its true history.

    Args:
        values: the graph, of one song or several, and the settings of its processors.
        processors: a module for every processor type.
        read: reads a stretch of the sources, see `ReadSources`.
        length: L, the song's length in samples.
        block: length of a block in samples; the result depends on it by rounding only.
        mono: rows of the sources that are the same on both channels.
        first: the sample of the songs at which the sources begin.
        method: the scheduling method, see `schedule`.

    Yields:
        (songs, 2, samples), pieces of L samples together.
    """
    graph = values.graph
    plan = make_plan(graph, processors, min(block, length + lookahead(graph, processors)), method, mono=mono)
    state = StreamState()
    position = -plan.lookahead  # of the mix; the song starts at 0
    for start in range(0, length + plan.lookahead, plan.block):
        sources = fit_length(read(start, min(start + plan.block, length)), plan.block)
        check_arguments(plan, values, sources)
        starts = torch.full((graph.num_songs,), first + start, device=values.weights.device)
        mix, _ = execute(plan, values, processors, sources, state, starts=starts)
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
    method: Method = "auto",
) -> Tensor:
    """Renders sources (inputs, 2, L), on any device, in blocks to (songs, 2, L) on the device of the weights."""

    def read(start: int, stop: int) -> Tensor:
        return sources[..., start:stop].to(weights.device, weights.dtype)

    length, done = sources.shape[-1], 0
    mix = weights.new_empty(graph.num_songs, 2, length)
    values = GraphValues(graph, parameters, weights)
    for piece in render_blocks(values, processors, read, length, block=block, mono=mono, first=first, method=method):
        mix[..., done : done + piece.shape[-1]] = piece
        done += piece.shape[-1]
    return mix
