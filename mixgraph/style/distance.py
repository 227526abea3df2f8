"""The distance of two mixes in their statistics."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from mixgraph.style.mix_statistics import MixStatistics, common_bands


@dataclass(frozen=True)
class StatisticsWeights:
    """The weight of each statistic in the distance. With a sum of 1 the distance is a mean difference in dB.

    Attributes:
        spectrum_mid_db: of a dB of difference of mid, averaged over third octaves.
        spectrum_side_db: of side, likewise.
        loudness_lufs: of a LU of integrated loudness.
        loudness_range_lu: of a LU of its range.
        crest_db: of a dB of crest, averaged over octaves.
        width_db: of a dB of side over mid, averaged over octaves.
    """

    spectrum_mid_db: float = 0.3
    spectrum_side_db: float = 0.15
    loudness_lufs: float = 0.15
    loudness_range_lu: float = 0.1
    crest_db: float = 0.15
    width_db: float = 0.15

    def __post_init__(self) -> None:
        if not all(0 <= weight < float("inf") for weight in asdict(self).values()) or not any(asdict(self).values()):
            raise ValueError(f"weights: numbers from 0 are needed, not all 0, got {asdict(self)}")


WEIGHTS = StatisticsWeights()


@dataclass(frozen=True, eq=False)
class StatisticsDistance:
    """The distance of two mixes, and its parts.

    Attributes:
        full: (), the weighted sum of the parts.
        parts: name of a statistic of `MixStatistics` -> mean difference over its bands, in dB or LU, without weight.
    """

    full: Tensor
    parts: dict[str, Tensor]

    def to_dict(self) -> dict[str, float]:
        """The numbers by name, rounded: `full`, then the parts."""
        return {name: round(float(value), 4) for name, value in {"full": self.full, **self.parts}.items()}


def statistics_distance(a: MixStatistics, b: MixStatistics, weights: StatisticsWeights = WEIGHTS) -> StatisticsDistance:
    """Measures how far two mixes are apart: weighted mean absolute differences of their statistics, in dB.

    Mixes of different sample rates are compared in the bands that both have.

    Args:
        a: statistics of a mix.
        b: those of another.
        weights: the weight of each statistic.
    """
    mine, others = a.by_name(), b.by_name()
    parts = {}
    for name, value in mine.items():
        first, second = common_bands(value, others[name])
        parts[name] = (first - second.to(first)).abs().mean()
    full = torch.stack([weight * parts[name] for name, weight in asdict(weights).items()]).sum()
    return StatisticsDistance(full, parts)
