"""Shows the progress of a build: a bar, the remaining time, and a line for each finished song."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mixgraph.names import visible_lines


class BuildProgress:
    """A progress bar with the remaining time, estimated from the work that is left and the speed so far.

    Args:
        work: the work of all searches together, in any unit.
        searches: the number of searches.
        console: the console to write to.
    """

    def __init__(self, work: float, searches: int, console: Console) -> None:
        self.work, self.searches, self.console = work, searches, console
        self.work_done, self.done = 0.0, 0
        self.started = time.monotonic()
        columns = (TextColumn("searches"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, TextColumn("{task.fields[left]}"), console=console)
        self._task = self._bar.add_task("searches", total=searches, left="")

    def __enter__(self) -> BuildProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        self.console.print(visible_lines(text), markup=False, highlight=False, soft_wrap=True)

    def advance(self, work: float) -> None:
        """Counts a search as done, with its work."""
        self.work_done, self.done = self.work_done + work, self.done + 1
        self._bar.update(self._task, completed=self.done, left=self.left())

    def left(self) -> str:
        """Returns the estimated remaining time as a text."""
        if not self.work_done or self.done == self.searches:
            return ""
        seconds = (time.monotonic() - self.started) * (self.work - self.work_done) / self.work_done
        return f"about {duration(seconds)} left"


def duration(seconds: float) -> str:
    """Formats a duration as `40 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
