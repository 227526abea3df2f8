"""Writes a data set atomically: shards by split, an index and checksums; equal samples give equal bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from mixgraph.results import FolderKind, Place, publish_folder
from mixgraph.shards.fields import META, SPLIT, check_fields, check_key, parse_json
from mixgraph.shards.index import CHECKSUMS, INDEX, Index, IndexSample, IndexShard
from mixgraph.shards.splits import artist_id
from mixgraph.shards.tar import file_header, padded, tail
from mixgraph.system.files import naming, write_atomically

MAX_BYTES = 500_000_000
MAX_COUNT = 1000
OWN_FILES = {INDEX, CHECKSUMS, "README.md", "croissant.json", "pictures"}
"""What stands in a data set's folder beside the folders of its splits."""


def write_shards(
    samples: Iterable[tuple[str, str, Mapping[str, bytes]]],
    out: str | Path,
    max_bytes: int = MAX_BYTES,
    max_count: int = MAX_COUNT,
) -> Index:
    """Writes a data set: `SPLIT/000000.tar` and so on, `index.json` and `SHA256SUMS` (as `sha256sum -c` reads it).

    Everything goes to a temporary folder beside `out`, which is renamed at the end. An existing data set is replaced;
    any other existing file or folder is kept, and raises.

    Args:
        samples: tuples (split, key, field name -> bytes), in the order in which they are written.
        out: the folder of the data set.
        max_bytes: the maximal size of a shard; a larger sample has a shard to itself. Choose it such that there are
            many more shards than workers times nodes.
        max_count: the maximal number of samples in a shard.

    Raises:
        FileExistsError: `out` exists and is not a data set.
        ValueError: there are no samples, a key is used twice or has other characters, fields are missing or unknown,
            a song or artist is in two splits, or another process writes to `out`.
        OSError: `out` cannot be written; the message names it.
    """
    if max_bytes < 1 or max_count < 1:
        raise ValueError(f"max_bytes, max_count: at least 1, got {max_bytes} and {max_count}")
    place = Place(Path(out), DATA_SET, "out", "choose another folder")
    with publish_folder(place, overwrite=True) as work:
        with _Writer(work, max_bytes, max_count) as writer:
            for split, key, fields in samples:
                writer.add(split, key, fields)
        index = writer.index()
        if not index.samples:
            raise ValueError(f"samples: at least one is needed for {out}, got none")
        write_atomically(work / CHECKSUMS, checksums(index, index.to_json()).encode())
        write_atomically(work / INDEX, index.to_json())
    return index


def checksums(index: Index, index_json: bytes) -> str:
    """Returns the text of `SHA256SUMS`, with a line for every shard and the index."""
    lines = [f"{shard.sha256}  {shard.shard}" for shard in index.shards]
    return "\n".join([*lines, f"{hashlib.sha256(index_json).hexdigest()}  {INDEX}"]) + "\n"


def _foreign(entries: list[Path]) -> list[Path]:
    """Returns the entries that a data set would not have; all of them if the folder is not a data set."""
    unknown = [path for path in entries if path.name not in OWN_FILES and not _is_split(path)]
    return unknown if unknown or any(path.name == INDEX for path in entries) else entries


def _is_split(path: Path) -> bool:
    return path.is_dir() and bool(SPLIT.fullmatch(path.name)) and all(tar.suffix == ".tar" for tar in path.iterdir())


DATA_SET = FolderKind("data set of shards", _foreign, lambda folder: (folder / INDEX).is_file())


class _Shard:
    """A tar that is being written."""

    def __init__(self, folder: Path, name: str, split: str) -> None:
        self.name, self.split, self.count, self.size = name, split, 0, 0
        self.sha256 = hashlib.sha256()
        self.path = folder / name
        with naming(self.path):
            self.path.parent.mkdir(exist_ok=True)
            self.stream: BinaryIO = self.path.open("xb")

    def write(self, data: bytes) -> None:
        with naming(self.path):
            self.stream.write(data)
        self.sha256.update(data)
        self.size += len(data)

    def close(self) -> IndexShard:
        self.write(tail(self.size))
        with naming(self.path):
            self.stream.close()
        return IndexShard(self.name, self.split, self.count, self.size, self.sha256.hexdigest())


class _Writer:
    """Writes the shards of all splits; one shard of each split is open."""

    def __init__(self, folder: Path, max_bytes: int, max_count: int) -> None:
        self.folder, self.max_bytes, self.max_count = folder, max_bytes, max_count
        self.open: dict[str, _Shard] = {}
        self.numbers: dict[str, int] = {}
        self.shards: list[IndexShard] = []
        self.samples: dict[str, IndexSample] = {}
        self.split_of: dict[str, str] = {}

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for shard in self.open.values():
            if kind is None:
                self.shards.append(shard.close())
            else:
                with suppress(OSError):  # the error that matters has been raised
                    shard.stream.close()

    def add(self, split: str, key: str, fields: Mapping[str, bytes]) -> None:
        if not SPLIT.fullmatch(split):
            raise ValueError(f"{key}: split: a-z, 0-9 and _ are needed, got {split!r}")
        check_key(key)
        if key in self.samples:
            raise ValueError(f"{key}: key: given twice (splits {self.samples[key].split} and {split})")
        try:
            check_fields(fields)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from error
        self._check_split(split, key, fields[META])
        parts: list[bytes] = []
        for name in sorted(fields):
            data = fields[name]
            parts += [file_header(f"{key}.{name}", len(data)), data, bytes(padded(len(data)) - len(data))]
        size = sum(map(len, parts))
        shard = self._shard(split, size)
        digest = hashlib.sha256()
        offset = shard.size
        for part in parts:
            shard.write(part)
            digest.update(part)
        shard.count += 1
        self.samples[key] = IndexSample(key, split, shard.name, offset, size, digest.hexdigest())

    def _check_split(self, split: str, key: str, meta_json: bytes) -> None:
        meta = parse_json(meta_json, f"{key}: {META}")
        for who in split_units(meta):
            if self.split_of.setdefault(who, split) != split:
                raise ValueError(
                    f"{key}: split: {who!r} is in {self.split_of[who]!r} already, got {split!r}; a song or an artist "
                    "is in one split (see assign_splits)"
                )

    def _shard(self, split: str, size: int) -> _Shard:
        shard = self.open.get(split)
        if shard is not None and (shard.count >= self.max_count or shard.size + size > self.max_bytes):
            self.shards.append(shard.close())
            del self.open[split]
        if split not in self.open:
            number = self.numbers.get(split, 0)
            self.numbers[split] = number + 1
            self.open[split] = _Shard(self.folder, f"{split}/{number:06d}.tar", split)
        return self.open[split]

    def index(self) -> Index:
        shards = tuple(sorted(self.shards, key=lambda shard: shard.shard))
        order = {shard.shard: i for i, shard in enumerate(shards)}
        return Index(shards, tuple(sorted(self.samples.values(), key=lambda s: (order[s.shard], s.offset))))


def split_units(meta: Mapping[str, object]) -> list[str]:
    """Returns the units of a sample that must not be in two splits: its song, and its artist if known."""
    song = f"{meta['dataset']}/{meta['song']}"
    artist = meta["artist"]
    return [artist_id(song, None), *([artist_id(song, str(artist))] if artist else [])]
