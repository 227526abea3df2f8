"""Checks that a data set of shards is complete and consistent, and reports all of its problems at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mixgraph.shards.fields import GRAPH, META, TRACE
from mixgraph.shards.graphs import read_graph, read_trace
from mixgraph.shards.index import CHECKSUMS, INDEX, Index, load_index
from mixgraph.shards.read import read_raw
from mixgraph.shards.sample import FlacAudio, GraphSample, RawSample, decode_sample
from mixgraph.shards.tar import read_entries
from mixgraph.shards.write import OWN_FILES, checksums, split_units

_AT_ONCE = 1 << 20


@dataclass
class Validation:
    """The counts and problems from a check of a data set.

    Attributes:
        folder: the folder of the data set.
        problems: a line for each problem; empty if the data set is valid.
        num_samples: split -> number of samples that were read.
        num_shards: the number of tars that were read.
        num_bytes: the bytes of all these tars.
        num_with_audio: the number of samples with audio in their shard.
        num_processors: the number of processors of all graphs.
    """

    folder: Path
    problems: list[str] = field(default_factory=list)
    num_samples: dict[str, int] = field(default_factory=dict)
    num_shards: int = 0
    num_bytes: int = 0
    num_with_audio: int = 0
    num_processors: int = 0

    def summary(self) -> str:
        """Returns a text for people: the counts, and a line for each problem."""
        splits = ", ".join(f"{split} {count}" for split, count in sorted(self.num_samples.items())) or "none"
        lines = [
            f"{self.folder}: {sum(self.num_samples.values())} samples ({splits}) in {self.num_shards} shards, "
            f"{self.num_bytes / 1e6:.1f} MB; {self.num_with_audio} with audio; {self.num_processors} processors"
        ]
        lines += [f"- {problem}" for problem in self.problems]
        return "\n".join([*lines, f"{len(self.problems)} problems" if self.problems else "no problems"])


def validate_shards(folder: str | Path) -> Validation:
    """Checks a data set completely: reads every byte and decodes every field.

    In a valid data set the index and the checksums agree with the files, and there are no other files. Keys are unique,
    fields are known, every graph is valid and fits its parameters and meta data, and its trace can be read. Audio has
    the stated rate and length and decodes to its end. No song and no artist is in two splits.

    Raises:
        FileNotFoundError: the path is not a folder. All else that is wrong is a problem in the result.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: a folder of shards is needed, got none")
    validation = Validation(folder)
    index: Index | None = None
    try:
        index = load_index(folder)
    except (FileNotFoundError, ValueError) as error:
        validation.problems.append(str(error))
    _check_files(validation, index)
    keys: dict[str, str] = {}
    splits: dict[str, str] = {}
    for shard in sorted(folder.glob("*/*.tar")):
        if shard.is_symlink() or shard.parent.is_symlink():
            validation.problems.append(f"{shard}: a file is needed, got a link")
            continue
        _check_shard(validation, shard, index, keys, splits)
    if not validation.num_shards:
        validation.problems.append(f"{folder}: shards (SPLIT/000000.tar) are needed, got none")
    if index is not None:
        lost = [sample for sample in index.samples if sample.key not in keys]
        validation.problems += [f"{folder / INDEX}: {s.key}: is not in {s.shard}, where the index has it" for s in lost]
    return validation


def _check_files(validation: Validation, index: Index | None) -> None:
    folder, problems = validation.folder, validation.problems
    listed = {shard.shard for shard in index.shards} if index is not None else set()
    there = {path.relative_to(folder).as_posix() for path in folder.glob("*/*.tar")}
    problems += [f"{folder / name}: is in the index, but not in the folder" for name in sorted(listed - there)]
    if index is not None:
        problems += [f"{folder / name}: is not in the index" for name in sorted(there - listed)]
        path = folder / CHECKSUMS
        needed = checksums(index, (folder / INDEX).read_bytes())
        if not path.is_file() or path.is_symlink():
            problems.append(f"{path}: missing")
        elif path.stat().st_size != len(needed.encode()) or path.read_bytes() != needed.encode():
            problems.append(f"{path}: does not agree with the index")
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name not in OWN_FILES:
            problems += [f"{p}: unknown; a split holds tars only" for p in sorted(path.iterdir()) if p.suffix != ".tar"]
        elif path.name not in OWN_FILES:
            problems.append(f"{path}: unknown; a data set holds splits, {', '.join(sorted(OWN_FILES))}")


def _check_shard(
    validation: Validation, shard: Path, index: Index | None, keys: dict[str, str], splits: dict[str, str]
) -> None:
    validation.num_shards += 1
    validation.num_bytes += shard.stat().st_size
    split = shard.parent.name
    if index is not None:
        _check_bytes(validation, shard, index)
    samples = 0
    try:
        for raw in read_raw(shard):
            samples += 1
            validation.num_samples[split] = validation.num_samples.get(split, 0) + 1
            name = shard.relative_to(validation.folder).as_posix()
            if raw.key in keys:
                validation.problems.append(f"{raw.where}: key: is in {keys[raw.key]} already")
            keys.setdefault(raw.key, name)
            _check_sample(validation, raw, split, splits)
    except (ValueError, OSError) as error:
        validation.problems.append(str(error))
    if not samples:
        validation.problems.append(f"{shard}: at least one sample is needed, got none")


def _check_bytes(validation: Validation, shard: Path, index: Index) -> None:
    name = shard.relative_to(validation.folder).as_posix()
    stated = next((entry for entry in index.shards if entry.shard == name), None)
    if stated is None:
        return
    samples = [sample for sample in index.samples if sample.shard == name]
    for what, got, needed in (
        ("size", shard.stat().st_size, stated.size),
        ("sha256", _sha256(shard, 0, shard.stat().st_size), stated.sha256),
        ("samples", len(samples), stated.num_samples),
    ):
        if got != needed:
            validation.problems.append(f"{shard}: {what}: the index has {needed}, the file {got}")
    for sample in samples:
        if _sha256(shard, sample.offset, sample.size) != sample.sha256:
            validation.problems.append(f"{shard}: {sample.key}: sha256: the index has another one for its bytes")
    extents: dict[str, tuple[int, int]] = {}
    try:
        with shard.open("rb") as stream:
            for entry in read_entries(stream, str(shard)):
                key = entry.name.split(".", 1)[0]
                start = extents.get(key, (entry.header, 0))[0]
                extents[key] = (start, entry.end - start)
    except ValueError:
        return  # reading the samples reports it
    listed = {sample.key: (sample.offset, sample.size) for sample in samples}
    for key in sorted({*extents, *listed}):
        if extents.get(key) != listed.get(key):
            validation.problems.append(
                f"{shard}: {key}: (offset, size): the index has {listed.get(key, 'none')}, the file "
                f"{extents.get(key, 'none')}"
            )


def _sha256(path: Path, offset: int, size: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        stream.seek(offset)
        while size > 0 and (data := stream.read(min(size, _AT_ONCE))):
            digest.update(data)
            size -= len(data)
    return digest.hexdigest()


def _check_sample(validation: Validation, raw: RawSample, split: str, splits: dict[str, str]) -> None:
    problems = validation.problems
    problems += [f"{raw.where}: {name}: unknown field; it was not read" for name in raw.ignored]
    try:
        sample = decode_sample(raw, strict=True)
    except ValueError as error:
        problems.append(str(error))
        return
    validation.num_processors += len(sample.graph.processors)
    for who in split_units(sample.meta):
        if splits.setdefault(who, split) != split:
            problems.append(f"{raw.where}: split: {who!r} is in {splits[who]!r}, too")
    checks: list[Callable[[], Any]] = [
        lambda: read_trace(sample.trace_json, f"{raw.where}: {TRACE}", strict=True),
        lambda: _check_values(sample, raw),
    ]
    if isinstance(sample.audio, FlacAudio):
        validation.num_with_audio += 1
        checks += [sample.audio.dry.check, sample.audio.finished.check]
    for check in checks:
        try:
            check()
        except ValueError as error:
            problems.append(str(error))


def _check_values(sample: GraphSample, raw: RawSample) -> None:
    at, meta = f"{raw.where}: {META}", sample.meta
    stated = read_graph(raw.fields[GRAPH], f"{raw.where}: {GRAPH}").weights
    if stated is None or not torch.equal(stated, sample.weights.to(stated.dtype)):
        raise ValueError(f"{at}: the weights of graph.json and params.safetensors differ")
    increases = None if sample.loss_increases is None else sample.loss_increases.tolist()
    if meta["loss_increases"] != increases:
        raise ValueError(f"{at}: loss_increases: those of graph.json are needed")
    entries = [(f"track {track['name']}", track) for track in meta["tracks"]] + [("mix", meta["mix"])]
    for what, entry in entries:
        if (entry["file"] is None) != (entry["sha256"] is None):
            raise ValueError(f"{at}: {what}: file and sha256 are known together, or neither")
        if sample.audio is None and entry["sha256"] is None:
            raise ValueError(f"{at}: {what}: sha256: needed where there is no audio")
