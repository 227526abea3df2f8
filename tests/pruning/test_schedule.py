"""Schedules and what they cost: sums that are known, and budgets that are kept."""

from dataclasses import replace

import pytest

from mixgraph.pruning import Costs, SamplerSettings, Schedule, SongCosts
from mixgraph.pruning.schedule import (
    LEAST_STEPS,
    describe_changes,
    fit,
    least_seconds,
    seconds,
    training_steps,
    trial_seconds,
)

BRUTE_FORCE = SamplerSettings("brute_force", order="loss_increase")
PAPER = Schedule(500, 12, 12, BRUTE_FORCE, True, 2000)
SONG = SongCosts(100, 7, 1.0)
COSTS = Costs(0.5, (SONG,))


def test_trials_of_one_round() -> None:
    """Measured once for both (the first round knows them), half of them tried, half of the console left at the end."""
    one_round = replace(PAPER, rounds=1)
    assert trial_seconds(one_round, COSTS) == pytest.approx(100 + 50 + 50)
    assert trial_seconds(one_round, replace(COSTS, windows=True)) == pytest.approx(300)  # windows are measured anew
    silent = replace(one_round, leave_one_out=False)
    assert trial_seconds(silent, COSTS) == pytest.approx(100 + 50)
    assert trial_seconds(replace(silent, sampler=SamplerSettings("brute_force")), COSTS) == pytest.approx(100)
    assert trial_seconds(replace(silent, sampler=SamplerSettings("dry_wet")), COSTS) == pytest.approx(4 * 7)
    assert trial_seconds(replace(silent, rounds=2), COSTS) == pytest.approx(150 + 75)
    assert trial_seconds(replace(one_round, rounds=0), COSTS) == pytest.approx(100)  # at the end, of the whole console


def test_trials_of_songs_add_up_and_past_rounds_do_not_count() -> None:
    two = replace(COSTS, songs=(SONG, SongCosts(10, 7, 3.0)))
    alone = trial_seconds(PAPER, COSTS)
    assert trial_seconds(PAPER, two) == pytest.approx(alone * (1 + 10 * 3 / 100))
    # What is left is what the graph, as it is then, is expected to shrink by.
    late = trial_seconds(replace(PAPER, leave_one_out=False), COSTS, past_rounds=11)
    assert late == pytest.approx(150)


def test_training_gets_cheaper_as_the_console_shrinks() -> None:
    assert training_steps(replace(PAPER, rounds=0)) == 500 * 12
    one_round_steps = training_steps(replace(PAPER, rounds=1))
    assert one_round_steps == pytest.approx(500 * (12 + 0.25 + 0.75 * 0.5))
    assert training_steps(replace(PAPER, rounds=1), past_stages=12) == pytest.approx(500 * 0.625)
    assert 500 * 12 * 0.4 < training_steps(PAPER) - 500 * 12 < 500 * 12 * 0.625
    assert seconds(PAPER, COSTS) == pytest.approx(0.5 * training_steps(PAPER) + trial_seconds(PAPER, COSTS))


def test_what_fits_is_left_as_it_is() -> None:
    whole = seconds(PAPER, COSTS)
    assert fit(PAPER, COSTS, whole) == PAPER
    assert fit(PAPER, COSTS, whole - 1) != PAPER


@pytest.mark.parametrize("sampler", ["brute_force", "hybrid", "dry_wet"])
@pytest.mark.parametrize("available", [1, 60, 200, 300, 450, 700, 1500, 3000])
@pytest.mark.parametrize("trial", [0.01, 0.3, 1.36])
def test_a_fitted_schedule_takes_the_time_and_half_of_it_to_train(sampler, available, trial) -> None:
    requested, costs = (
        replace(PAPER, sampler=SamplerSettings(sampler, order="loss_increase")),
        Costs(0.5, (SongCosts(210, 7, trial),)),
    )
    fitted = fit(requested, costs, available)
    if available < least_seconds(requested, costs):
        assert (fitted.rounds, fitted.sampler.sampler, fitted.leave_one_out) == (1, "dry_wet", False)
        assert fitted.steps_per_stage >= LEAST_STEPS
        return
    one_step_seconds = training_steps(replace(fitted, steps_per_stage=1)) * 0.5  # steps are whole
    assert available - one_step_seconds <= seconds(fitted, costs) <= available
    training = 0.5 * training_steps(replace(fitted, steps_per_stage=500))
    assert trial_seconds(fitted, costs) <= max(available / 2, available - training)
    assert fitted.sparsity_ramp_steps == pytest.approx(2000 * fitted.rounds * fitted.steps_per_stage / 6000, abs=0.5)


def test_rounds_go_first_then_measurements_then_brute_force() -> None:
    costs = Costs(0.5, (SongCosts(200, 7, 1.0),))
    fitted = [fit(PAPER, costs, available) for available in range(60, 3600, 60)]
    ranks = [(s.sampler.sampler == "brute_force", s.leave_one_out, s.rounds) for s in fitted]
    assert ranks == sorted(ranks)
    assert set(ranks) >= {(False, False, 1), (True, False, 1), (True, True, 1), (True, True, 4)}


def test_the_hybrid_sampler_keeps_its_last_round_of_brute_force() -> None:
    costs = Costs(0.5, (SongCosts(200, 7, 1.0),))
    requested = replace(PAPER, sampler=replace(BRUTE_FORCE, sampler="hybrid"))
    for available in range(300, 3600, 60):
        fitted = fit(requested, costs, available)
        assert fitted.sampler.sampler == "dry_wet" or fitted.rounds % fitted.sampler.period == 0


@pytest.mark.parametrize("sampler", ["brute_force", "hybrid", "dry_wet"])
@pytest.mark.parametrize("past", range(24))
def test_a_stage_is_left_however_short_the_time(sampler, past) -> None:
    costs, requested = (
        Costs(0.5, (SongCosts(200, 7, 1.0),)),
        replace(PAPER, sampler=SamplerSettings(sampler, order="loss_increase")),
    )
    for available in (0, 1, 30, 100, 300, 1000):
        fitted = fit(requested, costs, available, past_stages=past)
        assert fitted.console_stages + fitted.rounds > past


@pytest.mark.parametrize(("past", "console", "steps"), [(0, 1, 5), (3, 3, 9), (12, 12, 9), (13, 12, 6)])
def test_without_time_for_its_stages_a_round_comes_sooner(past, console, steps) -> None:
    """Twelve stages of five steps would take 60 s; beside the 28 trials of the round there are 6."""
    fitted = fit(PAPER, Costs(1.0, (SongCosts(100, 7, 1.0),)), 34, past_stages=past)
    assert (fitted.console_stages, fitted.steps_per_stage) == (console, steps)
    assert fitted.rounds == max(1, past - 12 + 1)
    enough = fit(PAPER, Costs(1.0, (SongCosts(100, 7, 1.0),)), 100, past_stages=0)
    assert enough.console_stages == 12
    none = fit(replace(PAPER, rounds=0, leave_one_out=False), COSTS, 3)
    assert none.console_stages == 12


def test_past_rounds_are_kept() -> None:
    costs = Costs(0.5, (SongCosts(200, 7, 1.0),))
    fitted = fit(PAPER, costs, 600, past_stages=15)
    assert fitted.rounds >= 4
    assert seconds(fitted, costs, past_stages=15) <= 600


def test_a_cheaper_hybrid_has_brute_force_only_if_it_had_some() -> None:
    costs, requested = (
        Costs(0.5, (SongCosts(200, 7, 1.0),)),
        replace(PAPER, sampler=replace(BRUTE_FORCE, sampler="hybrid"), rounds=3),
    )
    for available in range(10, 1000, 30):
        fitted = fit(requested, costs, available)
        assert (fitted.sampler.period, fitted.sampler.sampler) in ((4, "hybrid"), (4, "dry_wet"))


def test_changes_are_told_as_options() -> None:
    fitted = replace(PAPER, steps_per_stage=55, leave_one_out=False)
    assert describe_changes(PAPER, fitted) == ["data.steps_per_stage=55", "pruning.leave_one_out=false"]
