"""Writes the tables of the pages from the results that are committed as JSON, so that every number has its source.

    python -m tools.result_tables            # writes the tables
    python -m tools.result_tables --check    # ends with 1 if a page differs from its results

A page asks for a table by two comments, and everything between them is replaced:

    <!-- table: demo_songs -->
    <!-- end of table -->

`docs/results/demo_songs.json` has `title`, `columns`, `rows`, and `measured`: a list of what was run, each with
`command`, `commit`, `machine` and `date`. A `note`, where there is one, is printed below the table. `--check` also ends
with 1 where a commit is not in the history, or lacks the module of its command; a history that is not whole is told.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixgraph.cli.command_parser import CommandParser
from mixgraph.system.files import json_text, write_atomically

ROOT = Path(__file__).parent.parent
_MODULE = re.compile(r"python -m (tools(?:\.\w+)+)")
_BETWEEN = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


@dataclass(frozen=True)
class Measurement:
    """The run that gave the figures of a table.

    Attributes:
        command: the command line, or a description if there is no single command.
        commit: the abbreviated hash of the commit that holds the figures, or of the code that was measured.
        machine: the processor, its cores and threads.
        date: the day or days, as ISO dates.
        of: the figures that it gave, if the table has several measurements; else "".
    """

    command: str
    commit: str
    machine: str
    date: str
    of: str = ""

    def __post_init__(self) -> None:
        for name in ("command", "commit", "machine", "date"):
            if not getattr(self, name):
                raise ValueError(f"measured.{name}: what was run is needed, got nothing")
        if re.search(r"(^|[ =])/\w", self.command):
            raise ValueError(f"measured.command: a command without absolute paths is needed, got {self.command!r}")
        if not re.fullmatch(r"[0-9a-f]{7,40}", self.commit):
            raise ValueError(f"measured.commit: a git hash of 7 to 40 digits is needed, got {self.commit!r}")
        if not re.fullmatch(r"\d{4}-\d\d-\d\d( to \d{4}-\d\d-\d\d)?", self.date):
            raise ValueError(f"measured.date: YYYY-MM-DD, or two of them with ' to ', is needed, got {self.date!r}")

    def sentence(self) -> str:
        command = f"`{self.command}`" if self.command.startswith("python") else self.command
        subject = f"{self.of}: " if self.of else ""
        return f"{subject}{command} (commit {self.commit}, {self.machine}, {self.date})"


@dataclass(frozen=True)
class ResultTable:
    """One table with the measurements that it comes from; cells are texts in Markdown."""

    title: str
    measured: tuple[Measurement, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        if not self.measured or not self.rows:
            raise ValueError(f"{self.title}: at least one measurement and one row are needed")
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: rows of {len(self.columns)} cells are needed, got {list(row)}")

    def markdown(self, source: str) -> str:
        """Returns the table, its note and its measurements in Markdown.

        Args:
            source: the path of its JSON file, relative to the page.
        """
        lines = [self.columns, ("---",) * len(self.columns), *self.rows]
        table = "\n".join(f"| {' | '.join(row)} |" for row in lines)
        note = f"\n{self.note}\n" if self.note else ""
        measured = "; ".join(measurement.sentence() for measurement in self.measured)
        return f"{table}\n{note}\n*Measured by {measured}; [data]({source}).*\n"


def read_table(path: Path) -> ResultTable:
    """Reads a result file.

    Raises:
        ValueError: a field is missing, unknown or empty, or a row has too few or too many cells.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    try:
        measured = tuple(Measurement(**entry) for entry in content.pop("measured"))
        rows = tuple(tuple(row) for row in content.pop("rows"))
        return ResultTable(measured=measured, rows=rows, columns=tuple(content.pop("columns")), **content)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name}: {error}") from error


def write_table(
    path: Path,
    title: str,
    measured: Sequence[Mapping[str, str]],
    columns: Sequence[str],
    rows: Iterable[Iterable[object]],
    note: str = "",
) -> None:
    """Writes a result file.

    Raises:
        ValueError: a field is empty, or a row has too few or too many cells.
    """
    cells = tuple(tuple(map(str, row)) for row in rows)
    table = ResultTable(title, tuple(Measurement(**run) for run in measured), tuple(columns), cells, note)
    content: dict[str, object] = {"title": table.title, "measured": measured, "columns": columns, "rows": table.rows}
    write_atomically(path, (json_text(content | ({"note": note} if note else {}), indent=1) + "\n").encode())


def strange_commits(results: Path, root: Path) -> list[str] | None:
    """Lists the measurements whose commit is not in the history of what is checked out, or lacks the measuring module.

    Returns:
        A line for each of them; None where there is no history, or a shallow one.
    """
    if shutil.which("git") is None:
        return None

    def git(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False, input=given)

    about = git("rev-parse", "--is-shallow-repository", "--show-toplevel")
    if about.returncode or about.stdout.splitlines() != ["false", str(root.resolve())]:
        return None
    history = "\n" + git("rev-list", "HEAD").stdout
    lines: list[str] = []
    asked: list[tuple[str, str]] = []
    for file in sorted(results.glob("*.json")):
        for run in read_table(file).measured:
            if f"\n{run.commit}" not in history:
                lines.append(f"{file.name}: commit {run.commit} is not in the history")
                continue
            for module in _MODULE.findall(run.command):
                place = f"{run.commit}:{module.replace('.', '/')}"
                asked.append((place, f"{file.name}: commit {run.commit} has no {module}"))
    told = git("cat-file", "--batch-check", given="".join(f"{place}.py\n{place}\n" for place, _ in asked)).stdout
    missing = [line.endswith(" missing") for line in told.splitlines()]
    pairs = zip(missing[::2], missing[1::2], strict=True)
    return lines + [line for (_, line), pair in zip(asked, pairs, strict=True) if all(pair)]


def with_tables(text: str, page: Path, results: Path) -> str:
    """Returns the text of a page with its tables replaced by those of the result files."""

    def table(match: re.Match[str]) -> str:
        file = results / f"{match[2]}.json"
        source = os.path.relpath(file, page.parent)
        return f"{match[1]}\n{read_table(file).markdown(source)}\n{match[3]}"

    return _BETWEEN.sub(table, text)


def pages(root: Path) -> list[Path]:
    """Lists all pages that may hold tables."""
    return [root / "README.md", root / "CHANGELOG.md", *sorted((root / "docs").rglob("*.md"))]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = CommandParser(prog="python -m tools.result_tables", description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a page is out of date")
    options = parser.parse_args(arguments)
    outdated = []
    for page in pages(ROOT):
        old = page.read_text(encoding="utf-8")
        new = with_tables(old, page, ROOT / "docs" / "results")
        if new != old:
            outdated.append(page.relative_to(ROOT).as_posix())
            if not options.check:
                write_atomically(page, new.encode())
    lines = [*outdated, f"{len(outdated)} pages changed"]
    strange = strange_commits(ROOT / "docs" / "results", ROOT) if options.check else []
    lines += ["commits were not checked: there is no whole history"] if strange is None else strange
    sys.stdout.write("\n".join(lines) + "\n")
    if options.check and (outdated or strange):
        sys.exit(1)


if __name__ == "__main__":
    main()
