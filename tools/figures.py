"""Files of figures: what a tool measured, with the run that did; and tables of pages, made of such files.

A tool writes its figures to OUT, and, with `--table`, a table in the form of `docs/results` from one or several OUT.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools import result_tables
from tools.bench.machine import command_line, measured


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options `--out` and `--table` to those of a tool."""
    parser.add_argument(
        "--out",
        type=Path,
        action="append",
        required=True,
        help="JSON file with the figures; with --table it may be given several times",
    )
    parser.add_argument(
        "--table", type=Path, help="measure nothing, only write this table, as docs/results holds it, of all OUT"
    )


def only_out(options: argparse.Namespace) -> Path:
    """Returns the file for the figures of this run.

    Raises:
        ValueError: several are given.
    """
    if len(options.out) > 1:
        raise ValueError(f"--out: one file is needed to measure, got {len(options.out)}. HINT: --table takes several")
    return Path(options.out[0]).resolve()


def this_run(tool: str, arguments: Sequence[str] | None, threads: int = 1) -> dict[str, str]:
    """Describes a run, as `docs/results` does: command, commit, machine and date.

    Args:
        tool: the name of the module in `tools`.
        arguments: the words of its command line; None for those of this process.
        threads: threads of torch.
    """
    return measured(command_line(f"tools.{tool}", arguments, files=()), threads)


def read(files: Sequence[Path]) -> list[dict[str, Any]]:
    """Reads files of figures.

    Raises:
        ValueError: a file does not say by which run it was measured.
    """
    figures = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    for file, content in zip(files, figures, strict=True):
        if not isinstance(content, dict) or not content.get("measured"):
            raise ValueError(f"{file}: does not say by which run it was measured. HINT: measure it again")
    return figures


def write_table(
    path: Path,
    title: str,
    figures: Sequence[dict[str, Any]],
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    note: str = "",
) -> None:
    """Writes a table as `docs/results` holds it.

    Args:
        path: the JSON file.
        title: the title of the table.
        figures: contents of the files with the figures, each of which has the runs that measured it.
        columns: the names of the columns.
        rows: the cells.
        note: what is printed below the table; nothing by default.
    """
    runs = {json.dumps(run): run for content in figures for run in content["measured"]}
    result_tables.write_table(path, title, list(runs.values()), columns, rows, note)
