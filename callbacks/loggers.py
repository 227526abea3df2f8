"""Sends all settings, rounds of pruning, final figures, pictures and excerpts of a search to Lightning's loggers."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_warn
from PIL import Image

from .excerpts import ResultExcerpts

_WAV_ENCODING = b"\x10\x0b"  # TensorBoard's AudioPluginData(encoding=WAV); without it, its server drops the captions
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


def log_excerpts(loggers: Iterable[Logger], excerpts: ResultExcerpts, step: int, prefix: str = "") -> None:
    """Gives Weights & Biases and TensorBoard the excerpts of a result, with their caption; other loggers get none.

    Args:
        loggers: the Trainer's loggers.
        excerpts: the excerpts of the target and of the found mix.
        step: the training step that the excerpts belong to.
        prefix: the beginning of the excerpts' names, where there are several songs.
    """
    for logger in loggers:
        for name, audio in excerpts.audio.items():
            samples = np.ascontiguousarray(audio.T.numpy())
            _log_audio(logger, f"{prefix}{name}", samples, excerpts.sample_rate, excerpts.caption, step)


def _log_audio(logger: Any, name: str, samples: np.ndarray, sample_rate: int, caption: str, step: int) -> None:
    if hasattr(logger, "log_audio"):
        logger.log_audio(name, [samples], step=step, sample_rate=[sample_rate], caption=[caption])
    elif hasattr(logger.experiment, "add_audio"):
        _add_audio(logger.experiment, name, samples, sample_rate, caption, step)


def _add_audio(writer: Any, name: str, samples: np.ndarray, sample_rate: int, caption: str, step: int) -> None:
    """Gives a TensorBoard writer stereo audio, (samples, 2), with a caption; its own `add_audio` takes neither."""
    package = "tensorboardX" if type(writer).__module__.startswith("tensorboardX") else "tensorboard.compat"
    protocol: Any = import_module(f"{package}.proto.summary_pb2")
    stream = io.BytesIO()
    soundfile.write(stream, samples, sample_rate, format="WAV", subtype="PCM_16")
    audio = protocol.Summary.Audio(
        sample_rate=sample_rate,
        num_channels=samples.shape[1],
        length_frames=samples.shape[0],
        encoded_audio_string=stream.getvalue(),
        content_type="audio/wav",
    )
    plugin = protocol.SummaryMetadata.PluginData(plugin_name="audio", content=_WAV_ENCODING)
    metadata = protocol.SummaryMetadata(plugin_data=plugin, display_name=name, summary_description=caption)
    if hasattr(metadata, "data_class"):  # tensorboardX has none
        metadata.data_class = protocol.DATA_CLASS_BLOB_SEQUENCE
    value = protocol.Summary.Value(tag=name, audio=audio, metadata=metadata)
    writer.file_writer.add_summary(protocol.Summary(value=[value]), step)
