"""One export: checked, written to a temporary folder, renamed."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from mixgraph.exports.formats import FORMATS, ExportFormat, Progress
from mixgraph.exports.report import REPORT, ExportReport, foreign_entries
from mixgraph.exports.settings import ExportSettings
from mixgraph.exports.source import open_source
from mixgraph.results.publish import FolderKind, Place, publish_folder
from mixgraph.system.files import naming, sync_folder, sync_tree, temporary_path, write_atomically

_SHIPPED = ("stems", "impulses", "sheet", "dawproject", "reaper")
"""Modules of this package that register a format each."""
_EXPORT = FolderKind("export", foreign_entries, lambda folder: (folder / REPORT).is_file())
_REMEDY = "choose another name or give --overwrite"


@dataclass(frozen=True)
class Exported:
    """An export that has been written.

    Attributes:
        path: the file or folder.
        report: the path of its report.
        lines: lines for the terminal.
    """

    path: Path
    report: Path
    lines: tuple[str, ...]


def export_format(name: str) -> ExportFormat:
    """Returns the format of a name.

    Raises:
        ValueError: no format has this name; the message lists those that there are.
    """
    for module in _SHIPPED:
        import_module(f"mixgraph.exports.{module}")
    return FORMATS.find(name)()


def export_result(
    result: Path,
    format_name: str,
    out: Path,
    tracks: Path | None = None,
    settings: ExportSettings | None = None,
    overwrite: bool = False,
    progress: Progress = lambda line: None,
) -> Exported:
    """Exports a result folder in a format; nothing is at `out` until all of it is written.

    The report is `export_report.txt` in a folder; beside a file it has the file's name in front.

    Args:
        result: folder of a result, or of a saved graph.
        format_name: name of a format, see `FORMATS`.
        out: folder to write, or file, where the format is a single file.
        tracks: folder of the song, or of its tracks; None takes the one that the search read.
        settings: what the user chose; None is the defaults.
        overwrite: replace an existing file, or the folder of an earlier export to which nothing was added.
        progress: takes lines on what is being done.

    Raises:
        FileExistsError: something is at `out` that may not be replaced.
        FileNotFoundError: files of the result, or tracks, are missing.
        ValueError: an unknown format, a wrong suffix, tracks that are not those of the search, an export into the
            result or among the tracks, or a graph that the format cannot hold.
        OSError: a file cannot be written; nothing half-written is left.
    """
    settings = ExportSettings() if settings is None else settings
    kind = export_format(format_name)
    _check_place(kind, result, out, overwrite)
    progress(f"reading {result}")
    source = open_source(result, tracks, settings, kind.needs_tracks)
    for folder in filter(None, (tracks, source.folder)):
        if out.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"out: {out} would be among the tracks, in {folder}; choose another place")
    report = ExportReport(kind.name, source.title)
    report.note(*source.notes)
    if kind.suffix:
        with _publish_file(out) as work:
            kind.write(source, work, report, progress)
            os.replace(work / f"project{kind.suffix}", work / out.name)
            write_atomically(work / _report_name(out), report.text([out.name]).encode())
        return Exported(out, out.with_name(_report_name(out)), tuple(report.summary()))
    with publish_folder(Place(out, _EXPORT, "out", _REMEDY), overwrite) as work:
        kind.write(source, work, report, progress)
        files = [path.relative_to(work).as_posix() for path in work.rglob("*") if path.is_file()]
        write_atomically(work / REPORT, report.text(files).encode())
    return Exported(out, out / REPORT, tuple(report.summary()))


def _report_name(out: Path) -> str:
    return f"{out.stem}.{REPORT}"


def _check_place(kind: ExportFormat, result: Path, out: Path, overwrite: bool) -> None:
    """Checks, before anything is read, that the export replaces nothing unasked and is no part of the result."""
    if out.resolve().is_relative_to(result.resolve()) and out.resolve() != result.resolve():
        raise ValueError(f"out: {out} would be in the folder of the result, which others read; choose another place")
    if not kind.suffix:
        Place(out, _EXPORT, "out", _REMEDY).check(overwrite)
        if result.resolve().is_relative_to(out.resolve()):
            raise ValueError(f"out: {out} holds the result; choose another folder")
        return
    if out.suffix.lower() != kind.suffix:
        raise ValueError(f"out: a file whose name ends in {kind.suffix} is needed, got {str(out)!r}")
    if out.is_dir():
        raise FileExistsError(f"out: {out} is a folder and is kept; the name of a file is needed")
    if out.exists() and not overwrite:
        raise FileExistsError(f"out: {out} exists and is kept; {_REMEDY}")


@contextmanager
def _publish_file(out: Path) -> Iterator[Path]:
    """Gives an empty folder; the files in it get their places beside `out` once the block ends without an error."""
    out.parent.mkdir(parents=True, exist_ok=True)
    work = temporary_path(out)
    shutil.rmtree(work, ignore_errors=True)
    with naming(out):
        work.mkdir()
    try:
        yield work
        if not (work / out.name).is_file():
            raise OSError(errno.EIO, "the export wrote no file", str(out))
        sync_tree(work)
        with naming(out):
            for path in sorted(work.iterdir(), key=lambda path: path.name == out.name):  # the export itself last
                os.replace(path, out.with_name(path.name))
        sync_folder(out.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)
