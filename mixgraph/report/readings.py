"""The readings of processors as text and as numbers with units, by kind of reading."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from mixgraph.processors.readings import Automation, Bands, Curve, Decay, Gains, Number, Reading, Response, Taps

_OCTAVES_HZ = (63, 125, 250, 500, 1000, 2000, 4000, 8000, 16000)
_T60_HZ = (250, 1000, 4000)
_LOUD_DB, _MOST_TAPS = 12.0, 4  # taps in texts: at most so far below the loudest, and so many


def readings_text(readings: Sequence[Reading]) -> str:
    """Writes all readings of a processor in a line, without those that are for pictures alone."""
    line = ""
    for reading in readings:
        if text := _text(reading):
            between = "; " if isinstance(reading, Bands) else ", "
            line += f"{between if line else ''}{text}"
    return line


def readings_numbers(readings: Sequence[Reading]) -> dict[str, Any]:
    """Returns all readings of a processor by name, with the unit at the end of the name (`threshold_db`, `attack_ms`).

    Gains, responses and taps are as they act, with the dry sound mixed in; thresholds are at the tracks' own level
    (RMS, full scale is 0 dB). What has no bound (a limiter's ratio, a decay that does not end) is None.
    """
    numbers: dict[str, Any] = {}
    for reading in readings:
        numbers |= _numbers(reading)
    return numbers


def _text(reading: Reading) -> str:
    match reading:
        case Number():
            return reading.text
        case Gains():
            pairs = zip(reading.names, reading.levels_db, strict=True)
            return ", ".join(f"{name} {level:+.1f} dB" for name, level in pairs)
        case Response():
            octaves = octave_levels_db(reading)
            return "dB at " + ", ".join(f"{_hz(hz)} {level:+.1f}" for hz, level in octaves.items())
        case Bands():
            bands = zip(reading.hertz, reading.gains_db, reading.q, strict=True)
            return "wet bands " + ", ".join(f"{hz:.0f} Hz {db:+.1f} dB Q {q:.1f}" for hz, db, q in bands)
        case Taps():
            return _taps_text(reading)
        case Decay():
            return _decay_text(reading)
        case Automation():
            low, high = reading.gains_db.aminmax()
            return f"between {low:+.1f} and {high:+.1f} dB"
        case Curve():
            return ""


def _numbers(reading: Reading) -> dict[str, Any]:
    match reading:
        case Number():
            values = [_bounded(value) for value in reading.values]
            return {reading.key: values[0] if len(values) == 1 else values}
        case Gains():
            return {f"{name}_db": level for name, level in zip(reading.names, reading.levels_db, strict=True)}
        case Response():
            return {"octaves_db": {str(hz): level for hz, level in octave_levels_db(reading).items()}}
        case Bands():
            bands = zip(reading.hertz, reading.gains_db, reading.q, strict=True)
            return {"wet_bands": [{"frequency_hz": hz, "gain_db": db, "q": q} for hz, db, q in bands]}
        case Taps():
            taps = zip(reading.channels, reading.ms, reading.levels_db, strict=True)
            return {"taps": [{"channel": channel, "time_ms": ms, "level_db": db} for channel, ms, db in taps]}
        case Decay():
            seconds = {f"t60_{hz}_hz_seconds": _bounded(value) for hz, value in decay_seconds(reading).items()}
            return {**seconds, "level_against_dry_db": _bounded(reading.against_dry_db)}
        case Automation():
            return {"time_seconds": reading.seconds.tolist(), "gain_db": reading.gains_db.tolist()}
        case Curve():
            return {}


def _taps_text(taps: Taps) -> str:
    levels = taps.levels_db
    loud = [i for i in range(len(levels)) if levels[i] >= max(levels) - _LOUD_DB]
    loudest = sorted(sorted(loud, key=lambda i: -levels[i])[:_MOST_TAPS], key=lambda i: taps.ms[i])
    text = ", ".join(f"{taps.channels[i]} {taps.ms[i]:.0f} ms {levels[i]:+.1f} dB" for i in loudest)
    more = f", and {len(loud) - len(loudest)} more" if len(loud) > len(loudest) else ""
    return f"{'wet only, ' if taps.wet_only else ''}{text}{more}"


def _decay_text(decay: Decay) -> str:
    seconds = decay_seconds(decay)
    ending = ", ".join(f"{value:.1f} s at {_hz(hz)}" for hz, value in seconds.items() if math.isfinite(value))
    lasting = ", ".join(_hz(hz) for hz, value in seconds.items() if not math.isfinite(value))
    parts = [f"T60 {ending} (mid)"] if ending else []
    parts += [f"no decay at {lasting} (mid)"] if lasting else []
    level = "wet only" if decay.wet_only else f"{decay.against_dry_db:+.1f} dB against the dry sound"
    return ", ".join([*parts, level])


def octave_levels_db(response: Response) -> dict[int, float]:
    """Returns the mean level in dB of a response over each octave, by the middle of the octave in Hz."""
    octaves = [hz for hz in _OCTAVES_HZ if hz < 0.8 * response.highest_hz]
    return {hz: _octave_mean(response.hertz, response.levels_db, hz) for hz in octaves}


def decay_seconds(decay: Decay) -> dict[int, float]:
    """Returns T60 of mid in seconds by the middle of each octave in Hz; infinity where the sound does not decay.

    Octaves that the sample rate does not hold whole are left out.
    """
    octaves = [hz for hz in _T60_HZ if hz * 2**0.5 <= float(decay.hertz.max())]
    rates = {hz: _octave_mean(decay.hertz, decay.mid, hz) for hz in octaves}
    return {hz: 1 / rate if rate > 0 else math.inf for hz, rate in rates.items()}


def _octave_mean(hertz: Tensor, values: Tensor, centre: float) -> float:
    near = (hertz / centre).log2().abs() <= 0.5
    return float(values[near].mean())


def _bounded(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _hz(hertz: float) -> str:
    return f"{hertz:g}" if hertz < 1000 else f"{hertz / 1000:g}k"
