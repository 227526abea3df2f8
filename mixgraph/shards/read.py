"""Reads shards without Lightning: `for sample in read_shards(folder)`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mixgraph.shards.fields import AUDIO, LIMITS, MAX_FIELDS, REQUIRED, check_key, check_size
from mixgraph.shards.sample import GraphSample, RawSample, decode_sample
from mixgraph.shards.tar import TarEntry, read_entries

if TYPE_CHECKING:
    from mixgraph.shards.rehydrate import SongFinder

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


def read_shards(paths: Paths, audio_root: Paths | None = None) -> Iterator[GraphSample]:
    """Yields the samples of shards, in order.

    Args:
        paths: a folder of shards (all of its splits, or one: `data/train`), a tar, or a list of them.
        audio_root: folders with the user's copy of the songs, from which samples of a data set without audio take
            their audio.

    Raises:
        FileNotFoundError: a path does not exist or has no shards, or audio is missing (the message lists all of it).
        ValueError: a shard is damaged or malicious; the message names the shard, the sample and the field.
    """
    finder: SongFinder | None = None
    if audio_root is not None:
        from mixgraph.shards.rehydrate import SongFinder

        finder = SongFinder(audio_root)
    for shard in shard_paths(paths):
        for raw in read_raw(shard):
            sample = decode_sample(raw)
            yield sample if finder is None else finder.rehydrate(sample)


def shard_paths(paths: Paths) -> list[Path]:
    """Lists the tars of folders, sorted by split and number; paths of tars stay as they are.

    Raises:
        FileNotFoundError: a path does not exist, or a folder has no tars.
    """
    several = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    shards: list[Path] = []
    for path in map(Path, several):
        if path.is_dir():
            tars = sorted(path.glob("*.tar")) or sorted(path.glob("*/*.tar"))
            if not tars:
                raise FileNotFoundError(f"{path}: shards (*.tar) are needed, got none in this folder")
            shards += tars
        elif path.is_file():
            shards.append(path)
        else:
            raise FileNotFoundError(f"{path}: a folder of shards or a tar is needed, got none")
    return shards


def read_raw(shard: Path) -> Iterator[RawSample]:
    """Yields the samples of one tar, undecoded; sizes are checked before anything is read.

    Raises:
        ValueError: the shard is damaged or malicious; the message names the shard and the sample.
    """
    with shard.open("rb") as stream:
        entries: list[TarEntry] = []
        key, seen = "", set[str]()
        for entry in read_entries(stream, str(shard)):
            with _named(shard, entry.name):
                sample_key = check_key(entry.name.split(".", 1)[0])
                if sample_key != key and sample_key in seen:
                    raise ValueError("files of a sample must be one after the other, this one's are not")
            if sample_key != key:
                if entries:
                    yield _gather(shard, key, entries, stream)
                key, entries = sample_key, []
                seen.add(key)
            entries.append(entry)
            if len(entries) > MAX_FIELDS:
                raise ValueError(f"{shard}: {key}: at most {MAX_FIELDS} files a sample are allowed, got more")
        if entries:
            yield _gather(shard, key, entries, stream)


def _gather(shard: Path, key: str, entries: list[TarEntry], stream: object) -> RawSample:
    fields: dict[str, bytes] = {}
    audio: dict[str, tuple[int, int]] = {}
    ignored: list[str] = []
    with _named(shard, key):
        for entry in entries:
            name = entry.name.partition(".")[2]
            if name in fields or name in audio or name in ignored:
                raise ValueError(f"{name}: given twice")
            check_size(name, entry.size)
            if name in AUDIO:
                audio[name] = (entry.offset, entry.size)
            elif name not in LIMITS:
                ignored.append(name)
            else:
                fields[name] = b""
        for entry in entries:
            name = entry.name.partition(".")[2]
            if name in REQUIRED:
                stream.seek(entry.offset)  # type: ignore[attr-defined]
                fields[name] = stream.read(entry.size)  # type: ignore[attr-defined]
    return RawSample(shard, key, fields, audio, tuple(ignored))


@contextmanager
def _named(shard: Path, name: str) -> Iterator[None]:
    """Prefixes the message of an error that is raised inside with the shard and the sample."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{shard}: {name}: {error}") from error
