"""Echoes read as a feedback delay: a first time, a step, and how much of each echo comes back in the next one."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixgraph.processors.readings import Taps

Array = NDArray[np.float64]

REGULAR_DB = -6.0
"""Echoes are regular if a feedback delay leaves so much of their energy, or less."""
LEAST_DB = -99.0
"""The error where nothing is left."""
_NEAR_MS = 1.5
"""Echoes are that of a feedback delay if they are at most this far from its time."""
_LOUD, _LEAST_STEP_MS, _LONGEST_MS = 8, 20.0, 2000.0
_FEEDBACKS = np.linspace(0.0, 0.98, 99)
_LEAST_FEEDBACK = 0.02
"""Echoes that are 34 dB below the one before are none."""
_QUIET_DB = 20.0
"""A channel that is so much quieter than the other one is not read."""


@dataclass(frozen=True)
class FeedbackDelay:
    """The echoes of one channel.

    Attributes:
        channel: `left` or `right`.
        first_ms: the time of the first echo.
        step_ms: the time between echoes; that of the first one where there is one alone.
        feedback: amplitude of an echo over that of the one before; 0 for one echo.
        level_db: level of the first echo, in the measure of the taps.
    """

    channel: str
    first_ms: float
    step_ms: float
    feedback: float
    level_db: float


@dataclass(frozen=True)
class EchoReading:
    """Feedback delays, one a channel, and their error.

    Attributes:
        delays: of the channels that are not quiet, left first.
        error_db: energy of what they leave of the amplitudes of all echoes, or add to them, against that of the echoes.
    """

    delays: tuple[FeedbackDelay, ...]
    error_db: float

    @property
    def is_regular(self) -> bool:
        """Whether feedback delays describe the echoes: at most a quarter of the energy is left."""
        return self.error_db <= REGULAR_DB


def read_echoes(taps: Taps) -> EchoReading:
    """Reads the feedback delay of each channel that leaves the least error."""
    energy: dict[str, float] = {}
    fits: dict[str, tuple[FeedbackDelay, float]] = {}
    for channel in dict.fromkeys(taps.channels):
        rows = [i for i, name in enumerate(taps.channels) if name == channel]
        ms = np.array([taps.ms[i] for i in rows])
        amplitudes = 10 ** (np.array([taps.levels_db[i] for i in rows]) / 20)
        energy[channel] = float((amplitudes**2).sum())
        fits[channel] = _fit(channel, ms, amplitudes)
    loudest = max(energy.values())
    read = [name for name in energy if energy[name] >= loudest * 10 ** (-_QUIET_DB / 10)]
    left = sum(fits[name][1] if name in read else energy[name] for name in energy)
    share = left / max(sum(energy.values()), 1e-30)
    error_db = max(LEAST_DB, 10 * math.log10(max(share, 1e-30)))
    return EchoReading(tuple(fits[name][0] for name in read), error_db)


def _fit(channel: str, ms: Array, amplitudes: Array) -> tuple[FeedbackDelay, float]:
    """Returns the delay with the least error, and the energy of that error.

    A first echo and a step are tried from all pairs of loud taps; a delay whose first echo comes after one step wins
    over others that are as good.
    """
    loud = np.sort(ms[np.argsort(-amplitudes)[:_LOUD]])
    total = float((amplitudes**2).sum())
    best, least = FeedbackDelay(channel, float(loud[0]), float(loud[0]), 0.0, -math.inf), math.inf
    for first in loud:
        steps = {float(first)} | {
            float(later - first) / parts for later, parts in itertools.product(loud, (1, 2, 3)) if later > first
        }
        for step in sorted(step for step in steps if step >= _LEAST_STEP_MS):
            delay, left = _fitted(channel, ms, amplitudes, float(first), step, total)
            plain = abs(delay.first_ms - delay.step_ms) <= _NEAR_MS
            if left < least * (1 if plain else 0.98) - 1e-12:
                best, least = delay, left
    return best, max(least, 0.0)


def _fitted(
    channel: str, ms: Array, amplitudes: Array, first: float, step: float, total: float
) -> tuple[FeedbackDelay, float]:
    """Returns the feedback and level of least error for a first time and a step, and the energy of that error."""
    count = 1 + int((_LONGEST_MS - first) / step)
    number = np.rint((ms - first) / step).astype(int)
    near = (number >= 0) & (number < count) & (np.abs(ms - first - number * step) <= _NEAR_MS)
    there = np.zeros(count)
    np.maximum.at(there, number[near], amplitudes[near])

    def levels(feedbacks: Array) -> tuple[Array, Array]:
        powers = feedbacks[:, None] ** np.arange(count)
        return powers @ there, (powers**2).sum(axis=1)

    def errors(feedbacks: Array) -> Array:
        product, square = levels(feedbacks)
        return total - product**2 / square

    feedback = float(_FEEDBACKS[np.argmin(errors(_FEEDBACKS))])
    fine = np.clip(feedback + np.linspace(-0.01, 0.01, 201), 0.0, 0.99)
    feedback = float(fine[np.argmin(errors(fine))])
    feedback = feedback if feedback >= _LEAST_FEEDBACK else 0.0
    product, square = levels(np.array([feedback]))
    level = float(product[0] / square[0])
    weight = np.where(near, amplitudes**2, 0.0)
    place = number.astype(np.float64)
    if feedback and (weight * (place > 0)).sum() > 0:  # the time of all echoes, not of the first two
        mean, centre = (float((weight * x).sum() / weight.sum()) for x in (place, ms))
        spread = float((weight * (place - mean) ** 2).sum())
        if spread > 0:
            step = float((weight * (place - mean) * (ms - centre)).sum() / spread)
            first = centre - step * mean
    else:
        feedback, step = 0.0, first
    left = float(errors(np.array([feedback]))[0]) if feedback else total - float(there[0]) ** 2
    level = level if feedback else float(there[0])
    return FeedbackDelay(channel, first, step, feedback, 20 * math.log10(max(level, 1e-9))), left
