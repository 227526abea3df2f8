"""Copies the tables of a folder of `paper-tables` to docs/results, whose tables stand on the pages.

    python -m tools.paper.docs_results OUT "python -m mixgraph paper-tables 2 6 --songs SONGS --out OUT"

Columns without a value in any row are left out; see tools/result_tables.py for the form of the files.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixgraph.cli.command_parser import CommandParser
from mixgraph.paper.table import Column, Table
from mixgraph.system.files import json_text, write_atomically
from tools.bench.machine import ROOT, measured

_TABLES = "table_*.json"


def read_table(path: Path) -> Table:
    """Reads a table that `Table.write` wrote."""
    data = json.loads(path.read_text(encoding="utf-8"))
    columns = [Column(column["key"], column["label"], column["form"]) for column in data["columns"]]
    return Table(data["name"], data["title"], columns, data["rows"], data["notes"], data["about"])


def result_table(table: Table, run: dict[str, str]) -> dict[str, Any]:
    """Returns a table as docs/results holds it.

    Args:
        table: the table.
        run: what was run, see `tools.bench.machine.measured`.
    """
    columns = [column for column in table.columns if any(row.get(column.key) is not None for row in table.rows)]
    rows = [[column.text(row.get(column.key)) for column in columns] for row in table.rows]
    return {
        "title": table.title,
        "measured": [run],
        "columns": [column.label for column in columns],
        "rows": rows,
        "note": " ".join(table.notes),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = CommandParser(prog="python -m tools.paper.docs_results", description=__doc__.split("\n")[0])
    parser.add_argument("tables", type=Path, help="folder of paper-tables")
    parser.add_argument("command", help="the command line that made it")
    parser.add_argument("--threads", type=int, default=1, help="of each search (1)")
    options = parser.parse_args(arguments)
    run = measured(options.command, options.threads)
    for path in sorted(options.tables.glob(_TABLES)):
        out = ROOT / "docs" / "results" / f"paper_{path.stem}.json"
        write_atomically(out, (json_text(result_table(read_table(path), run), indent=1) + "\n").encode())
        sys.stdout.write(f"{out}\n")


if __name__ == "__main__":
    main()
