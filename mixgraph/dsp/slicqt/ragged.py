"""Coefficients of bands that differ in rate: few blocks of bands of one rate, in one flat tensor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from typing import TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


@dataclass(frozen=True)
class Block:
    """Neighbouring bands of one rate.

    Attributes:
        first_band: the number of the block's lowest band, counted from 0, the band at 0 Hz.
        num_bands: F, the number of bands in the block.
        size: M, coefficients of each band in a frame.
    """

    first_band: int
    num_bands: int
    size: int

    @property
    def num_coefficients(self) -> int:
        """The number of the block's coefficients in a frame, F M."""
        return self.num_bands * self.size


@dataclass(frozen=True)
class Layout:
    """What the coefficients of a transform stand for; two transforms with equal layouts are one transform.

    Attributes:
        blocks: the blocks of bands, from low to high frequencies.
        centres_hz: the centre frequency of every band, 0 Hz and half the sample rate among them.
        length: samples of a frame.
        sample_rate: sample rate of the signals, in Hz.
        raster, oversampling, least_window: the settings of `make_frame` that the transform was made with.
        transition: length of a slope of the slices' window, in samples; 0 for a transform without slices.
    """

    blocks: tuple[Block, ...]
    centres_hz: tuple[float, ...] = field(repr=False)
    length: int
    sample_rate: int
    raster: str
    oversampling: int
    least_window: int
    transition: int = 0

    @property
    def num_bands(self) -> int:
        """The number of bands in all blocks."""
        return len(self.centres_hz)

    @property
    def num_coefficients(self) -> int:
        """T, the number of complex coefficients in a frame."""
        return sum(block.num_coefficients for block in self.blocks)

    @property
    def redundancy(self) -> float:
        """Real numbers of the coefficients over those of the signal; slices overlap by a half."""
        return 2 * self.num_coefficients / (self.length / (2 if self.transition else 1))

    def __str__(self) -> str:
        """A line for messages."""
        slices = f"slices of {self.length} samples" if self.transition else f"{self.length} samples"
        return (
            f"{self.num_bands} bands from {self.centres_hz[1]:.1f} to {self.centres_hz[-2]:.1f} Hz, {self.raster}, "
            f"{slices} at {self.sample_rate} Hz"
        )


@dataclass(frozen=True, eq=False)
class RaggedSpectrum:
    """Coefficients of a transform, or numbers of which each belongs to one of them (magnitudes, masks).

    Attributes:
        flat: (..., T), block after block, in a block band after band.
        layout: says which band and rate every coefficient belongs to.
    """

    flat: Tensor
    layout: Layout

    def __post_init__(self) -> None:
        if self.flat.shape[-1:] != (self.layout.num_coefficients,):
            raise ValueError(
                f"flat: (..., {self.layout.num_coefficients}) is needed for {self.layout}, got {tuple(self.flat.shape)}"
            )

    @property
    def blocks(self) -> tuple[Tensor, ...]:
        """Views of the coefficients: (..., bands, size) of every block."""
        parts = self.flat.split([block.num_coefficients for block in self.layout.blocks], dim=-1)
        return tuple(
            part.unflatten(-1, (block.num_bands, block.size))
            for part, block in zip(parts, self.layout.blocks, strict=True)
        )

    def magnitude(self) -> RaggedSpectrum:
        """The absolute values."""
        return RaggedSpectrum(self.flat.abs(), self.layout)

    def map(self, function: Callable[[Tensor], Tensor]) -> RaggedSpectrum:
        """Applies a function to every block, whose two last axes it must keep.

        Raises:
            ValueError: the function changed one of these axes.
        """
        return _join([function(block) for block in self.blocks], self.layout)

    def zip(self, other: RaggedSpectrum, function: Callable[[Tensor, Tensor], Tensor]) -> RaggedSpectrum:
        """Applies a function to the pairs of blocks of two spectra of one transform.

        Raises:
            ValueError: the spectra are of different transforms, or the function changes a block's two last axes.
        """
        check_layout(other.layout, self.layout)
        pairs = zip(self.blocks, other.blocks, strict=True)
        return _join([function(mine, theirs) for mine, theirs in pairs], self.layout)

    def reduce(self, function: Callable[[Result, Tensor], Result], initial: Result) -> Result:
        """Folds the blocks into one value, from low to high."""
        return reduce(function, self.blocks, initial)


def _join(blocks: list[Tensor], layout: Layout) -> RaggedSpectrum:
    for block, declared in zip(blocks, layout.blocks, strict=True):
        if tuple(block.shape[-2:]) != (declared.num_bands, declared.size):
            raise ValueError(
                f"function: (..., {declared.num_bands}, {declared.size}) is needed of the block from band "
                f"{declared.first_band}, got {tuple(block.shape)}"
            )
    return RaggedSpectrum(torch.cat([block.flatten(-2) for block in blocks], dim=-1), layout)


def check_layout(got: Layout, needed: Layout) -> None:
    """Refuses coefficients of another transform.

    Raises:
        ValueError: the layouts differ.
    """
    if got != needed:
        raise ValueError(f"spectrum: coefficients of {needed} are needed, got those of {got}")
