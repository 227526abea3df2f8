"""A-weighting against the published figures and conv1d; mel filters against librosa."""

import warnings

import librosa
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mixgraph.dsp.filterbank import (
    a_weighting_taps,
    filterbank_blocks,
    filterbank_product,
    mel_filterbank,
    zero_phase_filter,
    zero_phase_response,
)


def test_a_weighting_taps_are_the_reference_ones() -> None:
    taps = a_weighting_taps(30000)
    centre = [0.646811, 0.253524, -0.0885269, -0.0405312, -0.0407555, -0.0357829]
    centre += [-0.0320354, -0.0286495, -0.0256746, -0.0230404, -0.0207151]
    assert taps.shape == (101,)
    assert taps.dtype == torch.float32
    assert torch.equal(taps, taps.flip(0))
    # Half of the last printed digit of each.
    for tap, expected, digit in zip(taps[50:61].tolist(), centre, [1e-6] * 2 + [1e-7] * 9, strict=True):
        assert tap == pytest.approx(expected, abs=0.51 * digit)
    assert taps[-1].item() == pytest.approx(-0.00115777, abs=0.51e-8)
    assert taps.double().sum().item() == pytest.approx(0.0499959, abs=0.51e-7)


@pytest.mark.parametrize(
    ("frequency_hz", "level_db"),
    [
        *[(20, -25.6), (50, -23.8), (100, -19.5), (200, -12.0), (500, -3.0), (1000, 0.08), (2000, 1.18)],
        *[(4000, 0.89), (6000, -0.50), (8000, -2.9), (10000, -7.1), (12000, -14.7), (14000, -32.9), (14900, -67.3)],
    ],
)
def test_a_weighting_magnitude_is_the_reference_one(frequency_hz: int, level_db: float) -> None:
    taps = a_weighting_taps(30000).double()
    phase = 2 * np.pi * frequency_hz / 30000 * torch.arange(-50, 51, dtype=torch.float64)
    magnitude = (taps * phase.cos()).sum().abs().item()
    digit = 0.01 if abs(level_db) < 2 else 0.1
    assert 20 * np.log10(magnitude) == pytest.approx(level_db, abs=0.51 * digit)


def test_a_weighting_leaves_the_callers_seed_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    a_weighting_taps(30000)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize("length", [1, 49, 1948, 1949, 5000])  # 1948 = 2048 - 100 fills one block exactly
def test_zero_phase_filter_is_a_padded_convolution(length: int) -> None:
    torch.manual_seed(0)
    taps = a_weighting_taps(30000).double()
    audio = torch.randn(2, 3, length, dtype=torch.float64, requires_grad=True)
    expected = F.conv1d(audio.reshape(-1, 1, length), taps[None, None], padding=50).reshape(audio.shape)
    filtered = zero_phase_filter(audio, zero_phase_response(taps), 101)
    cotangent = torch.randn_like(expected)
    (expected_gradient,) = torch.autograd.grad(expected, audio, cotangent)
    (gradient,) = torch.autograd.grad(filtered, audio, cotangent)
    # float64 rounding of an FFT of 2048
    torch.testing.assert_close(filtered, expected, atol=1e-13, rtol=0)
    torch.testing.assert_close(gradient, expected_gradient, atol=1e-13, rtol=0)


def test_zero_phase_filter_gradients() -> None:
    torch.manual_seed(0)
    taps = torch.tensor([0.2, -0.5, 1.0, -0.5, 0.2], dtype=torch.float64)
    response = zero_phase_response(taps, block_size=8)
    audio = torch.randn(2, 11, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: zero_phase_filter(x, response, 5), audio)
    assert torch.autograd.gradgradcheck(lambda x: zero_phase_filter(x, response, 5).square(), audio)


@pytest.mark.parametrize(
    ("sample_rate", "fft_size"),
    [(30000, 512), (30000, 1024), (30000, 4096), (48000, 800), (16000, 280)],
)
def test_mel_filterbank_is_librosas(sample_rate: int, fft_size: int) -> None:
    expected = librosa.filters.mel(sr=sample_rate, n_fft=fft_size, n_mels=96).T
    filters = mel_filterbank(sample_rate, fft_size, 96).numpy()
    assert filters.shape == expected.shape  # no band is empty
    # torchaudio places the band edges in float32: 4e-6 of the largest weight.
    np.testing.assert_allclose(filters, expected, rtol=0, atol=5e-6 * expected.max())


def test_row_sums_are_the_reference_ones() -> None:
    for fft_size, row_sum, first in ((512, 0.0170, 0.0116), (1024, 0.0341, 0.0325), (4096, 0.1366, 0.1365)):
        sums = mel_filterbank(30000, fft_size, 96).sum(0)
        assert sums.median().item() == pytest.approx(row_sum, abs=1e-4)  # the bands differ by as much
        assert sums[0].item() == pytest.approx(first, abs=0.51e-4)


def test_empty_bands_are_dropped() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # librosa warns of what is tested here
        expected = librosa.filters.mel(sr=30000, n_fft=512, n_mels=128)
    filled = expected.max(1) > 0
    assert filled.sum() == 126
    filters = mel_filterbank(30000, 512, 128).numpy().T
    np.testing.assert_allclose(filters, expected[filled], rtol=0, atol=5e-6 * expected.max())


def test_errors_name_the_argument() -> None:
    with pytest.raises(ValueError, match="num_taps must be odd"):
        a_weighting_taps(30000, 100)
    with pytest.raises(ValueError, match="taps must be odd in number and symmetric"):
        zero_phase_response(torch.tensor([1.0, 2.0, 3.0]))
    with pytest.raises(ValueError, match="block_size must be even and larger"):
        zero_phase_response(torch.ones(5), block_size=5)
    with pytest.raises(ValueError, match="fft_size must be even"):
        mel_filterbank(30000, 511, 96)
    with pytest.raises(ValueError, match="num_mels must be positive"):
        mel_filterbank(30000, 512, 0)


@pytest.mark.parametrize(("fft_size", "num_mels"), [(512, 96), (4096, 96), (1024, 7)])
def test_blocks_give_the_whole_product_and_its_gradient(fft_size: int, num_mels: int) -> None:
    filters = mel_filterbank(30000, fft_size, num_mels).double()
    blocks = filterbank_blocks(filters)
    sizes = [(bins.stop - bins.start) * (bands.stop - bands.start) for bins, bands in blocks]
    assert num_mels < 32 or sum(sizes) < filters.numel() / 4
    magnitude = torch.rand(2, 3, 5, filters.shape[0], dtype=torch.float64, requires_grad=True)
    by_blocks, whole = filterbank_product(magnitude, filters, blocks), magnitude @ filters
    assert torch.allclose(by_blocks, whole, rtol=1e-13, atol=0)
    direction = torch.randn_like(whole)
    gradients = [torch.autograd.grad((x * direction).sum(), magnitude)[0] for x in (by_blocks, whole)]
    assert torch.allclose(*gradients, rtol=0, atol=1e-14)
