"""A table as a value: columns, rows and notes, and its text in Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from mixgraph.names import spreadsheet_cell
from mixgraph.system.files import json_text, plain_json, write_atomically

Cell = str | float | int | None
Form = Literal["text", "loss", "ratio", "minutes", "count"]
_DASH = "–"
_LATEX = {
    **{character: rf"\{character}" for character in "&%_#${}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "|": r"\textbar{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "[": "{[}", "–": "--", "ρ": r"$\rho$", "τ": r"$\tau$"},
}
"""How a character is written; a row that begins with a plain [ would be the option of the line end before it."""
_SIGN = re.compile(r"(L|ρ)_(\w+)")  # of a column, with its subscript


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        key: its key in the rows.
        label: its heading.
        form: how its numbers are written; "text" for words.
    """

    key: str
    label: str
    form: Form = "loss"

    def text(self, value: Cell) -> str:
        """Writes a cell: losses as the paper does with three digits, ratios with two; a dash where there is none."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return _DASH
        if isinstance(value, str) or self.form == "text":
            return str(value)
        match self.form:
            case "loss":
                return f"{value:.3f}" if abs(value) < 10 else f"{value:.3g}"
            case "ratio":
                return f"{value:.2f}"
            case "minutes":
                return f"{value:.0f}" if value >= 10 else f"{value:.2f}"
            case _:
                return f"{value:.1f}" if isinstance(value, float) and value % 1 else f"{value:.0f}"


@dataclass(frozen=True)
class Table:
    """A table with what it was made of.

    Attributes:
        name: name of its files, such as `table_2`.
        title: one sentence on what it shows.
        columns: its columns, in order.
        rows: column's key -> value; a missing key is a dash.
        notes: sentences below it: songs that are left out, what the paper's columns are.
        about: the settings, songs and versions it was made of, for the JSON file.
    """

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Cell]]
    notes: Sequence[str] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    def texts(self) -> list[list[str]]:
        """Returns the cells as texts, row by row."""
        return [[column.text(row.get(column.key)) for column in self.columns] for row in self.rows]

    def markdown(self) -> str:
        """The table in Markdown, with its title above and its notes below."""
        head = [column.label for column in self.columns]
        lines = [head, ["---"] * len(head), *self.texts()]
        table = "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)
        return "\n\n".join([f"**{self.title}**", table, *self.notes]) + "\n"

    def latex(self) -> str:
        """A `tabular` with the rules of the package booktabs, in a `table` with the title as its caption."""
        kinds = "".join("l" if column.form == "text" else "r" for column in self.columns)
        rows = [" & ".join(map(_latex, line)) + r" \\" for line in self.texts()]
        return "\n".join(
            [
                *(f"% {' '.join(note.split())}" for note in self.notes),
                r"\begin{table}",
                rf"\caption{{{_latex(self.title)}}}",
                rf"\begin{{tabular}}{{{kinds}}}",
                r"\toprule",
                " & ".join(_latex_heading(column.label) for column in self.columns) + r" \\",
                r"\midrule",
                *rows,
                r"\bottomrule",
                r"\end{tabular}",
                r"\end{table}",
                "",
            ]
        )

    def csv(self) -> str:
        """The table as CSV with the keys of the columns as its head, and numbers unrounded."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([column.key for column in self.columns])
        writer.writerows([spreadsheet_cell(row.get(column.key)) for column in self.columns] for row in self.rows)
        return text.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """The table for JSON, with unrounded numbers."""
        return {
            "name": self.name,
            "title": self.title,
            "columns": [asdict(column) for column in self.columns],
            "rows": plain_json([dict(row) for row in self.rows]),
            "notes": list(self.notes),
            "about": plain_json(dict(self.about)),
        }

    def write(self, folder: Path) -> list[Path]:
        """Writes `NAME.md`, `.tex`, `.csv` and `.json`, each whole or not at all; returns their paths.

        The folder is made where there is none.
        """
        folder.mkdir(parents=True, exist_ok=True)
        texts = {
            ".md": self.markdown(),
            ".tex": self.latex(),
            ".csv": self.csv(),
            ".json": json_text(self.to_dict(), indent=1) + "\n",
        }
        for suffix, text in texts.items():
            write_atomically(folder / f"{self.name}{suffix}", text.encode())
        return [folder / f"{self.name}{suffix}" for suffix in texts]


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _latex_heading(label: str) -> str:
    """Writes a heading, a sign with a subscript as mathematics: `L_lr, paper` is `$L_{lr}$, paper`."""
    match = _SIGN.match(label)
    if match is None:
        return _latex(label)
    sign = {"ρ": r"\rho"}.get(match[1], match[1])
    return f"${sign}_{{{match[2]}}}${_latex(label[match.end() :])}"


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of the values that are known; None where none is."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None
