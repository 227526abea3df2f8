"""A pass over the plan: linear steps that touch no time signal in between become one run (see `fused`)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mixgraph.render.plan import Region, RenderPlan, Step


@dataclass(frozen=True)
class FusedSteps:
    """Steps of one region that are computed together.

    Attributes:
        region: of all of them.
        indices: of the steps in the plan.
        entering: batches of groups of nodes, mono and stereo apart; each group is summed to one signal that enters.
        exits: the same of the signals that leave, for a node in time or a later run.
    """

    region: Region
    indices: tuple[int, ...]
    entering: tuple[tuple[tuple[int, ...], ...], ...]
    exits: tuple[tuple[tuple[int, ...], ...], ...]


@lru_cache(maxsize=64)
def fuse(plan: RenderPlan) -> tuple[tuple[FusedSteps | int, ...], dict[int, int]]:
    """The plan as runs of linear steps, and indices of the steps in time between them.

    Returns:
        The runs and indices in order, and for each node that works on spectra the position of its run among them.
    """
    # A linear step waits until a node in time needs what its region makes; by then all that enters it is known.
    graph = plan.graph
    parts: list[list[int] | int] = []
    waiting: dict[Region, list[int]] = {}
    run_of: dict[int, int] = {}  # node -> position of its run in `parts`
    for index, step in enumerate(plan.steps):
        if step.region is not None:
            waiting.setdefault(step.region, []).append(index)
            continue
        for p in (p for node in step.nodes for p in graph.feeders[node]):
            region = plan.regions[p]
            if region is not None and p not in run_of:
                indices = waiting.pop(region)
                run_of.update(dict.fromkeys((i for k in indices for i in plan.steps[k].nodes), len(parts)))
                parts.append(indices)
        parts.append(index)
    exits = _exits(plan, run_of)
    fused = tuple(
        part if isinstance(part, int) else _fused(plan, part, run_of, position, exits.get(position, {}))
        for position, part in enumerate(parts)
    )
    return fused, run_of


def exit_groups(feeding: Sequence[int], run_of: dict[int, int]) -> list[tuple[int, ...]]:
    """The spectral ones of the nodes that feed an inlet, by the run that makes them: keys of `FusedSteps.exits`."""
    groups: dict[int, list[int]] = {}
    for p in feeding:
        if p in run_of:
            groups.setdefault(run_of[p], []).append(p)
    return [tuple(group) for group in groups.values()]


def entering_groups(plan: RenderPlan, node: int, inside: Collection[int]) -> list[tuple[int, ...]]:
    """What feeds a node of a run from outside of it: what is in time and of one latency is summed there."""
    groups: dict[tuple[Region | None, int], list[int]] = {}
    for p in plan.graph.predecessors[node]:
        if p not in inside:
            region = plan.regions[p]
            groups.setdefault((region, plan.latency[p] if region is None else p), []).append(p)
    return [tuple(group) for group in groups.values()]


def _exits(plan: RenderPlan, run_of: dict[int, int]) -> dict[int, dict[tuple[int, ...], None]]:
    exits: dict[int, dict[tuple[int, ...], None]] = {}
    for step in plan.steps:
        for node in step.nodes:
            if step.region is None:
                inlets = (plan.graph.predecessors[node], plan.graph.keys[node])
                groups = [group for feeding in inlets for group in exit_groups(feeding, run_of)]
            else:
                groups = [(p,) for p in plan.graph.predecessors[node] if p in run_of and run_of[p] != run_of[node]]
            for group in groups:
                exits.setdefault(run_of[group[0]], {})[group] = None
    return exits


def _fused(
    plan: RenderPlan, indices: list[int], run_of: dict[int, int], position: int, exits: dict[tuple[int, ...], None]
) -> FusedSteps:
    steps: list[Step] = [plan.steps[k] for k in indices]
    inside = {node for node, own in run_of.items() if own == position}
    entering = dict.fromkeys(g for step in steps for node in step.nodes for g in entering_groups(plan, node, inside))
    region = steps[0].region
    assert region is not None
    return FusedSteps(region, tuple(indices), _by_width(plan, entering), _by_width(plan, exits))


def _by_width(plan: RenderPlan, groups: Collection[tuple[int, ...]]) -> tuple[tuple[tuple[int, ...], ...], ...]:
    batches = (tuple(group for group in groups if group_width(plan, group) == width) for width in (1, 2))
    return tuple(batch for batch in batches if batch)


def group_width(plan: RenderPlan, group: tuple[int, ...]) -> int:
    """Channels of the sum of some nodes."""
    return max(plan.widths[node] for node in group)
