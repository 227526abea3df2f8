"""The requests to the workers and their outcomes, the same on all kinds of workers."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mixgraph.dataset import Job
from tools.dataset.worker import Request


@dataclass(frozen=True)
class Task:
    """A job, the folder to work in, and the request to a worker."""

    job: Job
    folder: Path
    request: Request


@dataclass(frozen=True)
class Outcome:
    """The outcome of a task.

    Attributes:
        task: the task that ended.
        result: the folder of the complete result; None if the task failed.
        reason: the reason of the failure.
        details: the traceback of an error.
        unusable: True if the song itself is at fault, so that it is rejected rather than failed.
        attempts: the number of attempts; None if they were not counted.
        resumable: True if its process was ended from outside; its files are kept, and the next build resumes it.
    """

    task: Task
    result: Path | None
    reason: str = ""
    details: str = ""
    unusable: bool = False
    attempts: int | None = 1
    resumable: bool = False


class Workers(Protocol):
    """Run tasks side by side, begin them in their order, and yield each of them once, as it ends."""

    def run(self, tasks: Sequence[Task]) -> Generator[Outcome, None, None]: ...
