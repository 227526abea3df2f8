"""How long a search is: the steps of the console, the rounds of pruning, and the steps after each."""

from __future__ import annotations

from dataclasses import dataclass

HYBRID_PERIOD = 4
"""Of the hybrid sampler, ours and the peer's: every 4th round is brute force."""


@dataclass(frozen=True)
class Recipe:
    """A search: steps of the console, number of rounds, steps after each round.

    >>> str(Recipe(300, 4, 50))
    '300 + 4 x 50'
    """

    console_steps: int
    rounds: int
    round_steps: int

    @property
    def total_steps(self) -> int:
        return self.console_steps + self.rounds * self.round_steps

    def __str__(self) -> str:
        return f"{self.console_steps} + {self.rounds} x {self.round_steps}"


DEFAULT_RECIPE = Recipe(6000, 12, 500)
