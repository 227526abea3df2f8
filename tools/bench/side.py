"""What a side of the benchmark must do; each returns plain values, times in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

Answer = dict[str, Any]
REFERENCE = "reference"
"""The slow renderer, among the schedules of the fast one."""


class Unsupported(Exception):
    """The side does not support a measurement; the table states the reason."""


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

    def search(self, console_steps: int, rounds: int, round_steps: int, seed: int) -> Answer:
        """A whole search with the hybrid sampler; the seed reaches initial values, clips and candidates.

        Returns:
            `total`; `steps` that were trained; `step`, seconds of a training step, over all of them; `console_step`,
            of the full console; `rounds`, each with `before` and `after` (processors; by type `types` and
            `types_after`), `trials`, `seconds` (of its evaluations) and `step` (of training after it);
            `pruning_ratio`; `optimised`, the denominator of the loss
            that the side trains and prunes by; and `common_losses` of what was found.
        """
        ...


def search_answer(
    total: float,
    console: tuple[int, float],
    counts: Sequence[dict[str, int]],
    rounds: Sequence[dict[str, Any]],
    round_steps: int,
    steps: int,
) -> Answer:
    """The results of a search in the form that both sides return.

    Args:
        total: the seconds of the whole search.
        console: the number of steps of the full console, and their seconds.
        counts: processors of each type: of the full console, and after each round.
        rounds: `trials`, `seconds`, and `training`: seconds of the steps after it.
        round_steps: the number of steps after each round.
        steps: the counted number of all training steps.
    """
    rows = []
    for before, after, counted in zip(counts, counts[1:], rounds, strict=False):
        sizes = {"before": sum(before.values()), "after": sum(after.values()), "types": before, "types_after": after}
        times = {"seconds": counted["seconds"], "step": counted["training"] / round_steps}
        rows.append(sizes | {"trials": counted["trials"]} | times)
    return {
        "total": total,
        "steps": steps,
        "step": (console[1] + sum(counted["training"] for counted in rounds)) / steps,
        "console_step": console[1] / console[0],
        "rounds": rows,
        "pruning_ratio": 1 - sum(counts[-1].values()) / sum(counts[0].values()),
    }
