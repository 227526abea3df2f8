"""The results of pruning one song, round by round."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mixgraph.losses import SongScore


@dataclass
class SongRecord:
    """The results of pruning one song so far.

    Attributes:
        min_loss: L_a^min so far; None before the first round.
        trace: one row for each trial, each round and each measured loss increase.
        console_score: the losses of the trained console, before pruning.
        console_loss: the loss of the trained console in the unit of the search's reduction, if that is not the mean.
        console_second_loss: full match loss of the trained console by a front end that the search did not use.
        loss_increases: the loss increase of each processor that is left at the end, None if it was not measured.
        seconds: the time that the trials took, with that of measuring loss increases.
        loss_increase_seconds: the time that measuring loss increases took.
        tolerance: the tolerance at the end of the search; None if the search does not prune.
    """

    min_loss: float | None = None
    trace: list[dict[str, Any]] = field(default_factory=list)
    console_score: SongScore | None = None
    console_loss: float | None = None
    console_second_loss: float | None = None
    loss_increases: list[float | None] | None = None
    seconds: float = 0.0
    loss_increase_seconds: float = 0.0
    tolerance: float | None = None
