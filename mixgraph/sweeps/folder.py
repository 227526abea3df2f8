"""The folder of a sweep, in which every trial is complete or absent."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from mixgraph.results import FolderKind, Place
from mixgraph.sweeps.figures import read_figures
from mixgraph.sweeps.space import Values
from mixgraph.sweeps.sweep_file import Metric
from mixgraph.system.files import (
    append_text,
    is_temporary,
    json_lines,
    json_text,
    parse_json,
    read_text,
    write_atomically,
)

RECORD = "job.json"
"""The file of a trial that says what it is of and how it ended, written last."""
_SWEEP, _FAILURES, LOG = "record.json", "failures.jsonl", "sweep.log"
_TRIALS, _AGAIN = "trials", "_seed_"


def _foreign(entries: list[Path]) -> list[Path]:
    return [] if any(path.name == RECORD for path in entries) else entries


TRIAL = FolderKind("trial of a sweep", _foreign, lambda folder: (folder / RECORD).is_file())


@dataclass(frozen=True)
class TrialJob:
    """A trial to run.

    Attributes:
        number: the number of the trial, from 0.
        seed: the seed of the search, or of the training.
        values: what its parameters are set to.
        again: whether it runs the winner's values with another seed.
    """

    number: int
    seed: int
    values: Values
    again: bool = False

    @property
    def name(self) -> str:
        return f"trial_{self.number:03d}" + (f"{_AGAIN}{self.seed}" if self.again else "")

    def record(self, sweep: str) -> dict[str, Any]:
        """Returns what identifies the trial: `sweep` is the digest of the sweep's record."""
        return {"trial": self.number, "seed": self.seed, "values": self.values, "again": self.again, "sweep": sweep}


@dataclass(frozen=True)
class Trial:
    """A trial that has ended.

    Attributes:
        job: what was run.
        state: `done`, or `stopped` as a bad one.
        value: its metric; of a stopped one the last value that it reported, infinite where it was no number.
        figures: its figures, see `read_figures`; none of a stopped one.
        stages: the stages (or epochs) after which a stopped one was stopped; None of others.
        seconds: how long it took; None where that is not known.
    """

    job: TrialJob
    state: Literal["done", "stopped"]
    value: float
    figures: Mapping[str, float]
    stages: int | None = None
    seconds: float | None = None


def trial_folders(root: Path) -> tuple[list[Path], list[Path]]:
    """The folders of a sweep's trials that are done, and of those that were stopped as bad ones.

    The winner's further seeds are left out. Both are empty if the folder is no sweep.

    Raises:
        ValueError: a trial is damaged.
    """
    folders = sorted((root / _TRIALS).glob("trial_*")) if (root / _SWEEP).is_file() else []
    first = [path for path in folders if _AGAIN not in path.name and (path / RECORD).is_file()]
    stopped = [path for path in first if _saved_trial(path)["state"] == "stopped"]
    return [path for path in first if path not in stopped], stopped


def _saved_trial(folder: Path) -> dict[str, Any]:
    """Reads the record of a trial that ended.

    Raises:
        ValueError: it is damaged.
    """
    try:
        saved = dict(parse_json(read_text(folder / RECORD)))
        if saved["state"] not in ("done", "stopped"):
            raise ValueError(f"state: done or stopped is needed, got {saved['state']!r}")
    except (ValueError, TypeError, LookupError) as error:
        raise ValueError(f"{folder / RECORD}: is damaged ({error!r}). HINT: remove {folder}") from error
    return saved


class SweepFolder:
    """Manages the folder of a sweep; one process does at a time.

    `trials/NAME` holds the trials that ended, `work/NAME` those that are running or were stopped from outside.

    Args:
        root: the folder of the sweep.
        metric: the figure that trials are compared by.
    """

    def __init__(self, root: Path, metric: Metric) -> None:
        self.root, self.metric = root, metric
        self.digest = ""

    def result(self, job: TrialJob) -> Path:
        return self.root / _TRIALS / job.name

    def work(self, job: TrialJob) -> Path:
        return self.root / "work" / job.name

    def sweep(self) -> None:
        """Removes temporary files of a process that was killed."""
        for left in [path for path in self.root.iterdir() if is_temporary(path)]:
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()

    def saved_record(self) -> dict[str, Any] | None:
        """Returns the record of the sweep that this folder is of; None of a new one.

        Raises:
            ValueError: the folder is of something else.
        """
        path = self.root / _SWEEP
        if path.is_file():
            try:
                return dict(parse_json(read_text(path)))
            except (ValueError, TypeError) as error:
                raise ValueError(f"{path}: is damaged ({error}). HINT: another --out") from error
        others = [p.name for p in self.root.iterdir() if not p.name.startswith(".") and p.name != LOG]
        if others:
            raise ValueError(f"out: {self.root} exists and is no sweep (it holds {', '.join(sorted(others)[:5])})")
        return None

    def save_record(self, record: Mapping[str, Any]) -> None:
        write_atomically(self.root / _SWEEP, (json_text(record, indent=1) + "\n").encode())

    def read(self, job: TrialJob) -> Trial | None:
        """Reads a trial that has ended; None if it has not.

        Raises:
            ValueError: it is of another sweep, or damaged.
        """
        folder = self.result(job)
        if not (folder / RECORD).is_file():
            return None
        saved = _saved_trial(folder)
        try:
            seconds, last = saved["seconds"], None
            if saved["state"] == "stopped":
                last = int(saved["reports"][-1][0]), saved["reports"][-1][1]
                last = last if last[1] is None else (last[0], float(last[1]))
        except (ValueError, TypeError, LookupError, OverflowError) as error:
            raise ValueError(f"{folder / RECORD}: is damaged ({error!r}). HINT: remove {folder}") from error
        wanted = json.loads(json_text(job.record(self.digest)))
        different = [name for name, value in wanted.items() if saved.get(name) != value]
        if different:
            raise ValueError(f"{folder}: its {', '.join(different)} differs from the sweep's. HINT: remove it")
        if last is not None:
            stages, value = last
            if value is None:  # JSON has no infinity
                value = math.inf if self.metric.goal == "minimize" else -math.inf
            return Trial(job, "stopped", value, {}, stages, seconds)
        figures = read_figures(folder, self.metric)
        return Trial(job, "done", figures[self.metric.name], figures, None, seconds)

    def publish(self, job: TrialJob, folder: Path) -> None:
        """Moves a complete trial to its path in `trials`."""
        with Place(self.result(job), TRIAL, "out", "it is a trial that has ended").held() as place:
            place.publish(folder, overwrite=False)
        shutil.rmtree(self.work(job), ignore_errors=True)
        with contextlib.suppress(OSError):  # others are at work there
            (self.root / "work").rmdir()

    def failures(self) -> dict[str, str]:
        """Returns the reasons of trials that failed, by name."""
        path = self.root / _FAILURES
        try:
            rows = json_lines(read_text(path)) if path.is_file() else []
            return {str(row["name"]): str(row["reason"]) for row in rows}
        except (ValueError, TypeError, LookupError) as error:
            raise ValueError(f"{path}: is damaged ({error!r}). HINT: remove it") from error

    def set_failure(self, job: TrialJob, reason: str | None) -> None:
        """Records at once that a trial failed, or, with None, that it did not after all."""
        failures = self.failures()
        failures.pop(job.name, None)
        if reason is not None:
            failures[job.name] = reason
        lines = [json_text({"name": name, "reason": why}) + "\n" for name, why in failures.items()]
        if lines:
            write_atomically(self.root / _FAILURES, "".join(lines).encode())
        else:
            (self.root / _FAILURES).unlink(missing_ok=True)

    def log(self, line: str) -> None:
        """Adds a line with the time of day to sweep.log."""
        append_text(self.root / LOG, f"{datetime.now():%Y-%m-%d %H:%M:%S}  {line}\n")
