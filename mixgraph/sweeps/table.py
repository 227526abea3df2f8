"""The trials of a sweep as a table, a CSV file and a JSON file; the winner, and the Pareto front."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from mixgraph.names import spreadsheet_cell
from mixgraph.sweeps.figures import CONSOLE_LOSS, CONSOLE_PROCESSORS, LOSS, PROCESSORS, RATIO
from mixgraph.sweeps.folder import Trial
from mixgraph.sweeps.sweep_file import Metric
from mixgraph.system.files import json_text, write_atomically


def winner(trials: Sequence[Trial], metric: Metric) -> Trial | None:
    """Returns the best of the trials that are done, the first one of equals; None if none is done."""
    done = [trial for trial in trials if trial.state == "done" and not trial.job.again]
    return min(done, key=lambda trial: metric.key(trial.value), default=None)


def pareto_front(trials: Sequence[Trial]) -> list[Trial]:
    """Returns the searches than which none has both less loss and a higher pruning ratio, by rising ratio.

    Further seeds of the winner are not among them: of several tries the luckiest one would stand for its values.
    """
    searches = [trial for trial in trials if LOSS in trial.figures and not trial.job.again]
    front: list[Trial] = []
    for trial in sorted(searches, key=lambda trial: (-trial.figures[RATIO], trial.figures[LOSS])):
        if not front or trial.figures[LOSS] < front[-1].figures[LOSS]:
            front.append(trial)
    return front[::-1]


def shown_parameters(trials: Sequence[Trial]) -> list[str]:
    """Returns the names of the parameters whose values differ between the trials; all where none does."""
    names = list(trials[0].job.values) if trials else []
    return [name for name in names if len({_text(trial.job.values[name]) for trial in trials}) > 1] or names


def header(trials: Sequence[Trial], metric: Metric) -> list[str]:
    """Returns the titles of the table's columns; parameters by their last word, where those differ."""
    names = shown_parameters(trials)
    short = [name.rpartition(".")[2] for name in names]
    titles = short if len(set(short)) == len(short) else names
    if any(LOSS in trial.figures for trial in trials):
        figures = ["trained console", "loss", "processors", "pruning ratio"]
    else:
        figures = [metric.name]
    return ["trial", *titles, "seed", *figures, "minutes", "state"]


def cells(trial: Trial, names: Sequence[str], columns: int, metric: Metric) -> list[str]:
    """Returns the row of a trial.

    Args:
        trial: the trial.
        names: the parameters that are shown.
        columns: the number of columns of the table.
        metric: the metric of the sweep, which is all that is known of a search that was stopped.
    """
    figures = trial.figures
    row = [str(trial.job.number), *(short_text(trial.job.values[name]) for name in names), str(trial.job.seed)]
    if LOSS in figures:
        counts = f"{figures[CONSOLE_PROCESSORS]:.0f} → {figures[PROCESSORS]:.0f}"
        row += [f"{figures[CONSOLE_LOSS]:.3f}", f"{figures[LOSS]:.3f}", counts, f"{figures[RATIO]:.2f}"]
    elif columns - len(row) == 3:
        row += [f"{trial.value:.4g}"]
    else:  # a search that was stopped
        row += ["-", "-", "-", f"{trial.value:.2f}"] if metric.name == RATIO else ["-", f"{trial.value:.3f}", "-", "-"]
    minutes = "-" if trial.seconds is None else f"{trial.seconds / 60:.1f}"
    return [*row, minutes, "done" if trial.stages is None else f"stopped after {trial.stages}"]


def rows(trials: Sequence[Trial], metric: Metric) -> list[list[str]]:
    """Returns the rows of all trials, the best first, those that were stopped last."""
    columns, names = len(header(trials, metric)), shown_parameters(trials)
    ranked = sorted(trials, key=lambda trial: (trial.state == "stopped", metric.key(trial.value), trial.job.name))
    return [cells(trial, names, columns, metric) for trial in ranked]


def seeds_sentence(trials: Sequence[Trial], metric: Metric) -> str:
    """Says how much the metric of the winner's values differs between seeds; "" where they ran with one seed."""
    best = winner(trials, metric)
    same = [t.value for t in trials if best is not None and t.job.number == best.job.number and t.state == "done"]
    if best is None or len(same) < 2:
        return ""
    return (
        f"Trial {best.job.number} with {len(same)} seeds: {metric.name} {fmean(same):.4g} on average, "
        f"standard deviation {stdev(same):.2g}, from {min(same):.4g} to {max(same):.4g}."
    )


def markdown(trials: Sequence[Trial], metric: Metric, notes: Sequence[str]) -> str:
    """Returns the table in Markdown, with notes below it."""
    titles = header(trials, metric)
    lines = [titles, ["---"] * len(titles), *rows(trials, metric)]
    table = "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
    return "\n\n".join([table, *(note for note in notes if note)]) + "\n"


def csv_text(trials: Sequence[Trial], metric: Metric) -> str:
    """Returns the table as CSV: full names and digits, trials in order of their numbers."""
    parameters = list(trials[0].job.values) if trials else []
    figures = list(dict.fromkeys(name for trial in trials for name in trial.figures))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["trial", "seed", *map(spreadsheet_cell, [*parameters, *figures]), "seconds", "state", "stages"])
    for trial in trials:
        values = [spreadsheet_cell(_text(trial.job.values[name])) for name in parameters]
        numbers = [trial.figures.get(name, "") for name in figures]
        seconds = "" if trial.seconds is None else f"{trial.seconds:.1f}"
        writer.writerow([trial.job.number, trial.job.seed, *values, *numbers, seconds, trial.state, trial.stages or ""])
    return stream.getvalue()


def summary(trials: Sequence[Trial], metric: Metric, failures: dict[str, str]) -> dict[str, Any]:
    """Returns all about the trials, as trials.json has it."""
    best = winner(trials, metric)
    return {
        "metric": asdict(metric),
        "winner": None if best is None else best.job.name,
        "pareto_front": [trial.job.name for trial in pareto_front(trials)],
        "seeds": seeds_sentence(trials, metric),
        "failures": failures,
        "trials": [
            {
                "name": trial.job.name,
                **asdict(trial.job),
                "state": trial.state,
                "value": trial.value,
                "figures": dict(trial.figures),
                "stages": trial.stages,
                "seconds": trial.seconds,
            }
            for trial in trials
        ],
    }


def write_tables(folder: Path, trials: Sequence[Trial], metric: Metric, failures: dict[str, str]) -> None:
    """Writes trials.md, trials.csv and trials.json."""
    failed = [f"{name} failed: {' '.join(reason.split())}" for name, reason in failures.items()]
    text = markdown(trials, metric, [seeds_sentence(trials, metric), *failed])
    write_atomically(folder / "trials.md", text.encode())
    write_atomically(folder / "trials.csv", csv_text(trials, metric).encode())
    content = json_text(summary(trials, metric, failures), indent=1)
    write_atomically(folder / "trials.json", (content + "\n").encode())


def short_text(value: Any) -> str:
    """Writes a value of a parameter for a table or a picture: numbers with six digits at most."""
    return f"{value:.6g}" if isinstance(value, float) else _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json_text(value)
