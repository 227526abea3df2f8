"""Sends all settings, rounds of pruning, final figures and pictures of a search to Lightning's loggers."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_warn
from PIL import Image

_ROUND_FIGURES = {"start_loss": "loss_before", "end_loss": "loss", "trials": "trials", "remaining": "processors"}


def log_settings(loggers: Iterable[Logger], settings: Mapping[str, Any]) -> None:
    """Gives every logger the whole configuration as its hyperparameters.

    Args:
        loggers: the Trainer's loggers.
        settings: the content of `config.yaml`, as nested mappings.
    """
    for logger in loggers:
        logger.log_hyperparams(dict(settings))


def log_rounds(loggers: Iterable[Logger], rows: Iterable[Mapping[str, Any]], suffix: str = "") -> None:
    """Gives every logger the figures of rounds of pruning, each at its step.

    `pruning/loss_before` and `pruning/loss` are the whole-song match losses around a round, `pruning/trials` the number
    of its trials, `pruning/removed` that of the processors that it removed, `pruning/processors` of those left.

    Args:
        loggers: the Trainer's loggers.
        rows: rows of a song's trace; other rows than those of rounds are passed over.
        suffix: the end of the figures' names, where there are several songs.
    """
    loggers = list(loggers)
    for row in rows:
        if row["kind"] != "round":
            continue
        figures = {f"pruning/{name}{suffix}": float(row[key]) for key, name in _ROUND_FIGURES.items()}
        figures[f"pruning/removed{suffix}"] = float(len(row["removed"]))
        for logger in loggers:
            logger.log_metrics(figures, step=row["step"])


def log_pictures(loggers: Iterable[Logger], pictures: Sequence[Path], step: int, prefix: str = "") -> None:
    """Gives every logger the pictures of a result.

    Weights & Biases and TensorBoard show them; MLflow keeps them as artifacts, Comet and Neptune as images. Other
    loggers that write to a folder get copies in `pictures/` of that folder; a message names those without.

    Args:
        loggers: the Trainer's loggers.
        pictures: PNG files.
        step: the training step that the pictures belong to.
        prefix: the beginning of the pictures' names, where there are several songs.
    """
    for logger in loggers:
        for picture in pictures:
            _log_picture(logger, picture, f"{prefix}{picture.stem}", step)


def _log_picture(logger: Any, picture: Path, name: str, step: int) -> None:
    kind, experiment = type(logger).__name__, logger.experiment
    if hasattr(logger, "log_image"):
        logger.log_image(name, [str(picture)], step=step)
    elif hasattr(experiment, "add_image"):
        experiment.add_image(name, np.asarray(Image.open(picture).convert("RGB")), step, dataformats="HWC")
    elif kind == "MLFlowLogger":
        experiment.log_artifact(logger.run_id, str(picture), "pictures")
    elif kind == "CometLogger":
        experiment.log_image(str(picture), name=name, step=step)
    elif kind == "NeptuneLogger":
        experiment[f"pictures/{name}"].upload(str(picture))
    elif logger.log_dir is not None:
        folder = Path(logger.log_dir) / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture, folder / f"{name.replace('/', '_')}.png")
    else:
        rank_zero_warn(f"{kind}: takes no pictures; {picture.name} is in the result folder")
