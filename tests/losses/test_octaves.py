"""Levels by octave: tones in their octave, and a distance that weighs all octaves alike."""

import math

import pytest
import torch

from mixgraph.dsp.octaves import octave_bins, octave_middles, octave_names
from mixgraph.losses.octaves import octave_distance

RATE = 30000
DB = math.log(10) / 20  # in natural logarithms of amplitudes


def tones(gains_db: dict[float, float], seconds: float = 2.0) -> torch.Tensor:
    time = torch.arange(round(seconds * RATE), dtype=torch.float64) / RATE
    tone = sum(0.1 * 10 ** (db / 20) * torch.sin(2 * math.pi * hz * time) for hz, db in gains_db.items())
    return torch.stack([tone, tone])[None].float()


@pytest.mark.parametrize("sample_rate", [8000, 30000, 44100])
def test_bins_of_octaves_follow_one_another(sample_rate: int) -> None:
    n_fft = 32768
    bins = octave_bins(n_fft, sample_rate)
    for of, hz in zip(bins, octave_middles(sample_rate), strict=True):
        step = sample_rate / n_fft
        assert (of.start - 1) * step < hz / 2**0.5 <= of.start * step
        assert (of.stop - 1) * step < hz * 2**0.5 <= of.stop * step
    assert len(bins) == len(octave_names(sample_rate))


def test_each_octave_counts_the_same() -> None:
    middles = octave_middles(RATE)
    target = tones(dict.fromkeys(middles, 0.0))
    assert octave_distance(target, target, RATE).tolist() == [0.0]
    for hz in (31.5, 1000.0):
        louder = tones(dict.fromkeys(middles, 0.0) | {hz: 3.0})
        assert float(octave_distance(louder, target, RATE)) == pytest.approx(3 * DB / len(middles), rel=0.02)
    assert float(octave_distance(2 * target, target, RATE)) == pytest.approx(math.log(2), rel=1e-3)


def test_octaves_with_next_to_nothing_do_not_count() -> None:
    target = tones({1000.0: 0.0, 63.0: -70.0})
    without = tones({1000.0: 0.0})
    assert float(octave_distance(without, target, RATE)) < 0.001
    silence = torch.zeros_like(target)
    assert octave_distance(silence, silence, RATE).tolist() == [0.0]
    assert torch.isfinite(octave_distance(silence, target, RATE)).all()


def test_the_gradient_moves_the_octave_that_is_off() -> None:
    gains = torch.zeros(2, requires_grad=True)
    low, high = tones({31.5: 0.0}), tones({1000.0: 0.0})
    prediction = low * gains[0].exp() + high * gains[1].exp()
    octave_distance(prediction, low * 0.5 + high, RATE).sum().backward()
    assert float(gains.grad[0]) == pytest.approx(1 / len(octave_middles(RATE)), rel=0.02)
    assert abs(float(gains.grad[1])) < 0.02 * float(gains.grad[0])
