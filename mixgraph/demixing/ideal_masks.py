"""What masks could reach at best: ideal masks, made from the true targets, on the sliced transform and on an STFT.

With s a target's coefficient and x the mix's, the ratio mask is |s| over the sum of all targets' magnitudes, and the
phase-aware one Re(s / x), cut to 0 to 1, which no mask with the mix's phase betters in its squared error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from mixgraph.dsp.slicqt import RaggedSpectrum, SliCQT

MaskRule = Literal["ratio", "phase-aware"]
STFT_WINDOW, STFT_HOP = 4096, 1024
_STRETCH_SECONDS, _CONTEXT_SECONDS = 20, 2
_TINY = 1e-12


def ideal_estimates(targets: Tensor, mix: Tensor, rule: MaskRule, transform: SliCQT | None, sample_rate: int) -> Tensor:
    """Takes targets out of a mix by ideal masks, (targets, channels, time), in stretches of bounded memory.

    Args:
        targets: the true ones, (targets, channels, time).
        mix: (channels, time).
        rule: `"ratio"` or `"phase-aware"`.
        transform: the sliced transform; None takes an STFT (Hann window of 4096 samples every 1024).
        sample_rate: in Hz.

    Raises:
        ValueError: another rule.
    """
    if rule not in get_args(MaskRule):
        raise ValueError(f"rule: one of {', '.join(get_args(MaskRule))}, got {rule!r}")
    estimates = torch.empty_like(targets)
    size, context, total = _STRETCH_SECONDS * sample_rate, _CONTEXT_SECONDS * sample_rate, mix.shape[-1]
    for start in range(0, total, size):
        first, stop = max(0, start - context), min(total, start + size)
        window = slice(first, min(total, stop + context))
        stretch = _masked(targets[..., window], mix[..., window], rule, transform)
        estimates[..., start:stop] = stretch[..., start - first : stop - first]
    return estimates


def _masked(targets: Tensor, mix: Tensor, rule: MaskRule, transform: SliCQT | None) -> Tensor:
    forward, inverse = _stft(mix.shape[-1]) if transform is None else _sliced(transform, mix.shape[-1])
    true, whole = forward(targets), forward(mix)
    if rule == "ratio":
        magnitudes = true.abs()
        masks = magnitudes / (magnitudes.sum(0) + _TINY)
    else:
        masks = ((true * whole.conj()).real / (whole.abs().square() + _TINY)).clamp(0, 1)
    return inverse(masks * whole)


Pair = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]


def _sliced(transform: SliCQT, samples: int) -> Pair:
    def inverse(flat: Tensor) -> Tensor:
        return transform.inverse(RaggedSpectrum(flat, transform.layout), samples)

    return lambda signal: transform(signal).flat, inverse


def _stft(samples: int) -> Pair:
    window, length = torch.hann_window(STFT_WINDOW), max(samples, STFT_WINDOW)

    def forward(signal: Tensor) -> Tensor:
        flat = torch.nn.functional.pad(signal, (0, length - samples)).flatten(0, -2)
        spectrum = torch.stft(flat, STFT_WINDOW, STFT_HOP, window=window, return_complex=True)
        return spectrum.unflatten(0, signal.shape[:-1])

    def inverse(spectrum: Tensor) -> Tensor:
        flat = torch.istft(spectrum.flatten(0, -3), STFT_WINDOW, STFT_HOP, window=window, length=length)
        return flat.unflatten(0, spectrum.shape[:-2])[..., :samples]

    return forward, inverse
