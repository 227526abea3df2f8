"""Whitening: the magnitudes of every band less their mean, over their spread, as the training set has them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from mixgraph.dsp.slicqt import Layout, RaggedSpectrum

_LEAST_SPREAD = 1e-4
"""Of the largest spread of a band: bands that are nearly silent are not blown up."""


class Whitening(nn.Module):
    """Standardises magnitudes band by band; mean and spread are trained on from those of the training set.

    Args:
        layout: the layout of the transform.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(layout.num_bands))
        self.spread = nn.Parameter(torch.ones(layout.num_bands))
        self.layout = layout

    def forward(self, magnitude: RaggedSpectrum) -> list[Tensor]:
        """Standardises magnitudes; returns the blocks, (..., slices, bands, size)."""
        whitened = []
        for block, values in zip(self.layout.blocks, magnitude.blocks, strict=True):
            bands = slice(block.first_band, block.first_band + block.num_bands)
            whitened.append((values - self.mean[bands, None]) / self.spread[bands, None])
        return whitened

    @torch.no_grad()
    def fit(self, magnitudes: Iterable[RaggedSpectrum]) -> None:
        """Takes over the mean and the spread of a training set's magnitudes.

        Raises:
            ValueError: there are no magnitudes, or all of them are zero.
        """
        bands = self.layout.num_bands
        count, total, square = torch.zeros((3, bands), dtype=torch.float64)
        for magnitude in magnitudes:
            for block, values in zip(self.layout.blocks, magnitude.blocks, strict=True):
                part = slice(block.first_band, block.first_band + block.num_bands)
                rows = values.detach().to("cpu", torch.float64).movedim(-2, 0).flatten(1)
                count[part] += rows.shape[1]
                total[part] += rows.sum(1)
                square[part] += rows.square().sum(1)
        if not bool(square.any()):
            raise ValueError("magnitudes: those of at least one mix with sound are needed, got none")
        mean = total / count
        spread = (square / count - mean.square()).clamp_min(0).sqrt()
        self.mean.copy_(mean)
        self.spread.copy_(spread.clamp_min(float(spread.max()) * _LEAST_SPREAD))
