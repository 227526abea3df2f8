"""The folder of a build: what is done, what is unfinished, what failed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mixgraph.dataset.files import read_lines, write_lines
from mixgraph.dataset.jobs import Job, why_redo
from mixgraph.dataset.reasons import readable
from mixgraph.results import RESULT, Place
from mixgraph.system.files import is_temporary

RECORD = "job.json"


class BuildFolder:
    """Where the results of a build are; each is complete or absent.

    `results/SONG/run_N` holds results, `work/SONG/run_N` unfinished searches. A result is what its `job.json` says.

    Args:
        root: of the build.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.failures = root / "failures.jsonl"

    def result(self, job: Job) -> Path:
        return self.root / "results" / job.name

    def work(self, job: Job) -> Path:
        return self.root / "work" / job.name

    def _place(self, job: Job) -> Place:
        return Place(self.result(job), RESULT, "out", "it is no result of a build")

    def why_due(self, jobs: Iterable[Job]) -> list[str]:
        """Why each job has to be searched, in a line; "" where its result stands."""
        failed = {(row["song"], row["run"]): row["reason"] for row in read_lines(self.failures)}
        return [self._why_due(job, failed.get((job.song.name, job.run))) for job in jobs]

    def _why_due(self, job: Job, failure: str | None) -> str:
        record = self.result(job) / RECORD
        if record.is_file():
            try:
                saved = json.loads(record.read_text(encoding="utf-8"))
            except ValueError:
                saved = None
            return why_redo(saved, job.record()) if isinstance(saved, dict) else f"{RECORD} is damaged"
        if failure is not None:
            return f"failed before: {failure.strip().partition(chr(10))[0]}"
        return "begun before" if self.work(job).is_dir() else "new"

    def check(self, job: Job) -> None:
        """Checks before a search that its result can be published; puts back what a killed build was replacing.

        Raises:
            FileExistsError: something that is no result is in its place.
            OSError: the place cannot be written.
        """
        with self._place(job).held() as place:
            place.check(overwrite=True)

    def publish(self, job: Job, folder: Path) -> None:
        """Moves a complete result to its place; one that it replaces is gone then."""
        with self._place(job).held() as place:
            place.publish(folder, overwrite=True)
        self.clear(job)

    def clear(self, job: Job) -> None:
        """Removes what is left of a search: of one that failed, or that is done."""
        work = self.work(job)
        shutil.rmtree(work, ignore_errors=True)
        for parent in (work.parent, work.parent.parent):
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()

    def sweep(self) -> None:
        """Removes files that a build which was killed was writing; for the one build that runs."""
        for left in [path for path in self.root.iterdir() if is_temporary(path)]:
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()

    def forget_failures(self, songs: Iterable[str]) -> None:
        """Removes the failures of songs that are tried again."""
        tried = set(songs)
        if self.failures.exists():
            write_lines(self.failures, [row for row in read_lines(self.failures) if row["song"] not in tried])

    def add_failure(
        self,
        song: str,
        run: int | None,
        reason: str,
        details: str = "",
        attempts: int | None = None,
        unusable: bool = False,
    ) -> None:
        """Notes at once that a song failed, for a build that is stopped later; `run` is None where none began."""
        row = {"song": song, "run": run, "reason": readable(reason), "attempts": attempts, "details": readable(details)}
        row["unusable"] = unusable  # the song itself is at fault, so that it is rejected
        write_lines(self.failures, [*read_lines(self.failures), row])

    def read_failures(self, song: str) -> list[dict[str, Any]]:
        """What failed of a song."""
        return [row for row in read_lines(self.failures) if row["song"] == song]
