"""The rows of results, and their output as Markdown and JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tools.bench.speed.pool import Measured, Runner

# Seconds of the authors' own implementation, measured on 2 cores with the default malloc: 30 s songs, 3.8 s clips.
PUBLISHED_SECONDS = {
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
PUBLISHED_THREADS = 2
PUBLISHED_TOLERANCE = 0.25
MALLOCS = ("default", "tuned")
_COSTS = ("s", "MiB")


@dataclass
class Row:
    """One measure of one case: the samples of every runner.

    Attributes:
        part: part of the benchmark, one of `PARTS`.
        case: the parameters of the case, name -> value. Measures of the same case are in one line of the table.
        measure: the name of the quantity that was measured.
        unit: `"s"` or `"MiB"`, of which there are ratios; `""` for losses and shares.
        samples: runner's name -> its samples.
        notes: runner's name -> the reason why it has no samples, or a remark on them.
        runs: runner's name -> the earlier run that each sample was measured in, "" for this one.
        details: lines below the table.
    """

    part: str
    case: dict[str, Any]
    measure: str
    unit: str = "s"
    samples: dict[str, list[float]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    runs: dict[str, list[str]] = field(default_factory=dict)
    details: list[str] = field(default_factory=list)

    def median(self, runner: str) -> float | None:
        samples = self.samples.get(runner)
        return statistics.median(samples) if samples else None

    def ratio(self, malloc: str) -> float | None:
        """Returns the peer's cost over ours; None for measures that are no costs."""
        ours, peer = self.median(f"ours {malloc}"), self.median(f"peer {malloc}")
        return peer / ours if ours and peer and self.unit in _COSTS else None

    def mixes_runs(self, malloc: str) -> bool:
        """True if the samples that the ratio compares were measured in different runs."""
        names = [f"{side} {malloc}" for side in ("ours", "peer")]
        return len({run for name in names if self.samples.get(name) for run in self.runs.get(name) or [""]}) > 1

    def mark(self, runner: str) -> str:
        """The mark beside the median of a runner, such as that it is from an earlier run."""
        runs = self.runs.get(runner, [])
        earlier = sum(run != "" for run in runs)
        of_all = "" if earlier == len(runs) else f"{earlier} of {len(runs)} in an "
        return ", ".join(filter(None, (self.notes.get(runner, ""), f"{of_all}earlier run" if earlier else "")))

    def to_dict(self) -> dict[str, Any]:
        measured = [name for name, samples in self.samples.items() if samples]
        return {
            "part": self.part,
            "case": self.case,
            "measure": self.measure,
            "unit": self.unit,
            "median": {name: self.median(name) for name in measured},
            "ratio": {m: r for m in MALLOCS if (r := self.ratio(m)) is not None},
            "mixes_runs": [m for m in MALLOCS if self.mixes_runs(m)],
            "samples": {name: self.samples[name] for name in measured},
            "notes": self.notes,
            "runs": self.runs,
            "details": self.details,
        }


def add_row(
    rows: list[Row], part: str, case: dict[str, Any], measure: str, measurements: dict[Runner, Measured], key: str
) -> Row:
    """Appends a row of the samples under `key` in the answers (a number, or a list of numbers)."""
    row = Row(part, case, measure)
    for runner, measured in measurements.items():
        samples: list[float] = []
        for answer in measured.answers:
            samples += answer[key] if isinstance(answer[key], list) else [answer[key]]
        row.samples[str(runner)] = samples
        if measured.reason and not samples:
            row.notes[str(runner)] = f"not run ({measured.reason})"
    rows.append(row)
    return row


def published_lines(rows: Sequence[Row], threads: int) -> list[str]:
    """Formats a comparison of the peer's times with the measured times of the authors' implementation."""
    lines = []
    factors: list[float] = []
    for row in rows:
        measure = "evaluation" if row.part == "evaluation" else f"{row.part} {row.measure}"
        seconds = PUBLISHED_SECONDS.get((row.case.get("tracks", 0), measure))
        median = row.median("peer default")
        plain = row.case.get("share", 1.0) == 1 and row.case.get("seconds", 30.0) == 30
        stereo = row.case.get("song") == "synthetic, stereo"
        if row.part not in ("step", "evaluation") or seconds is None or median is None or not (plain and stereo):
            continue
        line = (
            f"- K={row.case['tracks']} {measure}: {median:.3g} s, published {seconds:g} s, {median / seconds - 1:+.0%}"
        )
        if row.measure in ("total", "whole song"):  # phases are for reading only
            factors.append(median / seconds)
            line += ", within 25 %" if abs(factors[-1] - 1) <= PUBLISHED_TOLERANCE else ", NOT within 25 %"
        lines.append(line)
    if lines and threads != PUBLISHED_THREADS:
        lines.append(f"- Note: {threads} thread(s) here, {PUBLISHED_THREADS} there: these do not compare.")
    if any(abs(factor - 1) > PUBLISHED_TOLERANCE for factor in factors):
        least, most = min(factors), max(factors)
        lines.append(
            f"- Note: the factors are {least:.2f} to {most:.2f}"
            + (": all about the same, so it is the machine's speed." if most < 1.25 * least else ".")
        )
    return lines


def to_markdown(rows: Sequence[Row], about: dict[str, Any], remarks: Sequence[str]) -> str:
    """Formats a table for each part, with the machine and versions, as Markdown."""
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    lines = [
        "# mixgraph against its peer",
        "",
        f"{about['processor']}, {about['threads']} threads; {about['date']}; {versions}, Python {about['python']}, "
        f"{about['libc']}; load before: {about['load']}.",
        "",
        "Medians, ours / the peer's: **how many times more** the peer takes.",
        "",
        *(f"- {remark}" for remark in remarks),
    ]
    for part in dict.fromkeys(row.part for row in rows):
        rows_of_part = [row for row in rows if row.part == part]
        details = [f"- {detail}" for row in rows_of_part for detail in row.details]
        lines += ["", f"## {part.capitalize()}", "", *_table(rows_of_part), *(["", *details] if details else [])]
    lines_of_published = published_lines(rows, about["threads"])
    if lines_of_published:
        lines += ["", "## The peer against the authors' implementation", "", *lines_of_published]
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[Row]) -> list[str]:
    """Formats a table with a line for every case and malloc setting, and a column for every measure."""
    keys = list(dict.fromkeys(key for row in rows for key in row.case))
    measures = {row.measure: row.unit for row in rows}
    head = [*keys, "malloc", *(f"{measure} ({unit})" if unit else measure for measure, unit in measures.items())]
    lines = [_line(head), _line(["---"] * len(head))]
    lines_of: dict[str, dict[str, Row]] = {}
    for row in rows:
        lines_of.setdefault(json.dumps(row.case), {})[row.measure] = row
    for of_case in lines_of.values():
        case = next(iter(of_case.values())).case
        for malloc in MALLOCS:
            cells = [_cell(of_case[measure], malloc) if measure in of_case else "" for measure in measures]
            if any(cells):
                lines.append(_line([*(str(case.get(key, "")) for key in keys), malloc, *cells]))
    return lines


def _cell(row: Row, malloc: str) -> str:
    texts = [text for side in ("ours", "peer") if (text := _one_side(row, f"{side} {malloc}"))]
    ratio = row.ratio(malloc)
    if ratio is not None:
        texts[-1] += f": **{ratio:.1f}x**" + (" (mixes runs)" if row.mixes_runs(malloc) else "")
    return " / ".join(texts)


def _one_side(row: Row, runner: str) -> str:
    median, mark = row.median(runner), row.mark(runner)
    if median is None:
        return mark
    number = f"{median:.0f}" if median >= 100 else f"{median:.3g}"
    return f"{number} ({mark})" if mark else number


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def to_json(rows: Sequence[Row], about: dict[str, Any], remarks: Sequence[str], growth: dict[str, Any]) -> str:
    report = {
        "machine": about,
        "remarks": list(remarks),
        "growth": growth,
        "reference": published_lines(rows, about["threads"]),
        "rows": [row.to_dict() for row in rows],
    }
    return json.dumps(report, indent=1, allow_nan=False) + "\n"
