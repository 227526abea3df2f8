"""The results of a check as JSON and as Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mixgraph.system.files import json_text, write_atomically
from tools.gpu.plan import Section
from tools.gpu.rows import Row, Status

JSON, MARKDOWN, LOG = "results.json", "results.md", "log.txt"
_ABOUT = ("device", "capability", "memory_gib", "driver", "cuda", "torch", "python", "processor", "cores", "date")


@dataclass(frozen=True)
class Ran:
    """The outcome of a section.

    Attributes:
        section: the section that ran or was skipped.
        status: `"failed"` where its process was killed or crashed.
        seconds: the time that it took.
        limit: its time limit in seconds; in a quick run, all that was left.
        reason: the reason why it was skipped or killed, or "".
        rows: the rows that it measured until its end.
    """

    section: Section
    status: Status
    seconds: float = 0.0
    limit: float = 0.0
    reason: str = ""
    rows: tuple[Row, ...] = ()


def write(folder: Path, about: dict[str, Any], ran: Sequence[Ran]) -> str:
    """Writes results.json and results.md atomically; returns the Markdown."""
    sections = [
        {
            "name": part.section.name,
            "status": part.status,
            "seconds": part.seconds,
            "limit": part.limit,
            "reason": part.reason,
        }
        for part in ran
    ]
    rows = [asdict(row) for part in ran for row in part.rows]
    text = to_markdown(about, ran)
    folder.mkdir(parents=True, exist_ok=True)
    data = json_text({"about": about, "sections": sections, "rows": rows}, indent=1)
    write_atomically(folder / JSON, data.encode())
    write_atomically(folder / MARKDOWN, text.encode())
    return text


def to_markdown(about: dict[str, Any], ran: Sequence[Ran]) -> str:
    counts = [f"{sum(row.status == s for part in ran for row in part.rows)} {s}" for s in ("ok", "failed", "skipped")]
    lines = ["# GPU check", "", f"{', '.join(counts)} of the rows.", "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {_cell(str(about[name]))} |" for name in _ABOUT if about.get(name) is not None]
    if about.get("error"):
        lines.append(f"| error | {_cell(about['error'])} |")
    for part in ran:
        lines += ["", f"## {part.section.title}", ""]
        took = f"`{part.section.name}`: {part.seconds:.0f} s of {part.limit:.0f} s"
        lines.append(f"{took}, {part.status}: {part.reason}." if part.reason else f"{took}.")
        if part.rows:
            lines += ["", "| | value | unit | bound or goal | | |", "| --- | --- | --- | --- | --- | --- |"]
            lines += [_line(row) for row in part.rows]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    value = "" if row.value is None else f"{row.value:.4g}"
    cells = (row.name, value, row.unit, row.goal, row.status, row.reason)
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
