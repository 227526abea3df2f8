"""The use of processors by mixing engineers: how often, on what and set how; synthetic songs are drawn by it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch


@dataclass(frozen=True)
class Usage:
    """The frequency and the places of a processor's use by engineers.

    Attributes:
        track_rate, subgroup_rate: share of the tracks, and of the subgroups, that have such a processor.
        needs: the property that an instrument must have to get the processor: recorded in stereo, meant for echoes, or
            meant for reverberation; `""` for none.
        on_subgroups: whether synthetic songs with known graphs have the processor on subgroups, too.
    """

    track_rate: float = 0.0
    subgroup_rate: float = 0.0
    needs: Literal["", "stereo", "echoes", "reverberant"] = ""
    on_subgroups: bool = True


class RandomSettings:
    """Random numbers of the shapes that settings have.

    Args:
        generator: source of all randomness.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.generator, dtype=torch.float64))

    def logarithmic(self, low: float, high: float) -> float:
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def sign(self) -> float:
        return 1.0 if self.uniform(0, 1) < 0.5 else -1.0

    def choose(self, count: int, of: int) -> list[int]:
        """Draws `count` different whole numbers from 0 to `of` - 1."""
        return torch.randperm(of, generator=self.generator)[:count].tolist()

    def full_weight(self) -> float:
        """Draws a dry/wet weight of a processor that stands in the path of the signal."""
        return self.uniform(0.93, 0.99)

    def effect_weight(self, strength: float) -> float:
        """Draws a dry/wet weight of an effect that is mixed in, such as reverberation."""
        return min(0.5, self.uniform(0.25, 0.45) * strength)
