"""Draws settings of processors as engineers choose them, in physical units and to suit a signal."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor

from mixgraph.processors import Processor, processor_type
from mixgraph.processors.usage import RandomSettings


def same_on_subgroups(node_type: str) -> bool:
    """Whether a processor on a subgroup sounds the same as one on each of its tracks, and is drawn with that in mind.

    True of linear processors; effects, such as reverberation, are drawn freely nevertheless.
    """
    kind = processor_type(node_type)
    return kind.linear and not kind.late


LIKENESS = 0.8
"""The correlation of the choices of one engineer in two songs, as normal numbers."""
_NORMAL = NormalDist()
_LEAST = 1e-9


@dataclass(frozen=True)
class Engineer:
    """The habits of one engineer, who mixes several songs in one style.

    Every choice (whether a type is used on tracks or on subgroups, and each number of its settings) is a normal number,
    the sum of the engineer's habit and of the song's own luck. So the choices of all engineers together are distributed
    as those without engineers, and those of one engineer in two songs have the correlation LIKENESS.

    Attributes:
        name: seeds the habits.
    """

    name: str

    def moved(self, luck: float, *choice: object) -> float:
        """Draws towards the habit: a uniform number of the song, 0 to 1, and the name of the choice; 0 to 1 again."""
        digest = hashlib.sha256("/".join(map(str, (self.name, *choice))).encode()).digest()
        habit = (int.from_bytes(digest[:8], "big") >> 11) / 2**53
        parts = (_NORMAL.inv_cdf(min(max(number, _LEAST), 1 - _LEAST)) for number in (habit, luck))
        ours, theirs = math.sqrt(LIKENESS), math.sqrt(1 - LIKENESS)
        return _NORMAL.cdf(sum(share * part for share, part in zip((ours, theirs), parts, strict=True)))


class HabitualSettings(RandomSettings):
    """Random numbers that an engineer's habits draw towards themselves, one after the other.

    Args:
        generator: source of the song's own randomness.
        engineer: the engineer.
        node_type: the type whose settings are drawn; each type has habits of its own.
    """

    def __init__(self, generator: torch.Generator, engineer: Engineer, node_type: str) -> None:
        super().__init__(generator)
        self.engineer, self.node_type, self.count = engineer, node_type, 0

    def uniform(self, low: float, high: float) -> float:
        self.count += 1
        luck = super().uniform(0, 1)
        return low + (high - low) * self.engineer.moved(luck, self.node_type, self.count)


def draw_settings(
    processor: Processor,
    signal: Tensor,
    strength: float,
    generator: torch.Generator,
    engineer: Engineer | None = None,
) -> tuple[dict[str, Tensor], float]:
    """Draws the settings of one node, and its dry/wet weight.

    Args:
        processor: the processor of the node's type.
        signal: (2, L), what enters the node; thresholds are set by its level.
        strength: 1, or larger for stronger settings.
        generator: source of all randomness.
        engineer: whose habits the settings follow, if any.

    Returns:
        name -> values of one node in trained coordinates; and the dry/wet weight.

    Raises:
        ValueError: a type that does not say how engineers set it (`Processor.engineer_settings`).
    """
    draw = RandomSettings(generator) if engineer is None else HabitualSettings(generator, engineer, processor.name)
    units, weight = processor.engineer_settings(signal, strength, draw)
    return {name: declared.from_unit(units[name]).float() for name, declared in processor.specification.items()}, weight
