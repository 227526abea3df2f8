"""Windows of a song at any position."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mixgraph.songs.song import Song

_AT_ONCE = 1 << 22  # samples that are taken to float64 at a time
_MOST_SILENCE = 600  # seconds after the audio


class Window(NamedTuple):
    """A stretch of a song: `sources` (K, 2, length) and `mix` (2, length), copies."""

    sources: Tensor
    mix: Tensor


def read_window(song: Song, start: int, length: int) -> Window:
    """Copies the samples [start, start + length) of a song, with zeros before sample 0 and past the end.

    Raises:
        ValueError: if `length` is below 1.
    """
    if length < 1:
        raise ValueError(f"length: at least 1 sample expected, got {length}")
    return Window(cut(song.sources, start, length), cut(song.mix, start, length))


def cut(audio: Tensor, start: int, length: int) -> Tensor:
    """Copies the samples [start, start + length) of (..., L) (..., length), zeros outside [0, L)."""
    window = audio.new_zeros((*audio.shape[:-1], length))
    first, last = max(start, 0), min(start + length, audio.shape[-1])
    if last > first:
        window[..., first - start : last - start] = audio[..., first:last]
    return window


def check_stated_length(length: int, audible: int, sample_rate: int) -> None:
    """Refuses a stated length far beyond its audio: the silence after it would fill the memory.

    Args:
        length: samples of each channel, as a file states them, or as they follow from what it states.
        audible: samples of the audio that there is.
        sample_rate: of both, in Hz.

    Raises:
        ValueError: the length is more than twice the audio's and 10 minutes.
    """
    if length > 2 * audible + _MOST_SILENCE * sample_rate:
        stated, there = (f"{samples / sample_rate:,.0f} s" for samples in (length, audible))
        raise ValueError(f"a length near that of the audio, {there}, is needed, got {stated}")


def loudest_start(mix: Tensor, length: int) -> int:
    """Returns the sample at which the stretch of the highest power begins in a mix (2, L), the first of equal ones.

    Raises:
        ValueError: the mix does not have `length` samples, or `length` is below 1.
    """
    if not 1 <= length <= mix.shape[-1]:
        raise ValueError(f"length: 1 to {mix.shape[-1]} samples, those of the mix, expected, got {length}")
    energy = torch.zeros(mix.shape[-1] + 1, dtype=torch.float64)  # of all samples before
    for start in range(0, mix.shape[-1], _AT_ONCE):
        part = mix[:, start : start + _AT_ONCE]
        energy[start + 1 : start + 1 + part.shape[-1]] = part.double().square().sum(0)
    torch.cumsum(energy, 0, out=energy)
    loudest, highest = 0, -1.0
    for start in range(0, len(energy) - length, _AT_ONCE):
        before = energy[: len(energy) - length][start : start + _AT_ONCE]
        stretches = energy[length + start :][: len(before)] - before
        if (most := float(stretches.max())) > highest:
            loudest, highest = start + int(stretches.argmax()), most
    return loudest
