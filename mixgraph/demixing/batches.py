"""What a data module gives the demixer: batches of chunks to train on, and whole excerpts to validate on."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class StemBatch(NamedTuple):
    """Chunks of stems.

    Attributes:
        targets: (batch, targets, channels, time).
        mix: (batch, channels, time), their sum, and that of stems of no target.
        songs: names of the songs that they are from, for messages.
    """

    targets: Tensor
    mix: Tensor
    songs: tuple[str, ...]


class Excerpt(NamedTuple):
    """An excerpt of one song.

    Attributes:
        song: the song's name.
        targets: (targets, channels, time).
        mix: (channels, time).
    """

    song: str
    targets: Tensor
    mix: Tensor
