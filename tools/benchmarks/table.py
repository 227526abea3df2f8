"""Rows of results, and how they are written: Markdown and JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from tools.benchmarks.pool import Measured, Runner

# Seconds of the authors' own implementation, measured on 2 cores with the default malloc: 30 s songs, 3.8 s clips.
REFERENCE = {
    (8, "step total"): 4.04,
    (8, "step forward"): 1.07,
    (8, "step loss"): 0.19,
    (8, "step backward"): 2.78,
    (8, "evaluation"): 12.2,
    (24, "step total"): 9.30,
    (24, "step forward"): 2.36,
    (24, "step loss"): 0.17,
    (24, "step backward"): 6.77,
    (24, "evaluation"): 25.0,
}
REFERENCE_THREADS = 2
REFERENCE_TOLERANCE = 0.25


@dataclass
class Row:
    """One line of a table: what was measured, of what, and the samples of every runner.

    Attributes:
        part: of the benchmark.
        case: what distinguishes the row: name -> value.
        measure: what was measured.
        unit: `"s"` or `"MiB"`.
        samples: runner's name -> its samples.
        notes: runner's name -> why there are none, or what they are.
    """

    part: str
    case: dict[str, Any]
    measure: str
    unit: str = "s"
    samples: dict[str, list[float]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def median(self, runner: str) -> float | None:
        found = self.samples.get(runner)
        return statistics.median(found) if found else None

    def ratio(self, malloc: str) -> float | None:
        """How many times more the peer takes."""
        ours, peer = self.median(f"ours {malloc}"), self.median(f"peer {malloc}")
        return peer / ours if ours and peer else None

    def to_dict(self) -> dict[str, Any]:
        names = list(self.samples)
        return {
            "part": self.part,
            "case": self.case,
            "measure": self.measure,
            "unit": self.unit,
            "median": {name: self.median(name) for name in names if self.samples[name]},
            "ratio": {m: r for m in ("default", "tuned") if (r := self.ratio(m)) is not None},
            "samples": {name: self.samples[name] for name in names if self.samples[name]},
            "notes": self.notes,
        }


def add_row(
    rows: list[Row], part: str, case: dict[str, Any], measure: str, found: dict[Runner, Measured], key: str
) -> Row:
    """Appends the samples that are under `key` in the answers (a number, or a list of them)."""
    row = Row(part, case, measure)
    for runner, measured in found.items():
        samples: list[float] = []
        for answer in measured.answers:
            samples += answer[key] if isinstance(answer[key], list) else [answer[key]]
        row.samples[str(runner)] = samples
        if measured.reason and not samples:
            row.notes[str(runner)] = f"not run ({measured.reason})"
    rows.append(row)
    return row


def machine(threads: int) -> dict[str, Any]:
    """What the numbers belong to."""
    model = ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else ""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": model or platform.machine(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load_before": load,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()),
    }


def reference_lines(rows: Sequence[Row], threads: int) -> list[str]:
    """How the peer compares with the measured times of the authors' implementation."""
    lines = []
    factors: list[float] = []
    for row in rows:
        measure = "evaluation" if row.part == "evaluation" else f"{row.part} {row.measure}"
        seconds = REFERENCE.get((row.case.get("tracks", 0), measure))
        found = row.median("peer default")
        plain = row.case.get("share", 1.0) == 1 and row.case.get("seconds", 30.0) == 30
        if row.part not in ("step", "evaluation") or seconds is None or found is None or not plain:
            continue
        line = f"- K={row.case['tracks']} {measure}: {found:.3g} s, reference {seconds:g} s, {found / seconds - 1:+.0%}"
        if row.measure in ("total", "whole song"):  # phases are for reading only
            factors.append(found / seconds)
            line += ", within 25 %" if abs(factors[-1] - 1) <= REFERENCE_TOLERANCE else ", NOT within 25 %"
        lines.append(line)
    if lines and threads != REFERENCE_THREADS:
        lines.append(f"- Note: {threads} thread(s) here, {REFERENCE_THREADS} there: these do not compare.")
    if any(abs(factor - 1) > REFERENCE_TOLERANCE for factor in factors):
        least, most = min(factors), max(factors)
        lines.append(
            f"- Note: the factors are {least:.2f} to {most:.2f}"
            + (": all about the same, so it is the machine's speed." if most < 1.25 * least else ".")
        )
    return lines


def to_markdown(rows: Sequence[Row], about: dict[str, Any], remarks: Sequence[str]) -> str:
    """All tables, with what they were measured on."""
    lines = ["# mixgraph against its peer", "", "Medians; a ratio is the peer's time (or memory) over ours.", ""]
    lines += [f"- {key.replace('_', ' ')}: {value}" for key, value in about.items()]
    lines += ["", *(f"- {remark}" for remark in remarks)]
    runners = [name for name in _names(rows) if any(name in row.samples or name in row.notes for row in rows)]
    mallocs = [m for m in ("default", "tuned") if f"ours {m}" in runners and f"peer {m}" in runners]
    for part in dict.fromkeys(row.part for row in rows):
        own = [row for row in rows if row.part == part]
        keys = list(dict.fromkeys(key for row in own for key in row.case))
        head = [*keys, "measure", *runners, *(f"ratio {m}" for m in mallocs)]
        lines += ["", f"## {part.capitalize()}", "", _line(head), _line(["---"] * len(head))]
        for row in own:
            ratios = [row.ratio(m) for m in mallocs]
            cells = [str(row.case.get(key, "")) for key in keys] + [row.measure]
            cells += [_cell(row, name) for name in runners]
            lines.append(_line([*cells, *("" if r is None else f"{r:.1f}x" for r in ratios)]))
    found = reference_lines(rows, about["threads"])
    if found:
        lines += ["", "## The peer against the authors' implementation", "", *found]
    return "\n".join(lines) + "\n"


def to_json(rows: Sequence[Row], about: dict[str, Any], remarks: Sequence[str], growth: dict[str, Any]) -> str:
    found = {
        "machine": about,
        "remarks": list(remarks),
        "growth": growth,
        "reference": reference_lines(rows, about["threads"]),
        "rows": [row.to_dict() for row in rows],
    }
    return json.dumps(found, indent=1, allow_nan=False) + "\n"


def _names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in (*row.samples, *row.notes)))


def _cell(row: Row, name: str) -> str:
    median = row.median(name)
    if median is None:
        return row.notes.get(name, "")
    note = row.notes.get(name)
    return f"{median:.3g} {row.unit}" + (f" ({note})" if note else "")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
