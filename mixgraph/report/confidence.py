"""The probability that a found processor is one of those that made the mix.

A logistic model of two figures that every search has: how much the match loss rises without the processor, and its
dry/wet weight. Its coefficients stand in `confidence.json`, which `python -m tools.calibrate_confidence` makes of
searches of synthetic songs with known graphs, modulo what no one can tell apart (`mixgraph.recovery.equivalence`), and
judges on others: see docs/guide/confidence.md. A probability is told only where these judgements find it calibrated.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).with_name("confidence.json")
"""The coefficients that come with mixgraph."""
FEATURES = ("log_increase", "weight")
MOST_ERROR = 0.1
"""The largest expected calibration error, on songs that it was not fitted to, of a model that is told to people."""
LEAST_INCREASE = 1e-4
"""Smaller loss increases, and falls, count as this one."""


@dataclass(frozen=True)
class ConfidenceModel:
    """The coefficients of the log odds: of 1, and of each of `FEATURES`."""

    bias: float
    log_increase: float
    weight: float

    def probability(self, loss_increase: float, weight: float) -> float:
        """Returns the probability, in 0..1, of a processor to be right.

        Args:
            loss_increase: rise of the match loss over the target's norm when the processor is removed.
            weight: its dry/wet weight.
        """
        rise, share = features(loss_increase, weight)
        odds = self.bias + self.log_increase * rise + self.weight * share
        return 1 / (1 + math.exp(-odds)) if odds > -700 else 0.0

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> ConfidenceModel:
        """Reads the coefficients of a record, whose other entries tell where they come from."""
        return ConfidenceModel(*(float(record["coefficients"][name]) for name in ("bias", *FEATURES)))


def features(loss_increase: float, weight: float) -> tuple[float, float]:
    """Returns the figures that the log odds are linear in: the decimal logarithm of the increase, and the weight."""
    return math.log10(max(loss_increase, LEAST_INCREASE)), weight


@lru_cache(maxsize=1)
def shipped_record() -> dict[str, Any]:
    """Reads the record of the model that comes with mixgraph: coefficients, what they are fitted to, judgements."""
    record: dict[str, Any] = json.loads(SHIPPED.read_text(encoding="utf-8"))
    return record


def is_calibrated(record: Mapping[str, Any]) -> bool:
    """Whether a model's calibration error is at most `MOST_ERROR` on every group of songs that it was not fitted to."""
    errors = [
        judged["expected_calibration_error"] for name, judged in record["judged"].items() if name != "fitted songs"
    ]
    return bool(errors) and max(errors) <= MOST_ERROR


def probability_right(loss_increase: float | None, weight: float) -> float | None:
    """Returns the probability of a found processor to be right by the shipped model.

    None without a loss increase, and for every processor as long as the model is not calibrated (`is_calibrated`).
    """
    record = shipped_record()
    if loss_increase is None or not math.isfinite(loss_increase) or not is_calibrated(record):
        return None
    return ConfidenceModel.from_dict(record).probability(loss_increase, weight)
