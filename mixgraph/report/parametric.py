"""Readings of settings in the few numbers of usual effects: bands, a feedback delay, a room; each with its error.

A found equalizer is a curve of a thousand points, a delay forty taps, a reverb the levels and decays of 193 bins. Here
they are told as an engineer would set them. What is lost by that is the error of the reading.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from mixgraph.processors.readings import Bands, Decay, Reading, Response, Taps
from mixgraph.report.bands import Band, BandFit, fit_bands, fit_hertz
from mixgraph.report.echoes import EchoReading, FeedbackDelay, read_echoes
from mixgraph.report.rooms import RoomReading, read_room

FEW_BANDS = 4
_SAME_MS, _SAME_FEEDBACK = 2.0, 0.05
"""Both channels have one delay if they differ by so little."""
_SHORT_SECONDS = 0.05


@dataclass(frozen=True)
class ParametricReading:
    """One processor in the few numbers of a usual effect.

    Attributes:
        text: the numbers and their error in a line.
        numbers: by name, with the unit at the end; `error_db` among them.
        error_db: the error of the reading in dB: of an equalizer the root mean square from 40 Hz to 15 kHz, of a reverb
            that of its levels while it decays by 30 dB, of a delay the energy that is left against that of the echoes.
    """

    text: str
    numbers: dict[str, Any]
    error_db: float


def parametric_reading(readings: Sequence[Reading]) -> ParametricReading | None:
    """Reads a processor with a response, taps or a decay; None for others, and for one that has bands itself."""
    if any(isinstance(reading, Bands) for reading in readings):
        return None
    for reading in readings:
        match reading:
            case Response():
                return _of_response(reading)
            case Taps():
                return _of_echoes(read_echoes(reading))
            case Decay():
                room = read_room(reading)
                return None if room is None else _of_room(room, reading.wet_only)
    return None


def fits_bands(readings: Sequence[Reading]) -> bool:
    """Whether `parametric_reading` fits bands to a curve, which takes longer than all else that it does."""
    kinds = {type(reading) for reading in readings}
    return Response in kinds and Bands not in kinds


def _of_response(response: Response) -> ParametricReading | None:
    rate = round(2 * response.highest_hz)
    hertz = fit_hertz(rate)
    curve = np.interp(np.log(hertz), response.hertz.double().log().numpy(), response.levels_db.double().numpy())
    fit = _fitted(curve.tobytes(), rate)
    bands = ", ".join(map(_band_text, fit.bands))
    level = f"{_db(fit.gain_db)} everywhere"
    numbers = {
        "bands": [
            {"kind": band.kind, "frequency_hz": band.hertz, "gain_db": band.gain_db, "q": band.q} for band in fit.bands
        ],
        "gain_db": fit.gain_db,
        "error_db": fit.rms_error_db,
        "third_octave_error_db": fit.third_octave_error_db,
    }
    text = f"as bands: {bands + ', ' if bands else ''}{level}; error {fit.rms_error_db:.1f} dB"
    worst = f"{text}, at most {fit.third_octave_error_db:.1f} dB in a third of an octave"
    return ParametricReading(worst, numbers, fit.rms_error_db)


@lru_cache(maxsize=256)
def _fitted(curve: bytes, sample_rate: int) -> BandFit:
    """Fits a few bands to a curve; settings.txt, tables and the page ask for the same ones."""
    return fit_bands(np.frombuffer(curve), sample_rate, FEW_BANDS)


def _band_text(band: Band) -> str:
    return f"{band.kind} {band.hertz:.0f} Hz {_db(band.gain_db)} Q {band.q:.1f}"


def _of_echoes(echoes: EchoReading) -> ParametricReading:
    numbers = {"feedback_delays": [asdict(delay) for delay in echoes.delays], "error_db": echoes.error_db}
    left = f"{echoes.error_db:.0f} dB of the echoes"
    if not echoes.is_regular:
        text = f"no feedback delay: the best one leaves or adds {left}"
        return ParametricReading(text, numbers, echoes.error_db)
    text = f"as feedback delay: {_delays_text(echoes.delays)}; error {left}"
    return ParametricReading(text, numbers, echoes.error_db)


def _delays_text(delays: Sequence[FeedbackDelay]) -> str:
    first, *others = delays
    if others and all(_is_same(first, other) for other in others):
        levels = ", ".join(f"{delay.channel} {_db(delay.level_db)}" for delay in delays)
        return f"{_times_text(first)}, {levels}"
    return "; ".join(f"{delay.channel} {_times_text(delay)}, {_db(delay.level_db)}" for delay in delays)


def _is_same(one: FeedbackDelay, other: FeedbackDelay) -> bool:
    times = abs(one.first_ms - other.first_ms), abs(one.step_ms - other.step_ms)
    return max(times) <= _SAME_MS and abs(one.feedback - other.feedback) <= _SAME_FEEDBACK


def _times_text(delay: FeedbackDelay) -> str:
    if not delay.feedback:
        return f"{delay.first_ms:.0f} ms, one echo"
    late = abs(delay.first_ms - delay.step_ms) > _SAME_MS
    every = f"{delay.first_ms:.0f} ms, then every {delay.step_ms:.0f} ms" if late else f"{delay.step_ms:.0f} ms"
    return f"{every}, feedback {delay.feedback:.0%}"


def _of_room(room: RoomReading, wet_only: bool) -> ParametricReading:
    numbers = {name: value if value is None or math.isfinite(value) else None for name, value in asdict(room).items()}
    size = "" if room.room_size is None else f"room {room.room_size:.2f}, "
    decay = "no decay" if math.isinf(room.decay_seconds) else f"decay {room.decay_seconds:.2g} s"
    high = "" if math.isinf(room.high_decay_seconds) else f" ({room.high_decay_seconds:.2g} s at 8 kHz)"
    level = "wet only" if wet_only else f"level {_db(room.level_db)}"
    text = (
        f"as room reverb: {size}{decay}, damping {room.damping:.2f}{high}, {level}, tone {_db(room.tone_db)} an "
        f"octave, width {_db(room.width_db)}; error {room.error_db:.1f} dB"
    )
    return ParametricReading(text, numbers, room.error_db)


def _db(level: float) -> str:
    return f"{round(level, 1) + 0.0:+.1f} dB"  # +0.0, never -0.0
