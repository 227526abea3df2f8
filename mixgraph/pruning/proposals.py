"""How a sampler proposes a trial, and how it gets the result."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass


@dataclass(frozen=True)
class Proposal:
    """A trial that a sampler proposes.

    Attributes:
        candidates: processors to remove on top of those accepted before in this round. Without any, the current loss
            is measured, which is no trial.
        measure: only the loss is measured; nothing is removed.
    """

    candidates: tuple[int, ...]
    measure: bool = False


Trials = Generator[Proposal, float | None, None]
"""Yields proposals. Each is answered with its loss where that is within the bound (the candidates are then removed,
unless they were only measured), else with None."""
