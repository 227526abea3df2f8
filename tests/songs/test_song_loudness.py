"""Integrated loudness and the factor of a song."""

import math

import pytest
import torch
import torchaudio

from mixgraph.songs.loudness import block_energies, integrated_loudness, level_for

RATE = 30000


def _sine(level: float, hertz: float = 997.0, seconds: float = 2.0) -> torch.Tensor:
    return level * torch.sin(2 * math.pi * hertz * torch.arange(round(seconds * RATE)) / RATE)


def test_full_scale_sine_on_one_channel_is_minus_three_lufs():
    audio = torch.stack([_sine(1.0), torch.zeros(2 * RATE)])
    # BS.1770 states -3.01; torchaudio's shelf starts at 1500 Hz instead of 1682 Hz, which lifts 997 Hz slightly.
    assert integrated_loudness(audio, RATE) == pytest.approx(-3.01, abs=0.3)


def test_it_equals_torchaudio_where_torchaudio_does_not_clip():
    noise = 0.01 * torch.randn(2, 3 * RATE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise[:, RATE : 2 * RATE] *= 0.01
    expected = float(torchaudio.functional.loudness(noise, RATE))
    assert integrated_loudness(noise, RATE) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("blocks", [4, 5, 399, 400, 401, 403, 404, 1203])
def test_energies_are_those_of_the_whole_signal_filtered_at_once(blocks):
    """Blocks of 0.1 s around the 400 that are filtered at a time, and some samples that fill none."""
    rate = 4000
    noise = 0.01 * torch.randn(2, blocks * rate // 10 + 7, generator=torch.Generator().manual_seed(blocks))
    weighted = torchaudio.functional.treble_biquad(noise.double(), rate, 4.0, 1500.0, 0.5**0.5)
    weighted = torchaudio.functional.highpass_biquad(weighted, rate, 38.0, 0.5)
    expected = weighted.square().unfold(-1, 1600, 400).mean(-1).sum(0)
    assert torch.allclose(block_energies(noise, rate), expected, rtol=1e-10, atol=0)


def test_a_gain_shifts_it_by_its_decibels_even_past_full_scale():
    noise = 0.1 * torch.randn(2, RATE, generator=torch.Generator().manual_seed(0))
    assert integrated_loudness(100 * noise, RATE) == pytest.approx(integrated_loudness(noise, RATE) + 40, abs=1e-4)


def test_silence_between_is_gated():
    tone = _sine(0.1)
    padded = torch.cat([tone, torch.zeros(8 * RATE)])
    both = [integrated_loudness(audio.expand(2, -1), RATE) for audio in (tone, padded)]
    # Without gating: -7 dB. The few blocks that hold both remain.
    assert both[1] == pytest.approx(both[0], abs=0.5)


def test_the_factor_reaches_the_loudness():
    mix = torch.stack([_sine(0.5), _sine(0.3, 200.0)])
    level = level_for(mix, RATE, -16.0)
    assert level.warning is None
    assert integrated_loudness(mix * level.factor, RATE) == pytest.approx(-16.0, abs=1e-4)


@pytest.mark.parametrize(
    ("mix", "code", "text"),
    [
        (torch.zeros(2, RATE), "silent_mix", "the mix is silent"),
        (torch.full((2, RATE), 1e-6), "silent_mix", "the mix is silent"),
        (torch.ones(2, RATE // 10), "short_mix", "shorter than 0.4 s"),
    ],
)
def test_without_a_loudness_the_level_is_left(mix, code, text):
    level = level_for(mix, RATE, -16.0)
    assert level.factor == 1.0
    assert level.warning.code == code
    assert text in level.warning.text


def test_too_short_to_measure():
    with pytest.raises(ValueError, match=r"at least 12000 samples \(0.4 s\) expected, got 5"):
        integrated_loudness(torch.ones(2, 5), RATE)


@pytest.mark.parametrize("rate", [1000, 2000, 3000, 4000])
def test_low_rates_have_no_shelf_to_blow_up(rate):
    noise = 0.1 * torch.randn(2, 3 * rate, generator=torch.Generator().manual_seed(0))
    # Channels add: twice 0.01. The high-pass takes what is near 38 Hz, the shelf gives up to 4 dB.
    flat = -0.691 + 10 * math.log10(0.02)
    assert flat - 1.5 < integrated_loudness(noise, rate) < flat + 4
