"""Decoded songs in files that are mapped into memory, for songs that would not fit into it.

An entry is a folder <song>-<key>/ of sources.npy, mix.npy and song.json in the cache folder. The key is a hash of the
audio files' contents and of every setting that changes the values, so an entry never gets stale. An entry is built
under a temporary name and renamed when complete.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tokenize
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixgraph.system.files import (
    is_temporary,
    naming,
    parse_json,
    read_text,
    sync_folder,
    sync_tree,
    temporary_path,
    write_atomically,
)
from mixgraph.system.locks import locked

VERSION = 4  # raise it whenever the decoding of a song, or what song.json holds, changes
SOURCES, MIX, META = "sources.npy", "mix.npy", "song.json"


def entry_path(cache_dir: Path, name: str, settings: dict[str, Any]) -> Path:
    """Returns the folder of a song's entry for these settings, file hashes among them (values that JSON can hold)."""
    text = json.dumps({"version": VERSION, **settings}, sort_keys=True)
    return cache_dir / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:20]}"


@contextmanager
def new_entry(entry: Path) -> Iterator[Path | None]:
    """Gives a temporary folder that becomes the entry on a clean exit, and is removed on any other.

    Another process that makes the same entry is waited for; then there is nothing to do, and None is given.
    """
    entry.parent.mkdir(parents=True, exist_ok=True)
    lock = entry.with_name(f".{entry.name}.lock")
    with locked(lock, lambda holder: f"{entry}: is being made by {holder}", wait_seconds=math.inf):
        for left in [path for path in entry.parent.iterdir() if is_temporary(path, entry.name)]:
            shutil.rmtree(left)  # of a process that was killed
        if entry.is_dir():
            yield None
            return
        partial = temporary_path(entry)
        partial.mkdir()
        try:
            yield partial
            sync_tree(partial)
            os.replace(partial, entry)
            sync_folder(entry.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def map_new(path: Path, shape: tuple[int, ...]) -> Tensor:
    """Creates a float32 .npy file of zeros and maps it: what is written to the tensor is written to the file.

    Raises:
        OSError: the disk has no room for it. (Without room reserved, writing to the tensor would kill the process.)
    """
    with naming(path):
        mapped = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        if hasattr(os, "posix_fallocate"):
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return torch.from_numpy(mapped)


def map_existing(path: Path) -> Tensor:
    """Maps a .npy file; writing to the tensor changes memory only, never the file (copy on write)."""
    return torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))


@contextmanager
def naming_damage(entry: Path) -> Iterator[None]:
    """Lets errors in the files of an entry, which no version of mixgraph wrote, say which folder it is.

    Raises:
        ValueError: in place of what damaged files raise.
    """
    try:
        yield
    except (ValueError, TypeError, LookupError, EOFError, tokenize.TokenError) as error:
        raise ValueError(f"{entry}: is damaged ({error!r}). HINT: remove this folder, it is made anew") from error


def write_meta(partial: Path, mix: Tensor, meta: dict[str, Any]) -> None:
    """Writes what an entry holds beside its sources."""
    map_new(partial / MIX, tuple(mix.shape)).copy_(mix)
    write_atomically(partial / META, json.dumps(meta, indent=1).encode())


def read_meta(entry: Path) -> dict[str, Any]:
    """Reads what `write_meta` wrote, the mix apart."""
    meta: dict[str, Any] = parse_json(read_text(entry / META))
    return meta
