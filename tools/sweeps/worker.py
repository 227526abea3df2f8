"""Runs one trial of a sweep in a separate process: `python -m tools.sweeps.worker FOLDER`.

The exit codes are those of `tools.dataset.worker`. A trial that was killed goes on from its last checkpoint.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import yaml

from mixgraph.dataset.files import write_json
from mixgraph.names import uninterpolated
from mixgraph.results import CHECKPOINT, SEARCH_LOG, TIMINGS
from mixgraph.sweeps.figures import LOGS, read_figures
from mixgraph.sweeps.folder import RECORD
from mixgraph.sweeps.sweep_file import Metric
from mixgraph.system.files import write_atomically
from tools.dataset.worker import command, save_request, search_in, serve, set_up

if TYPE_CHECKING:
    import lightning as L

GOING_ON = "going_on"
"""The name of the checkpoint that the training of a network goes on from."""
CHECKPOINTS = "checkpoints"
_TRAINING = "training"
_GOING_ON_FROM = Path(_TRAINING, CHECKPOINTS, f"{GOING_ON}.ckpt")


@dataclass(frozen=True)
class TrialRequest:
    """A request to a worker for one trial.

    Attributes:
        settings: all settings, as `fit` takes them in a YAML file.
        options: options of `fit` that set the parameters.
        network: whether a network is trained, and no song searched.
        metric: the name and the goal of the sweep's metric.
        record: what identifies the trial, which its job.json begins with.
        threads: the number of torch's threads.
        stopping: the journal, the number of the trial, and the bands, by which bad trials are stopped; None if they
            are not.
        trusted: what the user trusts, see `trusted_words`.
    """

    program: ClassVar[str] = "tools.sweeps.worker"
    settings: dict[str, Any]
    options: Sequence[str]
    network: bool
    metric: dict[str, Any]
    record: dict[str, Any]
    threads: int
    stopping: dict[str, Any] | None = None
    trusted: Sequence[str] = ()

    def save(self, folder: Path) -> None:
        """Writes the request to the folder of the trial, and removes files of other trials from it."""
        save_request(folder, asdict(self))

    def run(self, folder: Path) -> Path:
        """Runs the trial in a folder, see `run_trial`."""
        return run_trial(self, folder)


def run_trial(request: TrialRequest, folder: Path) -> Path:
    """Runs a trial as `python -m mixgraph fit` does; returns the folder with its result and its job.json.

    Args:
        request: the request, which is also saved in the folder.
        folder: the folder to work in; what was stopped there is gone on with.
    """
    from tools.sweeps.stopping import TrialStopped, stopping_callbacks

    result = folder / "result"
    if (result / RECORD).is_file():  # the process was killed before its result was taken
        return result
    set_up(request.threads)
    callbacks = stopping_callbacks(request, folder)
    metric = Metric(**request.metric)
    try:
        seconds = (_train_network if request.network else _search)(request, folder, callbacks)
    except TrialStopped as stop:
        return _stopped(request, folder, stop.reports)
    try:
        read_figures(result, metric)
    except (ValueError, OSError):  # it has no such metric: the trial is tried again from its start
        shutil.rmtree(result)
        raise
    record = {**request.record, "state": "done", "reports": [], "seconds": seconds}
    write_json(result / RECORD, record)
    return result


def _search(request: TrialRequest, folder: Path, callbacks: Sequence[L.Callback]) -> float:
    settings = request.settings | {"trainer": request.settings["trainer"] | {"logger": False}}
    result = search_in(folder, settings, request.trusted, request.options, callbacks)
    return float(json.loads((result / TIMINGS).read_text(encoding="utf-8"))["total_seconds"])


def _train_network(request: TrialRequest, folder: Path, callbacks: Sequence[L.Callback]) -> float | None:
    """Trains a network in `training`, which becomes the result; returns the seconds over all processes that did.

    None where it was trained before, by a process that was killed before it could say how long that took.
    """
    from lightning.pytorch.callbacks import ModelCheckpoint, Timer

    work, result = folder / _TRAINING, folder / "result"
    if result.is_dir():
        return None
    going_on = folder / _GOING_ON_FROM
    timer = Timer()
    keep = ModelCheckpoint(
        work / CHECKPOINTS, GOING_ON, save_on_train_epoch_end=True, enable_version_counter=False, every_n_epochs=1
    )
    settings = folder / "settings.yaml"
    config = uninterpolated(_network_settings(request.settings, work))
    write_atomically(settings, yaml.safe_dump(config, sort_keys=False).encode())
    words = [*request.trusted, "--config", str(settings), *request.options]
    if _is_readable(going_on):
        words.append(f"--ckpt_path={going_on}")
    else:  # what a training leaves that cannot go on is no part of the next one
        shutil.rmtree(work, ignore_errors=True)
    command(["fit", *words], [*callbacks, timer, keep])
    seconds = float(timer.time_elapsed("train"))
    going_on.unlink(missing_ok=True)
    os.replace(work, result)
    return seconds


def _network_settings(settings: dict[str, Any], work: Path) -> dict[str, Any]:
    """Returns the settings of a training whose logs and checkpoints are in the folder of its trial."""
    trainer = settings["trainer"]
    callbacks = trainer.get("callbacks") or []
    placed = []
    for callback in callbacks if isinstance(callbacks, list) else [callbacks]:
        arguments = dict(callback.get("init_args") or {})
        if "dirpath" in arguments:
            arguments["dirpath"] = str(work / CHECKPOINTS)
        placed.append({**callback, "init_args": arguments})
    logger = {
        "class_path": "lightning.pytorch.loggers.CSVLogger",
        # Rows are written before the checkpoint that a killed training goes on from.
        "init_args": {"save_dir": str(work), "name": LOGS, "flush_logs_every_n_steps": 1},
    }
    own = {"default_root_dir": str(work), "callbacks": placed, "logger": logger, "enable_checkpointing": True}
    return settings | {"trainer": trainer | own, "ckpt_path": None}


def can_go_on(folder: Path) -> bool:
    """Whether the work folder of a trial has a checkpoint to go on from."""
    return (folder / "result.partial" / CHECKPOINT).is_file() or (folder / _GOING_ON_FROM).is_file()


def _is_readable(checkpoint: Path) -> bool:
    """Whether a checkpoint can be read; one that a killed process was writing cannot, and the training begins anew."""
    from mixgraph.checkpoints import read_checkpoint

    if not checkpoint.is_file():
        return False
    try:
        read_checkpoint(checkpoint)
    except ValueError as error:
        sys.stderr.write(f"{error}\nThe training begins anew.\n")
        return False
    return True


def _stopped(request: TrialRequest, folder: Path, reports: Sequence[tuple[int, float]]) -> Path:
    """Makes the result of a trial that was stopped as a bad one: what it reported, and its log."""
    result = folder / "stopped"
    shutil.rmtree(result, ignore_errors=True)
    result.mkdir()
    log = folder / "result.partial" / SEARCH_LOG
    if log.is_file():
        shutil.copyfile(log, result / SEARCH_LOG)
    write_json(result / RECORD, {**request.record, "state": "stopped", "reports": list(reports), "seconds": None})
    for left in (folder / "result.partial", folder / _TRAINING, folder / "result"):
        shutil.rmtree(left, ignore_errors=True)
    os.replace(result, folder / "result")
    return folder / "result"


def main() -> None:
    """Does the work of a process that runs a trial."""
    serve(lambda request, folder: TrialRequest(**request).run(folder))


if __name__ == "__main__":
    main()
