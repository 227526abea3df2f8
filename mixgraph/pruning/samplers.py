"""Chooses the processors to try to remove next (paper section 3.2): pure, seeded, without audio.

A round of trials is a generator: it yields the next proposal and is sent the result. So every rule can be run
against a synthetic accept rule, and the loop that evaluates is the same for all. Samplers are registered by name
(`pruning.sampler`).
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

from mixgraph.pruning.orders import ORDERS
from mixgraph.pruning.proposals import Proposal, Trials
from mixgraph.registry import Registry

_DRY_WET_TRIALS = 4  # expected trials of each type

Rule = Literal["paper", "reference"]


class Sampler:
    """A rule that proposes candidates for one round of pruning. A subclass registers itself.

    Its constructor takes what it needs of `SamplerSettings` by name (`rule`, `period`, `order`), and further options.

    Attributes:
        name: the value of `pruning.sampler` that selects it.
        fallback: name of a cheaper sampler that a time budget may take in its place; None where there is none.
    """

    name: ClassVar[str]
    fallback: ClassVar[str | None] = None

    def trials(self, round_index: int, types: Sequence[str], weights: Sequence[float], rng: random.Random) -> Trials:
        """Starts a round.

        Args:
            round_index: number of the round, from 0.
            types: type of each processor that is left at the start of the round.
            weights: dry/wet weight of each of these processors.
            rng: source of all randomness.

        Yields:
            Indices into `types`; see `Trials`.
        """
        raise TypeError(f"sampler {type(self).__name__} has no trials")

    def expected_trials(self, round_index: int, processors: float, types: int, measured: bool) -> float:
        """The expected time of a round's trials, in units of the time of one whole trial.

        Args:
            round_index: number of the round, from 0.
            processors: the expected number of processors at the start of the round.
            types: the number of types of these processors.
            measured: the loss without each processor is known already, so that measuring it costs nothing.
        """
        return processors

    def settings_for(self, rounds: int, planned: int) -> Mapping[str, Any] | None:
        """The fields of `SamplerSettings` that change where there are fewer rounds than planned.

        Returns:
            Changes by name; None if the sampler cannot work with this number of rounds.
        """
        return {}


SAMPLERS: Registry[Sampler] = Registry("sampler")


@dataclass(frozen=True)
class SamplerSettings:
    """The choice of a sampler. Settings that its constructor does not take are without effect.

    Attributes:
        sampler: name of a registered sampler.
        rule: rule of the dry/wet sampler, see `DryWet`.
        period: every period-th round of the hybrid sampler is brute force.
        order: name of a registered order of brute force.
        options: further arguments of the sampler's constructor, for samplers of your own.
    """

    sampler: str = "brute_force"
    rule: Rule = "paper"
    period: int = 4
    order: str = "random"
    options: Mapping[str, Any] = field(default_factory=dict)

    def make(self) -> Sampler:
        """Makes the sampler.

        Raises:
            ValueError: an unknown sampler or order, or an option that the sampler does not take.
        """
        kind = SAMPLERS.find(self.sampler)
        ORDERS.find(self.order)
        allowed = inspect.signature(kind).parameters
        unknown = [name for name in self.options if name not in allowed or name in _SHARED]
        if unknown:
            names = [name for name in allowed if name not in _SHARED]
            raise ValueError(
                f"sampler_options: sampler {self.sampler} takes {', '.join(names) or 'none'}, got {', '.join(unknown)}"
            )
        shared = {name: getattr(self, name) for name in _SHARED if name in allowed}
        try:
            return kind(**shared, **self.options)
        except TypeError as error:
            raise ValueError(f"sampler_options: sampler {self.sampler}: {error}") from error


_SHARED = ("rule", "period", "order")


@SAMPLERS.register
class BruteForce(Sampler):
    """Tries every processor (paper section 3.2).

    Args:
        order: name of a registered order: `"random"` (paper), `"weight"` or `"loss_increase"`, see
            `mixgraph.pruning.orders`.
    """

    name = "brute_force"
    fallback = "dry_wet"

    def __init__(self, order: str = "random") -> None:
        self.order = ORDERS.find(order)()

    def trials(self, round_index: int, types: Sequence[str], weights: Sequence[float], rng: random.Random) -> Trials:
        candidates = list(range(len(types)))
        rng.shuffle(candidates)
        return self.order.trials(candidates, types, weights)

    def expected_trials(self, round_index: int, processors: float, types: int, measured: bool) -> float:
        return self.order.expected_trials(processors, measured)


@SAMPLERS.register
class DryWet(Sampler):
    """Tries the processors of one type with the smallest weights together (paper section 3.2 and Algorithm 3).

    The candidates are max(1, floor(N_t r_t)) of the type, N_t counted at the start of the round, r_t from 0.1 and
    halved at each failure. A type is finished when a single candidate fails or none is left. (As printed,
    Algorithm 3 does not end for N_t < 10.)

    Args:
        rule: `"paper"` as above, or `"reference"`: accumulated ratios, rounded half to even; a type is finished
            after its first trial of a single node, whatever the verdict.
    """

    name = "dry_wet"

    def __init__(self, rule: Rule = "paper") -> None:
        if rule not in get_args(Rule):
            raise ValueError(f"rule: 'paper' or 'reference', got {rule!r}")
        self.rule = rule

    def trials(self, round_index: int, types: Sequence[str], weights: Sequence[float], rng: random.Random) -> Trials:
        by_weight = {t: _by_weight(t, types, weights) for t in dict.fromkeys(types)}
        return self._published(by_weight, rng) if self.rule == "reference" else self._paper(by_weight, rng)

    def expected_trials(self, round_index: int, processors: float, types: int, measured: bool) -> float:
        return min(processors, _DRY_WET_TRIALS * types)

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
    def _published(by_weight: dict[str, list[int]], rng: random.Random) -> Trials:
        accepted = dict.fromkeys(by_weight, 0.0)
        step = dict.fromkeys(by_weight, 0.1)
        tried = dict.fromkeys(by_weight, 0)
        pool = list(by_weight)
        while pool:
            t = rng.choice(pool)
            count = len(by_weight[t])
            size = step[t]
            if size <= 1 / count:
                size = 1 / count
                pool.remove(t)
            reach = min(count, round(count * (accepted[t] + size)))
            candidates = tuple(by_weight[t][tried[t] : reach])
            # Rounding can make a step that adds no node; the published code evaluates the same graph once more.
            if not candidates or (yield Proposal(candidates)) is not None:
                accepted[t] += size
                tried[t] = reach
                if accepted[t] >= 1 and t in pool:
                    pool.remove(t)
            else:
                step[t] /= 2


@SAMPLERS.register
class Hybrid(Sampler):
    """Dry/wet, with brute force in every `period`-th round (paper section 3.2).

    Args:
        period: 4 makes rounds 4, 8, 12 brute force.
        rule: rule of the dry/wet rounds.
        order: order of the brute-force rounds.
    """

    name = "hybrid"
    fallback = "dry_wet"

    def __init__(self, period: int = 4, rule: Rule = "paper", order: str = "random") -> None:
        if period < 1:
            raise ValueError(f"period: at least 1, got {period}")
        self.period = period
        self.dry_wet, self.brute_force = DryWet(rule), BruteForce(order)

    def sampler_of(self, round_index: int) -> Sampler:
        """Returns the sampler of a round."""
        return self.brute_force if round_index % self.period == self.period - 1 else self.dry_wet

    def trials(self, round_index: int, types: Sequence[str], weights: Sequence[float], rng: random.Random) -> Trials:
        return self.sampler_of(round_index).trials(round_index, types, weights, rng)

    def expected_trials(self, round_index: int, processors: float, types: int, measured: bool) -> float:
        return self.sampler_of(round_index).expected_trials(round_index, processors, types, measured)

    def settings_for(self, rounds: int, planned: int) -> Mapping[str, Any] | None:
        """Drops whole periods, so that the last round is still brute force; a single period becomes shorter."""
        if rounds > self.period and rounds % self.period:
            return None
        return {"period": min(self.period, rounds)} if planned >= self.period and rounds else {}


def _by_weight(node_type: str, types: Sequence[str], weights: Sequence[float]) -> list[int]:
    return sorted((i for i, t in enumerate(types) if t == node_type), key=lambda i: (weights[i], i))
