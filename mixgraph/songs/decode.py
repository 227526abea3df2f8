"""Decodes audio files to their true length, even where the header is wrong, up to a bound on memory."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from mixgraph.songs.containers import container_parts
from mixgraph.songs.formats import AUDIO_SUFFIXES, UNSUPPORTED_SUFFIXES, unsupported_format, unsupported_message
from mixgraph.songs.mpeg import is_mpeg, mpeg_parts
from mixgraph.songs.parts import Damaged, Part

MAX_BYTES = 4 * 10**9  # of one decoded file: 2.9 hours of stereo at 48 kHz
MIN_RATE, MAX_RATE = 1000, 10_000_000  # Hz
_BLOCK = 1 << 18  # frames
_UNKNOWN = 1 << 62  # libsndfile says 2^63 - 1 frames where it does not know


@dataclass(frozen=True, eq=False)
class Audio:
    """Decoded audio: `samples` (channels, frames) float32, full scale 1.0, at the file's own `sample_rate`."""

    samples: Tensor
    sample_rate: int


def decode(path: Path, sample_rate: int | None = None, max_bytes: float | None = None) -> Audio:
    """Decodes a whole audio file of one or two channels, without resampling.

    What its header says about its length is compared with what is there. Files that were joined (MP3, FLAC, Ogg) are
    read to the end of the last one.

    Args:
        path: path of the file. Its content decides how it is read, not its suffix.
        sample_rate: the rate in Hz at which the caller will use the audio; None for the file's own rate.
        max_bytes: the largest size of the float32 samples, at the higher of the two rates, where a setting
            `memory_limit_gb` states it; else it is MAX_BYTES. Decoding stops there.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be decoded, is cut short or damaged, is empty, has more than two channels, or takes
            more than `max_bytes`. The message is one line and names the file.
    """
    blocks: list[np.ndarray] = []
    frames, file_rate = 0, 0
    limit, hint = (MAX_BYTES, "") if max_bytes is None else (max_bytes, "raise memory_limit_gb, or ")
    with _naming(path):
        for samples, file_rate in _blocks(path):
            blocks.append(np.ascontiguousarray(samples.T))
            frames += len(samples)
            if 4 * samples.shape[1] * frames * max(1.0, (sample_rate or 0) / file_rate) > limit:
                raise Damaged(
                    f"at most {limit / 1e9:.3g} GB of decoded audio expected, got more: it lasts longer than "
                    f"{int(frames / file_rate)} s at {file_rate} Hz. HINT: {hint}cut the file"
                )
        if frames == 0:
            raise Damaged("at least one sample expected, got an empty file")
        return Audio(torch.from_numpy(np.concatenate(blocks, axis=1)), file_rate)


def stream(path: Path) -> Iterator[Tensor]:
    """Yields a file piece by piece, (channels, frames) float32, at its own sample rate.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be decoded, see `decode`.
    """
    with _naming(path):
        for samples, _ in _blocks(path):
            yield torch.from_numpy(np.ascontiguousarray(samples.T))


def audio_seconds(path: Path) -> float:
    """Returns the length of an audio file; where its header does not state it, the file is decoded, but not kept.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be decoded, see `decode`.
    """
    seconds = 0.0
    with _naming(path):
        for part in _parts(path):
            with _open(part) as file:
                _check((file.samplerate, file.channels), None)
                frames = _claimed(file, part)
                seconds += (sum(map(len, _read(file, part))) if frames is None else frames) / file.samplerate
    return seconds


def file_rate(path: Path) -> int:
    """Returns the sample rate of an audio file in Hz, by its header.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no audio file, see `decode`.
    """
    with _naming(path), _open(_parts(path)[0]) as file:
        _check((file.samplerate, file.channels), None)
        return int(file.samplerate)


def seekable_frames(path: Path) -> int | None:
    """Returns the samples of each channel of a file that `read_stretch` reads, or None for another one.

    Files whose headers are wrong, that were joined, or whose format knows no places (MP3, Ogg) have to be decoded from
    their start.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be decoded, see `decode`.
    """
    with _naming(path):
        parts = _parts(path)
        if len(parts) > 1 or not isinstance(parts[0].source, Path) or parts[0].count != "never":
            return None
        with soundfile.SoundFile(str(path)) as file:
            _check((file.samplerate, file.channels), None)
            return _claimed(file, parts[0]) if file.seekable() and file.format not in ("MP3", "OGG") else None


def read_stretch(path: Path, start: int, stop: int) -> Tensor:
    """Reads the samples [start, stop) of a file with `seekable_frames`, (channels, stop - start) float32.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it ends before, or cannot be decoded there.
    """
    with _naming(path), soundfile.SoundFile(str(path)) as file:
        file.seek(start)
        samples = file.read(stop - start, "float32", always_2d=True)
        if len(samples) < stop - start:
            raise Damaged(f"samples up to {stop} expected, got {start + len(samples)}. HINT: is the download complete?")
    return torch.from_numpy(np.ascontiguousarray(samples.T))


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turns every failure to read a file into an error whose message names the file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: audio file expected, got {'a folder' if path.is_dir() else 'none'}")
    try:
        yield
    except Damaged as error:
        raise ValueError(f"{path}: {error}") from error
    except soundfile.LibsndfileError as error:
        raise ValueError(_refusal(path, error.error_string)) from error
    except Exception as error:  # whatever a decoder trips over, its file has to be named
        raise ValueError(_refusal(path, f"{type(error).__name__}: {error}")) from error


def _blocks(path: Path) -> Iterator[tuple[np.ndarray, int]]:
    """Yields a file piece by piece: samples (frames, channels) and the sample rate; channels and rate never change."""
    expected: tuple[int, int] | None = None
    for part in _parts(path):
        with _open(part) as file:
            settings = (file.samplerate, file.channels)
            _check(settings, expected)
            expected = settings
            for samples in _read(file, part):
                yield samples, file.samplerate


def _check(settings: tuple[int, int], expected: tuple[int, int] | None) -> None:
    rate, channels = settings
    if channels > 2:
        raise Damaged(
            f"one or two channels are allowed, got {channels}. HINT: split a surround file into stereo tracks"
        )
    if not MIN_RATE <= rate <= MAX_RATE:
        raise Damaged(f"a sample rate from {MIN_RATE} to {MAX_RATE} Hz expected, got {rate}")
    if expected is not None and settings != expected:
        raise Damaged(
            f"joined files of one kind expected, got {expected[0]} Hz with {expected[1]} channels, then {rate} Hz with "
            f"{channels}. HINT: convert each to FLAC or WAV before joining"
        )


class _Stream(soundfile.SoundFile):
    """A file that is read from its start to its end: soundfile seeks after every read, which not every file allows."""

    def seekable(self) -> bool:
        return False


def _parts(path: Path) -> list[Part]:
    if path.stat().st_size == 0:
        raise Damaged("audio expected, got an empty file")
    with path.open("rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    parts = container_parts(data, path)
    if parts is not None:
        return parts
    if not is_mpeg(data, within=1):
        try:
            with soundfile.SoundFile(str(path)) as opened:
                if opened.format != "MP3":
                    return [Part(path)]
        except soundfile.LibsndfileError:
            if unsupported_format(bytes(data[:64])) or not is_mpeg(data):
                raise
    return mpeg_parts(data)


def _open(part: Part) -> _Stream:
    return _Stream(str(part.source) if isinstance(part.source, Path) else part.source)


def _claimed(file: soundfile.SoundFile, part: Part) -> int | None:
    """The number of samples that a part is said to have, or None where nothing is known."""
    frames = file.frames if part.frames is None else part.frames
    return None if part.count == "always" or frames >= _UNKNOWN else frames


def _read(file: soundfile.SoundFile, part: Part) -> Iterator[np.ndarray]:
    claimed = _claimed(file, part)
    frames = 0
    while claimed is None or frames < claimed:
        size = _BLOCK if claimed is None else min(_BLOCK, claimed - frames)
        samples = file.read(size, "float32", always_2d=True)
        frames += len(samples)
        if len(samples):
            yield samples
        if len(samples) < size:
            break
    if claimed is not None and frames < claimed:
        raise Damaged(
            f"the file ends before its audio does: its header says {claimed} samples, {frames} are there. "
            "HINT: is the download complete?"
        )
    if part.count == "more":
        yield from _rest(file)


def _rest(file: soundfile.SoundFile) -> Iterator[np.ndarray]:
    """What follows the samples that a header says; bytes that are no audio are passed over."""
    try:
        samples = file.read(1, "float32", always_2d=True)
    except soundfile.LibsndfileError:
        return
    while len(samples):
        yield samples
        samples = file.read(_BLOCK, "float32", always_2d=True)


def _refusal(path: Path, reason: str) -> str:
    with path.open("rb") as file:
        name = unsupported_format(file.read(64))
    if name is not None or path.suffix.lower() in UNSUPPORTED_SUFFIXES:
        return unsupported_message(path, name)
    reason = re.sub(r"\s+", " ", reason).strip()
    if not reason or "does not exist" in reason:  # what libsndfile says where its MP3 decoder finds nothing
        reason = "Format not recognised."
    return (
        f"{path}: cannot be read as audio ({reason}); allowed are {', '.join(AUDIO_SUFFIXES)}. "
        "HINT: is the download complete?"
    )
