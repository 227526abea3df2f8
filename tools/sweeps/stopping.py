"""Stops bad trials early: what each one reports after stages (or epochs) is compared with all that got there."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L

from callbacks.stage_scores import stage_figures
from mixgraph.dataset.files import write_json
from mixgraph.search.module import ConsoleModule
from mixgraph.sweeps.study import report
from mixgraph.sweeps.sweep_file import Bands, Metric

if TYPE_CHECKING:
    from tools.sweeps.worker import TrialRequest

_REPORTS = "reports.json"


class TrialStopped(Exception):  # it is how a trial ends, and no error
    """A trial is stopped as a bad one.

    Attributes:
        reports: the stage and the metric after it, for each comparison.
    """

    def __init__(self, reports: list[tuple[int, float]]) -> None:
        super().__init__(f"stopped after stage {reports[-1][0]}")
        self.reports = reports


class StopBadTrials(L.Callback):
    """Reports the metric of a trial at the stages of the bands, and ends the trial where it is a bad one.

    Args:
        journal: the journal of the sweep's study.
        number: the number of the trial.
        bands: when trials are compared.
        metric: the metric of the sweep.
        folder: the folder that the trial works in.
    """

    def __init__(self, journal: Path, number: int, bands: Bands, metric: Metric, folder: Path) -> None:
        self.journal, self.number, self.bands, self.metric = journal, number, bands, metric
        self._path, self._worst = folder / _REPORTS, math.inf if metric.goal == "minimize" else -math.inf
        saved = json.loads(self._path.read_text(encoding="utf-8")) if self._path.is_file() else []
        self.reports = {int(stage): self._worst if value is None else float(value) for stage, value in saved}

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        stage = trainer.current_epoch + 1
        if stage >= (trainer.max_epochs or math.inf) or not is_band(stage, self.bands):
            return
        value = self._value(trainer, pl_module)
        if not math.isfinite(value):  # it failed to learn: worse than any number
            value = self._worst
        self.reports[stage] = value
        rows = sorted(self.reports.items())
        write_json(self._path, [[stage, value] for stage, value in rows])
        if report(self.journal, self.number, stage, value, self.bands):
            raise TrialStopped(rows)

    def _value(self, trainer: L.Trainer, module: L.LightningModule) -> float:
        if isinstance(module, ConsoleModule):
            return stage_figures(trainer, module)[self.metric.name]
        if self.metric.name not in trainer.callback_metrics:
            there_are = ", ".join(sorted(trainer.callback_metrics)) or "none"
            raise ValueError(f"metric: the training has {there_are}, got {self.metric.name}")
        return float(trainer.callback_metrics[self.metric.name])


def is_band(stage: int, bands: Bands) -> bool:
    """Whether trials are compared after a stage.

    >>> [stage for stage in range(1, 40) if is_band(stage, Bands(2, 3))]
    [2, 6, 18]
    """
    band = bands.first
    while band < stage:
        band *= bands.eta
    return band == stage


def stopping_callbacks(request: TrialRequest, folder: Path) -> list[L.Callback]:
    """Returns the callback that stops the trial of a request, if trials of its sweep are stopped."""
    if request.stopping is None:
        return []
    plan: dict[str, Any] = request.stopping
    bands, metric = Bands(**plan["bands"]), Metric(**request.metric)
    return [StopBadTrials(Path(plan["journal"]), plan["number"], bands, metric, folder)]
