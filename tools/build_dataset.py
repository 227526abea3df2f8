"""Builds a dataset of mixing graphs: songs and search settings in; results, shards and a dataset card out.

Its options, and what it writes: `tools/options.py`.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mixgraph.cli.arguments import take_imports
from mixgraph.dataset import BuildFolder, FileHashes, Job, QualityRules, SongSource, find_sources
from mixgraph.dataset.assessment import Assessment, assess, quality_table
from mixgraph.dataset.files import write_json, write_lines
from mixgraph.dataset.reasons import readable, reason
from mixgraph.names import visible
from mixgraph.shards.texts import CardTexts, choice_section
from mixgraph.system.locks import locked
from tools.dataset.build import Search, make_jobs, resolve_settings, run_searches
from tools.dataset.machines import make_workers, num_threads
from tools.options import build_dataset_parser
from tools.resumable import let_interrupts_end, run_resumable

_SHOWN_SONGS = 100
_FILE_WIDTH = 160  # of the table, where it goes to a file and no terminal cuts it
_LOCK_SECONDS = 20.0  # time to wait for a lock: the workers of a killed build end a moment after it


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Parses the options; returns them and the arguments after `--`."""
    arguments = take_imports(arguments)
    split = arguments.index("--") if "--" in arguments else len(arguments)
    return build_dataset_parser().parse_args(arguments[:split]), arguments[split + 1 :]


def build(options: argparse.Namespace, overrides: Sequence[str], console: Console) -> int:
    """Runs the searches that are due, writes tables and shards, and returns the number of failed songs."""
    texts = CardTexts(date_published=options.date_published)
    settings = resolve_settings(options.config, overrides)
    out: Path = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    folder = BuildFolder(out)
    with locked(out / ".lock", partial(_busy, out), _LOCK_SECONDS) as lock:
        folder.sweep()
        hashes = FileHashes(out / ".hashes.json")
        layout, subgrouping = settings["data"]["layout"], settings["data"]["subgrouping"]
        songs, unreadable = find_sources(options.roots, hashes, layout, subgrouping, options.match, options.songs)
        hashes.save()
        jobs = make_jobs(songs, options.runs, settings)
        threads = num_threads(options, settings)
        searches = [Search(folder, job) for job in jobs]
        run_searches(searches, lambda: make_workers(options, settings, threads, lock), threads, console)
        folder.forget_failures(unreadable)
        for name, reason in unreadable.items():
            folder.add_failure(name, None, reason)
        rules = QualityRules(**{rule.name: getattr(options, rule.name) for rule in QualityRules.rules()})
        dataset = _Dataset(folder, options.name or out.name, settings, rules, options, texts)
        assessments = _write(dataset, _assess(folder, jobs, songs, rules), unreadable, console)
        _write_page(out, console)
    _print_summary(assessments, unreadable, console)
    return len(unreadable) + sum(bool(song.failures) and not song.unusable for song in assessments)


def _busy(out: Path, holder: str) -> str:
    return f"out: another build runs in {out}: {holder}; wait until it has ended"


def _assess(
    folder: BuildFolder, jobs: Sequence[Job], songs: Sequence[SongSource], rules: QualityRules
) -> list[Assessment]:
    done: dict[str, list[tuple[int, Path]]] = {song.name: [] for song in songs}
    for job, due in zip(jobs, folder.why_due(jobs), strict=True):
        if not due:
            done[job.song.name].append((job.run, folder.result(job)))
    assessments = []
    for song in songs:
        try:
            failures = folder.read_failures(song.name)
            unusable = bool(failures) and all(row.get("unusable", False) for row in failures)
            reasons = [row["reason"] for row in failures]
            assessments.append(assess(song, sorted(done[song.name]), rules, reasons, unusable))
        except Exception as error:  # damaged results of one song do not stop the others
            why = f"its results in {folder.root / 'results' / song.name} are damaged ({reason(error)}); remove them"
            folder.add_failure(song.name, None, why)
            assessments.append(Assessment(song, None, None, (), (readable(why),)))
    return assessments


@dataclass(frozen=True)
class _Dataset:
    """The dataset that is built.

    Attributes:
        folder: the folder of the build.
        name: the name of the dataset.
        settings: the settings of its searches.
        rules: the quality rules that its samples fulfil.
        options: the options of the command.
        texts: the texts of the card.
    """

    folder: BuildFolder
    name: str
    settings: dict[str, Any]
    rules: QualityRules
    options: argparse.Namespace
    texts: CardTexts


def _write(
    dataset: _Dataset, songs: Sequence[Assessment], unreadable: dict[str, str], console: Console
) -> list[Assessment]:
    """Writes shards, tables and card; returns the songs, those that could not be packaged marked as failed."""
    from mixgraph.shards.card import write_card
    from tools.dataset.package import as_failed, describe_choice, write_samples

    out, options = dataset.folder.root, dataset.options
    accepted = [song for song in songs if song.status == "accepted"]
    packaged = write_samples(
        out / "shards", dataset.name, accepted, dataset.settings, options.audio, options.excerpt_seconds, console
    )
    songs = [as_failed(song, packaged.failures.get(song.source.name)) for song in songs]
    for song, why in packaged.failures.items():
        dataset.folder.add_failure(song, None, why)
    quality = quality_table(dataset.rules, songs)
    failed = [{"song": name, "status": "failed", "reasons": [reason]} for name, reason in unreadable.items()]
    write_lines(out / "songs.jsonl", [song.to_dict() for song in songs] + failed)
    write_lines(out / "rejected.jsonl", [song.rejection() for song in songs if song.status == "rejected"])
    write_json(out / "quality.json", quality)
    if packaged.index is None:
        old = f"; those in {out / 'shards'} are of an earlier build" if (out / "shards").exists() else ""
        console.print(f"No song is left to write shards of{old}.", markup=False, highlight=False)
        return songs
    choice = choice_section(describe_choice(quality, songs, list(unreadable), options.runs))
    write_card(out / "shards", replace(dataset.texts, name=dataset.name, choice=choice), index=packaged.index)
    return songs


def _write_page(out: Path, console: Console) -> None:
    from mixgraph.page.songs_page import INDEX, write_dataset_page

    _, notes = write_dataset_page(out / INDEX, [out])
    for note in notes:
        console.print(visible(note), markup=False, highlight=False)


def _print_summary(songs: Sequence[Assessment], unreadable: dict[str, str], console: Console) -> None:
    table = Table("song", "verdict", "runs", "loss", "processors", "agreement", "why")
    for song in songs[:_SHOWN_SONGS]:
        row = [song.source.name, song.status]
        if song.runs is None or song.measurements is None:
            row += ["0", "-", "-", "-", "; ".join(song.failures)]
        else:
            agreement = song.runs.agreement
            row += [str(len(song.runs.runs)), f"{song.measurements.loss:.3f}", str(song.measurements.processors)]
            row += ["-" if agreement is None else f"{agreement:.2f}", "; ".join(text for _, text in song.broken)]
        table.add_row(*(Text(visible(cell)) for cell in row))
    for name, why in list(unreadable.items())[:_SHOWN_SONGS]:
        table.add_row(*(Text(visible(cell)) for cell in (name, "failed", "0", "-", "-", "-", why)))
    wide = console if console.is_terminal else Console(width=_FILE_WIDTH)
    wide.print(table)
    counts = Counter(song.status for song in songs) + Counter(failed=len(unreadable))
    more = max(0, len(songs) - _SHOWN_SONGS)
    console.print(
        ", ".join(f"{counts[status]} {status}" for status in ("accepted", "rejected", "failed"))
        + (f" ({more} more in songs.jsonl)" if more else "")
    )


def main(arguments: list[str] | None = None) -> None:
    command_line = sys.argv[1:] if arguments is None else arguments
    options, overrides = parse(command_line)
    run_resumable("build-dataset", command_line, lambda: build(options, overrides, Console()))


if __name__ == "__main__":
    let_interrupts_end()
    main()
