"""Fits of powers: exact where the answer is known, blind to phase."""

import math

import pytest
import torch

from mixgraph.dsp.power_fit import band_powers, fit_powers


@pytest.mark.parametrize("rate", [8000, 30000])
def test_a_tone_is_in_its_band_and_nothing_is_lost(rate):
    size = 2 * round(0.068 * rate / 2)
    time = torch.arange(10 * size + 7, dtype=torch.float64) / rate
    audio = torch.stack((torch.sin(2 * math.pi * 1000 * time), torch.zeros_like(time)))
    powers, hertz = band_powers(audio, rate)
    assert powers.shape == (2, len(hertz), 11)
    assert (hertz.diff() > 0).all()
    band = int((hertz - 1000).abs().argmin())
    assert (powers[0, band, :10] > 0.99 * powers[0, :, :10].sum(dim=0)).all()
    assert not powers[1].any()
    frames = audio[0, : 10 * size].view(10, size) * torch.hann_window(size, dtype=torch.float64)
    torch.testing.assert_close(powers[0, :, :10].sum(dim=0), torch.fft.rfft(frames).abs().square().sum(dim=-1))


def test_factors_are_found():
    parts = torch.rand(3, 500, generator=torch.Generator().manual_seed(0), dtype=torch.float64).square()
    factors = torch.tensor([0.3, 1.0, 2.5], dtype=torch.float64)
    fitted = fit_powers(parts, factors.square() @ parts)
    torch.testing.assert_close(fitted, factors, rtol=0.02, atol=0)  # the pull to 1


def test_what_is_not_in_the_whole_goes_and_what_is_silent_stays():
    parts = torch.rand(3, 500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    parts[2] = 0
    fitted = fit_powers(parts, 4 * parts[0])
    assert fitted[0] == pytest.approx(2, rel=0.01)
    assert fitted[1] < 0.1
    assert fitted[2] == pytest.approx(1)
    assert fit_powers(parts * 0, parts[0]).tolist() == pytest.approx([1, 1, 1])
    assert fit_powers(parts, parts[0] * 0).isfinite().all()
