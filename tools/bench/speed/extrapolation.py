"""Estimates the time of a search from the costs and the numbers of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tools.bench.recipe import HYBRID_PERIOD, Recipe

Rounds = Sequence[dict[str, Any]]
"""Of a search, as a side counted them: `before` and `after` (processors), `types` and `types_after` (of each type),
`trials`, `seconds` and `step`; see `Side.search`."""


@dataclass(frozen=True)
class Cost:
    """Median seconds of a training step and of a whole-song evaluation, with a share of the processors left."""

    share: float
    step: float
    evaluation: float


def continued(rounds: Rounds, count: int) -> list[dict[str, Any]]:
    """The rounds of a longer search: those that were counted, then as many as are missing, which remove nothing more.

    A brute-force round tries every processor that is left once; a dry/wet round has as many trials as the last that
    was counted. A trial takes as long as in the last round of the same kind.
    """
    counted = [dict(of_round) for of_round in rounds[:count]]
    left = counted[-1]["after"]
    for index in range(len(counted), count):
        brute = _brute_force(index)
        alike = [of_round for i, of_round in enumerate(rounds) if _brute_force(i) == brute]
        last = (alike or rounds)[-1]
        trials = left if brute else last["trials"]
        types = counted[-1]["types_after"]
        again = last | {"before": left, "after": left, "types": types, "types_after": types, "trials": trials}
        seconds = last["seconds"] * trials / max(1, last["trials"])
        counted.append(again | {"seconds": seconds, "step": rounds[-1]["step"]})
    return counted


def with_fewest_trials(rounds: Rounds) -> list[dict[str, Any]]:
    """Rounds of ours with the fewest trials that the peer's rules can have on the same processors."""
    return [
        of_round
        | {"trials": of_round["before"] if _brute_force(index) else sum(map(fewest_trials, of_round["types"].values()))}
        for index, of_round in enumerate(rounds)
    ]


def fewest_trials(count: int) -> int:
    """The trials of the peer's dry/wet rule on a type where each is refused: it halves 10 % down to one processor.

    >>> [fewest_trials(count) for count in (0, 1, 10, 11, 25, 100)]
    [0, 1, 1, 2, 3, 5]
    """
    trials, size = min(1, count), 0.1
    while size * count > 1:
        trials, size = trials + 1, size / 2
    return trials


def _brute_force(index: int) -> bool:
    return index % HYBRID_PERIOD == HYBRID_PERIOD - 1


def our_seconds(recipe: Recipe, console_step: float, rounds: Rounds) -> float:
    """Adds up a search of ours from the seconds of a console step, and of the rounds and the steps after them.

    >>> our_seconds(Recipe(300, 1, 50), 1.0, [{"seconds": 20.0, "step": 0.5}])
    345.0
    """
    after = sum(of_round["seconds"] + recipe.round_steps * of_round["step"] for of_round in rounds)
    return recipe.console_steps * console_step + float(after)


def peer_seconds(recipe: Recipe, rounds: Rounds, full: Cost, small: Cost) -> float:
    """Adds up a search of the peer.

    Each round is an evaluation, its trials at the console as the round found it, another evaluation, and steps with
    what is left; costs are straight lines in the number of processors between the two that were measured.

    >>> counted = [{"before": 10, "after": 5, "trials": 8}]
    >>> peer_seconds(Recipe(300, 1, 50), counted, Cost(1.0, 4.0, 12.0), Cost(0.5, 2.0, 6.0))
    1414.0
    """
    total = recipe.console_steps * full.step
    for of_round in rounds:
        before, after = of_round["before"] / rounds[0]["before"], of_round["after"] / rounds[0]["before"]
        total += (of_round["trials"] + 1) * _between(before, full, small).evaluation
        left = _between(after, full, small)
        total += left.evaluation + recipe.round_steps * left.step
    return total


def _between(share: float, full: Cost, small: Cost) -> Cost:
    if full.share <= small.share:
        return full
    way = (share - small.share) / (full.share - small.share)
    return Cost(
        share,
        small.step + way * (full.step - small.step),
        small.evaluation + way * (full.evaluation - small.evaluation),
    )
