"""What a side of the benchmark must do; each returns plain values, times in seconds."""

from __future__ import annotations

from typing import Any, Protocol

Answer = dict[str, Any]


class Unsupported(Exception):
    """The side has no such thing; the table says why."""


class Side(Protocol):
    """Ours, or the peer, set up for one case."""

    def step(self) -> Answer:
        """One training step: `total`, `forward`, `loss`, `backward`, `optimizer`."""
        ...

    def evaluation(self) -> Answer:
        """One whole-song evaluation of the console: `total`, and the `loss`."""
        ...

    def trials(self, sampler: str, early_stop: bool, count: int) -> Answer:
        """Up to `count` pruning trials: `seconds` of each, `start` (the evaluation before), how many `accepted`."""
        ...

    def search(self, console_steps: int, rounds: int, round_steps: int) -> Answer:
        """A whole search with the hybrid sampler: `total`, `rounds` (processors and trials of each), `loss`."""
        ...
