"""Resampling between any two rates, in bounded memory and time.

One filter serves all of it, the windowed sinc known as "kaiser best": 64 zero crossings, -120 dB side lobes. The pass
band ends at 0.947 of the lower Nyquist frequency (14.2 kHz at 30 kHz); a tone inside it is exact to about 5e-6.

With g the greatest common divisor of both rates, output sample j stands at the input's position j * from / to, whose
fractional part takes to / g values. Where these are few (44.1 to 30 kHz: 100) torchaudio holds a kernel for each of
them. Where they are many (44099 Hz to 30 kHz: 30,000 kernels of 44,000 taps) the kernel is held at PHASES positions,
and the output is interpolated between the two nearest. In float64 both ways agree to -140 dB.
"""

from __future__ import annotations

import math

import torch
import torchaudio
from torch import Tensor

CROSSINGS, ROLLOFF, BETA = 64, 0.9475937167399596, 14.769656459379492
# The second derivative of a sinc at the input's Nyquist frequency is at most pi^2 / 3: the error of a straight line
# between neighbours is at most (1 / PHASES)^2 / 8 * pi^2 / 3 = 2.5e-8 of the kernel's peak.
PHASES = 4096
_MAX_KERNEL = 1 << 20  # values of torchaudio's kernels
_MAX_RATIO = 4  # of rates, above which whole steps are taken first, so that kernels stay short
_BLOCK = 1 << 22  # values of the kernels that are held at a time


def resample(samples: Tensor, from_rate: int, to_rate: int, rolloff: float = ROLLOFF) -> Tensor:
    """Resamples (..., frames) to (..., ceil(frames * to_rate / from_rate)); rates are whole numbers of Hz.

    Args:
        samples: (..., frames).
        from_rate: sample rate of the samples in Hz.
        to_rate: sample rate of the result in Hz.
        rolloff: the end of the pass band (-6 dB), as a share of the lower Nyquist frequency.
    """
    if from_rate == to_rate:
        return samples
    if _kernel_size(from_rate, to_rate) <= _MAX_KERNEL:
        return _by_torchaudio(samples, from_rate, to_rate, rolloff=rolloff)
    num_out = -(-samples.shape[-1] * to_rate // from_rate)
    if from_rate <= _MAX_RATIO * to_rate:
        return _interpolated(samples, from_rate, to_rate, num_out, rolloff=rolloff)
    # At least twice the rate is left. A filter with a quarter of the crossings is flat up to 0.65 of that one's Nyquist
    # frequency (Kaiser's formula), past all that the second filter keeps, and what it folds stays above that.
    step = from_rate // (2 * to_rate)
    margin = math.ceil(CROSSINGS * _MAX_RATIO / ROLLOFF) + 1  # what the second filter sees of the first one's ends
    coarse = _by_torchaudio(torch.nn.functional.pad(samples, (margin * step, margin * step)), step, 1, CROSSINGS // 4)
    return _interpolated(coarse, from_rate, to_rate * step, num_out, margin, rolloff)


def _kernel_size(from_rate: int, to_rate: int) -> int:
    common = math.gcd(from_rate, to_rate)
    half_width = math.ceil(CROSSINGS * from_rate / (min(from_rate, to_rate) * ROLLOFF))
    return to_rate // common * (2 * half_width + from_rate // common)


def _by_torchaudio(
    samples: Tensor, from_rate: int, to_rate: int, crossings: int = CROSSINGS, rolloff: float = ROLLOFF
) -> Tensor:
    # The transform computes its filter in float64 and rounds it once; functional.resample computes it in float32.
    dtype = torch.float64 if samples.dtype == torch.float64 else None
    transform = torchaudio.transforms.Resample(
        from_rate,
        to_rate,
        resampling_method="sinc_interp_kaiser",
        lowpass_filter_width=crossings,
        rolloff=rolloff,
        beta=BETA,
        dtype=dtype,
    )
    return transform.to(samples.device)(samples)


def _interpolated(
    samples: Tensor, from_rate: int, to_rate: int, num_out: int, first: int = 0, rolloff: float = ROLLOFF
) -> Tensor:
    """Output sample j is the sum over n of samples[n] * kernel(n - first - j * from_rate / to_rate)."""
    cutoff = min(1.0, to_rate / from_rate) * rolloff  # in units of the input's Nyquist frequency
    half_width = math.ceil(CROSSINGS / cutoff)
    kernels = _kernels(cutoff, half_width).to(samples)
    taps = kernels.shape[1]
    rows = torch.nn.functional.pad(
        samples.reshape(samples.shape[:-1].numel(), samples.shape[-1]), (half_width - 1, half_width + 1)
    )
    windows = rows.unfold(1, taps, 1)  # a view: window q holds the taps around position q
    out = samples.new_empty(len(rows), num_out)
    size = max(1, _BLOCK // taps)
    for start in range(0, num_out, size):
        position = torch.arange(start, min(start + size, num_out), device=samples.device) * from_rate
        whole, part = position // to_rate, position % to_rate * PHASES
        phase, fraction = part // to_rate, (part % to_rate).to(samples) / to_rate
        near = windows[:, first + whole]
        lower, upper = (torch.einsum("rjt,jt->rj", near, kernels[index]) for index in (phase, phase + 1))
        out[:, start : start + size] = torch.lerp(lower, upper, fraction)
    return out.reshape(*samples.shape[:-1], num_out)


def _kernels(cutoff: float, half_width: int) -> Tensor:
    """The windowed sinc at taps 1 - half_width ... half_width around PHASES + 1 positions from 0 to 1, in float64."""
    position = torch.arange(PHASES + 1, dtype=torch.float64)[:, None] / PHASES
    crossing = (torch.arange(1 - half_width, half_width + 1, dtype=torch.float64) - position) * cutoff
    inside = (1 - (crossing / CROSSINGS).square()).clamp_min(0)
    window = torch.special.i0(BETA * inside.sqrt()) / torch.special.i0(torch.tensor(BETA, dtype=torch.float64))
    # torchaudio's window ends at its last crossing at i0(0) / i0(BETA) = 3.4e-6, and so does the kernel.
    return torch.where(crossing.abs() <= CROSSINGS, torch.sinc(crossing) * window * cutoff, 0.0)
