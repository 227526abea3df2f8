"""Runs the searches of a build that are due, and collects their results."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import Any

import yaml
from rich.console import Console

from callbacks import IterativePruning
from mixgraph.dataset import BuildFolder, Job, SongSource
from mixgraph.dataset.reasons import readable, reason
from mixgraph.registry import imported_extensions
from mixgraph.search.settings import with_defaults
from mixgraph.songs.own_rate import resolve_rate
from tools.dataset.outcome import Outcome, Task, Workers
from tools.dataset.progress import BuildProgress
from tools.dataset.worker import Request, command


def resolve_settings(configs: Sequence[str], overrides: Sequence[str]) -> dict[str, Any]:
    """Resolves files and overrides to all settings of a search, as `python -m mixgraph fit` does.

    Raises:
        ValueError: the settings are not those of a song's search.
        SystemExit: `fit` refuses a setting; it has printed the reason.
    """
    files = [part for config in configs for part in ("--config", config)]
    arguments = ["fit", *files, "--data.path=song", *overrides, "--print_config"]
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            command(arguments)
    except SystemExit as end:
        if end.code:
            raise
    settings: dict[str, Any] = yaml.safe_load(printed.getvalue())
    if "pruning" not in settings or "data" not in settings:
        raise ValueError(f"config: the settings of a search are needed, got those of {', '.join(settings)}")
    IterativePruning(**settings["pruning"])  # raises for unregistered names and values out of range
    return with_defaults(settings)


def make_jobs(songs: Sequence[SongSource], runs: int, settings: dict[str, Any]) -> list[Job]:
    """Lists the searches of all songs, those that take longest first."""
    jobs = [Job(song, run, _at_own_rate(settings, song)) for song in songs for run in range(runs)]
    return sorted(jobs, key=lambda job: (-job.work, job.name))


def _at_own_rate(settings: dict[str, Any], song: SongSource) -> dict[str, Any]:
    """Puts a song's rate in place of `data.sample_rate: song`, so that its record says at which it was searched."""
    data = settings["data"]
    if data.get("sample_rate") != "song":
        return settings
    rate, _ = resolve_rate("song", [song.folder], data.get("layout", "auto"))
    return settings | {"data": data | {"sample_rate": rate}}


def run_searches(
    folder: BuildFolder, jobs: Sequence[Job], make_workers: Callable[[], Workers], threads: int, console: Console
) -> None:
    """Runs the searches that are due, and prints the reason of each.

    Args:
        folder: the folder of the build.
        jobs: all searches of the build.
        make_workers: makes the workers; it is called only if a search is due.
        threads: the number of threads of each search.
        console: the console to print on.
    """
    for job in jobs:
        folder.check(job)  # also restores a result that a killed build was replacing
    due = []
    for job, why in zip(jobs, folder.why_due(jobs), strict=True):
        if why:
            due.append((job, why))
        else:  # a killed build may have left the work folder
            folder.clear(job)
    console.print(f"{len(jobs)} searches: {len(jobs) - len(due)} done before, {len(due)} to do.", highlight=False)
    folder.forget_failures({job.song.name for job in jobs})
    if not due:
        return
    with BuildProgress(sum(job.work for job, _ in due), len(due), console) as progress:
        for job, why in due:
            progress.say(f"  {job.name}: {why}")
        tasks = [Task(job, folder.work(job), _request(job, threads)) for job, _ in due]
        with contextlib.closing(make_workers().run(tasks)) as outcomes:
            for outcome in outcomes:
                verdict = _take_in(folder, outcome)
                progress.advance(outcome.task.job.work)
                left = f", {progress.left()}" if progress.left() else ""
                progress.say(f"[{progress.done}/{progress.searches}] {outcome.task.job.name}: {verdict}{left}")


def _take_in(folder: BuildFolder, outcome: Outcome) -> str:
    """Publishes the result of a task or records its failure, and prints which."""
    job, why = outcome.task.job, readable(outcome.reason)
    if outcome.result is None:
        if not outcome.resumable:
            folder.clear(job)
    else:
        try:
            folder.publish(job, outcome.result)
            return "done" if outcome.attempts in (1, None) else f"done at attempt {outcome.attempts}"
        except (OSError, ValueError) as error:  # its path is occupied; the next build finds it in the work folder
            why = reason(error)
    folder.add_failure(job.song.name, job.run, why, outcome.details, outcome.attempts, outcome.unusable)
    return f"{'rejected' if outcome.unusable else 'failed'}: {why}"


def _request(job: Job, threads: int) -> Request:
    return Request(str(job.song.folder), job.seed, dict(job.config), job.record(), threads, imported_extensions())
