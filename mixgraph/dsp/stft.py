"""Short-time spectra for losses: batched, with cheap gradients, laid out (frames, bins)."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from mixgraph.dsp.constants import made_once
from mixgraph.dsp.fourier import bin_weights
from mixgraph.dsp.pieces import in_pieces

FloorGradient = Literal["soft", "hard"]


def stft(audio: Tensor, window: Tensor, hop_size: int) -> Tensor:
    """Returns what `torch.stft(center=True, pad_mode="reflect")` returns, transposed, with a cheaper gradient.

    The FFT size is the window's. The gradient is one real inverse FFT and an overlap-add of as many slices as
    windows overlap, instead of a complex FFT of twice the size and a scattered sum. It can be taken once.

    Args:
        audio: (..., time)
        window: (fft_size,), fft_size even.
        hop_size: distance of neighbouring frames in samples; a divisor of the FFT size.

    Shape:
        (..., 1 + time // hop_size, fft_size / 2 + 1), complex.

    Raises:
        ValueError: the audio is too short to be reflected over half a window, or the hop does not divide the size.
    """
    fft_size, length = window.shape[-1], audio.shape[-1]
    if fft_size % 2 or hop_size < 1 or fft_size % hop_size:
        raise ValueError(f"hop_size must divide an even FFT size; got {hop_size} and {fft_size}")
    if length < fft_size // 2 + 1:
        raise ValueError(
            f"audio must have at least {fft_size // 2 + 1} samples, to be reflected at an FFT size of {fft_size}; "
            f"got {length}"
        )
    half = fft_size // 2
    padded = F.pad(audio.reshape(1, -1, length), (half, half), mode="reflect").reshape(*audio.shape[:-1], -1)
    spectra: Tensor = _FrameSpectra.apply(padded, window, hop_size)
    return spectra


class _FrameSpectra(torch.autograd.Function):
    """Windowed frames of (..., time), each through a real FFT."""

    @staticmethod
    def forward(ctx: Any, audio: Tensor, window: Tensor, hop_size: int) -> Tensor:
        ctx.window, ctx.hop_size, ctx.length = window, hop_size, audio.shape[-1]
        return torch.fft.rfft(audio.unfold(-1, window.shape[-1], hop_size) * window)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        window, hop_size, length = ctx.window, ctx.hop_size, ctx.length
        fft_size = window.shape[-1]
        overlap = fft_size // hop_size
        # x[n] receives Re(sum over bins of G[k] exp(2 pi i k n / N)). `irfft` counts every bin twice, as itself and as
        # its mirror image, but for the first and the last: halve the others, and drop its 1 / N.
        weights = bin_weights(fft_size // 2 + 1, window.dtype, window.device)
        frames = torch.fft.irfft(gradients[0] * weights, n=fft_size, norm="forward").mul_(window)
        num_frames = frames.shape[-2]
        if not in_pieces(frames):
            rows = frames.reshape(-1, num_frames, fft_size).mT
            added = F.fold(rows, (1, length), (1, fft_size), stride=(1, hop_size))
            return added.view(*frames.shape[:-2], length), None, None
        blocks = frames.new_zeros(*frames.shape[:-2], num_frames + overlap - 1, hop_size)
        for part, piece in enumerate(frames.split(hop_size, dim=-1)):
            blocks[..., part : part + num_frames, :].add_(piece)
        audio_gradient = blocks.flatten(-2)
        # Samples after the last whole frame were never read.
        return F.pad(audio_gradient, (0, length - audio_gradient.shape[-1])), None, None


def floored_magnitude(spectrum: Tensor, floor: float, gradient: FloorGradient = "soft") -> Tensor:
    """Returns `max(|X|, floor)`, whose gradient need not vanish below the floor.

    A clamp's gradient ("hard", as in the published code) is 0 below the floor, so that a muted prediction never
    comes back. "soft" takes that of |X| above it, and X / floor below: it fades linearly to 0 at digital silence,
    and stays bounded by 1. `sqrt(|X|^2 + eps)` would have such a gradient too, but shifts the value. Neither can be
    differentiated twice.

    Args:
        spectrum: complex, of any shape.
        floor: the least magnitude; positive.
        gradient: "soft" or "hard".

    Raises:
        ValueError: the floor is not positive, or `gradient` is neither of the two.
    """
    if not floor > 0:
        raise ValueError(f"floor must be positive (a log follows); got {floor}")
    if gradient not in get_args(FloorGradient):
        raise ValueError(f"gradient must be one of {get_args(FloorGradient)}; got {gradient!r}")
    magnitude: Tensor = _FlooredMagnitude.apply(spectrum, floor, gradient == "hard")
    return magnitude


class _FlooredMagnitude(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, spectrum: Tensor, floor: float, hard: bool) -> Tensor:
        if in_pieces(spectrum) or hard:
            real, imag = spectrum.real, spectrum.imag
            # `torch.abs` of a complex tensor guards against overflow, which takes a CPU twice the time.
            magnitude = (real * real).addcmul_(imag, imag).clamp_(min=floor * floor).sqrt_()
        else:
            magnitude = spectrum.abs().clamp_(min=floor)
        ctx.save_for_backward(spectrum, magnitude)
        ctx.hard, ctx.floor = hard, floor
        return magnitude

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        spectrum, magnitude = ctx.saved_tensors
        ratio = gradients[0] / magnitude
        if ctx.hard:
            # Where the floor acts the value is the rounded root of its square, for all of them the same number.
            root = magnitude.new_full((), ctx.floor * ctx.floor).sqrt()
            ratio = ratio.masked_fill_(magnitude <= root, 0.0)
        return spectrum * ratio, None, None


def four_signals(stereo: Tensor) -> Tensor:
    """Left, right, mid = l + r and side = l - r, without temporaries.

    Shape: (..., 2, frames, bins) to (..., 4, frames, bins).
    """
    signals: Tensor = _FourSignals.apply(stereo)
    return signals


class _FourSignals(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, stereo: Tensor) -> Tensor:
        if not in_pieces(stereo):
            return _mixed(_four_of_two(stereo.real.dtype, stereo.device), stereo)
        four = stereo.new_empty(*stereo.shape[:-3], 4, *stereo.shape[-2:])
        left, right = stereo.unbind(-3)
        four[..., :2, :, :] = stereo
        torch.add(left, right, out=four[..., 2, :, :])
        torch.sub(left, right, out=four[..., 3, :, :])
        return four

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        if not in_pieces(gradients[0]):
            return _mixed(_four_of_two(gradients[0].real.dtype, gradients[0].device).T, gradients[0])
        left, right, mid, side = gradients[0].unbind(-3)
        stereo = torch.empty_like(gradients[0][..., :2, :, :])
        torch.add(left, mid, out=stereo[..., 0, :, :]).add_(side)
        torch.add(right, mid, out=stereo[..., 1, :, :]).sub_(side)
        return stereo


def _mixed(matrix: Tensor, spectra: Tensor) -> Tensor:
    """Multiplies complex signals (..., signals, frames, bins) by a real matrix (others, signals)."""
    mixed = matrix @ torch.view_as_real(spectra).flatten(-3)
    return torch.view_as_complex(mixed.view(*mixed.shape[:-1], *spectra.shape[-2:], 2))


@made_once(keep=8)
def _four_of_two(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Returns the matrix from left and right to left, right, mid and side."""
    return torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -1.0]], dtype=dtype, device=device)
