"""One round of pruning trials, and the loss increase of every node (paper Algorithm 1, eq. 9)."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from mixgraph.pruning.samplers import Sampler


@dataclass(frozen=True)
class TrialLoss:
    """The whole-song match loss of a trial.

    Attributes:
        loss: the loss, or, where the trial was stopped, a lower bound of it.
        stopped: whether the trial was stopped, because that bound or a window's loss is already too high.
    """

    loss: float
    stopped: bool = False


class Evaluator(Protocol):
    """Evaluates the losses that a round needs; implemented by `SongEvaluator`, and by simple classes in tests."""

    def evaluate(
        self, removed: Collection[int], bound: float | None = None, ceilings: Sequence[float] | None = None
    ) -> TrialLoss:
        """The loss without the given processors (indices).

        May stop once it is certainly above `bound`; stops where a window's loss is above its ceiling.
        """
        ...

    def windows(self) -> list[float]:
        """The losses of the windows without the processors whose removal was accepted."""
        ...

    def accept(self, removed: Collection[int]) -> None:
        """Makes the removal of the given processors permanent for the trials that follow."""
        ...


@dataclass(frozen=True)
class Trial:
    """One row of the trace.

    Attributes:
        candidates: indices of processors that were tried on top of those accepted before.
        loss, stopped: the result of the trial, see `TrialLoss`.
        bound: the largest loss that would have been accepted.
        accepted: whether the removal was accepted.
        remaining: the number of processors after the trial; those that go along with a send or splitter still count.
        measured: whether the loss was only measured; nothing was removed.
    """

    candidates: tuple[int, ...]
    loss: float
    stopped: bool
    bound: float
    accepted: bool
    remaining: int
    measured: bool = False


@dataclass(frozen=True)
class RoundResult:
    """The result of a round of pruning.

    Attributes:
        start_loss: the loss of the graph at the start of the round.
        min_loss: L_a^min after the round.
        removed: indices of the processors to remove.
        trials: all trials in order.
    """

    start_loss: float
    min_loss: float
    removed: tuple[int, ...]
    trials: tuple[Trial, ...]


def prune_round(
    evaluator: Evaluator,
    sampler: Sampler,
    round_index: int,
    types: Sequence[str],
    weights: Sequence[float],
    rng: random.Random,
    min_loss: float | None,
    tolerance: float,
    refresh: bool = False,
    window_tolerance: float | None = None,
    on_trial: Callable[[Trial], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> RoundResult:
    """Tries removals until the sampler ends; accepts each that keeps the loss at or below L_min + tolerance.

    Args:
        evaluator: evaluates the song, with nothing removed yet.
        sampler: proposes candidates.
        round_index: number of the round, from 0.
        types: the type of each processor.
        weights: the dry/wet weight of each processor.
        rng: the sampler's source of randomness.
        min_loss: L_min so far; None takes the loss at the start of the round (Algorithm 1, line 3).
        tolerance: the allowed rise of the loss above L_min, absolute, in units of the match loss.
        refresh: lower L_min to the loss at the start of the round (the published code's rule).
        window_tolerance: no window's loss may rise by more than this above its loss at the start of the round; None
            lets the mean alone decide.
        on_trial: called after every trial.
        should_stop: called before every trial; if it returns true, the round ends with the removals accepted so far.
    """
    start_loss = evaluator.evaluate(()).loss
    if min_loss is None or (refresh and start_loss < min_loss):
        min_loss = start_loss
    ceilings = None
    if window_tolerance is not None:
        ceilings = [loss + window_tolerance for loss in evaluator.windows()]
    removed: list[int] = []
    trials: list[Trial] = []
    proposals = sampler.trials(round_index, types, weights, rng)
    proposal = next(proposals, None)
    while proposal is not None and not should_stop():
        bound = min_loss + tolerance
        outcome = evaluator.evaluate(proposal.candidates, bound, ceilings)
        fits = not outcome.stopped and outcome.loss <= bound  # a loss that is not a number is refused
        accepted = fits and not proposal.measure
        if accepted:
            evaluator.accept(proposal.candidates)
            removed += proposal.candidates
            min_loss = min(min_loss, outcome.loss)
        if proposal.candidates:
            remaining = len(types) - len(removed)
            trials.append(
                Trial(proposal.candidates, outcome.loss, outcome.stopped, bound, accepted, remaining, proposal.measure)
            )
            if on_trial is not None:
                on_trial(trials[-1])
        try:
            proposal = proposals.send(outcome.loss if fits else None)
        except StopIteration:
            proposal = None
    return RoundResult(start_loss, min_loss, tuple(sorted(removed)), tuple(trials))


def leave_one_out(
    evaluator: Evaluator,
    num_processors: int,
    on_trial: Callable[[int, float], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[float | None]:
    """Measures the loss increase of removing each processor alone (paper eq. 9); None for those after a stop."""
    base = evaluator.evaluate(()).loss
    increases: list[float | None] = []
    for processor in range(num_processors):
        if should_stop():
            return increases + [None] * (num_processors - len(increases))
        increases.append(evaluator.evaluate((processor,)).loss - base)
        if on_trial is not None:
            on_trial(processor, base + (increases[-1] or 0.0))
    return increases
