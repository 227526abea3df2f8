"""Which processors to try to remove next (paper section 3.2): pure, seeded, without audio.

A round of trials is a generator: it yields what to try next and is sent what came of it. So every rule can be run
against a synthetic accept rule, and the loop that evaluates is the same for all.
"""

from __future__ import annotations

import math
import random
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

_PATIENCE = 8  # processors in a row that cost something and cannot go: those that follow cost more

Order = Literal["random", "weight", "loss_increase"]


@dataclass(frozen=True)
class Proposal:
    """What to try.

    Attributes:
        candidates: processors to remove on top of what was accepted before in this round; none asks for the loss as
            it is, which is no trial.
        measure: only find out what the loss would be; nothing is removed.
    """

    candidates: tuple[int, ...]
    measure: bool = False


Trials = Generator[Proposal, float | None, None]
"""Is sent the loss of what it proposed where that is within the bound (and so removed, unless it was only measured),
else None."""


class Sampler(Protocol):
    """A rule that proposes candidates for one round of pruning."""

    def trials(self, round_index: int, types: Sequence[str], weights: Sequence[float], rng: random.Random) -> Trials:
        """Starts a round.

        Args:
            round_index: from 0.
            types: of each processor that is left at the start of the round.
            weights: dry/wet weight of each of them.
            rng: source of all randomness.

        Yields:
            Indices into `types`; see `Trials`.
        """
        ...


class BruteForce:
    """Tries every processor once, alone (paper section 3.2).

    Args:
        order: `"random"` (paper); `"weight"`, smallest dry/wet weight first; or `"loss_increase"`: measures all of them
            before it removes any (paper eq. 9), and then tries those that could go, smallest increase first: twice as
            many together after each success, half as many after a failure, until eight in a row fail alone. Those
            that cost nothing by themselves do not count among the eight: what can replace each other fails in a row as
            soon as the rest of it is gone, which says nothing about those that follow.
    """

    def __init__(self, order: Order = "random") -> None:
        if order not in get_args(Order):
            raise ValueError(f"order: one of {', '.join(get_args(Order))}, got {order!r}")
        self.order = order

    def trials(self, round_index: int, types: Sequence[str], weights: Sequence[float], rng: random.Random) -> Trials:
        order = list(range(len(types)))
        rng.shuffle(order)
        if self.order == "weight":
            order.sort(key=lambda i: weights[i])
        elif self.order == "loss_increase":
            start = yield Proposal((), measure=True)
            losses: dict[int, float] = {}
            for processor in order:
                loss = yield Proposal((processor,), measure=True)
                if loss is not None:
                    losses[processor] = loss
            yield from self._together(losses, -math.inf if start is None else start)
            return
        for processor in order:
            yield Proposal((processor,))

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


class DryWet:
    """Tries the processors of one type with the smallest weights together (paper section 3.2 and Algorithm 3).

    The candidates are max(1, floor(N_t r_t)) of the type, N_t counted at the start of the round, r_t from 0.1 and
    halved at each failure. A type is finished when a single candidate fails or none is left. (As printed,
    Algorithm 3 does not end for N_t < 10.)

    Args:
        rule: `"paper"` as above, or `"reference"`: accumulated ratios, rounded half to even; a type is finished
            after its first trial of a single node, whatever the verdict.
    """

    def __init__(self, rule: Literal["paper", "reference"] = "paper") -> None:
        if rule not in ("paper", "reference"):
            raise ValueError(f"rule: 'paper' or 'reference', got {rule!r}")
        self.rule = rule

    def trials(self, round_index: int, types: Sequence[str], weights: Sequence[float], rng: random.Random) -> Trials:
        by_weight = {t: _by_weight(t, types, weights) for t in dict.fromkeys(types)}
        return self._reference(by_weight, rng) if self.rule == "reference" else self._paper(by_weight, rng)

    @staticmethod
    def _paper(by_weight: dict[str, list[int]], rng: random.Random) -> Trials:
        counts = {t: len(nodes) for t, nodes in by_weight.items()}
        ratio = dict.fromkeys(by_weight, 0.1)
        left = {t: list(nodes) for t, nodes in by_weight.items()}
        pool = list(by_weight)
        while pool:
            t = rng.choice(pool)
            size = max(1, int(counts[t] * ratio[t]))
            candidates = left[t][:size]
            if (yield Proposal(tuple(candidates))) is not None:
                left[t] = left[t][size:]
            elif len(candidates) > 1:
                ratio[t] /= 2
                continue
            else:
                pool.remove(t)
                continue
            if not left[t]:
                pool.remove(t)

    @staticmethod
    def _reference(by_weight: dict[str, list[int]], rng: random.Random) -> Trials:
        accepted = dict.fromkeys(by_weight, 0.0)
        step = dict.fromkeys(by_weight, 0.1)
        taken = dict.fromkeys(by_weight, 0)
        pool = list(by_weight)
        while pool:
            t = rng.choice(pool)
            count = len(by_weight[t])
            size = step[t]
            if size <= 1 / count:
                size = 1 / count
                pool.remove(t)
            reach = min(count, round(count * (accepted[t] + size)))
            candidates = tuple(by_weight[t][taken[t] : reach])
            # Rounding can make a step that adds no node; the reference evaluates the same graph once more.
            if not candidates or (yield Proposal(candidates)) is not None:
                accepted[t] += size
                taken[t] = reach
                if accepted[t] >= 1 and t in pool:
                    pool.remove(t)
            else:
                step[t] /= 2


class Hybrid:
    """Dry/wet, with brute force in every `period`-th round (paper section 3.2).

    Args:
        period: 4 makes rounds 4, 8, 12 brute force.
        rule: of the dry/wet rounds.
        order: of the brute-force rounds.
    """

    def __init__(self, period: int = 4, rule: Literal["paper", "reference"] = "paper", order: Order = "random") -> None:
        if period < 1:
            raise ValueError(f"period: at least 1, got {period}")
        self.period = period
        self.dry_wet, self.brute_force = DryWet(rule), BruteForce(order)

    def trials(self, round_index: int, types: Sequence[str], weights: Sequence[float], rng: random.Random) -> Trials:
        brute = round_index % self.period == self.period - 1
        sampler: Sampler = self.brute_force if brute else self.dry_wet
        return sampler.trials(round_index, types, weights, rng)


def _by_weight(node_type: str, types: Sequence[str], weights: Sequence[float]) -> list[int]:
    return sorted((i for i, t in enumerate(types) if t == node_type), key=lambda i: (weights[i], i))


SAMPLERS = ("brute_force", "dry_wet", "hybrid")


def make_sampler(
    name: str, rule: Literal["paper", "reference"] = "paper", period: int = 4, order: Order = "random"
) -> Sampler:
    """A sampler by name, for configurations and sweeps.

    Raises:
        ValueError: an unknown name; the message lists the known ones.
    """
    if name == "brute_force":
        return BruteForce(order)
    if name == "dry_wet":
        return DryWet(rule)
    if name == "hybrid":
        return Hybrid(period, rule, order)
    raise ValueError(f"sampler: one of {', '.join(SAMPLERS)}, got {name!r}")
