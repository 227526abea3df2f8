"""A compressor and a gate with attack, release and look-ahead, whose channels share one gain.

The level is that of the louder channel, sample by sample. The gain follows in dB (Giannoulis et al. 2012, the smooth
branching peak detector on the gain): with the time constant of the attack where it must fall (compressor) or rise
(gate), with that of the release where it goes back.
"""

from __future__ import annotations

import numba
import numpy as np

_FLOOR = 1e-6  # -120 dBFS


def compress(
    audio: np.ndarray,
    sample_rate: int,
    threshold_db: float,
    ratio: float,
    knee_db: float = 6.0,
    attack_ms: float = 5.0,
    release_ms: float = 100.0,
    look_ahead_ms: float = 0.0,
    makeup_db: float = 0.0,
) -> np.ndarray:
    """Turns down what is above a threshold.

    Args:
        audio: (channels, samples).
        sample_rate: in Hz.
        threshold_db: the middle of the knee, in dBFS.
        ratio: dB that go in for one that comes out, at least 1.
        knee_db: the width of the knee.
        attack_ms: time constant of the gain in dB where it falls: the time in which it covers 63 % of its way.
        release_ms: the same where it goes back.
        look_ahead_ms: the gain comes so much before its cause.
        makeup_db: a gain of the result.

    Raises:
        ValueError: a ratio below 1, or a time or width below 0.
    """
    _check(ratio=ratio, knee_db=knee_db, attack_ms=attack_ms, release_ms=release_ms, look_ahead_ms=look_ahead_ms)
    over = _level_db(audio, sample_rate, look_ahead_ms) - threshold_db
    above = np.maximum(over, 0)
    if knee_db > 0:
        inside = np.abs(over) < knee_db / 2
        above = np.where(inside, np.square(over + knee_db / 2) / (2 * knee_db), above)
    reduction = (1 - 1 / ratio) * above
    followed = _follow(reduction, _step(attack_ms, sample_rate), _step(release_ms, sample_rate), 0.0)
    return audio * 10 ** ((makeup_db - followed) / 20)


def gate(
    audio: np.ndarray,
    sample_rate: int,
    threshold_db: float,
    range_db: float = 40.0,
    attack_ms: float = 1.0,
    hold_ms: float = 20.0,
    release_ms: float = 100.0,
    look_ahead_ms: float = 0.0,
    hysteresis_db: float = 3.0,
) -> np.ndarray:
    """Turns down what is below a threshold.

    Args:
        audio: (channels, samples).
        sample_rate: in Hz.
        threshold_db: the gate opens above this level, in dBFS, and begins to close `hysteresis_db` below it.
        range_db: how far a closed gate turns down.
        attack_ms: time constant of the gain in dB when it opens.
        hold_ms: the gate stays open so long after the level has fallen.
        release_ms: time constant of the gain in dB when it closes.
        look_ahead_ms: the gate opens so much before its cause.
        hysteresis_db: see `threshold_db`.

    Raises:
        ValueError: a time or a level difference below 0.
    """
    _check(
        range_db=range_db,
        attack_ms=attack_ms,
        hold_ms=hold_ms,
        release_ms=release_ms,
        look_ahead_ms=look_ahead_ms,
        hysteresis_db=hysteresis_db,
    )
    level = _level_db(audio, sample_rate, look_ahead_ms)
    is_open = _opened(level, threshold_db, threshold_db - hysteresis_db, round(hold_ms * sample_rate / 1000))
    reduction = np.where(is_open, 0.0, range_db)
    start = 0.0 if is_open.size and is_open[0] else range_db
    followed = _follow(reduction, _step(release_ms, sample_rate), _step(attack_ms, sample_rate), start)
    return audio * 10 ** (-followed / 20)


def _check(**values: float) -> None:
    least = dict.fromkeys(values, 0) | ({"ratio": 1} if "ratio" in values else {})
    if wrong := [
        f"{name}: at least {least[name]} is needed, got {v:g}" for name, v in values.items() if not v >= least[name]
    ]:
        raise ValueError("; ".join(wrong))


def _level_db(audio: np.ndarray, sample_rate: int, look_ahead_ms: float) -> np.ndarray:
    level = 20 * np.log10(np.maximum(np.abs(audio).max(axis=0), _FLOOR))
    ahead = round(look_ahead_ms * sample_rate / 1000)
    if ahead == 0 or not level.size:
        return np.asarray(level)
    padded = np.concatenate((level, np.full(ahead, level[-1])))
    return np.asarray(padded[ahead:])


def _step(time_ms: float, sample_rate: int) -> float:
    """1 - exp(-1 / (time constant in samples)); all at once for 0 ms."""
    return 1.0 if time_ms == 0 else float(-np.expm1(-1000 / (time_ms * sample_rate)))


@numba.njit(nogil=True, cache=True)
def _follow(reduction: np.ndarray, rising: float, falling: float, start: float) -> np.ndarray:
    """Smooths a reduction in dB: a step of 1 - a where it rises, and another where it falls."""
    followed = np.empty(reduction.shape[0])
    last = start
    for n in range(reduction.shape[0]):
        change = reduction[n] - last
        last += (rising if change > 0 else falling) * change
        followed[n] = last
    return followed


@numba.njit(nogil=True, cache=True)
def _opened(level: np.ndarray, opens: float, closes: float, hold: int) -> np.ndarray:
    """Where a gate is open: from above `opens` until the level was below `closes` for longer than `hold` samples."""
    is_open = np.zeros(level.shape[0], dtype=np.bool_)
    state, below = False, 0
    for n in range(level.shape[0]):
        if level[n] > opens:
            state = True
        if level[n] >= closes:
            below = 0
        else:
            below += 1
            if below > hold:
                state = False
        is_open[n] = state
    return is_open
