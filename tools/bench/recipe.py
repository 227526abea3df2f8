"""The length of a search: the steps of the console, the rounds of pruning, and the steps after each round."""

from __future__ import annotations

from collections.abc import Sequence
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

    @classmethod
    def checked(cls, steps: Sequence[int], option: str, least_rounds: int = 1) -> Recipe:
        """The recipe of three numbers that a user gave.

        Raises:
            ValueError: numbers that are too small, or a console whose steps are no whole number of stages.
        """
        console, rounds, after = steps
        if min(console, after) < 1 or rounds < least_rounds or console % after:
            least = "at least 1 each" if least_rounds == 1 else f"at least 1, {least_rounds} and 1"
            raise ValueError(f"{option}: {least}, CONSOLE a multiple of STEPS, got {console} {rounds} {after}")
        return cls(console, rounds, after)

    @property
    def total_steps(self) -> int:
        return self.console_steps + self.rounds * self.round_steps

    def __str__(self) -> str:
        return f"{self.console_steps} + {self.rounds} x {self.round_steps}"


DEFAULT_RECIPE = Recipe(6000, 12, 500)
