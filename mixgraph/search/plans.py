"""Caches the render plans of training clips as long as the graph stays the same."""

from __future__ import annotations

from collections.abc import Sequence

from mixgraph.graph import MixGraph
from mixgraph.processors import Processors
from mixgraph.render import RenderPlan, make_plan
from mixgraph.render.schedule import Method

_MAX_PLANS = 256  # plans: one for each set of tracks that is silent in a clip


class PlanCache:
    """Caches the plans of one graph, by block length and by the inputs that are mono or silent."""

    def __init__(self) -> None:
        self._graph: MixGraph | None = None
        self._plans: dict[tuple[int, tuple[int, ...], tuple[int, ...], Method], RenderPlan] = {}

    def plan(
        self,
        graph: MixGraph,
        processors: Processors,
        block: int,
        mono: Sequence[int] = (),
        silent: Sequence[int] = (),
        method: Method = "auto",
    ) -> RenderPlan:
        """Returns the plan of a graph, see `make_plan`; a new graph empties the cache."""
        key = (block, tuple(mono), tuple(silent), method)
        if self._graph is not graph or len(self._plans) >= _MAX_PLANS:
            self._plans, self._graph = {}, graph
        if key not in self._plans:
            self._plans[key] = make_plan(graph, processors, block, method, mono=mono, silent=silent)
        return self._plans[key]
