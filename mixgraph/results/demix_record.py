"""The record of a folder of demixed stems, written and read: where the mix is, its content, and the stems' files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mixgraph.names import shown_value
from mixgraph.results.json_record import JsonRecord
from mixgraph.system.files import file_sha256

RECORD, REMIX = "demix.json", "remix"
MARK = "mixgraph demix 1"
_MOST_SAMPLE_BYTES, _MOST_TAG_BYTES = 16, 100_000_000  # of an audio file of two channels
_MOST_SAMPLES, _LEAST_RATE, _MOST_RATE = 10**12, 1000, 10_000_000


@dataclass(frozen=True)
class DemixRecord:
    """What a folder of demixed stems says of itself.

    Attributes:
        folder: the folder.
        mix: the name of the mix's file.
        mix_path: where the mix was, relative to the folder; empty where an older record does not say it.
        mix_sha256: the sha256 of the mix; empty likewise.
        checkpoint: the name of the checkpoint's file; empty where the record does not say it.
        blended: target -> name of another checkpoint that separated it.
        sample_rate: of the files, in Hz.
        network_sample_rate: of the network, in Hz.
        samples: their length.
        files: target -> name of its file in the folder, without the remix.
        distance_db: level of the mix less the sum of all stems, against the mix; None where the mix is silent.
        notes: sentences on what is worth knowing.
    """

    folder: Path
    mix: str
    mix_path: str
    mix_sha256: str
    checkpoint: str
    blended: Mapping[str, str]
    sample_rate: int
    network_sample_rate: int
    samples: int
    files: Mapping[str, str]
    distance_db: float | None
    notes: tuple[str, ...]

    def found_mix(self) -> Path | None:
        """Returns the path of the mix, where it is still there with the same content."""
        path = self.folder / self.mix_path
        if not self.mix_path or not self.mix_sha256 or "\0" in self.mix_path or not path.is_file():
            return None
        if path.stat().st_size > _MOST_SAMPLE_BYTES * self.samples + _MOST_TAG_BYTES:  # whatever the record names
            return None
        return path if file_sha256(path) == self.mix_sha256 else None


def read_demix_record(folder: Path) -> DemixRecord:
    """Reads the record of a folder of demixed stems.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no such record, or damaged.
    """
    record = JsonRecord.read(folder / RECORD)
    record.choice("format", [MARK])
    stems = record.record("stems")
    files = {name: stems.record(name).text("file") for name in stems.values}
    if record.has("gains_db"):
        files.pop(REMIX, None)
    for name, file in files.items():
        if not file or file != Path(file).name or "\0" in file or "\\" in file:
            raise ValueError(f"{folder / RECORD}: a file in the folder is needed for {name!r}, got {shown_value(file)}")
    if len(set(files.values())) < len(files):
        raise ValueError(f"{folder / RECORD}: a file of its own is needed for each stem, got one for several")
    if not files:
        raise ValueError(f"{folder / RECORD}: at least one stem is needed, got none")
    blended = record.record("blended") if record.has("blended") else None
    return DemixRecord(
        folder,
        record.text("mix"),
        record.text("mix_path") if record.has("mix_path") else "",
        record.text("mix_sha256") if record.has("mix_sha256") else "",
        record.record("checkpoint").text("file") if record.has("checkpoint") else "",
        {} if blended is None else {name: blended.record(name).text("file") for name in blended.values},
        record.whole("sample_rate", _LEAST_RATE, _MOST_RATE),
        record.whole("network_sample_rate", _LEAST_RATE, _MOST_RATE),
        record.whole("samples", 1, _MOST_SAMPLES),
        files,
        record.number("sum_distance_db", -1e4, 1e4) if record.has("sum_distance_db") else None,
        tuple(record.texts("notes")),
    )


def stated_place(mix: Path, folder: Path) -> dict[str, str]:
    """Returns what the record of a folder says of where its mix is: the path relative to the folder, and the sha256."""
    path = mix.resolve()
    with contextlib.suppress(ValueError):  # on another drive
        path = Path(os.path.relpath(path, folder.resolve()))
    return {"mix_path": path.as_posix(), "mix_sha256": file_sha256(mix)}
