"""The real FFT with a real backward pass equals the stock one."""

import pytest
import torch

from mixgraph.dsp.transforms import real_fft


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
