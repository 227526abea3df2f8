"""Runs the trials of a sweep that have not ended, and those of the winner with further seeds."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

from mixgraph.cli.arguments import trusted_words
from mixgraph.dataset.reasons import readable, reason
from mixgraph.sweeps.folder import SweepFolder, Trial, TrialJob
from mixgraph.sweeps.picture import save_picture
from mixgraph.sweeps.space import Values, draws, grid, varying
from mixgraph.sweeps.study import JOURNAL, Study
from mixgraph.sweeps.sweep_file import SweepFile
from mixgraph.sweeps.table import winner, write_tables
from tools.dataset.outcome import Outcome, Task, Workers
from tools.dataset.progress import duration
from tools.sweeps.check import is_search, option_words
from tools.sweeps.worker import TrialRequest, can_go_on

SEED = 42


@dataclass
class SweepRun:
    """A sweep that is run.

    Attributes:
        sweep: the file.
        settings: all settings of the trials, see `resolve_sweep`.
        folder: the folder of the sweep.
        num_trials: the number of trials.
        seed: seeds chance and Optuna's sampler.
        threads: the number of threads of each trial.
        make_workers: makes the workers; it is called only if a trial is due.
        say: prints a line, and keeps it in the log.
    """

    sweep: SweepFile
    settings: dict[str, Any]
    folder: SweepFolder
    num_trials: int
    seed: int
    threads: int
    make_workers: Callable[[], Workers]
    say: Callable[[str], None]
    trials: list[Trial] = field(default_factory=list)

    def __post_init__(self) -> None:
        needs_study = self.sweep.method == "bayes" or self.sweep.bands is not None
        path = self.folder.root / JOURNAL
        self._study = Study(path, self.sweep.metric, self.sweep.parameters, self.seed) if needs_study else None
        self._ended = 0

    def run(self) -> None:
        """Runs all trials that have not ended; tables and picture are written after each."""
        jobs = self._jobs()
        # Of bayes those that Optuna suggested before; what it suggests next depends on what these find.
        known = self._num_known() if self.sweep.method == "bayes" else None
        first = list(itertools.islice(jobs, known))
        self.num_trials = self.num_trials if known is not None else len(first)
        for job in first:
            self._take_in(job)
        due = [job for job in first if self._trial(job) is None]
        left = self.num_trials - len(self.trials)
        self.say(f"{self.num_trials} trials: {len(self.trials)} ended before, {left} to run.")
        self._run(itertools.chain(due, jobs), left)

    def repeat_winner(self, seeds: int) -> None:
        """Runs the values of the winner with further seeds, so that there are `seeds` in all."""
        best = winner(self.trials, self.sweep.metric)
        if best is None:
            return
        jobs = [TrialJob(best.job.number, best.job.seed + k, best.job.values, True) for k in range(1, seeds)]
        for job in jobs:
            self._take_in(job)
        due = [job for job in jobs if self._trial(job) is None]
        self.say(f"The winner, trial {best.job.number}, with {seeds} seeds: {len(due)} to run.")
        self._run(iter(due), len(due))

    @property
    def failures(self) -> dict[str, str]:
        return self.folder.failures()

    def write(self) -> None:
        """Writes the tables and the picture."""
        self.trials.sort(key=lambda trial: (trial.job.number, trial.job.again, trial.job.seed))
        write_tables(self.folder.root, self.trials, self.sweep.metric, self.failures)
        save_picture(self.folder.root / "trials.png", self.trials, self.sweep.metric)

    # Which trials there are.

    def _jobs(self) -> Iterator[TrialJob]:
        fixed: Iterator[Values] | None = None
        if self.sweep.method != "bayes":
            made = (
                grid(self.sweep.parameters) if self.sweep.method == "grid" else draws(self.sweep.parameters, self.seed)
            )
            fixed = itertools.islice(made, self.num_trials)
        for number in range(self.num_trials):
            values = None if fixed is None else next(fixed, None)
            if fixed is not None and values is None:
                return
            if self._study is not None:
                values = self._study.values(number, values)
            assert values is not None
            yield TrialJob(number, self._seed(values), values)

    def _num_known(self) -> int:
        return 0 if self._study is None else min(self.num_trials, self._study.num_trials)

    def _seed(self, values: Values) -> int:
        """The seed of a trial: the one that is swept, or that of the settings, which is the same for all."""
        seed = values.get("seed_everything", self.settings.get("seed_everything"))
        return SEED if seed is None or isinstance(seed, bool) else int(seed)

    def _trial(self, job: TrialJob) -> Trial | None:
        return next((trial for trial in self.trials if trial.job == job), None)

    def _take_in(self, job: TrialJob) -> Trial | None:
        """Reads a trial that has ended, and tells Optuna, which may not know since the sweep was killed."""
        trial = self.folder.read(job)
        if trial is None:
            return None
        self.trials.append(trial)
        if self._study is not None and not job.again:
            self._study.finish(job.number, None if trial.state == "stopped" else trial.value)
        return trial

    # Running them.

    def _run(self, jobs: Iterator[TrialJob], total: int) -> None:
        started = time.monotonic()
        self._ended = 0
        first = next(jobs, None)
        if first is not None:
            tasks = (self._task(job) for job in itertools.chain([first], jobs))
            with contextlib.closing(self.make_workers().run(tasks)) as outcomes:
                for outcome in outcomes:
                    self._end(outcome, total, started)
        self.write()

    def _task(self, job: TrialJob) -> Task:
        work = self.folder.work(job)
        goes_on = " goes on" if can_go_on(work) else " begins"
        self.say(f"{job.name}{goes_on}: {self._told(job.values)}, seed {job.seed}")
        stopping = None
        if self.sweep.bands is not None and not job.again:
            journal = str((self.folder.root / JOURNAL).resolve())
            stopping = {"journal": journal, "number": job.number, "bands": asdict(self.sweep.bands)}
        request = TrialRequest(
            self.settings | {"seed_everything": job.seed},
            option_words(job.values | ({"seed_everything": job.seed} if "seed_everything" in job.values else {})),
            not is_search(self.settings),
            asdict(self.sweep.metric),
            job.record(self.folder.digest),
            self.threads,
            stopping,
            trusted_words(),
        )
        return Task(job, work, request)

    def _told(self, values: Values) -> str:
        names = varying(self.sweep.parameters) or list(values)
        return ", ".join(f"{name}={values[name]}" for name in names)

    def _end(self, outcome: Outcome, total: int, started: float) -> None:
        """Publishes the result of a trial or records its failure; writes the tables as they are now."""
        job = outcome.task.job
        why = readable(outcome.reason)
        if outcome.result is not None:
            try:
                self.folder.publish(job, outcome.result)
                why = ""
            except (OSError, ValueError) as error:
                why = reason(error)
        self.folder.set_failure(job, why or None)
        self._ended += 1
        text = f"failed: {why}"
        if not why:
            trial = self._take_in(job)
            assert trial is not None
            text = self._describe(trial)
        spent = time.monotonic() - started
        left = f"; about {duration(spent / self._ended * (total - self._ended))} left" if self._ended < total else ""
        self.say(f"[{self._ended}/{total}] {job.name}: {text}{left}")
        self.write()

    def _describe(self, trial: Trial) -> str:
        name = self.sweep.metric.name
        if trial.state == "stopped":
            return f"stopped early after {trial.stages} stages, {name} {trial.value:.4g}: others were better there"
        minutes = "" if trial.seconds is None else f" in {duration(trial.seconds)}"
        best = winner(self.trials, self.sweep.metric)
        leads = "" if best is None else f"; best so far: {best.job.name}, {best.value:.4g}"
        return f"{name} {trial.value:.4g}{minutes}{leads}"


def sweep_record(sweep: SweepFile, settings: Mapping[str, Any], files: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Returns all that the trials of a sweep depend on, but for their number."""
    from mixgraph.dataset.settings import recorded

    return {
        "version": 1,
        "mixgraph": version("mixgraph"),
        "method": sweep.method,
        "metric": asdict(sweep.metric),
        "parameters": {
            p.name: {k: v for k, v in asdict(p).items() if k not in ("name", "line", "lines")} for p in sweep.parameters
        },
        "early_terminate": None if sweep.bands is None else asdict(sweep.bands),
        "settings": recorded(settings) if is_search(settings) else dict(settings),
        "sweep_seed": seed,
        "seed": settings.get("seed_everything"),
        "files": dict(files),
    }
