"""What the peer's search would take, from what its parts take."""

from __future__ import annotations

from collections.abc import Sequence

Cost = tuple[float, float, float]
"""Share of the processors left, seconds of a training step, seconds of a whole-song evaluation."""


def peer_search_seconds(
    steps: tuple[int, int, int], rounds: Sequence[dict[str, int]], full: Cost, small: Cost
) -> float:
    """Adds up a search of console training and rounds of pruning.

    Each round is an evaluation, its trials at the console as the round found it, another evaluation, and steps with
    what is left; costs are straight lines in the number of processors between the two that were measured.

    >>> peer_search_seconds((300, 1, 50), [{"before": 10, "after": 5, "trials": 8}], (1.0, 4.0, 12.0), (0.5, 2.0, 6.0))
    1420.0

    Args:
        steps: of the console, number of rounds, after each round.
        rounds: `before` and `after`, processors; `trials`, evaluations. As counted in a search.
        full: costs of the full console.
        small: with few processors left.
    """
    console_steps, _, round_steps = steps
    total = console_steps * full[1]
    share = 1.0
    for found in rounds:
        before, share = found["before"] / rounds[0]["before"], found["after"] / rounds[0]["before"]
        total += (found["trials"] + 1) * _between(before, full, small, 2) + _between(share, full, small, 2)
        total += round_steps * _between(share, full, small, 1)
    return total + _between(share, full, small, 2)


def _between(share: float, full: Cost, small: Cost, column: int) -> float:
    if full[0] <= small[0]:
        return full[column]
    slope = (full[column] - small[column]) / (full[0] - small[0])
    return small[column] + (share - small[0]) * slope
