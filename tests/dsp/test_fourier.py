"""FFT lengths, real transforms against the stock ones, and spectra of filters against full FFTs."""

import doctest
import math

import pytest
import torch

import mixgraph.dsp.fourier
from mixgraph.dsp.fourier import (
    circular_response,
    even_response,
    fast_length,
    inverse_fft,
    nearest_fast_length,
    power_of_two_length,
    real_fft,
    row_chunks,
)

FAST = sorted(2**a * 3**b * 5**c * 7**d for a in range(1, 19) for b in range(5) for c in range(8) for d in range(3))


def test_fast_length_is_the_smallest_even_number_with_few_factors_of_3_and_7():
    for minimum in range(1, 4097):
        assert fast_length(minimum) == next(n for n in FAST if n >= minimum)


def test_long_lengths_are_multiples_of_32_and_not_much_longer():
    long = [n for n in FAST if n % 32 == 0]
    for minimum in range(4097, 400_000, 997):
        assert fast_length(minimum) == next(n for n in long if n >= minimum) < 1.1 * minimum


def test_fast_length_of_published_sizes():
    assert fast_length(116046) == 117600
    assert fast_length(173999) == 179200
    assert fast_length(238090) == 240000


@pytest.mark.parametrize("multiple_of", [2, 4, 8])
def test_nearest_fast_length_is_the_nearest(multiple_of: int) -> None:
    fast = [2**a * 3**b * 5**c * 7**d for a in range(13) for b in range(8) for c in range(6) for d in range(5)]
    fast = [n for n in fast if n % multiple_of == 0]
    for size in (*range(1, 300), 752.64, 819.2, 1638.4, 6021.12):
        length = nearest_fast_length(size, multiple_of)
        assert length in fast
        assert abs(length - size) == min(abs(n - size) for n in fast)


def test_the_examples_in_the_docstrings_run() -> None:
    assert doctest.testmod(mixgraph.dsp.fourier) == (0, 1)


def test_an_odd_or_slow_multiple_is_refused() -> None:
    for multiple_of in (22, 3, 0):
        with pytest.raises(ValueError, match=f"multiple_of must be even.*got {multiple_of}"):
            nearest_fast_length(100, multiple_of)


def test_power_of_two_length_is_the_lowest_that_is_enough() -> None:
    assert [power_of_two_length(n) for n in (1, 2, 3, 4, 5, 1024, 1025)] == [2, 2, 4, 4, 8, 1024, 2048]


def test_a_few_rows_at_a_time_on_a_cpu_and_all_at_once_elsewhere():
    rows, others = torch.arange(5), torch.arange(10).view(5, 2)
    chunks = [(a.tolist(), b.tolist()) for a, b in row_chunks(2, rows, others)]
    assert chunks == [([0, 1], [[0, 1], [2, 3]]), ([2, 3], [[4, 5], [6, 7]]), ([4], [[8, 9]])]
    assert [chunk.shape for (chunk,) in row_chunks(2, torch.empty(5, 3, device="meta"))] == [(5, 3)]


@pytest.mark.parametrize(("samples", "n_fft"), [(1, 2), (5, 8), (8, 8), (7, 12), (100, 240)])
def test_value_and_gradient_equal_the_stock_fft(samples: int, n_fft: int) -> None:
    signal = torch.randn(3, 2, samples, dtype=torch.float64, requires_grad=True)
    functional = torch.randn(3, 2, n_fft // 2 + 1, dtype=torch.complex128)
    spectrum, stock = real_fft(signal, n_fft), torch.fft.rfft(signal, n=n_fft)
    assert torch.equal(spectrum, stock)
    gradients = [torch.autograd.grad((x * functional).real.sum(), signal)[0] for x in (spectrum, stock)]
    assert torch.allclose(*gradients, rtol=0, atol=1e-12)  # float64 rounding of sums of 240 terms
    assert torch.autograd.gradcheck(lambda s: torch.view_as_real(real_fft(s, n_fft)), signal)


def test_lengths_are_checked() -> None:
    for n_fft in (7, 4):
        with pytest.raises(ValueError, match=f"n_fft: even and at least 6, got {n_fft}"):
            real_fft(torch.ones(6), n_fft)


def test_float32_gradient_is_as_exact_as_the_stock_one() -> None:
    signal = torch.randn(2, 60001, generator=torch.Generator().manual_seed(0))
    functional = torch.randn(2, 120001, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))
    arriving = functional.conj().to(torch.complex128)
    ends = arriving[:, [0, -1]].real
    exact = torch.fft.irfft(arriving, n=240000, norm="forward")[:, :60001]
    exact = (exact + ends[:, :1] + ends[:, 1:] * (-1.0) ** torch.arange(60001)) / 2
    signal.requires_grad_()
    errors = []
    for transform in (real_fft, torch.fft.rfft):
        (gradient,) = torch.autograd.grad((transform(signal, 240000) * functional).real.sum(), signal)
        errors.append((gradient - exact).abs().max().item())
    assert errors[0] < 2 * errors[1]
    assert errors[1] < 1e-5 * exact.abs().max().item()


@pytest.mark.parametrize(("samples", "n_fft", "offset"), [(5, 12, 3), (6, 12, 4), (1, 8, 7), (7, 240, 100)])
def test_a_signal_may_start_anywhere_in_the_circle(samples: int, n_fft: int, offset: int) -> None:
    signal = torch.randn(3, samples, dtype=torch.float64, requires_grad=True)
    padded = torch.nn.functional.pad(signal, (offset, 0))
    spectrum, stock = real_fft(signal, n_fft, offset), torch.fft.rfft(padded, n=n_fft)
    functional = torch.randn_like(stock)
    assert torch.allclose(spectrum, stock, rtol=0, atol=1e-13)
    gradients = [torch.autograd.grad((x * functional).real.sum(), signal)[0] for x in (spectrum, stock)]
    assert torch.allclose(*gradients, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match=f"n_fft: even and at least {samples + n_fft}"):
        real_fft(signal, n_fft, n_fft)


@pytest.mark.parametrize(("first", "samples"), [(0, 12), (0, 5), (3, 4), (-2, 7), (-4, 4), (-5, 2), (-3, 12), (12, 0)])
def test_samples_of_the_circle_and_their_gradient(first: int, samples: int) -> None:
    spectrum = torch.fft.rfft(torch.randn(2, 12, dtype=torch.float64)).requires_grad_()
    stretch = inverse_fft(spectrum, 12, first, samples)
    stock = torch.roll(torch.fft.irfft(spectrum, n=12), -first, dims=-1)[..., :samples]
    assert torch.equal(stretch, stock)
    functional = torch.randn_like(stock)
    gradients = [torch.autograd.grad((x * functional).sum(), spectrum)[0] for x in (stretch, stock)]
    assert torch.allclose(*gradients, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("first", "samples"), [(-13, 2), (5, 8), (0, 13)])
def test_samples_that_are_not_there_are_refused(first: int, samples: int) -> None:
    with pytest.raises(ValueError, match="a stretch of the circle of 12 is needed"):
        inverse_fft(torch.zeros(7, dtype=torch.complex64), 12, first, samples)


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


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whole_response(half, n_fft):
    """The oracle: the whole filter through one FFT."""
    return circular_response(torch.cat((half[:, 1:].flip(-1), half), dim=-1), half.shape[-1] - 1, n_fft).real


@pytest.mark.parametrize("nodes", [1, 2, 5])
@pytest.mark.parametrize(
    ("taps", "n_fft"),
    # One part, two, an odd and an even number of them, no common factor (2 * 53), one tap, real sizes.
    [(4, 8), (4, 16), (4, 24), (4, 40), (5, 120), (4, 106), (1, 2), (1, 30), (64, 2310), (1024, 16200), (1024, 20000)],
)
def test_even_response_equals_the_full_fft(nodes, taps, n_fft):
    half = noise(nodes, taps).requires_grad_()
    response, expected = even_response(half, n_fft), whole_response(half, n_fft)
    torch.testing.assert_close(response, expected, atol=1e-11, rtol=0)  # sums of 2047 float64 terms
    direction = noise(*expected.shape, seed=1)
    gradients = [torch.autograd.grad((x * direction).sum(), half)[0] for x in (response, expected)]
    torch.testing.assert_close(*gradients, atol=1e-11, rtol=1e-10)


def test_even_response_in_float32_is_as_exact_as_the_full_fft():
    half = noise(3, 1024)
    exact = whole_response(half, 118800)
    single, full = (function(half.float(), 118800).double() for function in (even_response, whole_response))
    assert (single - exact).abs().max() < 2 * (full - exact).abs().max()


@pytest.mark.parametrize("n_fft", [15, 14, 12])
def test_even_response_checks_the_length(n_fft):
    with pytest.raises(ValueError, match=f"n_fft: even and at least the 15 taps, got {n_fft}"):
        even_response(torch.ones(1, 8), n_fft)
