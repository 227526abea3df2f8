"""Trains a network that a configuration names by its class, such as the estimator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.utilities import rank_zero_info

from callbacks.sealed_checkpoints import seal_checkpoints
from mixgraph.cli.checkpoint_folders import CheckpointFolders, how_to_go_on
from mixgraph.cli.options import CheckedCLI
from mixgraph.system.files import read_text, write_atomically

_SAVED_BY = "# Settings of a training with mixgraph."
_SAVED = (_SAVED_BY, "# lightning.pytorch==")  # the first line of configurations that a training wrote


class KeepNetworkConfig(SaveConfigCallback):
    """Writes the configuration to the logger's folder, or else the checkpoints' folder, if there is one.

    It also holds the folders of the checkpoints while a training lasts.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **(kwargs | {"save_to_log_dir": False}))
        self._path: Path | None = None
        self._folders = CheckpointFolders()

    def save_config(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if stage != "fit":
            return  # only the settings of a training are saved
        if trainer.loggers:
            folder = trainer.log_dir
        elif trainer.checkpoint_callback is not None:
            folder = trainer.checkpoint_callback.dirpath or Path(trainer.default_root_dir) / "checkpoints"
        else:
            return
        path = Path(folder) / self.config_filename
        if path.exists() and not read_text(path, errors="replace").startswith(_SAVED):
            raise FileExistsError(
                f"{path}: exists and is kept, since no training wrote it; name another folder (trainer.logger), or "
                "rename it"
            )
        self._path = path

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        seal_checkpoints(trainer)
        if trainer.is_global_zero:  # which writes the checkpoints for all processes of a training
            self._folders.hold(trainer)
        if self._path is not None:  # written now: in `setup`, the checkpoints' callback warns of a folder with files
            self._path.parent.mkdir(parents=True, exist_ok=True)
            text = f"{_SAVED_BY}\n{self.parser.dump(self.config, skip_unset=False)}"
            write_atomically(self._path, text.encode())

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self._folders.release()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self._folders.release()
        if line := how_to_go_on(trainer):
            rank_zero_info(line)


class NetworkCLI(CheckedCLI):
    """Parser and runner of the same subcommands for a model and data that the configuration names by class."""

    def _prepare(self) -> None:
        self.config_init[self.subcommand]["weights_only"] = True

    before_fit = before_validate = before_test = before_predict = _prepare
