"""Draws settings of processors as engineers choose them, in physical units and to suit a signal."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mixgraph.processors import Processor, Processors, processor_type
from mixgraph.processors.usage import RandomSettings


def same_on_subgroups(node_type: str) -> bool:
    """Whether a processor on a subgroup sounds the same as one on each of its tracks, and is drawn with that in mind.

    True of linear processors; effects, such as reverberation, are drawn freely nevertheless.
    """
    kind = processor_type(node_type)
    return kind.linear and not kind.late


def draw_settings(
    processor: Processor, signal: Tensor, strength: float, generator: torch.Generator
) -> tuple[dict[str, Tensor], float]:
    """Draws the settings of one node, and its dry/wet weight.

    Args:
        processor: the processor of the node's type.
        signal: (2, L), what enters the node; thresholds are set by its level.
        strength: 1, or larger for stronger settings.
        generator: source of all randomness.

    Returns:
        name -> values of one node in trained coordinates; and the dry/wet weight.

    Raises:
        ValueError: a type that does not say how engineers set it (`Processor.engineer_settings`).
    """
    units, weight = processor.engineer_settings(signal, strength, RandomSettings(generator))
    return {name: declared.from_unit(units[name]).float() for name, declared in processor.specification.items()}, weight


def moved_thresholds(
    processors: Processors, parameters: Mapping[str, Mapping[str, Tensor]], shift_db: float
) -> dict[str, dict[str, Tensor]]:
    """Adapts parameters to audio that is louder by `shift_db`: thresholds move along, so that all acts as before."""
    moved = {t: dict(values) for t, values in parameters.items()}
    for t, values in moved.items():
        for name, declared in processors[t].specification.items():
            if declared.follows_level:
                shifted = declared.to_unit(values[name]) + declared.follows_level * shift_db
                values[name] = declared.from_unit(shifted)
    return moved
