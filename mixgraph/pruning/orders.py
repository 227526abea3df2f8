"""The orders in which brute force tries processors, registered by name (`pruning.order`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from mixgraph.pruning.proposals import Proposal, Trials
from mixgraph.registry import Registry

_PATIENCE = 8  # a round ends after so many failures in a row of processors that cost something: later ones cost more
# The expected share of the measured processors that are tried, and of their time. Some trials remove several at once,
# which renders more again, and some end as soon as their loss is above the bound. (Measured, in units of one trial of
# each processor: .33 on a song of 4 tracks, .59 on one of 11.)
_TRIED = 0.5


class Order:
    """An order of candidates. A subclass registers itself and arranges the candidates, or overrides `trials`.

    Attributes:
        name: the value of `pruning.order` that selects it.
    """

    name: ClassVar[str]

    def arrange(self, candidates: Sequence[int], types: Sequence[str], weights: Sequence[float]) -> Sequence[int]:
        """Puts processors into the order in which they are tried, each alone.

        Args:
            candidates: indices of all processors, shuffled.
            types: type of each processor.
            weights: dry/wet weight of each processor.
        """
        raise TypeError(f"order {type(self).__name__} has neither arrange nor trials")

    def trials(self, candidates: Sequence[int], types: Sequence[str], weights: Sequence[float]) -> Trials:
        """Tries processors; the arguments are those of `arrange`."""
        for processor in self.arrange(candidates, types, weights):
            yield Proposal((processor,))

    def expected_trials(self, processors: float, measured: bool) -> float:
        """The expected time of a round's trials, in units of the time of one whole trial.

        Args:
            processors: the expected number of processors at the start of the round.
            measured: the loss without each processor is known already, so that measuring it costs nothing.
        """
        return processors


ORDERS: Registry[Order] = Registry("order")


@ORDERS.register
class RandomOrder(Order):
    """A random order (paper section 3.2)."""

    name = "random"

    def arrange(self, candidates: Sequence[int], types: Sequence[str], weights: Sequence[float]) -> Sequence[int]:
        return candidates


@ORDERS.register
class WeightOrder(Order):
    """Smallest dry/wet weight first."""

    name = "weight"

    def arrange(self, candidates: Sequence[int], types: Sequence[str], weights: Sequence[float]) -> Sequence[int]:
        return sorted(candidates, key=lambda i: weights[i])


@ORDERS.register
class LossIncreaseOrder(Order):
    """Smallest loss increase first (paper eq. 9), several together while that succeeds.

    All processors are measured before any is removed. Those that could go are tried, smallest increase first: twice as
    many together after each success, half as many after a failure, until eight in a row fail alone. Those that cost
    nothing by themselves do not count among the eight: processors that can replace each other fail in a row as soon as
    the rest of them is gone, which says nothing about those that follow.
    """

    name = "loss_increase"

    def trials(self, candidates: Sequence[int], types: Sequence[str], weights: Sequence[float]) -> Trials:
        start = yield Proposal((), measure=True)
        losses: dict[int, float] = {}
        for processor in candidates:
            loss = yield Proposal((processor,), measure=True)
            if loss is not None:
                losses[processor] = loss
        yield from self._together(losses, -math.inf if start is None else start)

    @staticmethod
    def _together(losses: dict[int, float], start: float) -> Trials:
        order = sorted(losses, key=lambda i: losses[i])
        first, size, failures = 0, 1, 0
        while first < len(order) and failures < _PATIENCE:
            candidates = tuple(order[first : first + size])
            if (yield Proposal(candidates)) is not None:
                first, size, failures = first + len(candidates), 2 * size, 0
            elif len(candidates) > 1:
                size = len(candidates) // 2
            else:
                first, failures = first + 1, failures + (losses[order[first]] > start)

    def expected_trials(self, processors: float, measured: bool) -> float:
        return _TRIED * processors if measured else processors + _TRIED * processors
