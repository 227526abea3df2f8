"""Reverberation read as an engineer sets it: decay time, damping, level, tone and width.

The reverb behind the reading is a ring of delay lines with a low-pass in its feedback (Schroeder 1962, Moorer 1979),
as many plug-ins have it: in the time tau of a line the sound is multiplied by g and by a first-order low-pass with the
coefficient d, so that it decays by (a + b(f)) / tau dB a second, a = -20 log10 g and b = -20 log10 |H_d(f)|. Time,
sample rate and the measures of room and damping are those of the widespread Freeverb, which JUCE and Pedalboard have:
lines of 31 ms at 44.1 kHz, g = 0.7 + 0.28 room, d = 0.4 damping.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import least_squares
from torch import Tensor

from mixgraph.dsp.third_octaves import third_octave_means
from mixgraph.processors.readings import Decay

Array = NDArray[np.float64]

_RATE = 44100
_LINES = (1116, 1188, 1277, 1356, 1422, 1491, 1557, 1617)
LINE_SECONDS = sum(_LINES) / len(_LINES) / _RATE
_ROOM, _DAMPING = (0.7, 0.28), 0.4
_LOWEST_HZ = 100.0
_FALL_DB, _TIMES = 30.0, 9
"""The error is that of levels at so many times, until each band has fallen so much below its start."""
_SLOW_SHARE, _LONGEST_SECONDS = 0.1, 2.0
"""The times end when all bands but this share, which decay most slowly, have fallen; at the latest after 2 s."""
_PASSING = (-1.0, 40.0)
_BOUNDS = [-np.inf, -np.inf, -np.inf, _PASSING[0], 0.0], [np.inf, np.inf, np.inf, _PASSING[1], 0.95]
"""Of level, tone and width, and of the loss in dB and the coefficient of the low-pass of each pass."""
_WIDTH_SIDES = np.array([-0.5, 0.5])


@dataclass(frozen=True)
class RoomReading:
    """The settings of a reverb whose sound decays nearly as the found one, and its error.

    Attributes:
        decay_seconds: T60 of low frequencies; infinite where the sound does not decay.
        high_decay_seconds: T60 at 8 kHz, or at the highest frequency that was heard.
        damping: as Freeverb has it: 0 decays alike at all frequencies, 1 is its strongest.
        room_size: as Freeverb has it, from 0 to 1; None for rooms that it does not have.
        tone_db: slope of the level over frequency at the start, in dB an octave.
        width_db: side against mid.
        level_db: the wet sound against the dry one, or the wet one alone.
        error_db: root mean square of the error of levels in third-octave bands of mid and side, from the start on until
            a band has fallen by 30 dB; what is lower counts as that.
    """

    decay_seconds: float
    high_decay_seconds: float
    damping: float
    room_size: float | None
    tone_db: float
    width_db: float
    level_db: float
    error_db: float


def damping_db(hertz: Array, coefficient: float) -> Array:
    """Returns the loss in dB, at frequencies in Hz, of each pass through the low-pass of a delay line."""
    angle = np.exp(-2j * np.pi * np.minimum(hertz, _RATE / 2) / _RATE)
    return np.asarray(-20 * np.log10((1 - coefficient) / np.abs(1 - coefficient * angle)))


def read_room(decay: Decay) -> RoomReading | None:
    """Reads the reverb that leaves the least error; None where the levels at the start are not known."""
    if decay.mid_db is None or decay.side_db is None:
        return None
    kept = decay.hertz >= _LOWEST_HZ
    means = third_octave_means(decay.hertz[kept])

    def bands(values: Tensor) -> Array:
        return np.asarray((means @ values[kept].double()).numpy())

    hertz = bands(decay.hertz)
    rates = np.stack((bands(decay.mid), bands(decay.side))) * 60  # dB a second
    start = np.stack((bands(decay.mid_db), bands(decay.side_db)))
    octaves = np.log2(hertz / 1000)
    floor = start[..., None] - _FALL_DB
    slowest = max(float(np.quantile(rates, _SLOW_SHARE)), _FALL_DB / _LONGEST_SECONDS)
    times = np.linspace(0, _FALL_DB / slowest, _TIMES)
    levels = np.maximum(start[..., None] - rates[..., None] * times, floor)  # (2, bands, times)

    def error(values: Array) -> Array:
        level, tone, width, passing, coefficient = values
        loss = (passing + damping_db(hertz, coefficient)) / LINE_SECONDS
        begun = level + tone * octaves + width * _WIDTH_SIDES[:, None]
        return np.asarray((np.maximum(begun[..., None] - loss[:, None] * times, floor) - levels).ravel())

    def fitted(passing: float, coefficient: float) -> tuple[float, Array]:
        slope, level = np.polyfit(octaves, start.mean(axis=0), 1)
        width = float((start[1] - start[0]).mean())
        values = least_squares(error, (level, slope, width, passing, coefficient), bounds=_BOUNDS).x
        return float(np.sqrt(np.mean(error(values) ** 2))), values

    typical = float(np.clip(np.median(rates) * LINE_SECONDS, *_PASSING))
    starts = [(typical, 0.05), (typical / 2, 0.3), (typical, 0.6)]
    error_db, values = min((fitted(*one) for one in starts), key=lambda fit: fit[0])
    _, tone, width, passing, coefficient = map(float, values)
    high = min(8000.0, float(hertz[-1]))
    gain = 10 ** (-passing / 20)
    room = (gain - _ROOM[0]) / _ROOM[1]
    return RoomReading(
        decay_seconds=_seconds(passing),
        high_decay_seconds=_seconds(passing + float(damping_db(np.array([high]), coefficient)[0])),
        damping=coefficient / _DAMPING,
        room_size=room if 0 <= room <= 1 else None,
        tone_db=tone,
        width_db=width,
        level_db=decay.against_dry_db,
        error_db=error_db,
    )


def _seconds(loss_db: float) -> float:
    """Returns T60 of a sound that loses so much in each line."""
    return 60 * LINE_SECONDS / loss_db if loss_db > 0 else math.inf


def freeverb_rates(hertz: Tensor, room_size: float, damping: float) -> Tensor:
    """Returns 1 / T60 in 1/s, at frequencies in Hz, of a reverb with these settings of Freeverb."""
    loss = -20 * math.log10(_ROOM[0] + _ROOM[1] * room_size)
    return torch.from_numpy((loss + damping_db(hertz.double().numpy(), _DAMPING * damping)) / (60 * LINE_SECONDS))
