"""Offsets and polarities from cross-correlation."""

import numpy as np
import pytest
import torch

from mixgraph.songs import estimate_alignment
from mixgraph.songs.clips import cut

RATE = 8000


def _noise(seed: int, length: int = 3 * RATE) -> torch.Tensor:
    return torch.randn(1, length, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("polarity", [1, -1])
@pytest.mark.parametrize("offset", [0, 1, -1, 107, -640, 7000, -8000])
def test_a_shifted_track_under_a_louder_one_is_found(offset, polarity):
    dry, other = _noise(0), 2 * _noise(1)
    mix = (0.5 * dry + other).expand(2, -1)
    late = polarity * cut(dry, -offset, dry.shape[-1])
    alignment = estimate_alignment(late, mix, RATE)
    assert (alignment.offset_samples, alignment.polarity) == (offset, polarity)
    assert alignment.confidence > 0.5
    aligned = alignment.polarity * cut(late, alignment.offset_samples, dry.shape[-1])
    inner = slice(8000, -8000)
    assert torch.equal(aligned[:, inner], dry[:, inner])


def test_a_stereo_track_is_compared_channel_by_channel():
    left, right = _noise(0), _noise(1)
    mix = torch.cat([left, right])
    alignment = estimate_alignment(cut(mix, -33, mix.shape[-1]), mix, RATE)
    assert (alignment.offset_samples, alignment.polarity) == (33, 1)
    assert estimate_alignment(mix.flip(0), mix, RATE).confidence < 0.3


def test_the_blockwise_correlation_equals_the_direct_one():
    # 24,000 samples at a largest lag of 0.05 s take many blocks of the FFT.
    dry, mix = _noise(0), _noise(1).expand(2, -1)
    mix = mix + cut(dry, -250, dry.shape[-1])
    direct = np.correlate(dry[0].numpy(), mix.sum(0).numpy(), mode="full")
    middle = dry.shape[-1] - 1
    best = int(np.abs(direct[middle - 400 : middle + 401]).argmax()) - 400
    alignment = estimate_alignment(dry, mix, RATE, max_lag_seconds=0.05)
    assert alignment.offset_samples == best == -250


def test_offsets_beyond_the_largest_lag_are_not_trusted():
    dry = _noise(0)
    mix = dry.expand(2, -1) + _noise(1)
    alignment = estimate_alignment(cut(dry, -1000, dry.shape[-1]), mix, RATE, max_lag_seconds=0.1)
    assert alignment.confidence < 0.2


def test_among_equal_peaks_the_nearest_to_zero_wins():
    loop = _noise(0, RATE // 2).repeat(1, 8)  # lags of 0.5 s and 1 s match nearly as well as 0
    alignment = estimate_alignment(loop, loop.expand(2, -1), RATE)
    assert (alignment.offset_samples, alignment.polarity) == (0, 1)


@pytest.mark.parametrize("length", [1, 2, 50])
def test_short_songs(length):
    dry = _noise(0, length)
    alignment = estimate_alignment(dry, dry.expand(2, -1), RATE)
    assert (alignment.offset_samples, alignment.polarity) == (0, 1)


def test_silence_has_no_confidence():
    silent = torch.zeros(1, RATE)
    alignment = estimate_alignment(silent, _noise(0, RATE).expand(2, -1), RATE)
    assert (alignment.offset_samples, alignment.polarity, alignment.confidence) == (0, 1, 0.0)


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"track: as many samples as the mix \(20\) expected, got 10"):
        estimate_alignment(torch.ones(1, 10), torch.ones(2, 20), RATE)
    with pytest.raises(ValueError, match="max_lag_seconds: a number above 0 expected, got 0"):
        estimate_alignment(torch.ones(1, 10), torch.ones(2, 10), RATE, max_lag_seconds=0)
