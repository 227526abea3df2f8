"""How late all tracks of a song are together, as by a bounce that begins seconds before or after them.

That is farther than a single track is looked for, since its own repeats would win. So the sum of all tracks is
compared with the mix, over the whole song.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mixgraph.songs.align import MAX_LAG_SECONDS, MIN_CONFIDENCE, Alignment, estimate_alignment
from mixgraph.songs.clips import cut

MAX_SECONDS = 300.0  # bounds the memory of the correlation
COARSE_RATE = 3000  # Hz, at which the whole song is searched
REFINE_SECONDS = 0.01


class DrySum:
    """The sum of a song's tracks in one channel, with up to MAX_SECONDS before the mix's beginning and after its end.

    Args:
        length: length of the mix in samples.
        sample_rate: sample rate of the song, in Hz.
    """

    def __init__(self, length: int, sample_rate: int) -> None:
        margin = round(MAX_SECONDS * sample_rate)
        self._limits = -margin, length + margin
        self._first = 0  # of its samples, counted from the mix's beginning
        self._samples = torch.zeros(1, length)

    def add(self, track: Tensor, start: int) -> None:
        """Adds a track, (1 or 2, frames), whose sample `start` meets the mix's first."""
        begin, end = max(-start, self._limits[0]), min(track.shape[-1] - start, self._limits[1])
        if begin >= end:
            return
        old, new = self.span, (min(self.span[0], begin), max(self.span[1], end))
        if new != old:
            self._samples, self._first = self.read(new[0], new[1] - new[0]), new[0]
        self._samples[:, begin - new[0] : end - new[0]] += track[:, begin + start : end + start].mean(dim=0)

    def read(self, start: int, length: int) -> Tensor:
        """Returns the samples [start, start + length), counted from the mix's beginning: (1, length)."""
        return cut(self._samples, start - self._first, length)

    @property
    def span(self) -> tuple[int, int]:
        """Returns the positions of the first sample and after the last one, counted from the mix's beginning."""
        return self._first, self._first + self._samples.shape[-1]


def common_offset(dry_sum: DrySum, mix: Tensor, sample_rate: int) -> Alignment | None:
    """Estimates how late all tracks are together, where it is more than a single track is looked for.

    The whole song is searched, up to MAX_SECONDS in either direction, at about COARSE_RATE; what is found there
    is refined at the song's own rate.

    Args:
        dry_sum: sum of all tracks of the song.
        mix: (2, L).
        sample_rate: sample rate of the song, in Hz.

    Returns:
        An alignment of polarity 1; None where it is at most MAX_LAG_SECONDS, or its confidence below MIN_CONFIDENCE.
    """
    length = mix.shape[-1]
    first, stop = dry_sum.span
    factor = max(1, round(sample_rate / COARSE_RATE))
    dry, wet = (
        F.avg_pool1d(audio, factor, ceil_mode=True, count_include_pad=False)
        for audio in (dry_sum.read(first, stop - first), cut(mix, first, stop - first).mean(dim=0, keepdim=True))
    )
    coarse = estimate_alignment(dry, wet, sample_rate / factor, MAX_SECONDS)
    offset = coarse.offset_samples * factor
    if abs(offset) <= MAX_LAG_SECONDS * sample_rate or coarse.confidence < MIN_CONFIDENCE:
        return None
    fine = estimate_alignment(dry_sum.read(offset, length), mix, sample_rate, REFINE_SECONDS)
    return Alignment(offset + fine.offset_samples, 1, coarse.confidence)
