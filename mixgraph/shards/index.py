"""The index of a data set: the place and the checksum of every shard and sample."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mixgraph.shards.fields import KEY, SHARD, SPLIT, parse_json

INDEX, CHECKSUMS = "index.json", "SHA256SUMS"
INDEX_VERSION = 1
_LIMIT = 1 << 30


@dataclass(frozen=True)
class IndexShard:
    """A tar: `shard` is its path in the data set's folder, `size` its bytes."""

    shard: str
    split: str
    num_samples: int
    size: int
    sha256: str


@dataclass(frozen=True)
class IndexSample:
    """A sample: the `size` bytes of its tar from `offset` on, headers included, and their sha256."""

    key: str
    split: str
    shard: str
    offset: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Index:
    """All shards and samples of a data set, in order."""

    shards: tuple[IndexShard, ...]
    samples: tuple[IndexSample, ...]

    @property
    def splits(self) -> tuple[str, ...]:
        """Returns the splits that have samples, in alphabetical order."""
        return tuple(sorted({shard.split for shard in self.shards}))

    def num_samples(self, split: str) -> int:
        return sum(shard.num_samples for shard in self.shards if shard.split == split)

    def to_json(self) -> bytes:
        """Encodes the index as JSON with one record a line."""

        def lines(records: Iterable[Any]) -> str:
            text = ",\n    ".join(json.dumps(asdict(record)) for record in records)
            return f"[\n    {text}\n  ]" if text else "[]"

        return (
            f'{{\n  "schema_version": {INDEX_VERSION},\n'
            f'  "shards": {lines(self.shards)},\n  "samples": {lines(self.samples)}\n}}\n'
        ).encode()


def load_index(folder: str | Path) -> Index:
    """Reads the index of a data set.

    Raises:
        FileNotFoundError: the folder has no index.
        ValueError: the index is damaged or malicious: other fields or types, a path that is not `SPLIT/000000.tar`, a
            shard or key that is listed twice, or a sample whose shard is not listed.
    """
    path = Path(folder) / INDEX
    if not path.is_file():
        built = Path(folder) / "shards"
        hint = f". HINT: the shards of this build are in {built}" if (built / INDEX).is_file() else ""
        raise FileNotFoundError(f"{path}: the index of a data set is needed, got none{hint}")
    if path.stat().st_size > _LIMIT:
        raise ValueError(f"{path}: at most {_LIMIT:,} bytes are allowed, got {path.stat().st_size:,}")
    record = parse_json(path.read_bytes(), str(path))
    if not isinstance(record, dict) or record.keys() != {"schema_version", "shards", "samples"}:
        raise ValueError(f"{path}: an object with schema_version, shards and samples is needed")
    if type(record["schema_version"]) is not int or not 1 <= record["schema_version"] <= INDEX_VERSION:
        raise ValueError(f"{path}: schema_version: 1 to {INDEX_VERSION} is needed, got {record['schema_version']!r}")
    shards = tuple(IndexShard(**_checked(IndexShard, entry, path)) for entry in _listed(record["shards"], path))
    samples = tuple(IndexSample(**_checked(IndexSample, entry, path)) for entry in _listed(record["samples"], path))
    for what, names in (("shard", [s.shard for s in shards]), ("key", [s.key for s in samples])):
        if len(set(names)) < len(names):
            raise ValueError(f"{path}: a {what} is listed twice")
    unlisted = sorted({s.shard for s in samples} - {s.shard for s in shards})
    if unlisted:
        raise ValueError(f"{path}: samples of shards that are not listed: {', '.join(unlisted)}")
    return Index(shards, samples)


def _listed(value: Any, path: Path) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{path}: lists of shards and samples are needed, got {type(value).__name__}")
    return value


def _checked(kind: type, entry: Any, path: Path) -> dict[str, Any]:
    names = {field.name: field.type for field in fields(kind)}
    if not isinstance(entry, dict) or entry.keys() != names.keys():
        raise ValueError(f"{path}: a record with {', '.join(names)} is needed, got {str(entry)[:80]}")
    for name, type_name in names.items():
        value = entry[name]
        if (type(value) is not int or value < 0) if type_name == "int" else not isinstance(value, str):
            raise ValueError(f"{path}: {name}: {type_name} is needed, got {str(value)[:80]!r}")
    if not SHARD.fullmatch(entry["shard"]) or not SPLIT.fullmatch(entry["split"]):
        raise ValueError(f"{path}: shard: SPLIT/000000.tar is needed, got {entry['shard']!r} of {entry['split']!r}")
    if entry["shard"].split("/")[0] != entry["split"]:
        raise ValueError(f"{path}: shard: {entry['shard']!r} is not in the folder of its split {entry['split']!r}")
    if "key" in entry and not KEY.fullmatch(entry["key"]):
        raise ValueError(f"{path}: key: letters, digits, _ and - are needed, got {entry['key']!r}")
    return entry
