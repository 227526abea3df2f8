"""Reading, resampling and writing of audio files."""

from __future__ import annotations

import io
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import torchaudio
from torch import Tensor

from mixgraph.files import write_atomically

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif")

# The windowed sinc known as "kaiser best": 64 zero crossings, -120 dB side lobes. The pass band ends at 0.947
# of the lower Nyquist frequency (14.2 kHz at 30 kHz); a tone inside it is exact to about 5e-6.
RESAMPLING: dict[str, Any] = {
    "resampling_method": "sinc_interp_kaiser",
    "lowpass_filter_width": 64,
    "rolloff": 0.9475937167399596,
    "beta": 14.769656459379492,
}

# libsndfile's notes on a chunk of samples that says more bytes than follow; what was streamed says "unknown".
_SIZES = re.compile(r"^ *(?:data|SSND) : (\d+) \(should be (\d+)\)", re.MULTILINE)
_RF64_FRAMES = re.compile(r"Calculated frame count (\d+) does not match value from 'ds64' chunk of (\d+)")
_UNKNOWN_SIZE = 0x7FFF0000
_OGG_PAGE, _OGG_END = 65307, 4  # bytes of the longest page; the flag of a stream's last one

_MP3 = "MPEG_LAYER_III"
_MP3_HEAD = 2048  # bytes in which the first frame of an MP3 ends
_BLOCK = 1 << 20  # frames
_MP3_RATES = 20  # the highest bit rate of an MP3 over the lowest with the same sample rate

_WAV_FLOAT = 3
_WAV_MAX_BYTES = 2**32 - 1


@dataclass(frozen=True, eq=False)
class Audio:
    """Decoded audio: `samples` (channels, frames) float32, full scale 1.0, at the file's own `sample_rate`."""

    samples: Tensor
    sample_rate: int


@dataclass(frozen=True)
class WrittenAudio:
    """Where audio was really written, and a warning if that is not what was asked for."""

    path: Path
    warning: str | None = None


def is_audio_file(path: Path) -> bool:
    """Whether the path is a visible file with an audio suffix (hidden files, such as ._kick.wav, are not)."""
    return path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".") and path.is_file()


def decode(path: Path) -> Audio:
    """Decodes a whole audio file of one or two channels, without resampling.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be decoded, is cut short, is empty, or has more than two channels.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: audio file expected, got none")
    try:
        with soundfile.SoundFile(str(path)) as file:
            sample_rate, declared, notes = file.samplerate, file.frames, file.extra_info
            guessed = file.subtype == _MP3 and not _says_its_length(path)
            if not guessed:
                samples = file.read(declared, "float32", always_2d=True)
        if guessed:
            samples, declared = _read_to_the_end(path), 0
    except soundfile.LibsndfileError as error:
        raise ValueError(
            f"{path}: cannot be read as audio ({error}); allowed are {', '.join(AUDIO_SUFFIXES)}. "
            "HINT: is the download complete?"
        ) from error
    frames, channels = samples.shape
    if frames < declared or _is_cut_short(path, notes):
        raise ValueError(f"{path}: the file ends before its audio does. HINT: is the download complete?")
    if channels > 2:
        raise ValueError(
            f"{path}: one or two channels are allowed, got {channels}. HINT: split a surround file into stereo tracks"
        )
    if frames == 0:
        raise ValueError(f"{path}: at least one sample expected, got an empty file")
    return Audio(torch.from_numpy(np.ascontiguousarray(samples.T)), sample_rate)


def _says_its_length(path: Path) -> bool:
    """Whether an MP3 declares its frames: without a Xing or Info tag it does not, and libsndfile guesses."""
    with path.open("rb") as file:
        start = file.read(10)
        if start[:3] == b"ID3":  # its size: four bytes of seven bits
            file.seek(10 + sum(byte << 7 * place for place, byte in enumerate(reversed(start[6:10]))))
        else:
            file.seek(0)
        head = file.read(_MP3_HEAD)
    return b"Xing" in head or b"Info" in head


class _SeeminglyLonger(io.FileIO):
    """A file that says to be as long as a guess from its first bit rate must at least be."""

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._at_end = whence == os.SEEK_END
        return super().seek(offset, whence)

    def tell(self) -> int:
        return super().tell() * (_MP3_RATES if self._at_end else 1)

    _at_end = False


def _read_to_the_end(path: Path) -> np.ndarray:
    """All of an MP3, (frames, channels), whose length libsndfile guesses: it reads nothing past its guess."""
    blocks = []
    with _SeeminglyLonger(path) as raw, soundfile.SoundFile(raw) as file:
        while len(block := file.read(_BLOCK, "float32", always_2d=True)):
            blocks.append(block)
        blocks.append(block)
    return np.concatenate(blocks)


def _is_cut_short(path: Path, notes: str) -> bool:
    """Whether bytes are missing at the end, which libsndfile passes over: it takes what is there for the whole.

    Args:
        path: of the file.
        notes: libsndfile's, on the parts of the file.
    """
    if path.suffix.lower() == ".ogg":
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 2 * _OGG_PAGE))
            tail = file.read()
        page = tail[tail.rfind(b"OggS") :]
        return len(page) < 6 or not page[5] & _OGG_END
    sizes = [(int(said), int(there)) for said, there in _SIZES.findall(notes)]
    sizes += [(int(said), int(there)) for there, said in _RF64_FRAMES.findall(notes)]
    return any(there + 1 < said < _UNKNOWN_SIZE for said, there in sizes)  # a pad byte may be missing


def resample(samples: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """Resamples (..., frames) to (..., ceil(frames * to_rate / from_rate)); see RESAMPLING for the filter."""
    if from_rate == to_rate:
        return samples
    # The transform computes its filter in float64 and rounds it once; functional.resample computes it in float32.
    dtype = torch.float64 if samples.dtype == torch.float64 else None
    return torchaudio.transforms.Resample(from_rate, to_rate, dtype=dtype, **RESAMPLING).to(samples.device)(samples)


def read_audio(path: Path, sample_rate: int) -> Tensor:
    """Reads a whole file at a sample rate: (channels, frames) float32, resampled once.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be decoded, is empty, or has more than two channels.
    """
    audio = decode(path)
    return resample(audio.samples, audio.sample_rate, sample_rate)


def write_audio(path: Path, audio: Tensor, sample_rate: int) -> WrittenAudio:
    """Writes (channels, frames) as 24-bit FLAC (.flac) or float32 WAV (.wav), by the suffix of the path.

    FLAC cannot hold samples beyond 1.0: such audio goes to a float32 WAV beside the path that was asked for, and
    the result says so. The file appears under its name only when complete. The same audio gives the same bytes.

    Raises:
        ValueError: for another suffix, another shape, an empty or non-finite signal, or a WAV above 4 GiB.
        OSError: it cannot be written: as `write_atomically`.
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
    peak = float(np.abs(samples).max())
    if suffix == ".flac" and peak > 1.0:
        path = path.with_suffix(".wav")
        warning = f"{path.name}: written as float32 WAV, because its peak of {peak:.3f} would clip in FLAC"

    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = (
        _flac(path, samples, sample_rate) if path.suffix.lower() == ".flac" else _float_wav(path, samples, sample_rate)
    )
    write_atomically(path, encoded)
    return WrittenAudio(path, warning)


def _flac(path: Path, samples: np.ndarray, sample_rate: int) -> bytes:
    # Made in memory: what libsndfile writes to a file itself may be cut short, since it loses errors on closing.
    stream = io.BytesIO()
    soundfile.write(stream, samples.T, sample_rate, format="FLAC", subtype="PCM_24")
    stream.seek(0)
    about = soundfile.info(stream)
    if (about.channels, about.frames) != samples.shape:
        raise RuntimeError(f"{path}: FLAC of shape {samples.shape} expected, got {(about.channels, about.frames)}")
    return stream.getvalue()


def _float_wav(path: Path, samples: np.ndarray, sample_rate: int) -> bytes:
    # Written by hand, since libsndfile puts the time of writing into float WAVs (their PEAK chunk).
    channels, frames = samples.shape
    data = samples.T.astype("<f4").tobytes()
    frame_bytes = 4 * channels
    format_chunk = struct.pack(
        "<4sIHHIIHHH", b"fmt ", 18, _WAV_FLOAT, channels, sample_rate, sample_rate * frame_bytes, frame_bytes, 32, 0
    )
    fact_chunk = struct.pack("<4sII", b"fact", 4, frames)
    body = b"WAVE" + format_chunk + fact_chunk + struct.pack("<4sI", b"data", len(data) & _WAV_MAX_BYTES)
    if len(body) + len(data) > _WAV_MAX_BYTES:
        raise ValueError(f"{path}: at most 4 GiB fit into a WAV file, got {len(data)} bytes of samples")
    return struct.pack("<4sI", b"RIFF", len(body) + len(data)) + body + data
