"""Windows and zero-phase FIR design."""

import numpy as np
import pytest
import scipy.signal
import torch

from mixgraph.dsp.fir import hann, normalize_energy, zero_phase_fir
from mixgraph.dsp.fourier import circular_response


@pytest.mark.parametrize("length", [1, 3, 39, 2047])
def test_windows_match_scipy(length):
    symmetric = scipy.signal.windows.hann(length + 2, sym=True)[1:-1]
    np.testing.assert_allclose(hann(length).numpy(), symmetric, atol=1e-15)
    if length > 1:  # scipy makes an exception of a single tap
        periodic = scipy.signal.windows.hann(length, sym=False)
        np.testing.assert_allclose(hann(length, periodic=True).numpy(), periodic, atol=1e-15)


def test_symmetric_window_peaks_at_the_centre_and_the_periodic_one_beside_it():
    assert hann(39)[19].item() == 1.0
    # The published values at the centre taps.
    assert hann(39, periodic=True)[19].item() == pytest.approx(0.998379, abs=5e-7)
    assert hann(2047, periodic=True)[1023].item() == pytest.approx(0.9999994, abs=5e-8)


@pytest.mark.parametrize("bins", [1, 2, 20, 1024])
@pytest.mark.parametrize("level", [0.0, -1.3, 2.0])
def test_flat_magnitude_is_a_scaled_impulse(bins, level):
    fir = zero_phase_fir(torch.full((bins,), level, dtype=torch.float64), hann(2 * bins - 1))
    expected = torch.zeros(2 * bins - 1, dtype=torch.float64)
    expected[bins - 1] = np.exp(level)
    torch.testing.assert_close(fir, expected, atol=1e-14, rtol=0)


def test_smooth_magnitudes_are_met():
    bins = 200
    x = torch.arange(bins, dtype=torch.float64) / bins
    log_magnitude = torch.stack((torch.sin(4 * x), 1 - 3 * x * x))
    fir = zero_phase_fir(log_magnitude, hann(2 * bins - 1))
    n_fft = 10 * (2 * bins - 1)  # the design grid is every tenth bin of this one
    response = torch.fft.fft(torch.roll(torch.nn.functional.pad(fir, (0, n_fft - fir.shape[-1])), 1 - bins, dims=-1))
    measured = response[..., : 10 * bins : 10].real.log()
    # The window averages neighbouring bins with 1/4, 1/2, 1/4: an error of a quarter of the second difference, and
    # the kinks at DC and Nyquist, where the mirrored curve has a slope.
    torch.testing.assert_close(measured[:, 2:-2], log_magnitude[:, 2:-2], atol=2e-4, rtol=0)
    torch.testing.assert_close(measured, log_magnitude, atol=1.5e-2, rtol=0)


def test_response_is_real_with_the_symmetric_window_only():
    generator = torch.Generator().manual_seed(0)
    log_magnitude = 0.5 * torch.randn(4, 1024, generator=generator, dtype=torch.float64)
    real = circular_response(zero_phase_fir(log_magnitude, hann(2047)), 1023, 4096)
    scale = real.abs().max()
    assert real.imag.abs().max() < 1e-15 * scale * 10  # a few ulp
    assert real.real.min() > 0
    skewed = circular_response(zero_phase_fir(log_magnitude, hann(2047, periodic=True)), 1023, 4096)
    assert skewed.imag.abs().max() > 1e-4 * scale  # dropping it would cost about 2.6e-4


def test_window_of_another_length_is_refused():
    with pytest.raises(ValueError, match="window: 7 taps are needed for 4 bins, got 8"):
        zero_phase_fir(torch.zeros(4), torch.ones(8))


def test_unit_energy_equals_the_plain_formula():
    x = torch.randn(4, 2, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x *= torch.tensor([1.0, 1e-7, 1e3, 0.0], dtype=torch.float64).view(-1, 1, 1)  # 1e-7: next to the floor's 1e-6
    x.requires_grad_()
    plain = x / torch.sqrt(x.square().sum(dim=-1).mean(dim=-1) + 1e-12).view(-1, 1, 1)
    normalized = normalize_energy(x)
    torch.testing.assert_close(normalized, plain, atol=0, rtol=1e-14)
    direction = torch.randn(4, 2, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gradients = [torch.autograd.grad((y * direction).sum(), x)[0] for y in (normalized, plain)]
    torch.testing.assert_close(*gradients, atol=1e-15, rtol=1e-12)
    assert (normalized[3] == 0).all()
    assert torch.autograd.gradcheck(normalize_energy, (x[[0, 2]].detach().requires_grad_(),))


def test_unit_energy_in_float32():
    x = torch.randn(3, 2, 60000, generator=torch.Generator().manual_seed(0))
    energy = normalize_energy(x).double().square().sum(dim=-1).mean(dim=-1)
    torch.testing.assert_close(energy, torch.ones(3, dtype=torch.float64), atol=5e-7, rtol=0)  # a few ulp
