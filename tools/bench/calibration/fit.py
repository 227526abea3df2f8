"""Fits the probabilities of found processors to be right, and judges them: reliability, expected calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mixgraph.recovery.equivalence import COMMON_GAIN, PlacedProcessor, match_chains
from mixgraph.report.confidence import FEATURES, ConfidenceModel, features

_RIDGE = 0.5
"""Of the coefficients of standardised features: a few hundred processors must not make them endless."""
_ROUNDS = 50
BINS = 5


@dataclass(frozen=True)
class Judged:
    """A found processor: its loss increase and weight, and whether it is right."""

    increase: float
    weight: float
    right: bool


@dataclass(frozen=True)
class ReliabilityBin:
    """Processors with a probability in a fifth of 0..1: their number, mean probability, and the share that is right."""

    count: int
    probability: float
    right: float


@dataclass(frozen=True)
class Judgement:
    """How probabilities hold on processors that they were not fitted to.

    Attributes:
        processors: the number of processors.
        right: the share of them that is right.
        expected_calibration_error: mean over processors of |mean probability - share that is right| of their bin.
        brier: mean square of probability - truth; that of the share alone is right * (1 - right).
        bins: by probability, those with processors.
    """

    processors: int
    right: float
    expected_calibration_error: float
    brier: float
    bins: tuple[ReliabilityBin, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def judged_processors(answer: dict[str, Any]) -> list[Judged]:
    """Says of each found processor of an answer whether it is right, modulo what no one can tell apart."""
    true, found = _placed(answer["true"]), _placed(answer["processors"])
    step = match_chains(true, found, answer["groups"])[COMMON_GAIN]
    right = {int(step.found[i].label) for i in step.right}
    return [
        Judged(record["worth"], record["weight"], i in right)
        for i, record in enumerate(answer["processors"])
        if record["worth"] is not None
    ]


def _placed(records: Sequence[dict[str, Any]]) -> list[PlacedProcessor]:
    return [
        PlacedProcessor((level, name, tuple(branch)), one["type"], one["worth"], str(i))  # matching sorts by level
        for i, one in enumerate(records)
        for level, name, branch in [one["place"]]
    ]


def fit_model(processors: Sequence[Judged]) -> ConfidenceModel:
    """Fits the coefficients by penalised maximum likelihood (Newton's method).

    Raises:
        ValueError: no processor is right, or all are.
    """
    truth = np.array([one.right for one in processors], dtype=np.float64)
    if not 0 < truth.sum() < len(truth):
        raise ValueError(
            f"processors: right and wrong ones are needed, got {int(truth.sum())} right of {len(truth)}. "
            "HINT: more songs"
        )
    values = np.array([features(one.increase, one.weight) for one in processors])
    mean, spread = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-9)
    design = np.column_stack((np.ones(len(values)), (values - mean) / spread))
    penalty = np.diag([0.0] + [_RIDGE] * len(FEATURES))
    solution = np.zeros(design.shape[1])
    for _ in range(_ROUNDS):
        chance = 1 / (1 + np.exp(-design @ solution))
        slope = design.T @ (truth - chance) - penalty @ solution
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + penalty + 1e-9 * np.eye(len(solution))
        step = np.linalg.solve(curvature, slope)
        solution = solution + step
        if np.abs(step).max() < 1e-10:
            break
    slopes = solution[1:] / spread
    return ConfidenceModel(float(solution[0] - slopes @ mean), *map(float, slopes))


def judge(model: ConfidenceModel, processors: Sequence[Judged]) -> Judgement:
    """Judges a model on processors that it was not fitted to."""
    chance = np.array([model.probability(one.increase, one.weight) for one in processors])
    truth = np.array([one.right for one in processors], dtype=np.float64)
    place = np.minimum((chance * BINS).astype(int), BINS - 1)
    bins = [
        ReliabilityBin(int(inside.sum()), float(chance[inside].mean()), float(truth[inside].mean()))
        for inside in (place == i for i in range(BINS))
        if inside.any()
    ]
    error = sum(one.count * abs(one.probability - one.right) for one in bins) / len(processors)
    return Judgement(
        len(processors), float(truth.mean()), float(error), float(np.mean((chance - truth) ** 2)), tuple(bins)
    )
