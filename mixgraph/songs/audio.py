"""Reading at a sample rate, and writing, of audio files."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from mixgraph.dsp.resample import resample
from mixgraph.songs.decode import decode
from mixgraph.system.files import write_atomically

_WAV_FLOAT = 3
_WAV_MAX_BYTES = 2**32 - 1
_AT_ONCE = 1 << 20  # samples of each channel that are encoded at a time


@dataclass(frozen=True)
class WrittenAudio:
    """The path to which audio was written, and a warning if it is another than the requested one."""

    path: Path
    warning: str | None = None


def read_audio(path: Path, sample_rate: int) -> Tensor:
    """Reads a whole audio file and resamples it once: (channels, frames) float32.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be decoded, see `decode`.
    """
    audio = decode(path, sample_rate)
    return resample(audio.samples, audio.sample_rate, sample_rate)


def write_audio(path: Path, audio: Tensor, sample_rate: int) -> WrittenAudio:
    """Writes (channels, frames) as 24-bit FLAC (.flac) or float32 WAV (.wav), by the suffix of the path.

    FLAC cannot hold samples beyond 1.0: such audio goes to a float32 WAV beside the requested path, and
    the result says so. The file appears under its name only when complete. The same audio gives the same bytes.

    Raises:
        ValueError: for another suffix, another shape, an empty or non-finite signal, or a WAV above 4 GiB.
        OSError: the file cannot be written, see `write_atomically`.
    """
    suffix = path.suffix.lower()
    if suffix not in (".flac", ".wav"):
        raise ValueError(f"{path}: suffix .flac or .wav expected, got {path.suffix!r}")
    if audio.ndim != 2 or audio.shape[0] not in (1, 2) or audio.shape[1] == 0:
        raise ValueError(f"{path}: audio of shape (1 or 2, frames) expected, got {tuple(audio.shape)}")
    samples = audio.detach().to("cpu", torch.float32).numpy()
    if not np.isfinite(samples).all():
        raise ValueError(f"{path}: finite samples expected, got NaN or infinity")

    warning = None
    peak = float(max(samples.max(), -samples.min()))
    if suffix == ".flac" and peak > 1.0:
        path = path.with_suffix(".wav")
        warning = f"{path.name}: written as float32 WAV, because its peak of {peak:.3f} would clip in FLAC"

    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = (
        _flac(path, samples, sample_rate) if path.suffix.lower() == ".flac" else float_wav(path, samples, sample_rate)
    )
    write_atomically(path, encoded)
    return WrittenAudio(path, warning)


def _flac(path: Path, samples: np.ndarray, sample_rate: int) -> bytes:
    # Made in memory: what libsndfile writes to a file itself may be cut short, since it loses errors on closing.
    stream = io.BytesIO()
    with soundfile.SoundFile(stream, "w", sample_rate, len(samples), "PCM_24", format="FLAC") as file:
        for start in range(0, samples.shape[1], _AT_ONCE):  # libsndfile gets a copy
            file.write(samples[:, start : start + _AT_ONCE].T)
    stream.seek(0)
    about = soundfile.info(stream)
    if (about.channels, about.frames) != samples.shape:
        raise RuntimeError(f"{path}: FLAC of shape {samples.shape} expected, got {(about.channels, about.frames)}")
    return stream.getvalue()


def float_wav(path: Path, samples: np.ndarray, sample_rate: int) -> bytes:
    """Encodes (channels, frames) as a float32 WAV file; the same samples give the same bytes.

    Raises:
        ValueError: more than 4 GiB; the message names `path`.
    """
    channels, frames = samples.shape
    return wav_header(path, channels, frames, sample_rate) + samples.T.astype("<f4").tobytes()


def wav_header(path: Path, channels: int, frames: int, sample_rate: int) -> bytes:
    """What a float32 WAV file begins with, before its samples.

    Raises:
        ValueError: more than 4 GiB; the message names `path`.
    """
    # Written by hand, since libsndfile puts the time of writing into float WAVs (their PEAK chunk).
    frame_bytes = 4 * channels
    num_bytes = frame_bytes * frames
    format_chunk = struct.pack(
        "<4sIHHIIHHH", b"fmt ", 18, _WAV_FLOAT, channels, sample_rate, sample_rate * frame_bytes, frame_bytes, 32, 0
    )
    fact_chunk = struct.pack("<4sII", b"fact", 4, frames & _WAV_MAX_BYTES)
    body = b"WAVE" + format_chunk + fact_chunk + struct.pack("<4sI", b"data", num_bytes & _WAV_MAX_BYTES)
    if len(body) + num_bytes > _WAV_MAX_BYTES:
        raise ValueError(f"{path}: at most 4 GiB fit into a WAV file, got {num_bytes} bytes of samples")
    return struct.pack("<4sI", b"RIFF", len(body) + num_bytes) + body
