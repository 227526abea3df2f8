"""The short-FFT spectrum of an even filter equals the full FFT's."""

import pytest
import torch

from mixgraph.dsp.convolution import circular_response
from mixgraph.dsp.even import even_response


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain(half, n_fft):
    """The oracle: the whole filter through one FFT."""
    return circular_response(torch.cat((half[:, 1:].flip(-1), half), dim=-1), half.shape[-1] - 1, n_fft).real


@pytest.mark.parametrize("nodes", [1, 2, 5])
@pytest.mark.parametrize(
    ("taps", "n_fft"),
    # One part, two, an odd and an even number of them, no common factor (2 * 53), one tap, real sizes.
    [(4, 8), (4, 16), (4, 24), (4, 40), (5, 120), (4, 106), (1, 2), (1, 30), (64, 2310), (1024, 16200), (1024, 20000)],
)
def test_equals_the_full_fft(nodes, taps, n_fft):
    half = draw(nodes, taps).requires_grad_()
    found, expected = even_response(half, n_fft), plain(half, n_fft)
    torch.testing.assert_close(found, expected, atol=1e-11, rtol=0)  # sums of 2047 float64 terms
    direction = draw(*expected.shape, seed=1)
    gradients = [torch.autograd.grad((x * direction).sum(), half)[0] for x in (found, expected)]
    torch.testing.assert_close(*gradients, atol=1e-11, rtol=1e-10)


def test_float32_is_as_exact_as_the_full_fft():
    half = draw(3, 1024)
    exact = plain(half, 118800)
    single, full = (function(half.float(), 118800).double() for function in (even_response, plain))
    assert (single - exact).abs().max() < 2 * (full - exact).abs().max()


@pytest.mark.parametrize("n_fft", [15, 14, 12])
def test_length_is_checked(n_fft):
    with pytest.raises(ValueError, match=f"n_fft: even and at least the 15 taps, got {n_fft}"):
        even_response(torch.ones(1, 8), n_fft)
