"""The network of the demixer: blocks of bands of any rate are brought to one grid of slices and bands, and back.

A block of the ragged transform is (batch, channels, slices, bands, size). Its encoder takes the `size` coefficients of
a band in a slice, and those of the neighbouring bands, to `width` numbers. So all blocks have the grid (slices, bands),
whatever their rate: residual layers of each block look over slices and bands, and an exchange mixes all bands of all
blocks. The decoder of a block answers, for every target by a group of its own, with a logit for every coefficient.

A slice is a step in time. A causal network looks at past slices only: it adds nothing to the latency of the transform,
which is a slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixgraph.demixing.whitening import Whitening
from mixgraph.dsp.slicqt import Block, Layout, RaggedSpectrum

MOST_LAYERS = 100


@dataclass(frozen=True)
class NetworkSettings:
    """The size and the parts of the network.

    Attributes:
        width: numbers that stand for a band in a slice.
        target_width: numbers of them for each target in the decoders.
        num_layers: residual layers of a block; the n-th looks 2^(n - 1) slices away, or one if not dilated.
        band_kernel: neighbouring bands that encoders, layers and decoders look at, odd.
        exchange: width of the exchange between all bands of all blocks; 0 leaves it out.
        causal: look at past slices only.
        inner_widths: numbers between the two convolutions of each residual layer, for every layer those of every
            block; None takes `width`. Networks from which channels were pruned have them.
        target_widths: `target_width` of every block; None takes the same for all.
        dilated: whether later layers look further; all look one slice away if not.
    """

    width: int = 48
    target_width: int = 16
    num_layers: int = 3
    band_kernel: int = 3
    exchange: int = 64
    causal: bool = False
    inner_widths: tuple[tuple[int, ...], ...] | None = None
    target_widths: tuple[int, ...] | None = None
    dilated: bool = True

    def __post_init__(self) -> None:
        # JSON has lists.
        if self.inner_widths is not None:
            object.__setattr__(self, "inner_widths", tuple(tuple(widths) for widths in self.inner_widths))
        if self.target_widths is not None:
            object.__setattr__(self, "target_widths", tuple(self.target_widths))
        for name in ("width", "target_width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: at least 1, got {getattr(self, name)}")
        for name in ("num_layers", "exchange"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: at least 0, got {getattr(self, name)}")
        if self.num_layers > MOST_LAYERS:
            raise ValueError(f"num_layers: at most {MOST_LAYERS}, got {self.num_layers}")
        if self.band_kernel < 1 or self.band_kernel % 2 == 0:
            raise ValueError(f"band_kernel: an odd number from 1, got {self.band_kernel}")
        for name, widths in (("inner_widths", self.inner_widths or ()), ("target_widths", (self.target_widths or (),))):
            if any(width < 1 for row in widths for width in row):
                raise ValueError(f"{name}: at least 1 each, got {getattr(self, name)}")
        if self.inner_widths is not None and len(self.inner_widths) != self.num_layers:
            raise ValueError(f"inner_widths: those of {self.num_layers} layers, got {len(self.inner_widths)}")

    def all_inner_widths(self, num_blocks: int) -> tuple[tuple[int, ...], ...]:
        """The inner width of every layer and block.

        Raises:
            ValueError: they are those of another number of blocks.
        """
        widths = self.inner_widths
        if widths is None:
            return ((self.width,) * num_blocks,) * self.num_layers
        if any(len(row) != num_blocks for row in widths):
            raise ValueError(f"inner_widths: those of {num_blocks} blocks a layer, got {[len(row) for row in widths]}")
        return widths

    def all_target_widths(self, num_blocks: int) -> tuple[int, ...]:
        """The target width of every block.

        Raises:
            ValueError: they are those of another number of blocks.
        """
        widths = self.target_widths or (self.target_width,) * num_blocks
        if len(widths) != num_blocks:
            raise ValueError(f"target_widths: those of {num_blocks} blocks, got {len(widths)}")
        return widths

    @property
    def context_slices(self) -> int:
        """Slices before a slice, and after it unless the network is causal, on which its masks depend."""
        reach = 2 if self.causal else 1
        return reach * sum(self.dilations)

    @property
    def dilations(self) -> tuple[int, ...]:
        """How many slices away every layer looks."""
        return tuple(1 << layer if self.dilated else 1 for layer in range(self.num_layers))


class _Residual(nn.Module):
    """A convolution over slices and bands, and one over numbers, whose sum with the input is the output."""

    def __init__(self, settings: NetworkSettings, dilation: int, inner: int) -> None:
        super().__init__()
        width, kernel = settings.width, settings.band_kernel
        self.norm = nn.BatchNorm2d(width)
        self.look = nn.Conv2d(width, inner, (3, kernel), padding=(0, kernel // 2), dilation=(dilation, 1), bias=False)
        self.mix_norm = nn.BatchNorm2d(inner)
        self.mix = nn.Conv2d(inner, width, 1)
        self.padding = (2 * dilation, 0) if settings.causal else (dilation, dilation)

    def forward(self, code: Tensor) -> Tensor:
        return self._added(code, F.pad(torch.relu(self.norm(code)), (0, 0, *self.padding)))

    def step(self, code: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """The next slices of a causal layer: its output, and what to keep of the past for the slices after them."""
        inner = torch.cat((past, torch.relu(self.norm(code))), dim=2)
        return self._added(code, inner), inner[:, :, -past.shape[2] :]

    def first_past(self, like: Tensor, num_bands: int) -> Tensor:
        """The past before the first slice of a signal, for `step`."""
        return like.new_zeros(1, self.norm.num_features, self.padding[0], num_bands)

    def _added(self, code: Tensor, inner: Tensor) -> Tensor:
        added: Tensor = code + self.mix(torch.relu(self.mix_norm(self.look(inner))))
        return added


def _parts(layer: nn.Module) -> list[_Residual]:
    """The layer's parts, one of each block."""
    assert isinstance(layer, nn.ModuleList)
    return [part for part in layer if isinstance(part, _Residual)]


class _Exchange(nn.Module):
    """Mixes all bands, the same way for every number of the code and every slice."""

    def __init__(self, num_bands: int, settings: NetworkSettings) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(settings.width)
        self.gather = nn.Linear(num_bands, settings.exchange)
        self.mix = nn.Conv2d(settings.width, settings.width, 1)
        self.spread = nn.Linear(settings.exchange, num_bands)

    def forward(self, code: Tensor) -> Tensor:
        shared = torch.relu(self.mix(torch.relu(self.gather(self.norm(code)))))
        return code + self.spread(shared)


class _Encoder(nn.Module):
    """(batch, channels, slices, bands, size) to (batch, width, slices, bands)."""

    def __init__(self, block: Block, channels: int, settings: NetworkSettings) -> None:
        super().__init__()
        kernel = settings.band_kernel
        self.look = nn.Conv2d(channels * block.size, settings.width, (1, kernel), padding=(0, kernel // 2))

    def forward(self, block: Tensor) -> Tensor:
        code: Tensor = self.look(block.movedim(-1, 2).flatten(1, 2))
        return code


class _Decoder(nn.Module):
    """(batch, width, slices, bands) to logits, (batch, targets, channels, slices, bands, size)."""

    def __init__(
        self, block: Block, channels: int, num_targets: int, settings: NetworkSettings, target_width: int
    ) -> None:
        super().__init__()
        kernel, inner = settings.band_kernel, num_targets * target_width
        self.shape = (num_targets, channels, block.size)
        self.norm = nn.BatchNorm2d(settings.width)
        self.split = nn.Conv2d(settings.width, inner, 1)
        answers = num_targets * channels * block.size
        self.answer = nn.Conv2d(inner, answers, (1, kernel), padding=(0, kernel // 2), groups=num_targets)

    def forward(self, code: Tensor) -> Tensor:
        answers: Tensor = self.answer(torch.relu(self.split(torch.relu(self.norm(code)))))
        return answers.unflatten(1, self.shape).movedim(3, -1)


class DemixingNetwork(nn.Module):
    """Predicts a logit of the mask of every target for every coefficient of a mix.

    Args:
        layout: the layout of the transform.
        num_targets: the number of targets.
        channels: channels of the mix.
        settings: the size and the parts of the network.
    """

    def __init__(
        self, layout: Layout, num_targets: int, channels: int = 2, settings: NetworkSettings | None = None
    ) -> None:
        super().__init__()
        if num_targets < 1 or channels < 1:
            raise ValueError(f"num_targets, channels: at least 1 each, got {num_targets} and {channels}")
        self.layout, self.settings = layout, settings or NetworkSettings()
        self.whitening = Whitening(layout)
        blocks, settings = layout.blocks, self.settings
        self.encoders = nn.ModuleList(_Encoder(block, channels, settings) for block in blocks)
        self.layers = nn.ModuleList(
            nn.ModuleList(_Residual(settings, dilation, inner) for inner in widths)
            for dilation, widths in zip(settings.dilations, settings.all_inner_widths(len(blocks)), strict=True)
        )
        self.exchange = _Exchange(layout.num_bands, settings) if settings.exchange else None
        self.decoders = nn.ModuleList(
            _Decoder(block, channels, num_targets, settings, width)
            for block, width in zip(blocks, settings.all_target_widths(len(blocks)), strict=True)
        )

    def forward(self, magnitude: RaggedSpectrum) -> RaggedSpectrum:
        """Predicts logits.

        Args:
            magnitude: magnitudes of the mix, blocks of (batch, channels, slices, bands, size).

        Returns:
            Blocks of (batch, targets, channels, slices, bands, size).
        """
        return self._answers(magnitude, None)[0]

    def step(self, magnitude: RaggedSpectrum, past: Sequence[Tensor]) -> tuple[RaggedSpectrum, list[Tensor]]:
        """Predicts the logits of the next slices of a signal, which are those that `forward` predicts of all of it.

        Args:
            magnitude: the next slices of one mix, at least one.
            past: what the step before gave back; before the first one `first_past()`.

        Returns:
            The logits, and what the next step has to know.

        Raises:
            ValueError: the network is not causal.
        """
        if not self.settings.causal:
            raise ValueError(
                "network: a causal one is needed to answer slice by slice. HINT: model.network.causal=true"
            )
        return self._answers(magnitude, past)

    def first_past(self) -> list[Tensor]:
        """The past before the first slice of a signal, for `step`."""
        past: list[Tensor] = []
        for layer in self.layers:
            parts = zip(_parts(layer), self.layout.blocks, strict=True)
            past += [part.first_past(self.whitening.mean, block.num_bands) for part, block in parts]
        return past

    def _answers(self, magnitude: RaggedSpectrum, past: Sequence[Tensor] | None) -> tuple[RaggedSpectrum, list[Tensor]]:
        inputs = self.whitening(magnitude)
        codes = [encoder(block) for encoder, block in zip(self.encoders, inputs, strict=True)]
        if self.exchange is not None:
            together = self.exchange(torch.cat(codes, dim=-1))
            codes = list(together.split([block.num_bands for block in self.layout.blocks], dim=-1))
        kept: list[Tensor] = []
        for layer in self.layers:
            if past is None:
                codes = [part(code) for part, code in zip(_parts(layer), codes, strict=True)]
                continue
            known = past[len(kept) : len(kept) + len(codes)]
            pairs = [part.step(code, seen) for part, code, seen in zip(_parts(layer), codes, known, strict=True)]
            codes = [code for code, _ in pairs]
            kept += [keep for _, keep in pairs]
        logits = [decoder(code) for decoder, code in zip(self.decoders, codes, strict=True)]
        return RaggedSpectrum(torch.cat([block.flatten(-2) for block in logits], dim=-1), self.layout), kept
