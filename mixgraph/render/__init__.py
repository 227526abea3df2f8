"""Rendering of mixing graphs.

- `schedule`: which nodes are processed together, in which order.
- `plan`: what is computed in which step, in time or as spectra, at which length (data only).
- `execute`: one block of sources through a plan.
- `linear_runs`: steps between nonlinear processors, computed together, a few thousand frequencies at a time.
- `products`: a linear processor on spectra, and its adjoint.
- `whole_song`: clips and songs, at once or in blocks.
- `oracle`: the slow renderer that the fast one must equal.
- `values`: arguments and results.
"""

from mixgraph.render.oracle import render_oracle
from mixgraph.render.plan import RenderPlan, lookahead, make_plan
from mixgraph.render.products import StagedChannel
from mixgraph.render.schedule import console_order, schedule
from mixgraph.render.values import GraphParameters, Rendering, StagedEnergy
from mixgraph.render.whole_song import (
    BLOCK,
    LEAST_BLOCK,
    check_block,
    render,
    render_blocks,
    render_plan,
    render_song,
)

__all__ = [
    "BLOCK",
    "LEAST_BLOCK",
    "GraphParameters",
    "RenderPlan",
    "Rendering",
    "StagedChannel",
    "StagedEnergy",
    "check_block",
    "console_order",
    "lookahead",
    "make_plan",
    "render",
    "render_blocks",
    "render_oracle",
    "render_plan",
    "render_song",
    "schedule",
]
