"""Resampling between any two rates."""

import math
import resource

import pytest
import torch
import torchaudio

from mixgraph.dsp.resample import BETA, CROSSINGS, ROLLOFF, _interpolated
from mixgraph.songs import resample

ODD_RATES = (44099, 8363, 44056, 47999, 1000001)  # few or no factors in common with 30000


@pytest.mark.parametrize(("from_rate", "to_rate"), [(44100, 30000), (48000, 30000), (30000, 48000), (22050, 30000)])
def test_resampled_sine_has_its_analytic_values(from_rate, to_rate):
    def sine(rate: int) -> torch.Tensor:
        seconds = torch.arange(rate // 2, dtype=torch.float64) / rate
        return torch.sin(2 * math.pi * 1234.5 * seconds + 0.3).float()

    resampled, expected = resample(sine(from_rate), from_rate, to_rate), sine(to_rate)
    assert resampled.shape == (math.ceil(from_rate // 2 * to_rate / from_rate),)
    inner = slice(to_rate // 50, -to_rate // 50)  # the filter reaches past both ends
    assert (resampled[: expected.numel()] - expected)[inner].abs().max() < 5e-6


def test_resampling_removes_what_the_new_rate_cannot_hold():
    tone = torch.sin(2 * math.pi * 17000 * torch.arange(22050, dtype=torch.float64) / 44100).float()
    assert resample(tone, 44100, 30000)[500:-500].abs().max() < 1e-6


@pytest.mark.parametrize("rate", ODD_RATES)
def test_any_rate_gives_the_analytic_values_of_tones_below_12_khz(rate):
    """-100 dB of full scale; a rate with kernels of its own for every position would ask for gigabytes."""
    tones = [tone for tone in (50.3, 997.1, 3001.7, 11987.9) if tone < 0.45 * rate]

    def signal(sample_rate: int) -> torch.Tensor:
        seconds = torch.arange(sample_rate // 5, dtype=torch.float64) / sample_rate
        channels = [sum(torch.sin(2 * math.pi * tone * seconds + tone + shift) for tone in tones) for shift in (0, 1)]
        return torch.stack(channels) / len(tones)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    resampled = resample(signal(rate).float(), rate, 30000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kilobytes
    assert resampled.shape == (2, math.ceil(rate // 5 * 30000 / rate))
    inner = slice(600, 5400)
    assert (resampled[:, inner] - signal(30000)[:, inner]).abs().max() < 1e-5


@pytest.mark.parametrize(("from_rate", "to_rate"), [(44099, 30000), (8363, 30000), (1000001, 30000), (30000, 29989)])
def test_any_rate_gives_the_windowed_sinc_evaluated_one_by_one(from_rate, to_rate):
    """White noise that starts and ends abruptly, in float64 and at the ends as well."""
    noise = torch.randn(from_rate // 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    if from_rate > 4 * to_rate:  # above the pass band only what two filters in a row let through would differ
        spectrum = torch.fft.rfft(noise)
        spectrum[torch.fft.rfftfreq(len(noise), 1 / from_rate) > 12000] = 0
        noise = torch.fft.irfft(spectrum, len(noise))
    resampled = resample(noise, from_rate, to_rate)
    cutoff = min(from_rate, to_rate) * ROLLOFF / from_rate
    for j in (0, 1, 2, 700, 701, len(resampled) - 2, len(resampled) - 1):
        distance = (torch.arange(len(noise), dtype=torch.float64) - j * from_rate / to_rate) * cutoff
        window = torch.special.i0(BETA * (1 - (distance / CROSSINGS) ** 2).clamp_min(0).sqrt())
        kernel = torch.sinc(distance) * window * (distance.abs() <= CROSSINGS) * cutoff
        kernel = kernel / torch.special.i0(torch.tensor(BETA, dtype=torch.float64))
        assert float(resampled[j]) == pytest.approx(float(kernel @ noise), abs=5e-6)


def test_both_ways_agree_and_ordinary_rates_keep_torchaudio_s_samples():
    noise = torch.randn(2, 5000, generator=torch.Generator().manual_seed(1))
    transform = torchaudio.transforms.Resample(
        44100, 30000, "sinc_interp_kaiser", lowpass_filter_width=CROSSINGS, rolloff=ROLLOFF, beta=BETA
    )
    expected = transform(noise)
    assert torch.equal(resample(noise, 44100, 30000), expected)
    exact = resample(noise.double(), 44100, 30000)
    assert (_interpolated(noise.double(), 44100, 30000, exact.shape[-1]) - exact).abs().max() < 2e-7


def test_odd_rates_take_any_shape_and_any_length():
    noise = torch.randn(2, 3, 40, generator=torch.Generator().manual_seed(2))
    together = resample(noise, 8363, 30000)
    assert together.shape == (2, 3, math.ceil(40 * 30000 / 8363))
    assert torch.allclose(together[1, 2], resample(noise[1, 2], 8363, 30000), atol=1e-6)
    assert resample(noise[0, 0, :1], 44099, 30000).shape == (1,)
    assert resample(noise[0, 0, :0], 44099, 30000).shape == (0,)
