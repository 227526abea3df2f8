"""A folder of demixed stems with its audio, read as far as it is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mixgraph.names import visible
from mixgraph.page.excerpts import Excerpt, parse_excerpts
from mixgraph.results.demix_record import DemixRecord, read_demix_record
from mixgraph.songs.clips import loudest_start
from mixgraph.songs.decode import decode, seekable_frames

_SECONDS = 12.0  # of an excerpt, where the page has room for it


@dataclass(frozen=True, eq=False)
class StemMaterial:
    """A demixed song.

    Attributes:
        record: what the folder says of itself.
        mix: (2, L), the mix where it is still there with the same content, else the sum of the stems.
        is_mix: whether it is the mix.
        stems: target -> path of its file, of those that can be read.
        missing: a sentence for every part that is not there.
    """

    record: DemixRecord
    mix: Tensor
    is_mix: bool
    stems: Mapping[str, Path]
    missing: tuple[str, ...]


def read_stem_material(folder: Path) -> StemMaterial:
    """Reads a folder that `demix` wrote; parts that are not there are named in `missing`.

    Raises:
        FileNotFoundError: there is no record.
        ValueError: the record is damaged, or no stem can be read.
    """
    record, missing = read_demix_record(folder), list[str]()
    stems: dict[str, Path] = {}
    total: Tensor | None = None
    for name, file in record.files.items():
        path = folder / file
        try:
            audio = _read(path, record)
            if seekable_frames(path) != record.samples:
                raise ValueError(f"{path}: the WAV file that demix wrote is needed, got another one")
        except (ValueError, OSError) as error:
            reason = str(error).replace(f"{folder}/", "")
            missing.append(f"The stem {visible(name)} cannot be read, so that the faders lack it ({visible(reason)}).")
            continue
        total = audio if total is None else total + audio
        stems[name] = path
    if total is None:
        raise ValueError(f"result: at least one stem that can be read is needed in {folder}. " + " ".join(missing))
    mix, reason = None, "it is not where it was when it was taken apart, or its content is another"
    try:
        if (mix_path := record.found_mix()) is not None:
            mix = _read(mix_path, record)
    except (ValueError, OSError) as error:
        reason = str(error).replace(f"{folder}/", "")
    if mix is None:
        missing.append(f"The sum of the stems stands for the mix {visible(record.mix)} ({visible(reason)}).")
    return StemMaterial(record, total if mix is None else mix, mix is not None, stems, tuple(missing))


def _read(path: Path, record: DemixRecord) -> Tensor:
    """Reads a file of the record's length and sample rate, (2, samples)."""
    audio = decode(path)
    stated, shape = (record.sample_rate, record.samples), (audio.sample_rate, audio.samples.shape[-1])
    if shape != stated:
        raise ValueError(
            f"{path}: {stated[1]} samples at {stated[0]} Hz are needed, as the record says, got {shape[1]} at "
            f"{shape[0]} Hz"
        )
    if not bool(audio.samples.isfinite().all()):
        raise ValueError(f"{path}: finite samples are needed, got NaN or infinity")
    return audio.samples.expand(2, -1)


def stem_excerpts(material: StemMaterial, excerpts: str, whole: bool) -> list[Excerpt]:
    """Chooses the excerpts of a demixed song: stated ones, the whole song, or the loudest stretch of the mix.

    Raises:
        ValueError: excerpts that cannot be read.
    """
    rate, samples = material.record.sample_rate, material.record.samples
    seconds = samples / rate
    if excerpts:
        return parse_excerpts(excerpts, seconds)
    if whole or seconds <= _SECONDS * 1.25:
        return [Excerpt("whole song", 0.0, seconds)]
    start = loudest_start(material.mix, round(_SECONDS * rate)) / rate
    return [Excerpt("loudest", start, start + _SECONDS)]
