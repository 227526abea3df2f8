"""Predicts the time of a search, and finds the schedule that fits into a given time. Pure: nothing is timed here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from mixgraph.pruning.samplers import SamplerSettings

# The expected shares of the full console that are left: on Potassium and mdb_reggae a third after the first round.
_AFTER_FIRST_ROUND, _OF_EACH_ROUND, _LEAST = 0.5, 0.85, 0.25
_FIXED = 0.25  # share of a step's time that does not depend on the number of processors
LEAST_STEPS = 5  # of a stage
_PROPER_STEPS = 100  # the fewest training steps of a useful search


@dataclass(frozen=True)
class Schedule:
    """The settings of a search that a time budget may change; `options` gives them as options of `fit`.

    Attributes:
        steps_per_stage, console_stages, rounds: the numbers of steps, console stages and pruning rounds.
        sampler: the sampler that chooses the candidates.
        leave_one_out: whether loss increases are measured before the first round and at the end (paper eq. 9).
        sparsity_ramp_steps: the steps until the sparsity term has its full weight, see `RegularizerSettings`.
    """

    steps_per_stage: int
    console_stages: int
    rounds: int
    sampler: SamplerSettings
    leave_one_out: bool
    sparsity_ramp_steps: int

    def options(self) -> dict[str, int | str | bool]:
        """The options of `fit` that give this schedule."""
        return {
            "data.steps_per_stage": self.steps_per_stage,
            "pruning.console_stages": self.console_stages,
            "pruning.rounds": self.rounds,
            "pruning.sampler": self.sampler.sampler,
            "pruning.period": self.sampler.period,
            "pruning.leave_one_out": self.leave_one_out,
            "model.regularizers.sparsity_ramp_steps": self.sparsity_ramp_steps,
        }

    def state(self) -> dict[str, Any]:
        """Converts the schedule to values that a checkpoint can hold; see `from_state`."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Schedule:
        """Restores the schedule of a checkpoint."""
        return cls(**{**state, "sampler": SamplerSettings(**state["sampler"])})


@dataclass(frozen=True)
class SongCosts:
    """The cost of the trials of one song.

    Attributes:
        processors, types: the numbers of processors and of their types in its current graph.
        trial_seconds: the time of a trial that is not stopped early, on average over the processors.
        whole_seconds: the time to render the whole song with an empty cache, as at the start of every round.
    """

    processors: int
    types: int
    trial_seconds: float
    whole_seconds: float = 0.0


@dataclass(frozen=True)
class Costs:
    """The costs of a search.

    Attributes:
        step_seconds: the time of a training step with the current graph.
        songs: costs of each song of the search.
        windows: whether trials also limit the loss of single windows, for which the first round measures again.
        end_seconds: the time to write the results.
    """

    step_seconds: float
    songs: tuple[SongCosts, ...]
    windows: bool = False
    end_seconds: float = 0.0

    def at_pace(self, step_seconds: float, pace: float) -> Costs:
        """Returns the costs with another time of a step, other times multiplied by `pace`, as on a slower machine."""
        songs = [
            replace(song, trial_seconds=pace * song.trial_seconds, whole_seconds=pace * song.whole_seconds)
            for song in self.songs
        ]
        return replace(self, step_seconds=step_seconds, songs=tuple(songs), end_seconds=pace * self.end_seconds)


def trial_seconds(schedule: Schedule, costs: Costs, past_rounds: int = 0) -> float:
    """The expected seconds of all trials after some rounds. Most of a console goes in the first round."""
    rounds = range(past_rounds, schedule.rounds)
    return sum(_round_seconds(schedule, costs, r, past_rounds) for r in rounds) + _last_trials(
        schedule, costs, past_rounds
    )


def round_seconds(schedule: Schedule, costs: Costs, past_rounds: int) -> float:
    """The expected seconds of the next round's trials alone, including the measurements before the first round."""
    return _round_seconds(schedule, costs, past_rounds, past_rounds)


def training_steps(schedule: Schedule, past_stages: int = 0) -> float:
    """Returns the remaining steps after some stages, each as a share of a step with the current graph."""
    console = max(0, schedule.console_stages - past_stages)
    past_rounds = max(0, past_stages - schedule.console_stages)
    rounds = sum(_FIXED + (1 - _FIXED) * _left(r + 1, past_rounds) for r in range(past_rounds, schedule.rounds))
    return schedule.steps_per_stage * (console + rounds)


def seconds(schedule: Schedule, costs: Costs, past_stages: int = 0) -> float:
    """Returns the expected seconds of the rest of a search after some stages."""
    past_rounds = max(0, past_stages - schedule.console_stages)
    training = costs.step_seconds * training_steps(schedule, past_stages)
    return training + trial_seconds(schedule, costs, past_rounds) + costs.end_seconds


def fit(schedule: Schedule, costs: Costs, available: float, past_stages: int = 0) -> Schedule:
    """Returns the schedule that fits into the available seconds; training gets half of them, if possible and needed.

    Steps of all stages are scaled alike, the sparsity ramp with them. Where trials would take more than that leaves,
    there are fewer rounds, then loss increases are not measured at both ends, then weights choose in place of brute
    force. Where there is no time for stages of a few steps, there are fewer before the first round, so that it comes.
    """
    if seconds(schedule, costs, past_stages) <= available:
        return schedule
    available -= costs.end_seconds
    past_rounds = max(0, past_stages - schedule.console_stages)
    for cheaper in _cheaper(schedule, past_rounds):
        training = training_steps(cheaper, past_stages) * costs.step_seconds
        if trial_seconds(cheaper, costs, past_rounds) <= max(available / 2, available - training):
            break
    left = available - trial_seconds(cheaper, costs, past_rounds)
    one_step_seconds = training_steps(replace(cheaper, steps_per_stage=1), past_stages) * costs.step_seconds
    least = max(1, past_stages) if cheaper.rounds > past_rounds else cheaper.console_stages
    while left < LEAST_STEPS * one_step_seconds and cheaper.console_stages > least:
        cheaper = replace(cheaper, console_stages=cheaper.console_stages - 1)
        one_step_seconds -= costs.step_seconds
    steps = (
        min(schedule.steps_per_stage, max(LEAST_STEPS, int(left / one_step_seconds)))
        if one_step_seconds
        else schedule.steps_per_stage
    )
    pruned, planned = steps * cheaper.rounds, schedule.steps_per_stage * schedule.rounds
    ramp = round(schedule.sparsity_ramp_steps * pruned / planned) if planned else schedule.sparsity_ramp_steps
    return replace(cheaper, steps_per_stage=steps, sparsity_ramp_steps=max(1, ramp))


def least_seconds(schedule: Schedule, costs: Costs, past_stages: int = 0) -> float:
    """The seconds that the shortest useful search takes: the cheapest trials, and as long a training or 100 steps.

    If fewer than 100 steps of the schedule are left, that number counts.
    """
    past_rounds = max(0, past_stages - schedule.console_stages)
    trials = min(trial_seconds(cheaper, costs, past_rounds) for cheaper in _cheaper(schedule, past_rounds))
    steps = min(_PROPER_STEPS, training_steps(schedule, past_stages))
    return trials + max(trials, steps * costs.step_seconds) + costs.end_seconds


def _left(round_index: int, past_rounds: int) -> float:
    """The expected share of the processors that are left before a round, of those that are left after `past_rounds`."""
    return _share(round_index) / _share(past_rounds)


def _share(rounds: int) -> float:
    return 1.0 if rounds == 0 else max(_LEAST, _AFTER_FIRST_ROUND * _OF_EACH_ROUND ** (rounds - 1))


def _round_seconds(schedule: Schedule, costs: Costs, round_index: int, past_rounds: int) -> float:
    """The expected seconds of the trials of a round, after `past_rounds` rounds."""
    share = _left(round_index, past_rounds)
    left_out = schedule.leave_one_out and round_index == 0
    measured = left_out and not costs.windows  # the round need not measure them again
    sampler = schedule.sampler.make()
    total = 0.0
    for song in costs.songs:
        left = song.processors * share
        trials = left if left_out else 0.0  # as many whole ones as would take the same time
        trials += sampler.expected_trials(round_index, left, song.types, measured)
        total += song.whole_seconds + trials * song.trial_seconds
    return total


def _last_trials(schedule: Schedule, costs: Costs, past_rounds: int) -> float:
    """Returns the seconds of measuring the remaining processors' loss increases at the end."""
    if not schedule.leave_one_out:
        return 0.0
    share = _left(max(schedule.rounds, past_rounds), past_rounds)
    return sum(song.whole_seconds + song.processors * share * song.trial_seconds for song in costs.songs)


def _cheaper(schedule: Schedule, past_rounds: int) -> Iterator[Schedule]:
    """Yields the schedule and ever cheaper ones: fewer rounds, no measuring at both ends, then a cheaper sampler."""
    sampler = schedule.sampler.make()
    last = schedule
    for rounds in range(schedule.rounds, min(schedule.rounds, past_rounds + 1) - 1, -1):
        changes = {} if rounds == schedule.rounds else sampler.settings_for(rounds, schedule.rounds)
        if changes is not None:
            last = replace(schedule, rounds=rounds, sampler=replace(schedule.sampler, **changes))
            yield last
    if last.leave_one_out:
        last = replace(last, leave_one_out=False)
        yield last
    if sampler.fallback is not None and last.rounds > past_rounds:
        yield replace(last, sampler=replace(last.sampler, sampler=sampler.fallback))


def describe_changes(before: Schedule, after: Schedule) -> Sequence[str]:
    """Returns `name=value` for every option that differs."""
    options = before.options()
    return [f"{name}={str(v).lower()}" for name, v in after.options().items() if options[name] != v]
