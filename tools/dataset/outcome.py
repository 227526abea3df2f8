"""The requests to the workers and their outcomes, the same on all kinds of workers."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class WorkerRequest(Protocol):
    """A request to a worker."""

    @property
    def program(self) -> str:
        """The module that a process on this machine runs, with the folder of the task as its argument."""

    def save(self, folder: Path) -> None:
        """Writes the request to the folder of its task, and removes files of other tasks from it."""

    def run(self, folder: Path) -> Path:
        """Does the work in a folder, going on with what is there; returns the folder of the complete result."""


@dataclass(frozen=True)
class Task:
    """A job (of a build or of a sweep), the folder to work in, and the request to a worker."""

    job: Any
    folder: Path
    request: WorkerRequest


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
    """Run tasks side by side, begin them in their order, and yield each of them once, as it ends.

    A task is taken from the iterable when it is begun, after all outcomes that were yielded were dealt with.
    """

    def run(self, tasks: Iterable[Task]) -> Generator[Outcome, None, None]: ...
