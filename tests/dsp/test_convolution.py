"""Linear convolution and cross spectra against their definitions."""

import math

import numpy as np
import pytest
import scipy.signal
import torch

from mixgraph.dsp.convolution import convolve, cross_spectrum


@pytest.mark.parametrize("length", [1, 2, 3, 8, 100, 101])
@pytest.mark.parametrize("taps", [1, 2, 3, 64, 65])
def test_convolve_is_the_full_linear_convolution(length, taps):
    generator = torch.Generator().manual_seed(length * 100 + taps)
    x = torch.randn(length, generator=generator, dtype=torch.float64)
    h = torch.randn(taps, generator=generator, dtype=torch.float64)
    expected = np.convolve(x.numpy(), h.numpy())
    # FFT rounding: a few ulp of the largest output.
    np.testing.assert_allclose(convolve(x, h).numpy(), expected, atol=1e-13 * math.sqrt(taps) * 4)


def test_convolve_of_odd_total_length_does_not_compress_time():
    # An inverse FFT without its length gives 173998 samples for 173999: a late impulse would come back spread.
    x = torch.zeros(114000, dtype=torch.float64)
    x[100000] = 1
    h = torch.zeros(60000, dtype=torch.float64)
    h[59999] = 0.5
    y = convolve(x, h)
    assert y.shape == (173999,)
    assert y.argmax() == 159999
    assert y[159999].item() == pytest.approx(0.5, abs=1e-12)
    assert (y.abs() > 1e-12).sum() == 1


def test_convolve_broadcasts_and_matches_scipy():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 2, 700, generator=generator, dtype=torch.float64)
    h = torch.randn(3, 1, 301, generator=generator, dtype=torch.float64)
    expected = scipy.signal.fftconvolve(x.numpy(), np.broadcast_to(h.numpy(), (3, 2, 301)), axes=-1)
    np.testing.assert_allclose(convolve(x, h).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(("length", "max_lag"), [(1, 1), (50, 10), (1000, 7), (1000, 400)])
def test_cross_spectrum_gives_the_correlation_by_its_definition(length, max_lag) -> None:
    generator = torch.Generator().manual_seed(length)
    first, second = torch.rand(2, 2, length, generator=generator, dtype=torch.float64) - 0.5
    cross, first_power, second_power, n_fft = cross_spectrum(first, second, max_lag)
    correlation = torch.fft.irfft(cross, n=n_fft)[:, : 2 * max_lag + 1]
    for lag in {-max_lag, -1, 0, 1, max_lag}:
        n = torch.arange(length)
        n = n[(n + lag >= 0) & (n + lag < length)]
        expected = (second[:, n] * first[:, n + lag]).sum(dim=-1)
        torch.testing.assert_close(correlation[:, lag + max_lag], expected, atol=1e-12, rtol=0)
    assert first_power.shape == second_power.shape == cross.shape == (2, n_fft // 2 + 1)
    # By Parseval the power of the second is that of its samples; blocks of the first overlap.
    whole = torch.cat((second_power, second_power[:, 1:-1]), dim=1).sum(dim=1) / n_fft
    torch.testing.assert_close(whole, second.square().sum(dim=1))
    assert (first_power >= 0).all()
