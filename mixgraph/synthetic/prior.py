"""A prior over graphs: how often each processor is kept, and its settings, learnt from graphs that searches found.

Settings are those of a random found processor of the same type, moved by a share of the type's own spread, smoothly
along curves; left and right are swapped at random. Where no graphs are given, and for a stated share of the draws, the
rules of `synthetic.engineer` are used instead; so they are for thresholds outside the levels of their signal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from mixgraph.graph import MixGraph, build_console
from mixgraph.graph.io import load_graph, load_parameters
from mixgraph.processors import Processor, make_processors, registered
from mixgraph.synthetic.engineer import Engineer, draw_settings

LEVELS = ("track", "subgroup")
_CURVE_KNOTS = 6
_LONGEST_PLAIN = 8  # a last axis longer than this is a curve

Values = dict[str, Tensor]


def usual_rates() -> dict[str, dict[str, float]]:
    """Maps `"track"` or `"subgroup"` -> type -> share of them that have one, as the types' `usage` declares."""
    kinds = registered().items()
    return {
        "track": {name: kind.usage.track_rate for name, kind in kinds},
        "subgroup": {name: kind.usage.subgroup_rate for name, kind in kinds},
    }


@dataclass(frozen=True, eq=False)
class FoundNode:
    """A processor of a found graph: name -> (*shape) in trained coordinates, and its dry/wet weight."""

    parameters: Values
    weight: float


@dataclass(frozen=True, eq=False)
class GraphPrior:
    """A distribution of sparse consoles.

    Attributes:
        rates: `"track"` or `"subgroup"` -> type -> share of the console's processors that are kept.
        nodes: type -> found processors, whose settings are imitated; may be empty.
        spreads: type -> name -> standard deviation over the found processors, mean over the entries.
        rule_share: share of the draws that use the rules of `synthetic.engineer` although there are found processors.
        jitter: the size of random changes of imitated settings, in units of the spread.
    """

    rates: Mapping[str, Mapping[str, float]] = field(default_factory=usual_rates)
    nodes: Mapping[str, Sequence[FoundNode]] = field(default_factory=dict)
    spreads: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    rule_share: float = 0.3
    jitter: float = 0.3

    def draw(
        self, processor: Processor, signal: Tensor, generator: torch.Generator, engineer: Engineer | None = None
    ) -> tuple[Values, float]:
        """Draws the settings of one processor and its dry/wet weight.

        Args:
            processor: the processor whose settings are drawn.
            signal: (2, L), what enters it.
            generator: source of all randomness.
            engineer: whose habits settings by rule follow; imitated settings have their own.

        Returns:
            name -> (*shape), in trained coordinates; and the weight.
        """
        by_rule, rule_weight = draw_settings(processor, signal, 1.0, generator, engineer)
        nodes = self.nodes.get(processor.name, ())
        luck, choice, swap = torch.rand(3, generator=generator).tolist()
        if not nodes or luck < self.rule_share:
            return by_rule, rule_weight
        node = nodes[min(int(choice * len(nodes)), len(nodes) - 1)]
        declared = processor.specification
        values = {}
        for name, value in node.parameters.items():
            spread = self.jitter * self.spreads[processor.name].get(name, 0.0)
            turned = declared[name].positions
            values[name] = _turned(value, self.jitter, generator) if turned else _moved(value, spread, generator)
            if swap < 0.5 and declared[name].left_right:
                values[name] = values[name].unflatten(0, (2, -1)).flip(0).flatten(0, 1)
            if declared[name].follows_level > 0 and not _meets(processor, name, values[name], signal):
                values[name] = by_rule[name]
        logit = math.log(node.weight / (1 - node.weight))
        moved = logit + self.jitter * float(torch.randn((), generator=generator))
        return values, 1 / (1 + math.exp(-moved))


def learn_prior(
    results: Sequence[Path],
    sample_rate: int,
    track_chain: str = "ecnsgdr",
    subgroup_chain: str = "ecnsgdr",
    rule_share: float = 0.3,
    jitter: float = 0.3,
) -> GraphPrior:
    """Learns a prior from result folders; without any, rates are `usual_rates` and settings come from the rules.

    Rates count all graphs together, with one kept and one removed processor added for each type and level, so that
    none is 0 or 1.

    Raises:
        ValueError: a graph was found at another sample rate, or with processors whose options are not the defaults.
        FileNotFoundError: a folder is not a result folder.
    """
    if not results:
        return GraphPrior(rule_share=rule_share, jitter=jitter)
    kept: dict[tuple[str, str], list[int]] = {}
    nodes: dict[str, list[FoundNode]] = {}
    processors = make_processors(sample_rate)
    for path in results:
        file = load_graph(Path(path) / "graph.json")
        if file.sample_rate != sample_rate or file.processor_options:
            raise ValueError(
                f"results: {path} was found at {file.sample_rate} Hz with processors {dict(file.processor_options)}; "
                f"{sample_rate} Hz and the default processors are needed"
            )
        parameters, weights = load_parameters(Path(path) / "parameters.safetensors", file.graph, processors)
        graph = file.graph
        for key, (count, of) in _counts(graph, track_chain, subgroup_chain).items():
            counts = kept.setdefault(key, [1, 2])
            counts[0], counts[1] = counts[0] + count, counts[1] + of
        for node, weight in zip(graph.processors, weights.tolist(), strict=True):
            row, node_type = graph.rows[node], graph.types[node]
            node_parameters = {name: value[row].clone() for name, value in parameters[node_type].items()}
            nodes.setdefault(node_type, []).append(FoundNode(node_parameters, min(max(weight, 0.01), 0.99)))
    rates = {level: {t: a / b for (node_level, t), (a, b) in kept.items() if node_level == level} for level in LEVELS}
    spreads = {
        t: {
            name: float(torch.stack([n.parameters[name] for n in found_nodes]).std(dim=0).mean())
            if len(found_nodes) > 1
            else 0.0
            for name in found_nodes[0].parameters
        }
        for t, found_nodes in nodes.items()
    }
    return GraphPrior(rates, nodes, spreads, rule_share, jitter)


def _counts(graph: MixGraph, track_chain: str, subgroup_chain: str) -> dict[tuple[str, str], tuple[int, int]]:
    """Counts processors: (level, type) -> (number kept, number in the full console)."""
    groups = {group: [graph.names[graph.inputs[i]] for i in rows] for group, rows in graph.members.items()}
    console = build_console(groups, track_chain, subgroup_chain)
    sides: list[dict[tuple[str, str], int]] = []
    for side in (graph, console):
        counts: dict[tuple[str, str], int] = {}
        for node in side.processors:
            key = (side.level(node), side.types[node])
            counts[key] = counts.get(key, 0) + 1
        sides.append(counts)
    return {key: (sides[0].get(key, 0), count) for key, count in sides[1].items()}


def _turned(value: Tensor, jitter: float, generator: torch.Generator) -> Tensor:
    """Turns complex numbers (real and imaginary part on the last axis) by random angles: delays move, moduli stay."""
    angle = jitter * torch.randn(value.shape[:-1], generator=generator)
    real, imaginary = value.unbind(-1)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    return torch.stack((real * cosine - imaginary * sine, real * sine + imaginary * cosine), dim=-1)


def _moved(value: Tensor, spread: float, generator: torch.Generator) -> Tensor:
    """Moves numbers by random amounts; a curve moves smoothly."""
    length = value.shape[-1]
    if length <= _LONGEST_PLAIN:
        return value + spread * torch.randn(value.shape, generator=generator)
    knots = torch.randn(*value.shape[:-1], _CURVE_KNOTS, generator=generator).reshape(1, -1, _CURVE_KNOTS)
    return value + spread * F.interpolate(knots, length, mode="linear", align_corners=True).view_as(value)


def _meets(processor: Processor, name: str, value: Tensor, signal: Tensor) -> bool:
    """Whether a threshold lies within the levels of a signal, 10 ms each, from the 2nd to the 98th percentile."""
    threshold_db = float(processor.specification[name].to_unit(value))
    frame = max(1, processor.sample_rate // 100)
    energy = signal[:, : signal.shape[-1] // frame * frame].square().mean(dim=0).view(-1, frame).mean(dim=-1)
    levels = 10 * torch.log10(energy.clamp(min=1e-9))
    return float(levels.quantile(0.02)) < threshold_db < float(levels.quantile(0.98))
