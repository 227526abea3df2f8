"""The real FFT with a real backward pass equals the stock one."""

import pytest
import torch

from mixgraph.dsp.transforms import inverse_fft, real_fft


@pytest.mark.parametrize(("samples", "n_fft"), [(1, 2), (5, 8), (8, 8), (7, 12), (100, 240)])
def test_value_and_gradient_equal_the_stock_fft(samples: int, n_fft: int) -> None:
    signal = torch.randn(3, 2, samples, dtype=torch.float64, requires_grad=True)
    functional = torch.randn(3, 2, n_fft // 2 + 1, dtype=torch.complex128)
    found, stock = real_fft(signal, n_fft), torch.fft.rfft(signal, n=n_fft)
    assert torch.equal(found, stock)
    gradients = [torch.autograd.grad((x * functional).real.sum(), signal)[0] for x in (found, stock)]
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
        (found,) = torch.autograd.grad((transform(signal, 240000) * functional).real.sum(), signal)
        errors.append((found - exact).abs().max().item())
    assert errors[0] < 2 * errors[1]
    assert errors[1] < 1e-5 * exact.abs().max().item()


@pytest.mark.parametrize(("samples", "n_fft", "offset"), [(5, 12, 3), (6, 12, 4), (1, 8, 7), (7, 240, 100)])
def test_a_signal_may_start_anywhere_in_the_circle(samples: int, n_fft: int, offset: int) -> None:
    signal = torch.randn(3, samples, dtype=torch.float64, requires_grad=True)
    padded = torch.nn.functional.pad(signal, (offset, 0))
    found, stock = real_fft(signal, n_fft, offset), torch.fft.rfft(padded, n=n_fft)
    functional = torch.randn_like(stock)
    assert torch.allclose(found, stock, rtol=0, atol=1e-13)
    gradients = [torch.autograd.grad((x * functional).real.sum(), signal)[0] for x in (found, stock)]
    assert torch.allclose(*gradients, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match=f"n_fft: even and at least {samples + n_fft}"):
        real_fft(signal, n_fft, n_fft)


@pytest.mark.parametrize(("first", "samples"), [(0, 12), (0, 5), (3, 4), (-2, 7), (-4, 4), (-5, 2), (-3, 12), (12, 0)])
def test_samples_of_the_circle_and_their_gradient(first: int, samples: int) -> None:
    spectrum = torch.fft.rfft(torch.randn(2, 12, dtype=torch.float64)).requires_grad_()
    found = inverse_fft(spectrum, 12, first, samples)
    stock = torch.roll(torch.fft.irfft(spectrum, n=12), -first, dims=-1)[..., :samples]
    assert torch.equal(found, stock)
    functional = torch.randn_like(stock)
    gradients = [torch.autograd.grad((x * functional).sum(), spectrum)[0] for x in (found, stock)]
    assert torch.allclose(*gradients, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("first", "samples"), [(-13, 2), (5, 8), (0, 13)])
def test_samples_that_are_not_there_are_refused(first: int, samples: int) -> None:
    with pytest.raises(ValueError, match="a stretch of the circle of 12 is needed"):
        inverse_fft(torch.zeros(7, dtype=torch.complex64), 12, first, samples)
