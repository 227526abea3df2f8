"""The round of trials against a loss that is known."""

import math
import random

import pytest

from mixgraph.pruning import BruteForce, DryWet, TrialLoss, leave_one_out, prune_round


class AdditiveLoss:
    """Each processor's removal raises the loss by a known amount, independent of the others."""

    def __init__(self, increases, base=1.0, early=False, late=()):
        self.increases, self.base, self.early, self.late = increases, base, early, late
        self.removed: set[int] = set()
        self.calls = 0

    def windows(self):
        return [self.base, self.base + sum(self.increases[i] for i in self.removed if i in self.late)]

    def evaluate(self, removed, bound=None, ceilings=None):
        self.calls += 1
        gone = self.removed | set(removed)
        loss = self.base + sum(self.increases[i] for i in gone)
        if ceilings is not None and self.base + sum(self.increases[i] for i in gone if i in self.late) > ceilings[1]:
            return TrialLoss(self.base, True)
        if self.early and bound is not None and loss > bound:
            return TrialLoss((bound + loss) / 2, True)
        return TrialLoss(loss)

    def accept(self, removed):
        assert not self.removed & set(removed)
        self.removed |= set(removed)


def play(evaluator, sampler=None, tolerance=0.01, min_loss=None, **options):
    types = ["e"] * len(evaluator.increases)
    weights = [0.5] * len(types)
    return prune_round(
        evaluator, sampler or BruteForce(), 0, types, weights, random.Random(0), min_loss, tolerance, **options
    )


def test_removes_what_is_free_and_keeps_what_costs() -> None:
    result = play(AdditiveLoss([0.0, 0.02, 0.0, 0.5]))
    assert result.removed == (0, 2)
    assert [t.accepted for t in sorted(result.trials, key=lambda t: t.candidates)] == [True, False, True, False]


def test_tolerance_is_on_the_sum_of_increases() -> None:
    assert len(play(AdditiveLoss([0.004] * 10)).removed) == 2  # a third would be 0.012 above


def test_what_costs_least_goes_first_where_increases_are_measured() -> None:
    increases = [0.009, 0.5, *[0.001 * i for i in range(5)], math.nan]
    evaluator = AdditiveLoss(increases, early=True)
    result = play(evaluator, BruteForce("loss_increase"))
    assert result.removed == (2, 3, 4, 5, 6)  # 0.010 together; 0.009 would have left room for three of them only
    measured, tried = result.trials[:8], result.trials[8:]
    assert all(trial.measured and not trial.accepted and trial.remaining == 8 for trial in measured)
    assert sorted(trial.candidates for trial in measured) == [(i,) for i in range(8)]
    assert [trial.candidates for trial in tried] == [(2,), (3, 4), (5, 6, 0), (5,), (6, 0), (6,), (0,)]
    assert not any(trial.measured for trial in tried)


class RivalsLoss(AdditiveLoss):
    """Of the first `rivals` processors any one may go, which lowers the loss; each further one costs."""

    def __init__(self, rivals, increases):
        super().__init__(increases)
        self.rivals = rivals

    def evaluate(self, removed, bound=None, ceilings=None):
        gone = len([i for i in self.removed | set(removed) if i < self.rivals])
        interaction = 0.0 if gone == 0 else 0.2 * (gone - 1) - 0.1
        return TrialLoss(super().evaluate(removed).loss + interaction)


@pytest.mark.parametrize("order", ["random", "weight", "loss_increase"])
def test_processors_that_replace_each_other_do_not_end_a_round(order) -> None:
    """Twelve that fail in a row, since one like them has gone, and behind them twenty that do nothing."""
    result = play(RivalsLoss(13, [0.0] * 33), BruteForce(order), tolerance=0.03)
    assert len(result.removed) == 21
    assert set(range(13, 33)) < set(result.removed)
    assert all(trial.candidates for trial in result.trials)


def test_a_window_that_suffers_too_much_refuses() -> None:
    increases = [0.01, 0.02, 0.01]
    assert play(AdditiveLoss(increases, late=(1, 2)), tolerance=1.0).removed == (0, 1, 2)
    assert play(AdditiveLoss(increases, late=(1, 2)), tolerance=1.0, window_tolerance=0.015).removed == (0, 2)
    assert play(AdditiveLoss(increases, late=(1, 2)), tolerance=1.0, window_tolerance=0.031).removed == (0, 1, 2)


def test_loss_at_the_bound_is_accepted() -> None:
    assert play(AdditiveLoss([0.25]), tolerance=0.25).removed == (0,)


def test_min_loss_follows_improvements_and_tightens_the_bound() -> None:
    result = play(AdditiveLoss([-0.5]), tolerance=0.01)
    assert result.min_loss == 0.5
    result = play(AdditiveLoss([-0.5, 0.02]), DryWet(), tolerance=0.01)
    assert result.removed == (0,)


def test_min_loss_is_kept_between_rounds_unless_refreshed() -> None:
    assert play(AdditiveLoss([0.005], base=2.0), min_loss=3.0).min_loss == 2.005
    assert play(AdditiveLoss([0.5], base=2.0), min_loss=3.0).min_loss == 2.5  # accepted: below 3.01
    assert play(AdditiveLoss([0.5], base=2.0), min_loss=3.0, refresh=True).removed == ()
    assert play(AdditiveLoss([0.5], base=4.0), min_loss=3.0, refresh=True).min_loss == 3.0


def test_nan_is_refused() -> None:
    result = play(AdditiveLoss([math.nan, 0.0]))
    assert result.removed == (1,)


@pytest.mark.parametrize("seed", range(10))
def test_early_stop_gives_the_same_verdicts(seed: int) -> None:
    rng = random.Random(seed)
    increases = [rng.choice([0.0, 0.003, -0.001, 0.1, 0.02]) for _ in range(40)]
    whole, early = play(AdditiveLoss(increases)), play(AdditiveLoss(increases, early=True))
    assert [(t.candidates, t.accepted) for t in whole.trials] == [(t.candidates, t.accepted) for t in early.trials]
    assert whole.removed == early.removed
    for a, b in zip(whole.trials, early.trials, strict=True):
        assert b.loss <= a.loss
        assert not b.stopped or b.loss > b.bound


def test_a_stop_keeps_what_was_accepted() -> None:
    reported = []
    result = play(AdditiveLoss([0.0] * 9), on_trial=reported.append, should_stop=lambda: len(reported) >= 4)
    assert len(result.removed) == len(result.trials) == 4
    assert [t.remaining for t in reported] == [8, 7, 6, 5]


def test_leave_one_out_is_each_alone() -> None:
    increases = [0.1, -0.2, 0.0]
    assert leave_one_out(AdditiveLoss(increases, base=2.0), 3) == pytest.approx(increases, abs=1e-12)


def test_leave_one_out_says_what_a_stop_left_out() -> None:
    reported = []
    increases = leave_one_out(
        AdditiveLoss([0.5] * 3), 3, lambda i, loss: reported.append(loss), lambda: len(reported) == 2
    )
    assert increases == [0.5, 0.5, None]
    assert reported == [1.5, 1.5]


def test_many_that_are_free_go_in_few_trials() -> None:
    increases = [1e-6 * i for i in range(200)] + [0.004] * 40
    result = play(AdditiveLoss(increases, early=True), BruteForce("loss_increase"), tolerance=0.05)
    assert result.removed[:200] == tuple(range(200))  # 0.0199 together
    assert len(result.removed) == 207
    tried = [trial for trial in result.trials if not trial.measured]
    assert len(tried) < 30
    assert [len(trial.candidates) for trial in tried[-8:]] == [1] * 8
