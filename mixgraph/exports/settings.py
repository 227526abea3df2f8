"""What a user chooses of an export."""

from __future__ import annotations

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
        allow_changed: accepts tracks whose files are not those of the search.
        block: length of a block of rendering in samples; None is the default.
    """

    sample_rate: RateRule = "file"
    bits: Bits = "float"
    allow_changed: bool = False
    block: int | None = None

    def __post_init__(self) -> None:
        if not (self.sample_rate in ("file", "search") or (isinstance(self.sample_rate, int) and self.sample_rate > 0)):
            raise ValueError(f"sample-rate: file, search or a rate in Hz is needed, got {self.sample_rate!r}")
        if self.bits not in ("float", "24"):
            raise ValueError(f"bits: float or 24 is needed, got {self.bits!r}")
