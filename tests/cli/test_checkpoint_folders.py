"""Trainings of networks keep what another training has in their folder; their checkpoints are whole or absent."""

import os
import resource
import tempfile
import time
from pathlib import Path
from threading import Timer

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from callbacks.sealed_checkpoints import SealedCheckpoints, seal_checkpoints
from mixgraph.checkpoints import read_checkpoint
from mixgraph.cli import checkpoint_folders
from mixgraph.cli.checkpoint_folders import CheckpointFolders, how_to_go_on
from mixgraph.cli.network import KeepNetworkConfig


def trainer(folder: Path, strategy: str = "auto", devices: int = 1, **settings: object) -> L.Trainer:
    keep = ModelCheckpoint(folder, "best", **({"save_last": True, "enable_version_counter": False} | settings))
    return L.Trainer(
        callbacks=[keep],
        logger=False,
        accelerator="cpu",
        strategy=strategy,
        devices=devices,
        enable_progress_bar=False,
    )


def test_a_second_training_in_a_folder_is_refused_while_the_first_lasts(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(checkpoint_folders, "_WAIT_SECONDS", 0.0)
    first, second = CheckpointFolders(), CheckpointFolders()
    first.hold(trainer(tmp_path / "kept"))
    with pytest.raises(
        ValueError, match=rf"kept: another training writes its checkpoints there, process {os.getpid()} "
    ):
        second.hold(trainer(tmp_path / "kept"))
    second.hold(trainer(tmp_path / "other"))
    second.release()
    first.release()
    second.hold(trainer(tmp_path / "kept"))
    second.release()
    assert list(tmp_path.iterdir()) == []  # nothing is left of the locks


def test_a_folder_whose_training_ends_is_waited_for(tmp_path) -> None:
    first, second = CheckpointFolders(), CheckpointFolders()
    first.hold(trainer(tmp_path / "kept"))
    started = time.monotonic()
    Timer(0.1, first.release).start()
    second.hold(trainer(tmp_path / "kept"))
    assert time.monotonic() - started >= 0.1  # not before the first one had released it
    assert (tmp_path / ".kept.lock").exists()
    second.release()
    assert list(tmp_path.iterdir()) == []


def test_the_first_process_of_a_training_holds_its_folders_for_all(tmp_path) -> None:
    first, second = (trainer(tmp_path / "kept", strategy="ddp", devices=2) for _ in range(2))
    second.strategy.cluster_environment._global_rank = 1  # as its process has it
    keepers = KeepNetworkConfig(None, None), KeepNetworkConfig(None, None)
    for keeper, ranked in zip(keepers, (first, second), strict=True):
        keeper.on_fit_start(ranked, None)
    keepers[1].teardown(second, None, "fit")
    assert (tmp_path / ".kept.lock").exists()
    keepers[0].teardown(first, None, "fit")
    assert list(tmp_path.iterdir()) == []


def test_a_training_with_checkpoints_in_two_folders_goes_on_from_either(tmp_path) -> None:
    both = L.Trainer(
        callbacks=[ModelCheckpoint(tmp_path / n, "best", enable_version_counter=False, monitor=n) for n in ("a", "b")],
        logger=False,
        accelerator="cpu",
        enable_progress_bar=False,
    )
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "best.ckpt").touch()
    folders = CheckpointFolders()
    for name in ("a", "b"):
        both.ckpt_path = tmp_path / name / "best.ckpt"
        folders.hold(both)
        folders.release()
    both.ckpt_path = tmp_path / "c" / "best.ckpt"
    with pytest.raises(FileExistsError, match="is of an earlier training"):
        folders.hold(both)


@pytest.mark.parametrize("name", ["best.ckpt", "last.ckpt"])
def test_checkpoints_of_an_earlier_training_are_kept(name, tmp_path) -> None:
    (tmp_path / name).touch()
    folders = CheckpointFolders()
    for _ in range(2):  # nothing is held after an error
        with pytest.raises(
            FileExistsError, match=rf"{name}: is of an earlier training, and is kept. HINT: go on from it"
        ):
            folders.hold(trainer(tmp_path))
    goes_on = trainer(tmp_path)
    goes_on.ckpt_path = tmp_path / "last.ckpt"
    folders.hold(goes_on)
    folders.release()
    elsewhere = trainer(tmp_path)
    elsewhere.ckpt_path = tmp_path / "of_another" / "last.ckpt"
    with pytest.raises(FileExistsError, match="is of an earlier training"):
        folders.hold(elsewhere)
    numbered = trainer(tmp_path, enable_version_counter=True)  # best-v1.ckpt
    folders.hold(numbered)
    folders.release()
    named = trainer(tmp_path / "more", save_last=False)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "last.ckpt").touch()  # which this one does not write
    folders.hold(named)
    folders.release()


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch) -> None:
    path, writes = tmp_path / "kept" / "best.ckpt", SealedCheckpoints()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no such folder"))  # nothing goes through it
    writes.save_checkpoint({"state_dict": {"a": torch.arange(1000.0)}}, path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match=r"File too large: '.*best\.ckpt'"):
            writes.save_checkpoint({"state_dict": {"a": torch.ones(1000)}}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [p.name for p in path.parent.iterdir()] == ["best.ckpt"]
    assert torch.equal(read_checkpoint(path)["state_dict"]["a"], torch.arange(1000.0))
    damaged = bytearray(before)
    damaged[len(damaged) // 3] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match="damaged"):
        read_checkpoint(path)


def test_another_plugin_for_checkpoints_stays(tmp_path) -> None:
    class Other(SealedCheckpoints):
        pass

    plain, other = trainer(tmp_path), trainer(tmp_path)
    other.strategy.checkpoint_io = Other()
    seal_checkpoints(plain)
    seal_checkpoints(other)
    assert type(plain.strategy.checkpoint_io) is SealedCheckpoints
    assert type(other.strategy.checkpoint_io) is Other


def test_a_training_that_fails_says_how_to_go_on(tmp_path) -> None:
    failed = trainer(tmp_path)
    assert how_to_go_on(failed) == ""
    for name in ("best.ckpt", "last.ckpt"):
        (tmp_path / name).touch()
    failed.checkpoint_callback.best_model_path = str(tmp_path / "best.ckpt")
    assert how_to_go_on(failed).endswith(f"--ckpt_path {tmp_path}/best.ckpt")
    failed.checkpoint_callback.last_model_path = str(tmp_path / "last.ckpt")
    assert how_to_go_on(failed).endswith(f"--ckpt_path {tmp_path}/last.ckpt")
