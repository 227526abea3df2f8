"""Schedules that are fitted to a time, on a machine whose clock shows what steps and trials are said to take."""

import json
import time
from dataclasses import replace
from pathlib import Path

import lightning as L
import pytest
import torch

import callbacks.time_budget
from callbacks import IterativePruning, ResultFolder
from callbacks.search_costs import _FITTING, time_trials
from callbacks.time_budget import TimeBudget
from datamodules import SongData
from mixgraph.pruning import SongEvaluator
from mixgraph.search import search
from mixgraph.search.module import ConsoleModule
from mixgraph.system.threads import ThreadChoice

pytestmark = pytest.mark.usefixtures("blank_pictures")

RATE, STEP, TRIAL, WHOLE = 8000, 1.0, 1.0, 0.5
END = 3.0 + 0.013 * 13 + 3 * _FITTING + 2 * WHOLE  # seconds of writing a result of 13 processors, 3 of them equalizers


class Machine:
    """Its clock, and what it takes for a step, for a trial that is rendered, and for a song with nothing kept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.slower, self.trials = 0.0, 1.0, []
        losses, evaluate = ConsoleModule.losses, SongEvaluator.evaluate

        def timed_losses(module, clip):
            self.now += STEP * self.slower
            return losses(module, clip)

        def timed_evaluate(evaluator, removed, bound=None, ceilings=None):
            if evaluator._removed_with(removed) not in evaluator._losses:
                self.trials.append(tuple(removed))
                self.now += (self.trial(evaluator, removed) if removed else WHOLE) * self.slower
            return evaluate(evaluator, removed, bound, ceilings)

        self.trial = lambda evaluator, removed: TRIAL
        monkeypatch.setattr("mixgraph.pruning.schedule._PROPER_STEPS", 10)
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(ConsoleModule, "losses", timed_losses)
        monkeypatch.setattr(SongEvaluator, "evaluate", timed_evaluate)


class StopAt(L.Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        trainer.should_stop = trainer.should_stop or trainer.global_step == self.step


class Keep(L.Callback):
    """A checkpoint at the end of each stage, as a result folder writes it, and what the search was in the end."""

    def __init__(self, path: Path) -> None:
        self.path, self.steps, self.weights = path, 0, None

    def on_train_epoch_end(self, trainer, pl_module):
        if not trainer.should_stop:
            trainer.save_checkpoint(self.path, weights_only=False)

    def on_train_end(self, trainer, pl_module):
        self.steps, self.weights = trainer.global_step, pl_module.weights.detach().clone()


class SlowFrom(L.Callback):
    """The machine becomes slower at a step, as when another job begins."""

    def __init__(self, machine: Machine, step: int, slower: float) -> None:
        self.machine, self.step, self.slower = machine, step, slower

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.step:
            self.machine.slower = self.slower


@pytest.fixture
def machine(monkeypatch):
    return Machine(monkeypatch)


@pytest.fixture
def find(tiny_song, tmp_path):
    """A search of 13 processors that must not take long; its pruning, and what it was in the end."""

    def run(budget, *callbacks, go_on=False, console=2, rounds=2, steps=500, **options):
        data = SongData(str(tiny_song), sample_rate=RATE, steps_per_stage=steps, scored_seconds=0.2, cache_dir=None)
        pruning, keep = IterativePruning(console_stages=console, rounds=rounds, **options), Keep(tmp_path / "c.ckpt")
        module = ConsoleModule("ecg", "gr", sample_rate=RATE, warm_up_seconds=0.0)
        checkpoint = str(keep.path) if go_on else None
        all_callbacks = [*callbacks, pruning, keep, budget]
        search(module, data, all_callbacks, console + rounds, "cpu", checkpoint, enable_progress_bar=False)
        return pruning, keep

    return run


def test_a_budget_that_would_not_see_how_stages_end_is_refused(find) -> None:
    with pytest.raises(ValueError, match=r"callbacks: IterativePruning is needed before TimeBudget, .* HINT: put"):
        find(L.Callback(), TimeBudget(), ending=0.1)


@pytest.mark.long
def test_stages_that_a_converged_console_skips_take_no_time(find, machine) -> None:
    """8 stages of 10 steps are planned; the console converges after 2: what is left is one round, 10 steps, the end."""
    budget, left = TimeBudget("10m"), []

    class Look(L.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            left.append((budget.seconds_left(), budget._search._expected_round))

    find(budget, Look(), console=8, rounds=1, steps=10, leave_one_out=False, ending=9.0, ending_steps=1)
    seconds, of_round = left[0]
    assert 13 * TRIAL < of_round < 2 * 13 * TRIAL + WHOLE
    assert of_round + END < seconds < of_round + END + 10 * STEP


def test_every_timed_trial_is_of_another_candidate(find, machine) -> None:
    """The same one again would come from memory and take no time, as it once did."""
    budget = TimeBudget()
    find(budget, steps=1, rounds=0, console=1, leave_one_out=False)
    whole, *timed = machine.trials
    assert whole == ()
    assert len(timed) == len(set(timed)) == 7
    assert budget._search.costs().end_seconds == pytest.approx(END)


def test_trials_are_timed_on_tracks_and_in_subgroups(find, machine, monkeypatch) -> None:
    """One in a subgroup takes half as long; of 13, 9 are on tracks: the mean is within 10 % of that of all."""
    costs_seen = {}
    machine.trial = lambda evaluator, removed: 1.0 if _is_on_a_track(evaluator, removed[0]) else 0.5
    monkeypatch.setattr("callbacks.search_costs.time_trials", lambda e: costs_seen.setdefault("told", time_trials(e)))
    find(TimeBudget(), steps=1, rounds=0, console=1, leave_one_out=False)
    assert costs_seen["told"] == pytest.approx((WHOLE, (9 * 1.0 + 4 * 0.5) / 13), rel=0.1)


def _is_on_a_track(evaluator, index):
    return not evaluator.whole.label(evaluator.whole.processors[index]).startswith("subgroup")


def test_one_trial_that_is_held_up_does_not_decide(find, machine, monkeypatch) -> None:
    costs_seen = {}
    machine.trial = lambda evaluator, removed: 40.0 if len(machine.trials) == 3 else 1.0
    monkeypatch.setattr("callbacks.search_costs.time_trials", lambda e: costs_seen.setdefault("told", time_trials(e)))
    find(TimeBudget(), steps=1, rounds=0, console=1, leave_one_out=False)
    assert costs_seen["told"][1] == pytest.approx((1 + 1 + 4) / 3)  # counted as four; it took the time of the others


@pytest.mark.long
def test_what_is_said_is_what_is_taken(find, machine, caplog) -> None:
    budget = TimeBudget()
    with caplog.at_level("INFO"):
        pruning, _ = find(budget, console=2, rounds=2, steps=10)
    announced_seconds = float(caplog.text.split("about ")[1].split(" minutes")[0]) * 60
    # 4 stages of 10 steps; 13 processors are measured, tried, and what is left again; files are written in no time here
    started = 2 * WHOLE + 7 * TRIAL + 4 * STEP
    measured_seconds = machine.now - started + END
    assert measured_seconds / 1.3 < announced_seconds < 1.3 * measured_seconds
    assert pruning.songs[0].seconds > 0


@pytest.mark.long
def test_a_budget_scales_the_search(find, machine, tmp_path, caplog) -> None:
    """13 processors in 90 s: there is time for one round of 26 trials, and for steps of 3 stages."""
    budget, schedules_seen = TimeBudget("90s"), {}

    class Look(L.Callback):
        def on_train_start(self, trainer, pl_module):
            schedules_seen["epochs"], schedules_seen["ramp"] = (
                trainer.max_epochs,
                pl_module.regularizers.sparsity_ramp_steps,
            )

    with caplog.at_level("INFO"):
        find(budget, Look(), ResultFolder(str(tmp_path / "r"), page=False))
    fitted = budget.fitted
    assert (fitted.rounds, fitted.sampler.sampler, fitted.leave_one_out) == (1, "brute_force", True)
    assert schedules_seen == {"epochs": 3, "ramp": fitted.sparsity_ramp_steps}
    metrics = json.loads((tmp_path / "r" / "metrics.json").read_text())
    # The last stage is a little shorter: pruning leaves more of so small a console than of others.
    assert 2.5 * fitted.steps_per_stage < metrics["steps"] == metrics["planned_steps"] <= 3 * fitted.steps_per_stage
    assert f"To fit the budget: 3 stages of {fitted.steps_per_stage} steps, 1 pruning round (" in caplog.text
    assert "pruning.rounds=1" in caplog.text
    assert 0.75 * 90 < machine.now + END < 90


@pytest.mark.parametrize(("slower", "at"), [(2.0, 5), (3.0, 5), pytest.param(1.5, 20, marks=pytest.mark.long)])
def test_a_machine_that_becomes_slower_still_prunes_within_the_budget(find, machine, caplog, slower, at) -> None:
    budget = TimeBudget("130s")
    with caplog.at_level("INFO"):
        pruning, _ = find(budget, SlowFrom(machine, at, slower), console=4, rounds=4)
    assert any(row["kind"] == "round" for row in pruning.trace)
    assert "Longer than planned" in caplog.text
    assert machine.now + slower * END < 1.1 * 130


@pytest.mark.long
def test_the_only_stage_before_pruning_ends_early_on_a_machine_that_becomes_slower(find, machine, tmp_path, caplog):
    budget = TimeBudget("130s")
    with caplog.at_level("INFO"):
        pruning, keep = find(budget, SlowFrom(machine, 5, 2.0), console=1, rounds=1)
    assert "the stage ends after" in caplog.text
    assert any(row["kind"] == "round" for row in pruning.trace)
    assert keep.steps < 500
    assert machine.now + 2 * END < 1.1 * 130


@pytest.mark.long
def test_a_schedule_that_was_fitted_again_goes_on_from_its_checkpoint(find, machine, tmp_path, caplog) -> None:
    """Interrupted in the stage after: clips, steps and schedule are those of the search that went through."""
    with caplog.at_level("INFO"):
        pruning, whole = find(TimeBudget("130s"), SlowFrom(machine, 5, 2.0), console=4, rounds=2)
    assert "Longer than planned" in caplog.text
    trace, machine.now, machine.slower = pruning.songs[0].trace, 0.0, 1.0
    again = TimeBudget("130s")
    find(again, SlowFrom(machine, 5, 2.0), StopAt(whole.steps - 1), console=4, rounds=2)
    late = TimeBudget("130s")
    machine.slower = 0.5  # with time to spare, the schedule stays as it was fitted
    pruning, keep = find(late, console=4, rounds=2, go_on=True)
    assert late.fitted == again.fitted
    assert keep.steps == whole.steps
    assert pruning.songs[0].trace == trace
    assert torch.equal(keep.weights, whole.weights)


def test_a_budget_that_ends_before_a_round_says_so_and_how_to_go_on(find, machine, caplog) -> None:
    """A machine that all at once takes a thousand times as long: what was planned cannot be done."""
    with caplog.at_level("INFO"):
        pruning, _ = find(TimeBudget("130s"), SlowFrom(machine, 5, 1000.0), console=2, rounds=2)
    assert not any(row["kind"] == "round" for row in pruning.trace)
    last = caplog.messages[-1]
    assert last.startswith("The budget was spent before the first round of pruning: all 13 processors are left. HINT: ")
    assert "--budget " in last


def test_a_budget_that_holds_no_search_says_what_would(find, machine) -> None:
    with pytest.warns(UserWarning, match=r"budget: too short to train and prune this console, which takes 4\ds at le"):
        find(TimeBudget("10s"))


@pytest.mark.long
def test_a_fitted_schedule_goes_on_unless_another_is_asked_for(find, machine) -> None:
    find(first := TimeBudget("90s"), StopAt(20))
    find(again := TimeBudget("90s"), StopAt(24), go_on=True)
    assert again.fitted == first.fitted
    with pytest.warns(UserWarning, match=r"made with .*pruning.rounds=1.*; the search goes on with .*pruning.rounds=4"):
        find(other := TimeBudget("80s"), go_on=True, rounds=4)
    assert other.requested.rounds == 4
    assert other.fitted != first.fitted


@pytest.mark.long
def test_a_search_that_goes_on_with_a_budget_is_fitted(find, machine) -> None:
    find(TimeBudget(), StopAt(14), steps=10)
    find(late := TimeBudget("68s"), steps=10, go_on=True)
    assert late.fitted == replace(late.requested, rounds=1, sparsity_ramp_steps=1000)  # one round less is enough


@pytest.mark.long
def test_another_budget_is_fitted_anew(find, machine, tmp_path) -> None:
    find(first := TimeBudget("90s"), StopAt(20))
    with pytest.warns(UserWarning, match=r"made with data.steps_per_stage=\d+, .*; the search goes on with .*=500"):
        find(second := TimeBudget("130s"), StopAt(24), go_on=True)
    assert second.fitted.steps_per_stage > first.fitted.steps_per_stage


@pytest.mark.long
def test_a_budgets_schedule_is_kept_and_another_schedule_is_told(find, machine) -> None:
    find(first := TimeBudget("1h"), StopAt(4), steps=3)
    assert first.fitted is None  # an hour is enough
    with pytest.warns(UserWarning, match=r"made with pruning.rounds=2; the search goes on with pruning.rounds=1\."):
        find(TimeBudget(), go_on=True, rounds=1, steps=3)


@pytest.mark.long
def test_one_budget_serves_two_searches(find, machine) -> None:
    budget = TimeBudget("90s")
    _, first = find(budget)
    _, second = find(budget)
    assert first.steps == second.steps
    assert torch.equal(first.weights, second.weights)


class MadeWith(TimeBudget):
    """Its checkpoints are those of a search with another number of threads."""

    def __init__(self, threads: int) -> None:
        super().__init__()
        self.other = threads

    @property
    def state_key(self):
        return "TimeBudget"

    def state_dict(self):
        return super().state_dict() | {"threads": self.other}


@pytest.mark.parametrize(
    ("saved", "free", "fixed", "message"),
    [
        (1, 2, False, "Computing with 1 thread, as the search had before."),
        (1, 1, False, "Computing with 1 thread (2 cores, 1.0 of them busy)."),
        (2, 1, False, "made with 2 threads, the search goes on with 1: results may differ in the last digits"),
        (2, 1, True, "made with 2 threads, the search goes on with 1: results may differ in the last digits"),
    ],
)
@pytest.mark.filterwarnings("default:The checkpoint was made with:UserWarning")
def test_a_search_goes_on_with_the_threads_of_its_checkpoint_where_they_are_free(
    find, machine, monkeypatch, caplog, recwarn, saved, free, fixed, message
) -> None:
    find(MadeWith(saved), StopAt(3), steps=2, rounds=0, leave_one_out=False)
    choice = ThreadChoice(free, f"2 cores, {2.0 - free:.1f} of them busy", fixed)
    monkeypatch.setattr(callbacks.time_budget, "chosen_threads", lambda: choice)
    with caplog.at_level("INFO"):
        find(TimeBudget(), steps=2, rounds=0, go_on=True, leave_one_out=False)
    assert message in "\n".join([*caplog.messages, *(str(warning.message) for warning in recwarn)])
    assert torch.get_num_threads() == 1
