"""The figures of a trial, from its files: metrics.json of a search, metrics.csv of a network's training."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from mixgraph.names import did_you_mean
from mixgraph.results.metrics import METRICS, read_metrics
from mixgraph.sweeps.sweep_file import Metric

LOSS, RATIO = "search/found_loss", "search/pruning_ratio"
SEARCH_METRICS = (LOSS, RATIO)
CONSOLE_LOSS, PROCESSORS, CONSOLE_PROCESSORS = "console_loss", "processors", "console_processors"
LOGS = "log"
"""The folder of a network's logs in the result of its trial."""


def read_figures(folder: Path, metric: Metric) -> dict[str, float]:
    """Reads the figures of a trial that ended, the metric among them.

    Raises:
        FileNotFoundError: the files are missing.
        ValueError: they are damaged, have no such metric, or are of a search whose training broke down.
    """
    if (folder / METRICS).is_file():
        return _of_a_search(folder)
    return {metric.name: _best_of_a_network(folder / LOGS, metric)}


def _of_a_search(folder: Path) -> dict[str, float]:
    metrics = read_metrics(folder)
    if metrics.failure:
        raise ValueError(metrics.failure)
    return {
        LOSS: metrics.losses.found.loss["full"],
        RATIO: metrics.pruning_ratio,
        CONSOLE_LOSS: metrics.losses.console.loss["full"],
        PROCESSORS: float(metrics.num_processors.found),
        CONSOLE_PROCESSORS: float(metrics.num_processors.console),
    }


def _best_of_a_network(logs: Path, metric: Metric) -> float:
    """The metric of the best epoch, which is that of the checkpoint that is kept, over all parts of a training."""
    values, names = [], set()
    for file in sorted(logs.glob("version_*/metrics.csv")):  # a training that went on after a kill has several
        try:
            with file.open(encoding="utf-8", newline="") as lines:
                rows = list(csv.DictReader(lines, restkey=""))
            names |= {name for row in rows for name, text in row.items() if text}
            values += [float(row[metric.name]) for row in rows if row.get(metric.name)]
        except (ValueError, csv.Error) as error:
            raise ValueError(f"{file}: is damaged ({error}). HINT: remove the trial") from error
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        there_are = ", ".join(sorted(names)) or "none"
        hint = did_you_mean(metric.name, names)
        raise ValueError(f"{logs}: metric {metric.name} with a finite value is needed, got {there_are}.{hint}")
    return metric.best(finite)
