"""Fast lengths, linear convolution and circularly placed responses."""

import math

import numpy as np
import pytest
import scipy.signal
import torch

from mixgraph.dsp.convolution import circular_response, convolve, fast_length

FAST = sorted(2**a * 3**b * 5**c * 7**d for a in range(1, 19) for b in range(5) for c in range(8) for d in range(3))


def test_fast_length_is_the_smallest_even_number_with_few_factors_of_3_and_7():
    for minimum in range(1, 4097):
        assert fast_length(minimum) == next(n for n in FAST if n >= minimum)


def test_long_lengths_are_multiples_of_32_and_not_much_longer():
    long = [n for n in FAST if n % 32 == 0]
    for minimum in range(4097, 400_000, 997):
        assert fast_length(minimum) == next(n for n in long if n >= minimum) < 1.1 * minimum


def test_fast_length_of_the_reference_sizes():
    assert fast_length(116046) == 117600
    assert fast_length(173999) == 179200
    assert fast_length(238090) == 240000


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


@pytest.mark.parametrize(
    ("taps", "before", "n_fft"), [(1, 0, 2), (7, 0, 8), (7, 3, 8), (7, 6, 20), (8, 2, 8), (5, 5, 12)]
)
def test_circular_response_is_the_transform_about_time_zero(taps, before, n_fft):
    h = torch.randn(2, taps, generator=torch.Generator().manual_seed(taps), dtype=torch.float64)
    k = torch.arange(n_fft // 2 + 1, dtype=torch.float64)
    time = torch.arange(taps, dtype=torch.float64) - before
    turns = torch.exp(-2j * math.pi * k[:, None] * time / n_fft)
    expected = (h[:, None, :] * turns).sum(-1)
    torch.testing.assert_close(circular_response(h, before, n_fft), expected, atol=1e-13, rtol=0)


def test_circular_response_of_an_impulse_at_time_zero_has_no_phase():
    h = torch.zeros(31, dtype=torch.float64)
    h[12] = 2.0
    response = circular_response(h, 12, 50)
    torch.testing.assert_close(response, torch.full_like(response, 2.0), atol=0, rtol=0)


def test_circular_response_refuses_to_wrap():
    with pytest.raises(ValueError, match="n_fft: at least the 9 taps are needed, got 8"):
        circular_response(torch.ones(9), 0, 8)
