"""Features: known gains, spectra, dynamics and delays are seen where they are."""

import math

import pytest
import torch

from mixgraph.estimators.coding import POSITION_BINS
from mixgraph.estimators.features import NUM_BANDS, NUM_CUES, NUM_LAGS, FeatureExtractor, _statistics
from mixgraph.processors import make_processors

RATE = 16000
LENGTH = 3 * RATE
LEFT, RIGHT, WIDTH = (slice(i * NUM_BANDS, (i + 1) * NUM_BANDS) for i in range(3))
BY_LEVEL = slice(5 * NUM_BANDS, 5 * NUM_BANDS + 10)
OVERALL = slice(5 * NUM_BANDS + 20, 5 * NUM_BANDS + 23)
SPREAD, BALANCE, SIDE, SLOPE = (5 * NUM_BANDS + i for i in (25, 26, 27, 29))


@pytest.fixture(scope="module")
def extract() -> FeatureExtractor:
    return FeatureExtractor(RATE)


@pytest.fixture
def tracks() -> torch.Tensor:
    """Three stereo noises."""
    return 0.1 * torch.randn(3, 2, LENGTH, generator=torch.Generator().manual_seed(0))


GROUPS = [[0, 1], [2]]


def test_shapes_and_order(extract, tracks) -> None:
    features = extract(tracks, tracks.sum(dim=0), GROUPS)
    assert features.mels.shape[:3] == (6, 2, 40)
    assert features.mix_mels.shape == (1, *features.mels.shape[1:])
    assert features.cues.shape == (6, NUM_CUES)
    assert features.lags.shape == (6, 2, NUM_LAGS)
    assert torch.equal(features.mels[4], features.mels[2])  # the subgroup of one track
    assert torch.allclose(features.mels[5], features.mix_mels[0], atol=1e-4)  # the dry sum is the mix


def test_gains_of_each_channel_are_found(extract, tracks) -> None:
    gains = torch.tensor([[0.5, 0.5], [2.0, 1.0], [0.25, 1.5]])
    cues = extract(tracks, (tracks * gains.unsqueeze(-1)).sum(dim=0), GROUPS).cues[:3]
    # 0.1 dB: the ridge draws a gain towards 1 by 1e-4 of the mix's energy over the track's.
    assert torch.allclose(10 * cues[:, OVERALL][:, :2], 20 * torch.log10(gains), atol=0.1)
    assert torch.allclose(10 * cues[:, BALANCE], 20 * torch.log10(gains[:, 0] / gains[:, 1]).abs(), atol=0.2)
    assert torch.allclose(10 * cues[:, LEFT], (20 * torch.log10(gains[:, :1])).expand(-1, NUM_BANDS), atol=0.5)


def test_an_equalizer_and_an_imager_show_in_their_bands(extract, tracks) -> None:
    processors = make_processors(RATE)
    hertz = torch.linspace(0, RATE / 2, processors["equalizer"].num_bins)
    shelf = torch.where(hertz > 1000, 0.7, -0.7).unsqueeze(0)
    bright = processors["equalizer"](tracks[:1], {"log_magnitude": shelf})[0]
    wide = processors["stereo_imager"](tracks[1:2], {"log_gain": torch.tensor([[0.9]])})[0]
    cues = extract(tracks, bright + wide + tracks[2], GROUPS).cues
    db = 10 * cues[0, LEFT]
    assert torch.allclose(db[:8], torch.tensor(-6.08), atol=0.5)  # up to 240 Hz; 0.7 neper
    assert torch.allclose(db[-6:], torch.tensor(6.08), atol=0.5)
    assert torch.allclose(10 * cues[1, OVERALL], torch.tensor([0.0, 0.0, 7.8]), atol=2.2)  # side alone is louder
    assert float(10 * cues[1, WIDTH].mean()) == pytest.approx(7.82, abs=0.3)
    assert cues[0, SPREAD] > 0.2  # 2 dB; most of a noise's energy is above the step
    assert float(cues[1, SIDE]) == pytest.approx(0.78, abs=0.05)
    assert cues[2, [SPREAD, BALANCE, SIDE]].abs().max() < 0.02


def test_a_gate_shows_as_less_gain_where_the_track_is_quiet(extract) -> None:
    generator = torch.Generator().manual_seed(1)
    level_db = torch.tensor([-20.0, -44.0]).repeat_interleave(RATE // 2).repeat(3)[:LENGTH]
    track = torch.randn(1, 2, LENGTH, generator=generator) * 10 ** (level_db / 20)
    other = 0.001 * torch.randn(1, 2, LENGTH, generator=generator)
    gated = track * torch.where(level_db < -30, 0.25, 1.0)
    gains = 10 * extract(torch.cat((track, other)), (gated + other)[0], [[0, 1]]).cues[0, BY_LEVEL]
    assert float(gains[6]) == pytest.approx(0, abs=0.5)  # -24 to -18 dB
    assert float(gains[2]) < -6  # -48 to -42 dB; 12 dB but for the ridge
    assert float(gains[8]) == 0  # no frame is as loud
    assert extract(torch.cat((track, other)), (gated + other)[0], [[0, 1]]).cues[0, SLOPE] > 0.2  # more gain if louder


@pytest.mark.parametrize("seconds", [0.13, 0.85, 1.99])
def test_an_echo_shows_at_its_delay(extract, tracks, seconds) -> None:
    delay = round(seconds * RATE)
    echo = torch.nn.functional.pad(tracks[1], (delay, 0))[:, :LENGTH]
    echo[1] = 0  # in the left channel only
    lags = extract(tracks, tracks.sum(dim=0) + 0.5 * echo, GROUPS).lags
    place = math.floor(seconds * 10 * POSITION_BINS)
    assert int(lags[1, 0].argmax()) == place
    assert lags[1, 0, place] > lags[[0, 2], 0].max() + 0.5
    assert lags[1, 1, place] < lags[1, 0, place] - 1


def test_order_of_tracks_is_order_of_rows(extract, tracks) -> None:
    mix = (tracks * torch.tensor([0.5, 1.0, 2.0]).view(3, 1, 1)).sum(dim=0)
    features = extract(tracks, mix, GROUPS)
    turned = extract(tracks[[2, 1, 0]], mix, [[0], [2, 1]])
    order = [2, 1, 0, 4, 3, 5]
    for name in ("mels", "cues", "lags"):
        # Sums in another order; lags divide by small values.
        assert torch.allclose(getattr(turned, name), getattr(features, name)[order], atol=2e-3), name


def test_levels_are_in_tens_of_decibels() -> None:
    t = torch.arange(RATE) / RATE
    tone = 0.1 * math.sqrt(2) * torch.sin(2 * torch.pi * 1000 * t).expand(2, -1)
    mean, peak, crest, width, *_ = (10 * _statistics(tone, RATE // 25)).tolist()
    assert mean == pytest.approx(-20, abs=0.01)
    assert peak == pytest.approx(-16.99, abs=0.01)
    assert crest == pytest.approx(3.01, abs=0.01)
    assert width == pytest.approx(-40, abs=0.01)  # mono; cut at -40 dB


def test_silence_is_finite(extract, tracks) -> None:
    tracks[1] = 0
    for mix in (tracks.sum(dim=0), torch.zeros(2, LENGTH)):
        features = extract(tracks, mix, GROUPS)
        for name in ("mels", "mix_mels", "cues", "lags"):
            assert getattr(features, name).isfinite().all(), name
        # Nothing to explain the mix with: gains stay at 1, for the silent track.
        assert torch.allclose(features.cues[1, LEFT], torch.zeros(NUM_BANDS), atol=1e-3)
