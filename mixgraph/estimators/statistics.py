"""Means and spreads of a training set, which standardise cues and codes, and the keep rates that baselines use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Data

from mixgraph.estimators.examples import label_key, vocabulary_of

WEIGHT_RANGE = (0.02, 0.98)
_LEAST_SPREAD = 1e-3


@dataclass(frozen=True, eq=False)
class TrainingStatistics:
    """Means, spreads and keep rates of a training set.

    Attributes:
        cue_mean, cue_spread: (NUM_CUES,).
        code_mean, code_spread: type -> (size + positions,), over kept processors whose settings are known; of types
            that have none, 0 and 1. The mean of positions has no meaning.
        weight_mean, weight_spread: type -> mean and spread of the dry/wet logit.
        slots: (type, level) -> (number kept, number in all consoles); levels are numbered as in `examples`.
        num_examples: the number of examples.
    """

    cue_mean: Tensor
    cue_spread: Tensor
    code_mean: dict[str, Tensor]
    code_spread: dict[str, Tensor]
    weight_mean: dict[str, float]
    weight_spread: dict[str, float]
    slots: dict[tuple[str, int], tuple[int, int]]
    num_examples: int


def weight_logit(weight: Tensor) -> Tensor:
    """Converts dry/wet weights to logits, with weights clamped so that the logits stay finite."""
    return torch.logit(weight.clamp(*WEIGHT_RANGE))


def training_statistics(examples: Iterable[Data], types: Sequence[str]) -> TrainingStatistics:
    """Computes the statistics in one pass over the examples' cues and labels.

    Raises:
        ValueError: there are no examples.
    """
    vocabulary = vocabulary_of(types)
    cues = _Moments()
    codes = {t: _Moments() for t in types}
    weights = {t: _Moments() for t in types}
    slots: dict[tuple[str, int], tuple[int, int]] = {}
    count = 0
    for data in examples:
        count += 1
        cues.add(data.cues)
        node_types, levels = data.x[data.processor_index], data.level[data.processor_index]
        for t in types:
            of_type = node_types == vocabulary[t]
            known = data.known[of_type] > 0
            codes[t].add(data[label_key(t)][known])
            weights[t].add(weight_logit(data.weight[of_type][known]).unsqueeze(1))
            for level in levels[of_type].unique().tolist():
                level_keep = data.keep[of_type][levels[of_type] == level]
                before = slots.get((t, level), (0, 0))
                slots[t, level] = before[0] + int(level_keep.sum()), before[1] + len(level_keep)
    if count == 0:
        raise ValueError("examples: at least one is needed to train on, got none")
    cue_mean, cue_spread = cues.result()
    code = {t: moments.result() for t, moments in codes.items()}
    weight = {t: moments.result() for t, moments in weights.items()}
    return TrainingStatistics(
        cue_mean,
        cue_spread,
        {t: mean for t, (mean, _) in code.items()},
        {t: spread for t, (_, spread) in code.items()},
        {t: float(mean) for t, (mean, _) in weight.items()},
        {t: float(spread) for t, (_, spread) in weight.items()},
        slots,
        count,
    )


class _Moments:
    """Accumulates count, sum and sum of squares of rows, in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.total: Tensor | None = None
        self.squares: Tensor | None = None

    def add(self, rows: Tensor) -> None:
        values = rows.double()
        total, squares = values.sum(dim=0), values.square().sum(dim=0)
        self.total = total if self.total is None else self.total + total
        self.squares = squares if self.squares is None else self.squares + squares
        self.count += len(rows)

    def result(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation; 0 and 1 if there were no rows; a deviation is 1 where all values were equal."""
        assert self.total is not None
        assert self.squares is not None
        if self.count == 0:
            return torch.zeros_like(self.total).float(), torch.ones_like(self.total).float()
        mean = self.total / self.count
        spread = (self.squares / self.count - mean.square()).clamp(min=0).sqrt()
        return mean.float(), torch.where(spread > _LEAST_SPREAD, spread, 1.0).float()
