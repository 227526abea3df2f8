"""Bells and shelves: the filters of the cookbook, and their fit to curves."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import torch

from mixgraph.processors.parametric_equalizer import ParametricEqualizer
from mixgraph.report.bands import Band, bands_db, coefficients, fit_bands, fit_hertz

SIX = (
    *(Band("low shelf", 120, -9, 0.7), Band("bell", 250, 3, 1.5), Band("bell", 900, -4, 0.8)),
    *(Band("bell", 2500, 5, 3), Band("bell", 6000, -3, 2), Band("high shelf", 10000, 5, 0.8)),
)
FOUR = (
    *(Band("low shelf", 90, 4, 0.7), Band("bell", 400, -5, 1.2)),
    *(Band("bell", 3000, 3, 2), Band("high shelf", 8000, -3, 0.7)),
)


@pytest.mark.parametrize("sample_rate", [44100, 48000])
@pytest.mark.parametrize("band", SIX)
def test_a_band_has_its_gain_where_it_says(band, sample_rate) -> None:
    numerator, denominator = coefficients(band, sample_rate)
    hertz = [1e-3, band.hertz, sample_rate / 2 - 1e-3]
    levels = 20 * np.log10(np.abs(scipy.signal.freqz(numerator, denominator, hertz, fs=sample_rate)[1]))
    half = band.gain_db / 2
    expected = {"low shelf": [2 * half, half, 0], "bell": [0, 2 * half, 0], "high shelf": [0, half, 2 * half]}
    assert levels == pytest.approx(expected[band.kind], abs=1e-3)
    assert np.abs(np.roots(denominator)).max() < 1
    between = np.geomspace(20, 0.49 * sample_rate, 50)
    reference = scipy.signal.freqz(numerator, denominator, between, fs=sample_rate)[1]
    assert bands_db([band], between, sample_rate) == pytest.approx(20 * np.log10(np.abs(reference)), abs=1e-6)


def test_bands_are_those_of_the_parametric_equalizer() -> None:
    processor = ParametricEqualizer(48000)
    settings = {"frequency_logit": "hertz", "log_gain": "gain_db", "q_logit": "q"}
    parameters = {
        name: processor.specification[name].from_unit(torch.tensor([[getattr(band, key) for band in SIX]]).double())
        for name, key in settings.items()
    }
    transfer = processor.transfer(parameters)[0]
    hertz = np.arange(len(transfer)) * 48000 / processor.taps
    heard = (hertz > 20) & (hertz < 20000)
    levels = 20 * torch.log10(transfer.abs()).numpy()
    assert bands_db(SIX, hertz[heard], 48000) == pytest.approx(levels[heard], abs=1e-4)


@pytest.mark.parametrize(
    ("bands", "sample_rate"),
    [
        ((Band("bell", 1000, 6, 1),), 48000),
        ((Band("high shelf", 2000, -12, 0.71),), 44100),
        ((), 48000),
        pytest.param(FOUR, 48000, marks=pytest.mark.long),
        pytest.param(SIX, 48000, marks=pytest.mark.long),
        pytest.param(SIX, 44100, marks=pytest.mark.long),
        pytest.param(
            (Band("bell", 80, 5, 4), Band("bell", 160, -5, 4), Band("bell", 5000, 12, 0.5)),
            44100,
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_curve_of_known_bands_is_fitted_back(bands, sample_rate) -> None:
    curve = bands_db(bands, fit_hertz(sample_rate), sample_rate) - 2
    fit = fit_bands(curve, sample_rate)
    assert fit.max_error_db < 0.1
    assert np.abs(fit.fitted_db - fit.curve_db).max() < 0.3  # from 20 Hz to 20 kHz: bands do not run away
    assert np.abs(fit.gain_db + bands_db(fit.bands, fit.hertz, sample_rate) - fit.fitted_db).max() < 1e-9
    if len(bands) == 1:
        (found,) = fit.bands
        assert found.kind == bands[0].kind
        assert (found.hertz, found.gain_db, found.q) == pytest.approx(
            (bands[0].hertz, bands[0].gain_db, bands[0].q), rel=0.01
        )
    if not bands:
        assert fit.bands == ()
        assert fit.gain_db == pytest.approx(-2)


def test_narrow_peaks_are_not_chased_and_the_error_says_so() -> None:
    hertz = fit_hertz(48000)
    curve = bands_db([Band("bell", 300, 5, 1)], hertz, 48000)
    curve[200] += 10  # one point of 48 in an octave
    fit = fit_bands(curve, 48000, most=1)
    assert fit.bands[0].hertz == pytest.approx(300, rel=0.05)
    assert fit.max_error_db == pytest.approx(10, abs=0.5)
    assert fit.third_octave_error_db < 0.8
    assert fit.rms_error_db == pytest.approx(10 / np.sqrt(((hertz >= 40) & (hertz <= 15000)).sum()), rel=0.1)


def test_a_curve_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"curve_db: \d+ finite levels in dB are needed, got shape \(3,\)"):
        fit_bands(np.zeros(3), 48000)
    with pytest.raises(ValueError, match="finite levels"):
        fit_bands(np.full(len(fit_hertz(48000)), np.nan), 48000)
