"""Rendering of a clip at once."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from mixgraph.graph.types import MixGraph
from mixgraph.processors.collection import Processors
from mixgraph.render.execute import execute
from mixgraph.render.plan import RenderPlan, lookahead, make_plan
from mixgraph.render.products import StagedChannel
from mixgraph.render.schedule import Method
from mixgraph.render.values import GraphParameters, Rendering, check_arguments, fit_length


def render(
    graph: MixGraph,
    processors: Processors,
    sources: Tensor,
    parameters: GraphParameters,
    weights: Tensor,
    length: int | None = None,
    method: Method = "auto",
    staged_channel: StagedChannel | None = None,
    mono: Collection[int] = (),
    silent: Collection[int] = (),
    starts: Tensor | None = None,
) -> Rendering:
    """Renders a graph at once.

    Args:
        graph: what to render.
        processors: one module a type.
        sources: (inputs, 2, T) or (clips, inputs, 2, T); zero before and after.
        parameters: type -> name -> (nodes of the type, *shape).
        weights: dry/wet weight of each processor, (len(graph.processors),), in 0..1 (paper eq. 2).
        length: L, samples to render; T by default. Samples of the sources after L are look-ahead.
        method: of scheduling.
        staged_channel: which energies of the gain-staged nodes to return, none by default.
        mono: rows of the sources that are the same on both channels, see `make_plan`.
        silent: rows of the sources that are zero. Nodes that only they feed have no energies: they are in balance.
        starts: where in the songs the sources begin, in samples, ([clips,] songs); 0 by default.
    """
    length = sources.shape[-1] if length is None else length
    plan = make_plan(graph, processors, length + lookahead(graph, processors), method, mono=mono, silent=silent)
    return render_plan(plan, processors, sources, parameters, weights, staged_channel, starts)


def render_plan(
    plan: RenderPlan,
    processors: Processors,
    sources: Tensor,
    parameters: GraphParameters,
    weights: Tensor,
    staged_channel: StagedChannel | None = None,
    starts: Tensor | None = None,
) -> Rendering:
    """Renders the one block of a plan at once; see `render`. Renders plan.block - plan.lookahead samples."""
    check_arguments(plan, sources, parameters, weights)
    sources = fit_length(sources, plan.block)
    mix, energies = execute(plan, processors, sources, parameters, weights, None, staged_channel, starts)
    return Rendering(mix[..., plan.lookahead :], energies, plan.block)
