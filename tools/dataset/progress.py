"""What a person sees of a build: a bar, what is left, and a line for each song that ends."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mixgraph.names import visible_lines


class BuildProgress:
    """Searches done and the time that the others will take: the work left at the rate of the work done.

    Args:
        work: of all searches, in any unit.
        searches: their number.
        console: to write to.
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
        """A line above the bar."""
        self.console.print(visible_lines(text), markup=False, highlight=False, soft_wrap=True)

    def advance(self, work: float) -> None:
        """A search ended."""
        self.work_done, self.done = self.work_done + work, self.done + 1
        self._bar.update(self._task, completed=self.done, left=self.left())

    def left(self) -> str:
        """How long the rest will take."""
        if not self.work_done or self.done == self.searches:
            return ""
        seconds = (time.monotonic() - self.started) * (self.work - self.work_done) / self.work_done
        return f"about {duration(seconds)} left"


def duration(seconds: float) -> str:
    """Such as `40 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
