"""What a user chooses of an export."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from mixgraph.results.rendering import RateRule

Bits = Literal["float", "24"]


@dataclass(frozen=True)
class ExportSettings:
    """What a user chooses of an export; a format takes what concerns it.

    Attributes:
        sample_rate: sample rate of all audio in Hz; `"file"` is that of the track files (the highest one), `"search"`
            that at which the graph was found.
        bits: `"float"` is 32-bit float, which keeps peaks above 1; with `"24"` all stems of an export that would clip
            are scaled by one factor, which is stated.
        tempo: tempo of the song in beats (quarter notes) a minute, for note values of delays; None where unknown.
        fit_error_db: the largest RMS error in dB of parametric bands against an equalizer's curve.
        fit_bands: the largest number of parametric bands.
        allow_changed: accepts tracks whose files are not those of the search.
        block: length of a block of rendering in samples; None is the default.
    """

    sample_rate: RateRule = "file"
    bits: Bits = "float"
    tempo: float | None = None
    fit_error_db: float = 0.5
    fit_bands: int = 8
    allow_changed: bool = False
    block: int | None = None

    def __post_init__(self) -> None:
        if not (self.sample_rate in ("file", "search") or (isinstance(self.sample_rate, int) and self.sample_rate > 0)):
            raise ValueError(f"sample-rate: file, search or a rate in Hz is needed, got {self.sample_rate!r}")
        if self.bits not in ("float", "24"):
            raise ValueError(f"bits: float or 24 is needed, got {self.bits!r}")
        if self.tempo is not None and not (math.isfinite(self.tempo) and 10 <= self.tempo <= 1000):
            raise ValueError(f"tempo: 10 to 1000 beats a minute are needed, got {self.tempo:g}")
        if not 0.01 <= self.fit_error_db <= 12:
            raise ValueError(f"fit-error: 0.01 to 12 dB are needed, got {self.fit_error_db:g}")
        if not 1 <= self.fit_bands <= 32:
            raise ValueError(f"fit-bands: 1 to 32 bands are needed, got {self.fit_bands}")
