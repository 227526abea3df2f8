"""The parameters of a sweep, and the values that a grid, or chance, takes for them."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Values = dict[str, Any]
"""Name of a parameter -> its value in a trial."""
_MOST_DRAWS = 100  # for a trial that differs from all before it


@dataclass(frozen=True)
class Choice:
    """A parameter that takes one of several values.

    Attributes:
        name: the option of `fit` that it sets, such as `pruning.tolerance`.
        line: the line of the file on which it begins.
        values: the values.
        lines: the line of each value.
        probabilities: the probability of each value; None where all are as likely.
    """

    name: str
    line: int
    values: tuple[Any, ...]
    lines: tuple[int, ...]
    probabilities: tuple[float, ...] | None = None

    def listed(self) -> list[Any] | None:
        return list(self.values)

    def draw(self, chance: random.Random) -> Any:
        return chance.choices(self.values, self.probabilities)[0]

    def probes(self) -> list[tuple[Any, int]]:
        """Returns the values whose types are checked before the first trial, with their lines."""
        return list(zip(self.values, self.lines, strict=True))


@dataclass(frozen=True)
class Range:
    """A parameter that takes the numbers between two bounds.

    Attributes:
        name, line: see `Choice`.
        low, high: the bounds, which are among the numbers.
        whole: whether the numbers are whole.
        log: whether equal ratios, not equal differences, are as likely.
        step: the numbers are multiples of this, whole ones where it is whole; None where they need not be.
    """

    name: str
    line: int
    low: float
    high: float
    whole: bool = False
    log: bool = False
    step: float | None = None

    def listed(self) -> list[Any] | None:
        """Lists all numbers; None where there is no end of them."""
        if self.whole:
            return list(range(int(self.low), int(self.high) + 1))
        if self.step is None:
            return None
        first, last = math.ceil(self.low / self.step - 1e-9), math.floor(self.high / self.step + 1e-9)
        return [self._multiple(k) for k in range(first, last + 1)]

    def draw(self, chance: random.Random) -> Any:
        if self.whole and not self.log:
            return chance.randint(int(self.low), int(self.high))
        if self.log:
            number = math.exp(chance.uniform(math.log(self.low), math.log(self.high)))
        else:
            number = chance.uniform(self.low, self.high)
        if self.whole:
            return min(int(self.high), max(int(self.low), round(number)))
        if self.step is not None:
            steps = self.listed() or []
            return min(steps, key=lambda value: abs(value - number))
        # Six digits read well in a table, and are the same number everywhere.
        return min(self.high, max(self.low, float(f"{number:.6g}")))

    def probes(self) -> list[tuple[Any, int]]:
        """Returns the values whose types are checked before the first trial, with their lines."""
        ends = [int(self.low), int(self.high)]
        numbers = ends if self.whole else self.listed() or [self.low, self.high]
        return [(value, self.line) for value in (numbers[0], numbers[-1])]

    def _multiple(self, k: int) -> float:
        assert self.step is not None
        return k * self.step if isinstance(self.step, int) else float(f"{k * self.step:.12g}")


Parameter = Choice | Range


def varying(parameters: Sequence[Parameter]) -> list[str]:
    """Returns the names of the parameters that have more than one value."""
    return [p.name for p in parameters if isinstance(p, Range) or len(p.values) > 1]


def grid(parameters: Sequence[Parameter]) -> Iterator[Values]:
    """Yields all combinations of values; those of the last parameter change fastest.

    Raises:
        ValueError: there is no end of the values of a parameter.
    """
    lists = []
    for parameter in parameters:
        values = parameter.listed()
        if values is None:
            raise ValueError(f"{parameter.name}: values or steps are needed for a grid")
        lists.append(values)
    for combination in itertools.product(*lists):
        yield {parameter.name: value for parameter, value in zip(parameters, combination, strict=True)}


def draws(parameters: Sequence[Parameter], seed: int) -> Iterator[Values]:
    """Yields values by chance, none of them twice, until nothing new is found.

    The values of a trial depend on the seed and the number of the trial, and not on when it is run.

    Args:
        parameters: the parameters.
        seed: seeds the chance.
    """
    taken: list[Values] = []
    while True:
        number = len(taken)
        for attempt in range(_MOST_DRAWS):
            chance = random.Random(f"{seed}/{number}/{attempt}")
            values = {parameter.name: parameter.draw(chance) for parameter in parameters}
            if values not in taken:
                break
        else:
            return
        taken.append(values)
        yield values
