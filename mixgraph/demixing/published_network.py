"""The layout of the networks of xumx-sliCQ-V2, as an architecture to compare with (facts, not code).

A block is a picture of bands by time, (batch, channels, bands, slices x size). For every target there is a convolution
over all of a slice at a stride of half a slice, one over four steps, and the two transposed ones back; no layer joins
blocks or targets. Here the targets are groups of one convolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mixgraph.demixing.whitening import Whitening
from mixgraph.dsp.slicqt import Block, Layout, RaggedSpectrum

HIDDEN, INNER, STEPS = 50, 51, 4
LEAST_SLICES = 3
CONTEXT_SLICES = 3
"""Slices before a slice, and after it, on which its masks depend at most."""


def band_kernel(num_bands: int) -> int:
    """The bands that a convolution of a block looks at."""
    return 1 if num_bands < 10 else 3 if num_bands < 20 else 5


class _BlockNetwork(nn.Module):
    def __init__(self, block: Block, channels: int, num_targets: int, hidden: int, inner: int) -> None:
        super().__init__()
        self.block, self.shape = block, (num_targets, channels)
        kernel, outer, middle = band_kernel(block.num_bands), num_targets * hidden, num_targets * inner
        window, stride, groups = (kernel, block.size), (1, block.size // 2), num_targets
        self.layers = nn.Sequential(
            nn.Conv2d(channels, outer, window, stride, bias=False),
            nn.BatchNorm2d(outer),
            nn.ReLU(),
            nn.Conv2d(outer, middle, (kernel, STEPS), groups=groups, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(),
            nn.ConvTranspose2d(middle, outer, (kernel, STEPS), groups=groups, bias=False),
            nn.BatchNorm2d(outer),
            nn.ReLU(),
            nn.ConvTranspose2d(outer, num_targets * channels, window, stride, groups=groups),
        )

    def forward(self, block: Tensor) -> Tensor:
        """(batch, channels, slices, bands, size) to (batch, targets, channels, slices, bands, size)."""
        slices = block.shape[2]
        picture = block.movedim(2, 3).flatten(3)
        picture = nn.functional.pad(picture, (0, max(0, LEAST_SLICES - slices) * self.block.size))
        answers = self.layers(picture)[:, :, : self.block.num_bands, : slices * self.block.size]
        return answers.unflatten(1, self.shape).unflatten(-1, (slices, self.block.size)).movedim(-2, -3)


class PublishedNetwork(nn.Module):
    """The networks of xumx-sliCQ-V2 for any layout: 15.0 million parameters at 262 ragged Bark bands and 4 targets.

    It looks ahead by several slices. Its masks are sigmoids of the logits.

    Args:
        layout: the layout of the transform.
        num_targets: the number of targets.
        channels: channels of the mix.
        hidden: channels of the outer layers, for each target.
        inner: channels of the inner layer, for each target.
    """

    def __init__(
        self, layout: Layout, num_targets: int, channels: int = 2, hidden: int = HIDDEN, inner: int = INNER
    ) -> None:
        super().__init__()
        self.layout = layout
        self.whitening = Whitening(layout)
        self.blocks = nn.ModuleList(
            _BlockNetwork(block, channels, num_targets, hidden, inner) for block in layout.blocks
        )

    def forward(self, magnitude: RaggedSpectrum) -> RaggedSpectrum:
        """Predicts logits; shapes are those of `DemixingNetwork.forward`."""
        inputs = self.whitening(magnitude)
        logits = [network(block).flatten(-2) for network, block in zip(self.blocks, inputs, strict=True)]
        return RaggedSpectrum(torch.cat(logits, dim=-1), self.layout)
