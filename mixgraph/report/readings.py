"""The settings of a processor as data: numbers in dB, Hz, ms, seconds and ratios, as they act."""

from __future__ import annotations

import math
from typing import Any

from mixgraph.processors.band_splitter import BandSplitter
from mixgraph.processors.delay import MultitapDelay
from mixgraph.processors.dynamics import DynamicRangeProcessor
from mixgraph.processors.fader import Fader
from mixgraph.processors.late_reverb import LateReverb
from mixgraph.processors.parametric_equalizer import ParametricEqualizer
from mixgraph.processors.readings import acting_ratio, acting_threshold_db, wet_against_dry
from mixgraph.processors.reverb import Reverb
from mixgraph.processors.saturator import Saturator
from mixgraph.report.settings import (
    DYNAMICS,
    NodeSettings,
    decay_seconds,
    fader_db,
    gains_db,
    in_units,
    octave_gains_db,
    taps,
)

_UNIT_NAMES = {"dB": "db", "Hz": "hz", "ms": "ms", "s": "seconds"}


def read_numbers(own: NodeSettings) -> dict[str, Any]:
    """The readings of one processor by name, with the unit at the end of the name (`threshold_db`, `attack_ms`).

    Gains, responses and taps are as they act, with the dry sound mixed in; thresholds are at the tracks' own level
    (RMS, full scale is 0 dB). What has no bound (a limiter's ratio, a decay that does not end) is None.
    """
    processor = own.processor
    if isinstance(processor, DynamicRangeProcessor):
        return _dynamics(own, processor)
    if isinstance(processor, MultitapDelay):
        ms, levels = taps(own)
        sides = ["left"] * (len(ms) // 2) + ["right"] * (len(ms) - len(ms) // 2)
        rows = zip(sides, ms, levels, strict=True)
        return {"taps": [{"channel": side, "time_ms": time, "level_db": level} for side, time, level in rows]}
    if isinstance(processor, Reverb):
        seconds = {f"t60_{hz}_hz_seconds": _bounded(value) for hz, value in decay_seconds(own).items()}
        level = 20 * math.log10(max(wet_against_dry(own.weight), 1e-9))
        more = _declared(own, ("log_colour", "log_width")) if isinstance(processor, LateReverb) else {}
        return {**seconds, "level_against_dry_db": _bounded(level), **more}
    if isinstance(processor, Fader):
        seconds_at, gains = fader_db(own)
        return {"time_seconds": seconds_at.tolist(), "gain_db": gains.tolist()}
    if isinstance(processor, Saturator):
        return {"drive_db": in_units(own, "log_drive")[0] - own.offset_db, "bias": in_units(own, "bias")[0]}
    if processor.outlets > 1 or (processor.linear and not processor.after):
        gains_by_name = {f"{name}_db": level for name, level in gains_db(own)}
        crossover = {"crossover_hz": in_units(own, "frequency_logit")[0]} if isinstance(processor, BandSplitter) else {}
        return crossover | gains_by_name
    if processor.linear:
        bands = {}
        if isinstance(processor, ParametricEqualizer):
            columns = (in_units(own, name) for name in ("frequency_logit", "log_gain", "q_logit"))
            bands = {
                "wet_bands": [{"frequency_hz": hz, "gain_db": db, "q": q} for hz, db, q in zip(*columns, strict=True)]
            }
        return {"octaves_db": {str(hz): level for hz, level in octave_gains_db(own).items()}, **bands}
    return _declared(own, tuple(processor.specification))


def _dynamics(own: NodeSettings, processor: DynamicRangeProcessor) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    for name, label in DYNAMICS.items():
        if name not in own.values:
            continue
        if label == "threshold":
            numbers["threshold_db"] = _bounded(acting_threshold_db(processor, own.values) + own.offset_db)
        elif label == "ratio":
            numbers["ratio"] = _bounded(acting_ratio(processor, own.values))
        else:
            unit = _UNIT_NAMES[processor.specification[name].unit]
            numbers[f"{label.replace(' ', '_').replace('-', '_')}_{unit}"] = in_units(own, name)[0]
    return numbers


def _declared(own: NodeSettings, names: tuple[str, ...]) -> dict[str, Any]:
    """Parameters by their own names, wet alone, in their units."""
    numbers = {}
    for name in names:
        declared = own.processor.specification[name]
        unit = _UNIT_NAMES.get(declared.unit, "")
        key = f"{name.removeprefix('log_')}_{unit}" if unit else name
        values = in_units(own, name)
        numbers[key] = values[0] if len(values) == 1 else values
    return numbers


def _bounded(value: float) -> float | None:
    return value if math.isfinite(value) else None
