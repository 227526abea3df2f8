r"""The dry/wet mix of a linear processor on spectra, and its adjoint, written out.

With the input x in the channels in which the response R is diagonal, the wet signal is  y = R x  and the output
x + w (y - x)  (paper eq. 2). Gain staging also takes the energies of x and y, mid or both channels (paper eq. 5).

**Gradients are conjugated here**, h = conj(g). Then the adjoint of a product with R is a product with R, and only
the slopes of energies have to be conjugated on the way:

    h_y = w h + e_y,    h_x = (1 - w) h + R h_y + e_x,    h_R = h_y x,    g_w = Re \sum h (y - x),

with e = conj(dE/dx), a multiple of the conjugate of x in the channels whose energy is taken.

Shapes: signals (nodes, clips, 1 or 2 channels, bins), responses (nodes, 1 or 2, bins or 1), weights (nodes,). One
channel stands for two equal ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from mixgraph.dsp.constants import made_once
from mixgraph.dsp.pieces import in_pieces

StagedChannel = Literal["mid", "both"]


@dataclass(frozen=True)
class Bins:
    """A stretch of the frequency axis, for Parseval: all bins count twice but DC and the Nyquist frequency.

    Attributes:
        first: it starts with DC.
        last: it ends with the Nyquist frequency.
        n_fft: FFT length of the whole spectrum.
    """

    first: bool
    last: bool
    n_fft: int

    def energy(self, spectra: Tensor) -> Tensor:
        """Returns the share of these bins in the energy in time: (..., bins) to (...)."""
        parts = torch.view_as_real(spectra)
        squares = parts * parts
        if not in_pieces(parts):
            return squares.flatten(-2) @ self._constant(_counts, parts)
        ends = slice(None if self.first else -1, None if self.last else 1, max(1, spectra.shape[-1] - 1))
        if self.first or self.last:
            squares[..., ends, :].mul_(0.5)
        return squares.flatten(-2).sum(dim=-1) * (2 / self.n_fft)

    def conjugated_slope(self, spectra: Tensor) -> Tensor:
        """Returns the conjugate of d(energy) / d(spectra), as real and imaginary parts: (..., bins, 2)."""
        parts = torch.view_as_real(spectra)
        return parts * self._constant(_conjugated_slopes, parts)

    def _constant(self, make: Callable[..., Tensor], parts: Tensor) -> Tensor:
        return make(parts.shape[-2], self.first, self.last, self.n_fft, parts.dtype, parts.device)


@made_once(keep=64)
def _counts(num_bins: int, first: bool, last: bool, n_fft: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Returns the factors of squared real and imaginary parts in the energy, (2 bins,)."""
    counts = torch.full((num_bins, 2), 2 / n_fft, dtype=dtype, device=device)
    if first:
        counts[0] /= 2
    if last:
        counts[-1] /= 2
    return counts.flatten()


@made_once(keep=64)
def _conjugated_slopes(
    num_bins: int, first: bool, last: bool, n_fft: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Returns the factors of real and imaginary parts in the conjugated slope of the energy, (bins, 2)."""
    slopes = 2 * _counts(num_bins, first, last, n_fft, dtype, device).view(-1, 2)
    slopes[:, 1].neg_()
    return slopes


@dataclass(frozen=True)
class Applied:
    """Tensors of a forward pass that the adjoint needs.

    Attributes:
        dry: the input in the response's channels.
        wet: its wet signal; None of gains, which make none.
        sums: l + r of dry and wet, (2, nodes, clips, bins), where their energies are taken of both channels' sum.
    """

    dry: Tensor
    wet: Tensor | None = None
    sums: Tensor | None = None


@dataclass(frozen=True)
class Gains:
    """A processor that multiplies all bins by the same gains, which hold its dry sound, too.

    Gains of left and right are (nodes, 1 or 2, 1), those from each channel to each (nodes, 2, 2).
    """

    weighted: ClassVar[bool] = False
    staged_channel: ClassVar[None] = None

    def forward(self, signal: Tensor, gains: Tensor, weight: None = None) -> tuple[Tensor, Applied]:
        """Returns the output, and what `adjoint` needs."""
        return _amplified(signal, gains), Applied(signal)

    def energies(self, applied: Applied, bins: Bins) -> None:
        return None

    def adjoint(
        self,
        arriving: Tensor,
        energies: None,
        applied: Applied,
        gains: Tensor,
        weight: None,
        bins: Bins,
        wants_signal: bool = True,
    ) -> tuple[Tensor | None, Tensor, None]:
        """Returns the conjugated gradient of the signal, and the gradient of the gains; see `LinearProduct.adjoint`."""
        by_signal = _amplified(arriving, gains.mT if gains.shape[-1] == 2 else gains) if wants_signal else None
        if gains.shape[-1] == 2:
            gradient, signal = (_pairs(x).flatten(-2) for x in (arriving.conj().resolve_conj(), applied.dry))
            return by_signal, (gradient @ signal.mT).sum(dim=1), None
        return by_signal, _shared((arriving * applied.dry).sum(dim=-1, keepdim=True), gains), None


def _amplified(spectra: Tensor, gains: Tensor) -> Tensor:
    if gains.shape[-1] == 1:
        return spectra * gains.unsqueeze(1)
    return torch.view_as_complex((gains.unsqueeze(1) @ _pairs(spectra).flatten(-2)).unflatten(-1, (-1, 2)))


@dataclass(frozen=True)
class LinearProduct:
    """A linear processor on spectra.

    Attributes:
        mid_side: the response is diagonal in mid and side, not in left and right.
        staged_channel: the channel whose energies are returned, None for no energies.
    """

    weighted: ClassVar[bool] = True

    mid_side: bool
    staged_channel: StagedChannel | None

    def forward(self, signal: Tensor, response: Tensor, weight: Tensor) -> tuple[Tensor, Applied]:
        """Returns the output, and the tensors that `energies` and `adjoint` need."""
        rotated = self.mid_side and signal.shape[-2] == 2
        dry = sum_and_difference(signal) if rotated else signal
        wet = dry * response.unsqueeze(1)
        output = torch.view_as_complex(torch.lerp(_pairs(dry), _pairs(wet), weight.view(-1, 1, 1, 1, 1)))
        if rotated:
            output = sum_and_difference(output).mul_(0.5)
        return output, Applied(dry, wet, _sums(dry, wet) if self._couples(dry) else None)

    def energies(self, applied: Applied, bins: Bins) -> Tensor | None:
        """Returns the energies of the dry and the wet signal, (2, nodes, clips); None without a staged channel."""
        if self.staged_channel is None or applied.wet is None:
            return None
        if applied.sums is not None:
            return bins.energy(applied.sums)
        return torch.stack([self._energy(x, bins) for x in (applied.dry, applied.wet)])

    def adjoint(
        self,
        arriving: Tensor,
        energies: Tensor | None,
        applied: Applied,
        response: Tensor,
        weight: Tensor,
        bins: Bins,
        wants_signal: bool = True,
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        """Returns the conjugated gradients of the signal and of the response, and the gradient of the weight.

        Args:
            arriving: conjugated gradient of the output.
            energies: gradient of the energies, (2, nodes, clips).
            applied: the tensors that `forward` returned.
            response: the response that `forward` was called with.
            weight: the dry/wet weights that `forward` was called with.
            bins: the bins that the tensors hold.
            wants_signal: whether the gradient of the signal is needed; else the first result is None.
        """
        dry, wet = applied.dry, applied.wet
        assert wet is not None
        rotated = self.mid_side and dry.shape[-2] == 2
        if rotated:
            arriving = sum_and_difference(arriving).mul_(0.5)
        by_weight = torch.linalg.vecdot(arriving.conj().flatten(1), (wet - dry).flatten(1)).real
        by_wet = _scaled(arriving, weight)
        by_signal = arriving - by_wet if wants_signal else None
        if energies is not None and self.staged_channel is not None:
            self._add_slopes(bins, energies, applied, by_wet, by_signal)
        by_response = _shared(by_wet * dry, response)
        if by_signal is not None and response.is_complex():
            by_signal.addcmul_(by_wet, response.unsqueeze(1))
        elif by_signal is not None:
            by_signal += by_wet * response.unsqueeze(1)
        if by_signal is not None and rotated:
            by_signal = sum_and_difference(by_signal)
        return by_signal, by_response, by_weight

    # The energy of a signal in the response's channels: |l + r|^2, or |l|^2 + |r|^2.

    def _energy(self, signal: Tensor, bins: Bins) -> Tensor:
        if self.staged_channel == "mid" and signal.shape[-2] == 2:  # sum and difference: the sum is the mid
            return bins.energy(signal[..., 0, :])
        return bins.energy(signal).sum(dim=-1) * self._share(signal)

    def _add_slopes(
        self, bins: Bins, by_energies: Tensor, applied: Applied, by_wet: Tensor, by_dry: Tensor | None
    ) -> None:
        """Adds the slopes of the energies, (2, nodes, clips), to the gradients of the dry and the wet signal."""
        slopes = [None, None] if applied.sums is None else bins.conjugated_slope(applied.sums).unsqueeze(3)
        signals = (applied.dry, applied.wet)
        for by_energy, slope, signal, gradient in zip(by_energies, slopes, signals, (by_dry, by_wet), strict=True):
            if gradient is None or signal is None:
                continue
            scale = by_energy.view(*by_energy.shape, 1, 1, 1)
            if slope is None:
                slope, scale = bins.conjugated_slope(signal), scale * self._shares(signal)
            _pairs(gradient).addcmul_(slope, scale)

    def _couples(self, signal: Tensor) -> bool:
        return self.staged_channel == "mid" and signal.shape[-2] == 2 and not self.mid_side

    def _shares(self, signal: Tensor) -> Tensor:
        """Returns the factors of the energies of each channel, (channels, 1, 1)."""
        only_sum = self.staged_channel == "mid" and signal.shape[-2] == 2
        values = (1.0, 0.0) if only_sum else (self._share(signal),)
        return _constant(values, signal.real.dtype, signal.device).view(-1, 1, 1)

    def _share(self, signal: Tensor) -> float:
        """Returns the factor of the channels' energy; sum and difference hold both channels' energy twice."""
        if signal.shape[-2] == 1:
            return 4.0 if self.staged_channel == "mid" else 2.0
        return 0.5 if self.mid_side else 1.0


@made_once(keep=64)
def _constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=dtype, device=device)


def _sums(*signals: Tensor) -> Tensor:
    """Returns l + r of spectra (..., 2, bins), in one tensor: (signals, ..., bins)."""
    first = signals[0]
    sums = torch.empty((len(signals), *first.shape[:-2], first.shape[-1]), dtype=first.dtype, device=first.device)
    for signal, out in zip(signals, sums, strict=True):
        torch.add(signal[..., 0, :], signal[..., 1, :], out=out)
    return sums


def sum_and_difference(signal: Tensor) -> Tensor:
    """Transforms (l, r) to (l + r, l - r); applied twice, it doubles the signal."""
    rotated = torch.empty(signal.shape, dtype=signal.dtype, device=signal.device)
    left, right = signal.unbind(-2)
    torch.add(left, right, out=rotated[..., 0, :])
    torch.sub(left, right, out=rotated[..., 1, :])
    return rotated


def _shared(product: Tensor, response: Tensor) -> Tensor:
    """Sums (nodes, clips, channels, bins) over the axes that the response lacks; real part for a real response."""
    if not response.is_complex():
        product = product.real
    summed = product[:, 0] if product.shape[1] == 1 else product.sum(dim=1)
    if response.shape[1] == 1 and summed.shape[1] == 2:
        summed = summed[:, :1] + summed[:, 1:]
    return summed.sum(dim=-1, keepdim=True) if response.shape[-1] == 1 else summed


def _pairs(spectra: Tensor) -> Tensor:
    return torch.view_as_real(spectra)


def _scaled(spectra: Tensor, factors: Tensor) -> Tensor:
    """Multiplies the spectra of each node by a real number; in half the time of a product of complex and real."""
    return torch.view_as_complex(_pairs(spectra) * factors.view(-1, 1, 1, 1, 1))
