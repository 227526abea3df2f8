"""The settings of a found graph as people read them: in dB, Hz, ms and ratios, as they act."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from mixgraph.graph.types import SEND, MixGraph
from mixgraph.processors import Processor, Processors
from mixgraph.processors.readings import NodeValues, Reading
from mixgraph.report.confidence import probability_right
from mixgraph.report.drawing.palette import type_label
from mixgraph.report.parametric import ParametricReading, parametric_reading
from mixgraph.report.readings import readings_numbers, readings_text

_INDENT = 65
"""Where a line of settings begins behind name, weight and loss increase."""


@dataclass(frozen=True, eq=False)
class NodeSettings:
    """One processor of a found graph.

    Attributes:
        node: the node's number in the graph.
        place: the chain that it is in, e.g. `track kick`.
        name: the name of the node's type; for a send, with the name of its bus.
        processor: the processor of the node's type.
        values: the parameters and dry/wet weight, on the CPU, with the level and length of the song.
        loss_increase: rise of the match loss when the processor is removed (paper eq. 9), where it was measured.
    """

    node: int
    place: str
    name: str
    processor: Processor
    values: NodeValues
    loss_increase: float | None

    @cached_property
    def readings(self) -> tuple[Reading, ...]:
        """The readings of the settings: numbers, gains, responses and curves as they act."""
        return self.processor.readings(self.values)

    @cached_property
    def parametric(self) -> ParametricReading | None:
        """The settings in the few numbers of a usual effect, with the error of that; None where there is none."""
        return parametric_reading(self.readings)

    @property
    def probability_right(self) -> float | None:
        """The probability that the processor is one of those that made the mix; None without a loss increase."""
        return probability_right(self.loss_increase, self.values.weight)

    def text(self) -> str:
        """The settings in a line. Gains and responses are as they act, with the dry sound; levels the tracks' own."""
        return readings_text(self.readings)

    def drawn_text(self) -> str:
        """The settings in a line for drawings, with the probability to be right, where it is known."""
        share = self.probability_right
        return self.text() if share is None else f"{self.text()}; right with a probability of {share:.0%}"

    def numbers(self) -> dict[str, Any]:
        """The settings as numbers by name, see `readings_numbers`."""
        return readings_numbers(self.readings)


def read_settings(
    graph: MixGraph,
    processors: Processors,
    parameters: Mapping[str, Mapping[str, Tensor]],
    weights: Tensor,
    num_samples: int,
    level: float = 1.0,
    loss_increases: Tensor | None = None,
) -> list[NodeSettings]:
    """Reads the settings of all processors, chain by chain in the graph's order, in a chain in the signal's order.

    Args:
        graph: the graph that was found.
        processors: a module for every processor type.
        parameters: type -> name -> (nodes of the type, *shape).
        weights: dry/wet weights, (processors,).
        num_samples: the length of the song, at the rate of the processors.
        level: the factor that the tracks were multiplied by in the search.
        loss_increases: (processors,), rise of the loss when a processor is removed, where that was measured.
    """
    number = {node: i for i, node in enumerate(graph.processors)}
    chains: dict[str, list[NodeSettings]] = {}
    for node in graph.topological_order:
        if node not in number:
            continue
        node_type, row, i = graph.types[node], graph.rows[node], number[node]
        place, _, name = graph.label(node).rpartition(": ")
        settings = NodeSettings(
            node,
            place,
            name if node_type == SEND else type_label(node_type),
            processors[node_type],
            NodeValues(
                {n: v[row : row + 1].detach().cpu().double() for n, v in parameters[node_type].items()},
                float(weights[i]),
                -20 * math.log10(level),
                num_samples,
            ),
            None if loss_increases is None else float(loss_increases[i]),
        )
        chains.setdefault(place, []).append(settings)
    in_order = sorted(chains.values(), key=lambda chain: min(settings.node for settings in chain))
    return [settings for chain in in_order for settings in chain]


def settings_text(
    settings: Sequence[NodeSettings],
    title: str,
    sample_rate: int,
    verdict: Sequence[str] = (),
    unmeasured: str = "",
    notes: Mapping[str, str] | None = None,
) -> str:
    """Writes all settings as plain text, with a paragraph for each chain.

    Args:
        settings: the settings of all processors, see `read_settings`.
        title: title of the song.
        sample_rate: the rate in Hz that the graph runs at.
        verdict: lines on how close the result is, for the head.
        unmeasured: why loss increases are missing, where they are.
        notes: remarks on chains by place, e.g. that a track is silent. Places without processors are listed at the
            end.
    """
    notes = dict(notes or {})
    lines = [
        f"{title}: {len(settings)} processors, chain by chain.",
        "",
        *(verdict and [*verdict, ""]),
        "Gains, responses and taps are as they act, with the dry sound mixed in; an equalizer is told by octaves,",
        "its mean over each. Thresholds are at the tracks' own level (RMS, full scale is 0 dB).",
        "Lines that begin with `as` tell the same by a usual effect, and the error of that; tone is by octave.",
        f"The graph runs at {sample_rate} Hz: nothing above {sample_rate / 2000:g} kHz.",
        "wet: dry/wet weight. loss: how much the match loss rises without the processor",
        f"(- where it was not measured{': ' * bool(unmeasured)}{unmeasured}).",
    ]
    knows_right = any(node.probability_right is not None for node in settings)
    if knows_right:
        lines.append("right: the probability, by both, that the processor is one of those that made the mix.")
    place = None
    for node in settings:
        if node.place != place:
            place = node.place
            head = f"{place}{', ' * (place in notes)}{notes.pop(place, '')}"
            lines += ["", f"{head:<43} wet    loss{'  right' * knows_right}"]
        right = "    -" if node.probability_right is None else f"{node.probability_right:5.0%}"
        right = f"  {right}" * knows_right
        rise = "     -" if node.loss_increase is None else f"{node.loss_increase:+.3f}"
        lines.append(f"  {node.name:<40}{node.values.weight:5.0%}  {rise}{right}   {node.text()}".rstrip())
        if node.parametric is not None:
            lines.append(f"{'':{_INDENT}}{node.parametric.text}")
    if notes:
        lines += ["", "Without processors:", *(f"  {place}{', ' * bool(note)}{note}" for place, note in notes.items())]
    return "\n".join(lines) + "\n"
