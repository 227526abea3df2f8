"""Stores the tracks of a song end to end in one stereo FLAC; any stretch is read by its position.

FLAC holds integers of 24 bits within full scale, and audio at the level of a search may exceed it. So each track is
divided by a power of two, its scale, which loses no precision: reading gives the audio rounded to 24 bits.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import soundfile
import torch
from torch import Tensor

from mixgraph.shards.tar import FileSlice

_FULL = 1 << 23
_AT_ONCE = 1 << 18  # the number of frames in one write


def peak_scale(audio: Tensor) -> float:
    """Returns the smallest power of two that is not below the peak of audio (2, L); 1 for silence.

    Raises:
        ValueError: the audio has NaN or infinity, or a peak above 2**60.
    """
    peak = float(audio.abs().max()) if audio.numel() else 0.0
    if not math.isfinite(peak) or peak > 2.0**60:
        raise ValueError(f"audio: finite samples of at most 2**60 are needed, got a peak of {peak:g}")
    if peak == 0:
        return 1.0
    mantissa, exponent = math.frexp(peak)  # the mantissa is in [0.5, 1)
    return 2.0 ** max(exponent - (mantissa == 0.5), -60)


def encode_flac(parts: Iterable[Tensor], scales: Iterable[float], sample_rate: int) -> bytes:
    """Writes parts (2, L), each divided by its scale, end to end as a stereo FLAC of 24 bits."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", sample_rate, 2, format="FLAC", subtype="PCM_24") as file:
        for part, scale in zip(parts, scales, strict=True):
            for start in range(0, part.shape[-1], _AT_ONCE):
                block = part[:, start : start + _AT_ONCE].double().T.numpy() / scale
                whole = np.clip(np.rint(block * _FULL), -_FULL, _FULL - 1).astype(np.int32)
                file.write(whole << 8)
    return buffer.getvalue()


@dataclass(frozen=True)
class FlacPart:
    """A FLAC inside another file, and the rate and length that it must have.

    Attributes:
        path, offset, size: the file, and the position and number of the FLAC's bytes in it.
        where: the shard, sample and field, for error messages.
        sample_rate: the expected sample rate in Hz.
        num_parts: the number of parts, which are of equal length and follow each other.
        num_samples: the length of every part in samples.
    """

    path: Path
    offset: int
    size: int
    where: str
    sample_rate: int
    num_parts: int
    num_samples: int

    def read(self, part: int, start: int, stop: int) -> Tensor:
        """Reads the samples [start, stop) of a part, (2, stop - start) float32, with zeros outside the part.

        Raises:
            ValueError: the bytes are damaged, or not a stereo FLAC of this rate and length.
        """
        out = torch.zeros(2, stop - start)
        first, last = max(start, 0), min(stop, self.num_samples)
        if last > first:
            with self._open() as file:
                out[:, first - start : last - start] = self._stretch(
                    file, part * self.num_samples + first, last - first
                )
        return out

    def check(self) -> None:
        """Decodes the whole FLAC to verify it; raises as `read` does."""
        with self._open() as file:
            for start in range(0, self.num_parts * self.num_samples, _AT_ONCE):
                self._stretch(file, start, min(_AT_ONCE, self.num_parts * self.num_samples - start))

    def _open(self) -> soundfile.SoundFile:
        stream = cast(BinaryIO, FileSlice(self.path, self.offset, self.size))
        try:
            file = soundfile.SoundFile(stream)
        except (soundfile.LibsndfileError, RuntimeError) as error:
            stream.close()
            raise ValueError(f"{self.where}: a FLAC is needed: {error}") from error
        properties = (file.format, file.subtype, file.channels, file.samplerate, file.frames)
        needed = ("FLAC", "PCM_24", 2, self.sample_rate, self.num_parts * self.num_samples)
        if properties != needed:
            file.close()
            stream.close()
            raise ValueError(
                f"{self.where}: format, subtype, channels, sample rate and frames of {needed} are needed, "
                f"got {properties}"
            )
        return file

    def _stretch(self, file: soundfile.SoundFile, start: int, length: int) -> Tensor:
        try:
            file.seek(start)
            samples = file.read(length, dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise ValueError(f"{self.where}: cannot be decoded at frame {start}: {error}") from error
        if len(samples) != length:
            raise ValueError(f"{self.where}: {length} frames are needed at frame {start}, got {len(samples)}")
        return torch.from_numpy(np.ascontiguousarray(samples.T))
