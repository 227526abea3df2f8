"""The log of a search: rows of numbers over steps, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

LogRow = dict[str, int | float | str]
"""`step` (a whole number), `stage` (`console` or `prune`), and numbers by name."""


def log_to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Writes rows as CSV with all columns that any of them has."""
    buffer = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(buffer, columns)
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def log_from_csv(text: str) -> list[LogRow]:
    """Reads the rows that `log_to_csv` wrote; a row lacks the columns that are empty in it.

    Raises:
        ValueError: a cell that is no number, or a row with more cells than columns.
    """
    rows: list[LogRow] = []
    for number, cells in enumerate(csv.DictReader(io.StringIO(text, newline="")), start=2):
        if None in cells:
            raise ValueError(f"line {number}: as many cells as columns are needed, got more")
        try:
            rows.append({name: _number(name, cell) for name, cell in cells.items() if cell})
        except ValueError as error:
            raise ValueError(f"line {number}: numbers are needed ({error})") from error
    return rows


def _number(name: str, cell: str) -> int | float | str:
    if name == "stage":
        return cell
    return int(cell) if name == "step" else float(cell)
