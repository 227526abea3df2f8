"""Linear convolution, and cross spectra of long signals for correlations at lags that are short beside them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mixgraph.dsp.fourier import fast_length, power_of_two_length


def convolve(signal: Tensor, impulse_response: Tensor) -> Tensor:
    """Convolves in full along the last axis, linearly (not circularly); the other axes broadcast.

    Shape: (..., N) and (..., M) to (..., N + M - 1).
    """
    length = signal.shape[-1] + impulse_response.shape[-1] - 1
    n_fft = fast_length(length)
    product = torch.fft.rfft(signal, n=n_fft) * torch.fft.rfft(impulse_response, n=n_fft)
    return torch.fft.irfft(product, n=n_fft)[..., :length]


def cross_spectrum(first: Tensor, second: Tensor, max_lag: int) -> tuple[Tensor, Tensor, Tensor, int]:
    """Returns the cross spectrum of two signals and the power spectra of both, summed over blocks.

    Entry k of the inverse real FFT of the cross spectrum is the sum over n of second[n] first[n + k - max_lag], for k
    up to 2 max_lag: exact, since blocks of the second are put against the same block of the first with `max_lag` more
    at both ends. Costs two FFTs of about four times `max_lag` for every two such lengths of the signals.

    Args:
        first: (1 or channels, L).
        second: (channels, L).
        max_lag: the largest lag that the spectra resolve, in samples, in either direction.

    Returns:
        The cross spectrum, complex, and the powers of the first and the second, (channels, bins) in float64; and the
        FFT length.
    """
    length = second.shape[-1]
    n_fft = power_of_two_length(min(4 * max_lag, length + 2 * max_lag))
    block = n_fft - 2 * max_lag
    padded = F.pad(first, (max_lag, max_lag + block))
    shape = (second.shape[0], n_fft // 2 + 1)
    cross = torch.zeros(shape, dtype=torch.cdouble, device=second.device)
    first_power = torch.zeros(shape, dtype=torch.double, device=second.device)
    second_power = torch.zeros_like(first_power)
    for start in range(0, length, block):
        b = torch.fft.rfft(second[:, start : start + block], n=n_fft)
        a = torch.fft.rfft(padded[:, start : start + n_fft], n=n_fft)
        cross += a * b.conj()
        first_power += a.abs().square()
        second_power += b.abs().square()
    return cross, first_power, second_power, n_fft
