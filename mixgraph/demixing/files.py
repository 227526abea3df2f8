"""Separation of audio files of any length: read, separated and written in stretches.

A folder of stems holds a float32 WAV file for every target, of the mix's own sample rate, length and channels,
`remix.wav` where gains are given, and the record `demix.json`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mixgraph.demixing.module import Demixer
from mixgraph.demixing.stretches import separate_pieces
from mixgraph.names import did_you_mean, file_names
from mixgraph.results.demix_record import MARK, RECORD, REMIX, stated_place
from mixgraph.results.publish import FolderKind, Place, publish_folder, unlisted
from mixgraph.songs.decode import file_rate, stream
from mixgraph.songs.stretches import resample_pieces
from mixgraph.songs.wav_writer import WavWriter
from mixgraph.system.files import json_text, parse_json, write_atomically

SECONDS = 4.0
"""Length of a stretch; the default network takes some 350 MB for it."""
_MOST_DB = 60.0
Progress = Callable[[float], None]
"""Takes the seconds of the mix that are done."""


def _listed(text: str) -> list[str]:
    content = parse_json(text)
    if content["format"] != MARK:
        raise ValueError(f"format: {MARK} is needed")
    return list(content["files"])


def _foreign(entries: list[Path]) -> list[Path]:
    return unlisted(entries, RECORD, _listed)


STEMS = FolderKind("folder of demixed stems", _foreign, lambda folder: (folder / RECORD).is_file())


@dataclass(frozen=True)
class Demixed:
    """What was written.

    Attributes:
        folder: the folder of stems.
        files: target -> name of its file; `"remix"`, too, where there is one.
        sample_rate: of the files, in Hz.
        samples: their length.
        distance_db: level of the mix less the sum of all stems, against the mix; None where the mix is silent.
        notes: lines on what is worth knowing, such as a resampling.
    """

    folder: Path
    files: dict[str, str]
    sample_rate: int
    samples: int
    distance_db: float | None
    notes: tuple[str, ...]


def demix_file(
    demixer: Demixer,
    mix: Path,
    out: Path,
    gains_db: Mapping[str, float] | None = None,
    overwrite: bool = False,
    seconds: float = SECONDS,
    progress: Progress = lambda seconds: None,
    about: Mapping[str, Any] | None = None,
) -> Demixed:
    """Takes an audio file of any length apart; the folder appears under its name only when it is complete.

    Args:
        demixer: what separates. A file of another sample rate is resampled, and its stems back to the file's rate.
        mix: an audio file of one or two channels.
        out: folder to write.
        gains_db: target -> gain in dB, also -inf, for a remix; targets that are not named keep their level. None writes
            no remix.
        overwrite: replace an earlier folder of stems to which nothing was added.
        seconds: length of a stretch.
        progress: is called after every stretch.
        about: what the record is to say, too.

    Raises:
        FileExistsError: something is at `out` that may not be replaced.
        FileNotFoundError: there is no such file.
        ValueError: a file that cannot be decoded, of more than two channels, or with NaN; an unknown target; a gain
            that is no gain; a mix within the folder to write.
        OSError: the files cannot be written.
    """
    if gains_db is not None:
        _check_gains(gains_db, demixer.targets)
    if mix.resolve().is_relative_to(out.resolve()):
        raise ValueError(f"out: {out} holds the mix {mix.name}; choose another folder")
    place = Place(out, STEMS, "out", "choose another folder or give --overwrite")
    with publish_folder(place, overwrite) as work:
        return _Separation(demixer, mix, gains_db).write(work, out, seconds, progress, about or {})


class _Separation:
    """One file that is taken apart."""

    def __init__(self, demixer: Demixer, mix: Path, gains_db: Mapping[str, float] | None) -> None:
        self.demixer, self.mix, self.gains_db, self.rate = demixer, mix, gains_db, file_rate(mix)
        names = file_names(demixer.targets, {REMIX})
        self.files = {target: f"{name}.wav" for target, name in zip(demixer.targets, names, strict=True)}
        if gains_db is not None:
            self.files[REMIX] = f"{REMIX}.wav"
        self._waiting: list[Tensor] = []  # samples of the mix that no stems have been computed for
        self._read = 0

    def _pieces(self) -> Iterator[Tensor]:
        for piece in stream(self.mix):
            if not bool(piece.isfinite().all()):
                at = self._read + int(piece.isfinite().all(0).logical_not().nonzero()[0])
                raise ValueError(
                    f"{self.mix}: finite samples are needed, got NaN or infinity at {at / self.rate:.3f} s (sample "
                    f"{at}). HINT: write the file anew from the program that it is from"
                )
            self._read += piece.shape[-1]
            self._waiting.append(piece)
            yield piece

    def _stems(self, seconds: float) -> Iterator[Tensor]:
        """Yields stems, (targets * channels, samples), at the file's rate; at the end a few samples too many."""
        rate = self.demixer.sample_rate
        for _, stems in separate_pieces(self.demixer, resample_pieces(self._pieces(), self.rate, rate), seconds):
            one = self._waiting[0].shape[0] == 1
            yield (stems.mean(1, keepdim=True) if one else stems).flatten(0, 1)

    def write(self, work: Path, out: Path, seconds: float, progress: Progress, about: Mapping[str, Any]) -> Demixed:
        gains = [10 ** ((self.gains_db or {}).get(target, 0.0) / 20) for target in self.demixer.targets]
        factors = torch.tensor(gains)[:, None, None]
        writers: dict[str, WavWriter] = {}
        power, error, done = 0.0, 0.0, 0
        with ExitStack() as open_files:
            for stretch in resample_pieces(self._stems(seconds), self.demixer.sample_rate, self.rate):
                mix = torch.cat(self._waiting, dim=-1)
                stems = stretch[:, : mix.shape[-1]].unflatten(0, (len(self.demixer.targets), -1))
                size = stems.shape[-1]
                self._waiting = [mix[:, size:].clone()]
                power += float(mix[:, :size].double().square().sum())
                error += float((mix[:, :size] - stems.sum(0)).double().square().sum())
                for number, (name, file) in enumerate(self.files.items()):
                    if name not in writers:
                        writer = WavWriter(work / file, len(mix), self.rate)
                        writers[name] = open_files.enter_context(writer)
                    audio = (stems * factors).sum(0) if number == len(stems) else stems[number]
                    writers[name].write(audio)
                done += size
                progress(done / self.rate)
        if done == 0:
            raise ValueError(f"{self.mix}: at least one sample expected, got an empty file")
        distance = None if power == 0 else 10 * math.log10(max(error / power, 1e-20))
        peaks = {name: writer.peak for name, writer in writers.items()}
        notes = self._notes(peaks, power == 0)
        record = self._record(peaks, done, distance, notes) | stated_place(self.mix, out)
        write_atomically(work / RECORD, json_text(record | dict(about), indent=1).encode())
        return Demixed(out, self.files, self.rate, done, distance, notes)

    def _notes(self, peaks: Mapping[str, float], is_silent: bool) -> tuple[str, ...]:
        notes, rate = [], self.demixer.sample_rate
        if self.rate != rate:
            notes.append(
                f"resampled from {self.rate} Hz to {rate} Hz, for which the network was trained, and its stems back: "
                f"they end at {min(self.rate, rate) / 2e3:g} kHz"
            )
        if is_silent:
            notes.append("the mix is silent, and so are its stems")
        loud = [self.files[name] for name, peak in peaks.items() if peak > 1]
        if loud:
            notes.append(f"peaks above full scale, which float files keep: {', '.join(loud)}")
        if self.demixer.wiener != "never":
            notes.append("the Wiener filter's statistics are those of a stretch, not of the whole file")
        return tuple(notes)

    def _record(
        self, peaks: Mapping[str, float], samples: int, distance: float | None, notes: Sequence[str]
    ) -> dict[str, Any]:
        gains = self.gains_db
        return {
            "format": MARK,
            "mix": self.mix.name,
            "sample_rate": self.rate,
            "samples": samples,
            "network_sample_rate": self.demixer.sample_rate,
            "files": list(self.files.values()),
            "stems": {name: {"file": file, "peak": peaks[name]} for name, file in self.files.items()},
            # JSON has no infinity
            "gains_db": gains and {name: gain if math.isfinite(gain) else "-inf" for name, gain in gains.items()},
            "sum_distance_db": distance,
            "notes": list(notes),
            "settings": self.demixer.settings(),
        }


def read_gains(text: str) -> dict[str, float]:
    """Reads gains in dB such as `vocals=-6,drums=0`; `-inf` silences a target.

    Raises:
        ValueError: it is not of this form, or names a target twice.
    """
    gains: dict[str, float] = {}
    for part in text.split(","):
        name, parted, number = (word.strip() for word in part.rpartition("="))
        try:
            gain = float(number)
        except ValueError:
            gain = math.nan
        if not parted or not name or math.isnan(gain):
            form = "TARGET=DB, with a number, is needed, such as vocals=-6,drums=0"
            raise ValueError(f"gains: {form}, got {part.strip()!r}")
        if name in gains:
            raise ValueError(f"gains: one gain a target is allowed, got two for {name}")
        gains[name] = gain
    return gains


def _check_gains(gains_db: Mapping[str, float], targets: Sequence[str]) -> None:
    if REMIX in targets:
        raise ValueError(f"gains: a target is named {REMIX}, as the file of the remix would be")
    for name, gain in gains_db.items():
        if name not in targets:
            hint = did_you_mean(name, targets)
            raise ValueError(f"gains: the checkpoint's targets are {', '.join(targets)}, got {name!r}.{hint}")
        if not gain <= _MOST_DB:
            raise ValueError(f"gains: at most {_MOST_DB:g} dB, got {gain:g} for {name}")
