"""Rendering of mixing graphs: schedule -> plan (data) -> execution; and the slow oracle."""

from mixgraph.render.blocks import BLOCK, LEAST_BLOCK, check_block, render_blocks, render_song
from mixgraph.render.once import render, render_plan
from mixgraph.render.plan import RenderPlan, lookahead, make_plan
from mixgraph.render.products import StagedChannel
from mixgraph.render.reference import render_reference
from mixgraph.render.schedule import console_order, schedule
from mixgraph.render.values import GraphParameters, Rendering, StagedEnergy

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
    "render_plan",
    "render_reference",
    "render_song",
    "schedule",
]
