"""The folders to which a training writes its checkpoints: one training at a time, which replaces none of another."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from lightning.pytorch.callbacks import ModelCheckpoint

from mixgraph.system.locks import locked

if TYPE_CHECKING:
    import lightning as L

_WAIT_SECONDS = 10.0
"""Workers of a training that was killed, which read its data, live on so long, and hold its folders with it."""


class CheckpointFolders:
    """Holds the folders of a training's checkpoints. Nothing is held until `hold` is called."""

    def __init__(self) -> None:
        self._holding = ExitStack()

    def hold(self, trainer: L.Trainer) -> None:
        """Takes the folders for this process, until `release`.

        Raises:
            ValueError: another training writes there; the message names its process.
            FileExistsError: a checkpoint of another training would be replaced; one that goes on replaces its own.
            OSError: a folder cannot be written.
        """
        callbacks = [c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint)]
        places = [(Path(c.dirpath), c) for c in callbacks if c.dirpath is not None and "://" not in str(c.dirpath)]
        start = None if trainer.ckpt_path is None else Path(trainer.ckpt_path).resolve()
        try:
            held = {folder.resolve() for folder, _ in places}
            for folder in sorted(held):
                self._hold(folder)
            for folder, callback in places:
                existing = [folder / name for name in _replaced_names(callback) if (folder / name).exists()]
                if existing and (start is None or start.parent not in held):
                    go_on = f"--ckpt_path {shlex.quote(str(existing[0]))}"
                    raise FileExistsError(
                        f"{existing[0]}: is of an earlier training, and is kept. HINT: go on from it with {go_on}; or "
                        f"rename {folder}; or name another one (--trainer.callbacks.dirpath)"
                    )
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Releases the folders for other processes."""
        self._holding.close()

    def _hold(self, folder: Path) -> None:
        def busy(holder: str) -> str:
            return (
                f"{folder}: another training writes its checkpoints there, {holder}; wait for its end, or name another"
            )

        folder.parent.mkdir(parents=True, exist_ok=True)
        self._holding.enter_context(locked(folder.with_name(f".{folder.name}.lock"), busy, _WAIT_SECONDS))


def how_to_go_on(trainer: L.Trainer) -> str:
    """Says with which option the command of a training that failed goes on; empty where there is no checkpoint."""
    callbacks = [callback for callback in trainer.checkpoint_callbacks if isinstance(callback, ModelCheckpoint)]
    paths = [path for callback in callbacks for path in (callback.last_model_path, callback.best_model_path)]
    kept = next((path for path in paths if path and Path(path).is_file()), None)
    return f"The training did not end. To go on, add to its command:\n  --ckpt_path {shlex.quote(kept)}" if kept else ""


def _replaced_names(callback: ModelCheckpoint) -> Iterator[str]:
    """Yields the names that a training gives to its checkpoints whatever is there; others get a number."""
    if callback._enable_version_counter:
        return
    names = [callback.CHECKPOINT_NAME_LAST if callback.save_last else None]  # the first one is the one to go on from
    names += [callback.filename if callback.save_top_k else None]
    yield from (f"{name}{callback.FILE_EXTENSION}" for name in names if name and "{" not in name)
