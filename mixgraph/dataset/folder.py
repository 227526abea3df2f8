"""The folder of a build: its results, unfinished searches and failures."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mixgraph.dataset.files import read_lines, write_lines
from mixgraph.dataset.jobs import Job, why_redo
from mixgraph.dataset.reasons import readable
from mixgraph.results import RESULT, Place
from mixgraph.system.files import is_temporary, parse_json, read_text

RECORD, SONGS = "job.json", "songs.jsonl"


class BuildFolder:
    """Manages the folder of a build, in which every result is complete or absent.

    `results/SONG/run_N` holds results, `work/SONG/run_N` unfinished searches. The `job.json` of a result records the
    job that it is the result of.

    Args:
        root: the folder of the build.
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
        """Returns a line for each job that says why it has to be searched; "" if its result is up to date."""
        failed = {(row["song"], row["run"]): row["reason"] for row in self._failures()}
        return [self._why_due(job, failed.get((job.song.name, job.run))) for job in jobs]

    def _why_due(self, job: Job, failure: str | None) -> str:
        record = self.result(job) / RECORD
        if record.is_file():
            try:
                saved = parse_json(read_text(record))
            except ValueError:
                saved = None
            try:
                return why_redo(saved, job.record())
            except (AttributeError, TypeError):  # no object of objects
                return f"{RECORD} is damaged"
        if failure is not None:
            return f"failed before: {failure.strip().partition(chr(10))[0]}"
        return "begun before" if self.work(job).is_dir() else "new"

    def check(self, job: Job) -> None:
        """Checks before a search that its result can be published; restores a result that a killed build was replacing.

        Raises:
            FileExistsError: the result's path exists and is not a result.
            OSError: the path cannot be written.
        """
        with self._place(job).held() as place:
            place.check(overwrite=True)

    def publish(self, job: Job, folder: Path) -> None:
        """Moves a complete result to its path in `results`, and removes the result that it replaces."""
        with self._place(job).held() as place:
            place.publish(folder, overwrite=True)
        self.clear(job)

    def clear(self, job: Job) -> None:
        """Removes the work folder of a search that failed or is done."""
        work = self.work(job)
        shutil.rmtree(work, ignore_errors=True)
        for parent in (work.parent, work.parent.parent):
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()

    def sweep(self) -> None:
        """Removes temporary files of a killed build; only the build that holds the folder's lock may call it."""
        for left in [path for path in self.root.iterdir() if is_temporary(path)]:
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()

    def forget_failures(self, songs: Iterable[str]) -> None:
        """Removes the recorded failures of songs that are tried again."""
        tried = set(songs)
        if self.failures.exists():
            write_lines(self.failures, [row for row in self._failures() if row["song"] not in tried])

    def add_failure(
        self,
        song: str,
        run: int | None,
        reason: str,
        details: str = "",
        attempts: int | None = None,
        unusable: bool = False,
    ) -> None:
        """Records at once that a song failed, in case the build is stopped later; `run` is None if no run began."""
        row = {"song": song, "run": run, "reason": readable(reason), "attempts": attempts, "details": readable(details)}
        row["unusable"] = unusable  # the song itself is at fault, so that it is rejected
        write_lines(self.failures, [*self._failures(), row])

    def read_failures(self, song: str) -> list[dict[str, Any]]:
        """Returns the recorded failures of a song."""
        return [row for row in self._failures() if row["song"] == song]

    def _failures(self) -> list[dict[str, Any]]:
        rows = read_lines(self.failures)
        for row in rows:
            texts = (row.get("song"), row.get("reason"), row.get("details", ""))
            if not all(isinstance(text, str) for text in texts) or not isinstance(row.get("run", ""), int | None):
                raise ValueError(f"{self.failures}: song, run and reason are needed, got {row!r:.80}. HINT: remove it")
        return rows
