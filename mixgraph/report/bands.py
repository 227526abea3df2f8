"""Bells and shelves that make the curve of an equalizer: what an engineer sets on a parametric equalizer plug-in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

Kind = Literal["low shelf", "bell", "high shelf"]
Array = NDArray[np.float64]

MOST_BANDS = 8
LOWEST_HZ, HIGHEST_HZ = 40.0, 15000.0
"""The range in which errors are stated."""
_FIRST_HZ, _LAST_HZ, _OUTSIDE = 20.0, 20000.0, 0.5
"""The range in which curves are fitted, and the weight of errors beyond the stated range: bands must not run away."""
_POINTS_PER_OCTAVE = 48
_BLUR = 16
"""Points, a third of an octave: errors are averaged over so many before they are squared."""
_GOOD_DB = 0.015
"""Root mean square of the error at which no further band is added."""
_LEAST_SHARE, _LEAST_DB, _ROUGH_SHARE = 0.15, 0.01, 0.15
"""Rise of the error's root mean square that bands are not kept for: a share of it, dB, or a share of the curve's
roughness, which no band makes."""
_FINE, _ROUGH_DB = 4, 0.1
"""A curve is smooth whose detail within so many points has so little root mean square: bands can make all of it."""
_ROUNDS = 2
"""A smooth curve is tried so often more, from fewer bands, until it is met."""
_OTHER_SHELF: dict[Kind, Kind] = {"low shelf": "high shelf", "high shelf": "low shelf"}
_MOST_DB = 18.0
_PRICE = 0.002
"""Root mean square of the error that 1 dB of a band is worth: without it, neighbours would work against each other."""
_STEP, _EVALUATIONS = 1e-5, 40
_LOG_HZ = np.log(30.0), np.log(18000.0)
_LOG_Q: dict[Kind, tuple[float, float]] = {
    "low shelf": (np.log(0.3), np.log(2.0)),
    "bell": (np.log(0.3), np.log(10.0)),
    "high shelf": (np.log(0.3), np.log(2.0)),
}
_TEMPLATE_DB = 4.0
_TEMPLATE_Q: dict[Kind, tuple[float, ...]] = {
    "low shelf": (0.7,),
    "bell": (0.5, 1.0, 2.0, 4.0, 8.0),
    "high shelf": (0.7,),
}


@dataclass(frozen=True)
class Band:
    """One band: its kind, its frequency in Hz (of a shelf, where it has half its gain in dB), its gain in dB, and Q."""

    kind: Kind
    hertz: float
    gain_db: float
    q: float


@dataclass(frozen=True, eq=False)
class BandFit:
    """Bands in series, and a gain behind them, that make a curve nearly.

    Attributes:
        bands: by frequency.
        gain_db: the gain of all frequencies.
        sample_rate: the rate in Hz at which the bands run.
        hertz: frequencies evenly spaced in octaves, (frequencies,).
        curve_db, fitted_db: the curve, and what the bands make of it, (frequencies,).
    """

    bands: tuple[Band, ...]
    gain_db: float
    sample_rate: int
    hertz: Array
    curve_db: Array
    fitted_db: Array

    @property
    def highest_hz(self) -> float:
        """The highest frequency at which errors are stated; the lowest is `LOWEST_HZ`."""
        return float(self.hertz[_is_stated(self.hertz)][-1])

    @property
    def rms_error_db(self) -> float:
        """Root mean square of the error in dB from 40 Hz to 15 kHz, each octave with the same weight."""
        return float(np.sqrt(np.mean(self._error**2)))

    @property
    def max_error_db(self) -> float:
        """The largest error in dB from 40 Hz to 15 kHz."""
        return float(np.abs(self._error).max())

    @property
    def third_octave_error_db(self) -> float:
        """The largest error in dB of the means over a third of an octave, which is near what is heard of it."""
        return float(np.abs(_blurred(self._error)).max())

    @property
    def _error(self) -> Array:
        return (self.fitted_db - self.curve_db)[_is_stated(self.hertz)]


def _is_stated(hertz: Array) -> NDArray[np.bool_]:
    return np.asarray((hertz >= LOWEST_HZ * (1 - 1e-9)) & (hertz <= HIGHEST_HZ * (1 + 1e-9)))


def fit_hertz(sample_rate: int) -> Array:
    """Returns the frequencies at which curves are fitted: 48 an octave from 20 Hz to 20 kHz, or 45 % of the rate."""
    octaves = float(np.log2(min(_LAST_HZ, 0.45 * sample_rate) / _FIRST_HZ))
    return np.asarray(_FIRST_HZ * 2 ** (np.arange(1 + int(octaves * _POINTS_PER_OCTAVE)) / _POINTS_PER_OCTAVE))


def coefficients(band: Band, sample_rate: int) -> tuple[Array, Array]:
    """Returns a band as a second-order filter by the formulas of the audio EQ cookbook: b, (3,), and a, (3,).

    Source: R. Bristow-Johnson, Cookbook formulae for audio equalizer biquad filter coefficients; a is not normalised.
    """
    numerator, denominator = _biquads((band.kind,), _settings([band]), sample_rate)
    return numerator[0], denominator[0]


def bands_db(bands: Sequence[Band], hertz: Array, sample_rate: int) -> Array:
    """Returns the gain in dB of bands in series at frequencies in Hz, (frequencies,)."""
    if not bands:
        return np.zeros_like(hertz)
    kinds, squares = [band.kind for band in bands], _squares(hertz, sample_rate)
    return np.asarray(_levels_db(kinds, _settings(bands), squares, sample_rate).sum(axis=0))


def fit_bands(curve_db: Array, sample_rate: int, most: int = MOST_BANDS) -> BandFit:
    """Fits bands to a curve by least squares in dB.

    The error is averaged over thirds of an octave before it is squared, unless the curve is smooth: narrow peaks that
    are left over from training are not chased. A band is added where it takes most of the error away, and all bands are
    fitted anew, until the error's root mean square is 0.015 dB or there are `most`; then bands are taken away again
    that make less than the curve's own roughness. There is one shelf of each kind at most.

    Args:
        curve_db: the curve in dB at `fit_hertz(sample_rate)`.
        sample_rate: the rate in Hz at which the bands will run.
        most: the most bands.

    Raises:
        ValueError: a curve of another length, or values that are not finite.
    """
    hertz = fit_hertz(sample_rate)
    if curve_db.shape != hertz.shape or not np.isfinite(curve_db).all():
        raise ValueError(f"curve_db: {len(hertz)} finite levels in dB are needed, got shape {curve_db.shape}")
    search = _Search(hertz, curve_db.astype(np.float64), sample_rate)
    best = search.grown(search.fitted((), np.array([curve_db.mean()])), most)
    best = search.thinned(best, max(_LEAST_SHARE * best.rms, _LEAST_DB, _ROUGH_SHARE * search.roughness(best)))
    tried = best
    for _ in range(_ROUNDS if search.is_smooth else 0):
        if best.rms <= _GOOD_DB:
            break
        tried = search.thinned(search.grown(search.thinned(tried, math.inf, 2), most), _LEAST_DB)
        best = min(best, tried, key=lambda found: found.rms)
    return search.result(best)


Kinds = tuple[Kind, ...]


@dataclass(frozen=True, eq=False)
class _Found:
    """Kinds of bands, their values (the gain, then log frequency, gain in dB and log Q of each), and their error."""

    kinds: Kinds
    values: Array
    rms: float


class _Search:
    """The fit of one curve."""

    def __init__(self, hertz: Array, curve_db: Array, sample_rate: int) -> None:
        self.hertz, self.curve, self.rate = hertz, curve_db, sample_rate
        detail = curve_db - _blurred(curve_db, _FINE)
        self.is_smooth = bool(np.sqrt(np.mean(detail**2)) < _ROUGH_DB)
        self.weight = np.where(_is_stated(hertz), 1.0, _OUTSIDE)
        self.squares = _squares(hertz, sample_rate)
        centres = hertz[:: _POINTS_PER_OCTAVE // 6]
        self.starts, self.shapes = {}, {}
        for kind, qs in _TEMPLATE_Q.items():
            starts = np.array([(hz, _TEMPLATE_DB, q) for hz in centres for q in qs])
            shapes = _blurred(_levels_db((kind,) * len(starts), starts.T, self.squares, sample_rate))
            self.starts[kind], self.shapes[kind] = starts, self.weight * (shapes - shapes.mean(axis=1, keepdims=True))

    def levels(self, kinds: Kinds, values: Array) -> Array:
        """Returns the curve of each band, (bands, frequencies)."""
        log_hz, gain, log_q = values[1:].reshape(-1, 3).T
        settings = np.stack((np.exp(log_hz), gain, np.exp(log_q)))
        return _levels_db(kinds, settings, self.squares, self.rate)

    def error(self, kinds: Kinds, values: Array) -> Array:
        return self.weighed(values[0] + self.levels(kinds, values).sum(axis=0) - self.curve)

    def weighed(self, error: Array) -> Array:
        return self.weight * (error if self.is_smooth else _blurred(error))

    def roughness(self, found: _Found) -> float:
        """Returns the root mean square of what is narrower than a third of an octave in the error."""
        error = found.values[0] + self.levels(found.kinds, found.values).sum(axis=0) - self.curve
        return 0.0 if self.is_smooth else float(np.sqrt(np.mean((error - _blurred(error)) ** 2)))

    def slopes(self, kinds: Kinds, values: Array) -> Array:
        """Returns the derivatives of the error by the values, (frequencies, values)."""
        columns = np.ones((len(values), len(self.hertz)))
        levels = self.levels(kinds, values)
        for i in range(3):
            moved = values.copy()
            moved[1 + i :: 3] += _STEP
            columns[1 + i :: 3] = (self.levels(kinds, moved) - levels) / _STEP
        return self.weighed(columns).T

    def fitted(self, kinds: Kinds, start: Array) -> _Found:
        """Returns the bands fitted from a start."""
        low, high = [-np.inf], [np.inf]
        for kind in kinds:
            low += [_LOG_HZ[0], -_MOST_DB, _LOG_Q[kind][0]]
            high += [min(_LOG_HZ[1], np.log(0.45 * self.rate)), _MOST_DB, _LOG_Q[kind][1]]
        inside = np.clip(start, np.array(low) + _STEP, np.array(high) - _STEP)
        price = (0 if self.is_smooth else _PRICE) * np.sqrt(len(self.hertz))
        prices = price * np.eye(len(start))[2::3]
        values = least_squares(
            lambda values: np.concatenate((self.error(kinds, values), price * values[2::3])),
            inside,
            jac=lambda values: np.concatenate((self.slopes(kinds, values), prices)),
            bounds=(low, high),
            x_scale="jac",
            max_nfev=_EVALUATIONS,
        ).x
        return _Found(kinds, values, float(np.sqrt(np.mean(self.error(kinds, values) ** 2))))

    def extended(self, found: _Found, kind: Kind) -> _Found:
        """Returns the bands with one more, which begins where its curve is most like the error, all fitted anew."""
        error = -self.error(found.kinds, found.values)
        match, energy = self.shapes[kind] @ error, (self.shapes[kind] ** 2).sum(axis=1) + 1e-12
        best = int(np.argmax(match**2 / energy))
        hz, _, q = self.starts[kind][best]
        level = np.clip(_TEMPLATE_DB * match[best] / energy[best], -0.9 * _MOST_DB, 0.9 * _MOST_DB)
        start = np.concatenate((found.values, [np.log(hz), level, np.log(q)]))
        return self.fitted((*found.kinds, kind), start)

    def grown(self, found: _Found, most: int) -> _Found:
        """Returns the bands with as many more as the error needs."""
        while len(found.kinds) < most and found.rms > _GOOD_DB:
            kinds = [kind for kind in _TEMPLATE_Q if kind == "bell" or kind not in found.kinds]
            found = min((self.extended(found, kind) for kind in kinds), key=lambda found: found.rms)
        return found

    def thinned(self, found: _Found, rise_db: float, count: int = MOST_BANDS) -> _Found:
        """Returns the bands without those (`count` at most) that are not needed for an error that is so much larger."""
        limit = found.rms + rise_db
        for _ in range(min(count, len(found.kinds))):
            fewer = min((self.reduced(found, band) for band in self.weakest(found)), key=lambda found: found.rms)
            if fewer.rms > limit:
                break
            found = fewer
        return found

    def weakest(self, found: _Found, count: int = 3) -> list[int]:
        """Returns the bands with the least to do."""
        levels = self.levels(found.kinds, found.values)
        power = (levels - levels.mean(axis=1, keepdims=True)).std(axis=1)
        return list(map(int, np.argsort(power)[:count]))

    def reduced(self, found: _Found, band: int) -> _Found:
        """Returns the bands without one, fitted anew."""
        kinds = found.kinds[:band] + found.kinds[band + 1 :]
        return self.fitted(kinds, np.delete(found.values, slice(1 + 3 * band, 4 + 3 * band)))

    def result(self, found: _Found) -> BandFit:
        gain_db, rows = float(found.values[0]), found.values[1:].reshape(-1, 3)
        bands = [
            Band(kind, float(np.exp(log_hz)), float(gain), float(np.exp(log_q)))
            for kind, (log_hz, gain, log_q) in zip(found.kinds, rows, strict=True)
        ]
        for i, band in enumerate(bands):  # a low shelf is a high shelf of the negative gain, and a gain
            other = _OTHER_SHELF.get(band.kind)
            if other is not None and other not in found.kinds and abs(gain_db + band.gain_db) < abs(gain_db):
                gain_db += band.gain_db
                bands[i] = Band(other, band.hertz, -band.gain_db, band.q)
        fitted = found.values[0] + self.levels(found.kinds, found.values).sum(axis=0)
        in_order = tuple(sorted(bands, key=lambda band: band.hertz))
        return BandFit(in_order, gain_db, self.rate, self.hertz, self.curve, fitted)


def _blurred(levels: Array, width: int = _BLUR) -> Array:
    """Returns means over a third of an octave, (..., frequencies), or so many points; over fewer at both ends."""
    sums = np.concatenate((np.zeros_like(levels[..., :1]), np.cumsum(levels, axis=-1)), axis=-1)
    place = np.arange(levels.shape[-1])
    low, high = np.maximum(place - width // 2, 0), np.minimum(place + width // 2 + 1, levels.shape[-1])
    return np.asarray((sums[..., high] - sums[..., low]) / (high - low))


def _settings(bands: Sequence[Band]) -> Array:
    """Returns frequencies in Hz, gains in dB and Q, (3, bands)."""
    return np.array([(band.hertz, band.gain_db, band.q) for band in bands]).T


def _squares(hertz: Array, sample_rate: int) -> Array:
    """Returns 4 sin^2(w / 2) at frequencies in Hz."""
    return np.asarray(4 * np.sin(np.pi * hertz / sample_rate) ** 2)


def _levels_db(kinds: Sequence[Kind], settings: Array, squares: Array, sample_rate: int) -> Array:
    """Returns the gain of each band in dB, (bands, frequencies), at frequencies as `_squares` returns them."""
    above, below = (_power(taps, squares) for taps in _biquads(kinds, settings, sample_rate))
    return np.asarray(10 * np.log10(above / below))


def _power(taps: Array, squares: Array) -> Array:
    """Returns |c0 + c1 / z + c2 / z^2|^2 of filters with three taps, (bands, 3)."""
    first, middle, last = (column[:, None] for column in taps.T)
    slope = first * last * squares - (middle * (first + last) + 4 * first * last)
    return np.asarray((first + middle + last) ** 2 + squares * slope)


def _biquads(kinds: Sequence[Kind], settings: Array, sample_rate: int) -> tuple[Array, Array]:
    """Returns b and a of each band, (bands, 3) each."""
    hz, gain_db, q = settings
    w = 2 * np.pi * hz / sample_rate
    a = 10 ** (gain_db / 40)
    cosine, alpha = np.cos(w), np.sin(w) / (2 * q)
    bell = np.stack((1 + alpha * a, -2 * cosine, 1 - alpha * a)), np.stack((1 + alpha / a, -2 * cosine, 1 - alpha / a))
    side = np.where(np.array(kinds) == "high shelf", -1.0, 1.0)
    mirrored, bend = side * cosine, 2 * np.sqrt(a) * alpha
    rise, fall = (a + 1) - (a - 1) * mirrored, (a + 1) + (a - 1) * mirrored
    shelf = (
        a * np.stack((rise + bend, side * 2 * ((a - 1) - (a + 1) * mirrored), rise - bend)),
        np.stack((fall + bend, -side * 2 * ((a - 1) + (a + 1) * mirrored), fall - bend)),
    )
    is_bell = np.array(kinds) == "bell"
    return np.where(is_bell, bell[0], shelf[0]).T, np.where(is_bell, bell[1], shelf[1]).T
