"""What a round of pruning tries next, and how it learns what came of it."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass


@dataclass(frozen=True)
class Proposal:
    """What to try.

    Attributes:
        candidates: processors to remove on top of what was accepted before in this round. Without any, the loss as it
            is now is asked for, which is no trial.
        measure: only find out what the loss would be; nothing is removed.
    """

    candidates: tuple[int, ...]
    measure: bool = False


Trials = Generator[Proposal, float | None, None]
"""Yields proposals. Each is answered with its loss where that is within the bound (the candidates are then removed,
unless they were only measured), else with None."""
