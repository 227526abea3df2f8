"""The settings of a processor that listeners move, in units of the studio, and what they do to its parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mixgraph.processors import Processor
from mixgraph.processors.dynamics import ENERGY_FLOOR, DynamicRangeProcessor
from mixgraph.processors.parameter import DB_PER_NEPER
from mixgraph.processors.readings import NodeValues

WET, LEVEL = "wet", "level_db"
"""The settings that belong to no parameter: the dry/wet weight, and the level of echoes and reverberation."""
PIVOT_HZ, LOWEST_TILTED_HZ = 1000.0, 20.0
Values = dict[str, Tensor]


@dataclass(frozen=True)
class Adjustable:
    """One setting of a processor.

    Attributes:
        name: names the setting in files, with its unit at the end.
        label: names it for people.
        unit: `"1"` has none; `"x"` is a factor, `":1"` a ratio.
        low, high: the values that are allowed.
        value: the value that was found; 0 dB, or a factor of 1, where the setting is relative to what was found.
        change: takes the parameters of a node, (1, *shape) each in float64, to those with a value of the setting.
    """

    name: str
    label: str
    unit: str
    low: float
    high: float
    value: float
    change: Callable[[Values, float], Values]


_BANDS = [
    entry
    for band in range(6)
    for entry in (
        (f"band_{band + 1}_hz", f"band {band + 1} frequency", "frequency_logit", band),
        (f"band_{band + 1}_gain_db", f"band {band + 1} gain", "log_gain", band),
        (f"band_{band + 1}_q", f"band {band + 1} Q", "q_logit", band),
    )
]
_KNOTS = ("150 Hz", "1.2 kHz", "7 kHz")
_DYNAMICS = [
    ("ratio", "ratio", "log_ratio", 0),
    ("knee_db", "knee", "log_knee", 0),
    ("time_constant_ms", "time constant", "smoothing_logit", 0),
    ("attack_ms", "attack", "attack_logit", 0),
    ("release_ms", "release", "release_logit", 0),
    ("make_up_db", "make-up", "log_makeup", 0),
]
_DECLARED: dict[str, list[tuple[str, str, str, int]]] = {
    "gain_panning": [("gain_left_db", "left", "log_gain", 0), ("gain_right_db", "right", "log_gain", 1)],
    "stereo_imager": [("side_db", "side", "log_gain", 0)],
    "send": [("gain_db", "gain", "log_gain", 0)],
    "mid_side_splitter": [("mid_db", "mid", "log_gain", 0), ("side_db", "side", "log_gain", 1)],
    "band_splitter": [
        ("crossover_hz", "crossover", "frequency_logit", 0),
        ("low_db", "low band", "log_gain", 0),
        ("high_db", "high band", "log_gain", 1),
    ],
    "parametric_equalizer": _BANDS,
    "saturator": [("drive_db", "drive", "log_drive", 0), ("bias", "bias", "bias", 0)],
    "late_reverb": [
        *((f"t60_{k + 1}_seconds", f"decay time at {hz}", "log_t60", k) for k, hz in enumerate(_KNOTS)),
        *((f"colour_{k + 1}_db", f"initial level at {hz}", "log_colour", k) for k, hz in enumerate(_KNOTS)),
        ("width_db", "width", "log_width", 0),
    ],
    "compressor": _DYNAMICS,
    "noisegate": _DYNAMICS,
    "sidechain_compressor": _DYNAMICS,
    "attack_release_compressor": _DYNAMICS,
    "attack_release_gate": _DYNAMICS,
}
"""Type -> (name, label, parameter, entry of the parameter): one entry of a declared parameter each."""


def adjustables(processor: Processor, node: NodeValues) -> tuple[Adjustable, ...]:
    """Returns the settings of a processor that can be moved; types from outside this package have the weight only."""
    settings = [Adjustable(WET, "dry/wet", "1", 0.0, 1.0, node.weight, lambda values, value: values)]
    if isinstance(processor, DynamicRangeProcessor) and processor.name in _DECLARED:
        settings.append(_threshold(processor, node))
    for name, label, parameter, entry in _DECLARED.get(processor.name, ()):
        if parameter in node.parameters:
            settings.append(_declared(processor, node, name, label, parameter, entry))
    if processor.name == "equalizer":
        settings += [
            _ranged("tilt_db_per_octave", "tilt", "dB/octave", -6, 6, 0, _tilted(processor)),
            _ranged("gain_db", "gain", "dB", -24, 24, 0, _louder("log_magnitude")),
        ]
    if processor.name == "fader":
        settings.append(_ranged("gain_db", "gain", "dB", -24, 24, 0, _louder("log_gain")))
    if processor.late and processor.type_id is not None and processor.type_id < 1000:
        settings.append(_ranged(LEVEL, "level", "dB", -40, 20, 0, lambda values, value: values))
    if processor.name == "reverb":
        settings.append(_ranged("decay", "decay time", "x", 0.25, 4, 1, _slower(processor)))
    return tuple(settings)


def _ranged(
    name: str, label: str, unit: str, low: float, high: float, value: float, change: Callable[[Values, float], Values]
) -> Adjustable:
    """A setting whose range reaches as far as its value."""
    return Adjustable(name, label, unit, min(low, value), max(high, value), value, change)


def _declared(processor: Processor, node: NodeValues, name: str, label: str, parameter: str, entry: int) -> Adjustable:
    declared = processor.specification[parameter]
    shift = declared.follows_level * node.offset_db

    def change(values: Values, value: float) -> Values:
        changed = values[parameter].clone()
        changed[0, entry] = declared.from_unit(changed.new_full(declared.shape, value - shift))[entry]
        return values | {parameter: changed}

    value = float(declared.to_unit(node.parameters[parameter])[0, entry]) + shift
    return _ranged(
        name, label, declared.unit.partition(" ")[0], declared.low + shift, declared.high + shift, value, change
    )


def _threshold(processor: DynamicRangeProcessor, node: NodeValues) -> Adjustable:
    """The level (RMS) at which the processor starts to act, at the tracks' own level, as in settings.txt."""
    blind = 20 * math.log10(2) if processor.detector == "mid" else 0.0
    declared = processor.specification["log_threshold"]

    def change(values: Values, value: float) -> Values:
        energy = 10 ** ((value - node.offset_db + blind) / 10) + ENERGY_FLOOR
        changed = declared.from_unit(torch.full((1, 1), 10 * math.log10(energy), dtype=torch.float64))
        return values | {"log_threshold": changed.to(values["log_threshold"])}

    low, high = -70 + node.offset_db, 6 + node.offset_db
    value = max(processor.acting_threshold_db(node.parameters) + node.offset_db, low)
    return _ranged("threshold_db", "threshold", "dB", low, high, value, change)


def _tilted(processor: Processor) -> Callable[[Values, float], Values]:
    def change(values: Values, value: float) -> Values:
        bins = values["log_magnitude"].shape[-1]
        hertz = torch.arange(bins, dtype=torch.float64) * (processor.sample_rate / (2 * bins - 1))
        octaves = torch.log2(hertz.clamp(min=LOWEST_TILTED_HZ) / PIVOT_HZ)
        return values | {"log_magnitude": values["log_magnitude"] + value / DB_PER_NEPER * octaves}

    return change


def _louder(parameter: str) -> Callable[[Values, float], Values]:
    return lambda values, value: values | {parameter: values[parameter] + value / DB_PER_NEPER}


def _slower(processor: Processor) -> Callable[[Values, float], Values]:
    declared = processor.specification["delta_log_magnitude"]

    def change(values: Values, value: float) -> Values:
        seconds = declared.to_unit(values["delta_log_magnitude"]) * value
        return values | {"delta_log_magnitude": declared.from_unit(seconds)}

    return change
