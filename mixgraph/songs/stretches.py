"""Stretches of audio files at any sample rate, read where they are: never more of a file than is needed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from mixgraph.dsp.resample import CROSSINGS, ROLLOFF, resample
from mixgraph.songs.clips import cut
from mixgraph.songs.decode import file_rate, read_stretch, seekable_frames, stream

_PIECE = 1 << 18  # samples that are resampled at a time


def resampled_pieces(path: Path, sample_rate: int) -> Iterator[Tensor]:
    """Yields a file piece by piece, (channels, frames) float32, resampled; the same samples as `resample` of all of it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be decoded, see `decode`.
    """
    return resample_pieces(stream(path), file_rate(path), sample_rate)


def resample_pieces(pieces: Iterable[Tensor], rate: int, sample_rate: int) -> Iterator[Tensor]:
    """Yields a signal piece by piece, resampled; the same samples as `resample` of all of it.

    Args:
        pieces: the signal, (channels, frames) float32, one piece after the other, of any lengths.
        rate: its sample rate in Hz.
        sample_rate: that of the result.
    """
    if rate == sample_rate:
        yield from pieces
        return
    common = math.gcd(rate, sample_rate)
    unit_in, unit_out = rate // common, sample_rate // common  # after which both grids of samples meet again
    margin = 2 * math.ceil(CROSSINGS * rate / (min(rate, sample_rate) * ROLLOFF)) + 2
    lead = unit_in * math.ceil(margin / unit_in)
    step = unit_in * max(1, _PIECE // unit_in)
    held, first, frames = torch.zeros(1, 0), 0, 0  # samples from `first` on, a multiple of the unit
    done = 0  # output samples that were yielded
    for piece in pieces:
        frames += piece.shape[-1]
        held = torch.cat((held.expand(len(piece), -1), piece), dim=-1)
        while held.shape[-1] >= lead + step + margin:
            start = first // unit_in * unit_out
            stop = (first + lead + step) // unit_in * unit_out
            stretch = resample(held[:, : lead + step + margin], rate, sample_rate)
            yield stretch[:, done - start : stop - start]
            done = stop
            held, first = held[:, step:], first + step
    start = first // unit_in * unit_out
    total = -(-frames * sample_rate // rate)
    if total > done:
        yield resample(held, rate, sample_rate)[:, done - start : total - start]


class StretchFile:
    """An audio file whose stretches are read by seeking.

    Args:
        path: path of the file.

    Attributes:
        frames: samples of each channel.
        sample_rate: in Hz.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be decoded.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.sample_rate = path, file_rate(path)
        frames = seekable_frames(path)
        self.is_seekable = frames is not None
        self.frames = 0 if frames is None else frames

    def read(self, start: int, length: int) -> Tensor:
        """Reads the samples [start, start + length), (channels, length) float32, zeros before and after the file.

        Raises:
            ValueError: the file cannot be read there, or not by seeking.
        """
        if not self.is_seekable:
            raise ValueError(f"{self.path}: a file that can be read from any place is needed. HINT: WAV or FLAC")
        first, stop = max(0, start), min(self.frames, start + length)
        if stop <= first:
            return torch.zeros(1, length)
        return cut(read_stretch(self.path, first, stop), start - first, length)
