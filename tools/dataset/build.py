"""Runs the searches of a build that are due, and collects their results."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from rich.console import Console

from callbacks import IterativePruning
from mixgraph.cli.arguments import trusted_words
from mixgraph.dataset import BuildFolder, Job, SongSource
from mixgraph.dataset.reasons import readable, reason
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
    settings = printed_settings(["fit", *files, "--data.path=song", *overrides])
    if "pruning" not in settings or "data" not in settings:
        raise ValueError(f"config: the settings of a search are needed, got those of {', '.join(settings)}")
    IterativePruning(**settings["pruning"])  # raises for unregistered names and values out of range
    return with_defaults(settings)


def printed_settings(arguments: Sequence[str]) -> dict[str, Any]:
    """Returns all settings of a command of `python -m mixgraph` that has settings, without running it.

    Raises:
        SystemExit: the command refuses a setting; it has printed the reason.
    """
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            command([*arguments, "--print_config"])
    except SystemExit as end:
        if end.code:
            raise
    settings: dict[str, Any] = yaml.safe_load(printed.getvalue())
    return settings


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


@dataclass(frozen=True)
class Search:
    """A search and the folder that its result goes to.

    Attributes:
        folder: the folder of the build.
        job: the search.
        checkpoint: the file of a trained console to begin from; "" for a search from the start.
        label: what is printed before the name of the job.
    """

    folder: BuildFolder
    job: Job
    checkpoint: str = ""
    label: str = ""

    @property
    def name(self) -> str:
        return self.label + self.job.name


def run_searches(
    searches: Sequence[Search], make_workers: Callable[[], Workers], threads: int, console: Console
) -> None:
    """Runs the searches that are due, and prints the reason of each.

    Args:
        searches: all searches, in the order in which they begin.
        make_workers: makes the workers; it is called only if a search is due.
        threads: the number of threads of each search.
        console: the console to print on.
    """
    for search in searches:
        search.folder.check(search.job)  # also restores a result that a killed build was replacing
    due: list[tuple[Search, str]] = []
    for search, why in zip(searches, _why_due(searches), strict=True):
        if why:
            due.append((search, why))
        else:  # a killed build may have left the work folder
            search.folder.clear(search.job)
    console.print(
        f"{len(searches)} searches: {len(searches) - len(due)} done before, {len(due)} to do.", highlight=False
    )
    for folder in {search.folder.root: search.folder for search in searches}.values():
        folder.forget_failures({search.job.song.name for search in searches if search.folder.root == folder.root})
    if not due:
        return
    with BuildProgress(sum(search.job.work for search, _ in due), len(due), console) as progress:
        for search, why in due:
            progress.say(f"  {search.name}: {why}")
        tasks = [Task(search.job, search.folder.work(search.job), _request(search, threads)) for search, _ in due]
        places = {task.folder: search for task, (search, _) in zip(tasks, due, strict=True)}
        with contextlib.closing(make_workers().run(tasks)) as outcomes:
            for outcome in outcomes:
                search = places[outcome.task.folder]
                verdict = _take_in(search.folder, outcome)
                progress.advance(search.job.work)
                left = f", {progress.left()}" if progress.left() else ""
                progress.say(f"[{progress.done}/{progress.searches}] {search.name}: {verdict}{left}")


def _why_due(searches: Sequence[Search]) -> list[str]:
    return [search.folder.why_due([search.job])[0] for search in searches]


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


def _request(search: Search, threads: int) -> Request:
    job = search.job
    return Request(
        song=str(job.song.folder),
        seed=job.seed,
        config=dict(job.config),
        record=job.record(),
        threads=threads,
        trusted=trusted_words(),
        checkpoint=search.checkpoint,
    )
