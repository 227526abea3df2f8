"""The settings of a processor in the units of plug-ins: what a person types in to come near to its sound."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from mixgraph.processors.dynamics import DynamicRangeProcessor
from mixgraph.processors.readings import (
    Automation,
    Bands,
    Decay,
    Gains,
    Number,
    Reading,
    Response,
    Taps,
    blend,
    frequency_response,
    is_wet_only,
    to_db,
)
from mixgraph.report.bands import Band, BandFit, bands_db, fit_bands, fit_hertz
from mixgraph.report.readings import decay_seconds
from mixgraph.report.settings import NodeSettings

SINE_PEAK_DB = 10 * math.log10(2)
"""The peak of a sine above its level (RMS)."""
_SILENCE_DB = -200.0
_LEAST_DB = -180.0
_OF_MONO = ("mono_fader_db", "pan_percent")
_LABELS = {"knee_db": "knee (whole width)", "time_constant_ms": "attack and release"}


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        name: names it in tables, with its unit at the end.
        label: names it for people.
        value: None where there is no bound, such as a limiter's ratio.
        unit: `dB`, `Hz`, `ms`, `%`; `dBFS` is against full scale; `""` has none.
        digits: digits behind the point in texts.
        signed: whether texts show a plus.
    """

    name: str
    label: str
    value: float | None
    unit: str
    digits: int = 1
    signed: bool = False

    @property
    def text(self) -> str:
        """The value with its unit, for people."""
        if self.value is None:
            return f"∞{'' if self.unit.startswith(':') else ' '}{self.unit}"
        number = f"{self.value:{'+' if self.signed else ''}.{self.digits}f}"
        return f"{number}{'' if self.unit.startswith(':') else ' '}{self.unit}".strip()


@dataclass(frozen=True)
class Echo:
    """An echo: channel, delay in ms, and level in dB against the dry sound (or of the output where there is none)."""

    channel: str
    ms: float
    level_db: float


@dataclass(frozen=True, eq=False)
class Device:
    """A processor as a plug-in.

    Attributes:
        node: the processor's node in the graph.
        place: the chain, and the branch of it where it parts: `track kick, side`.
        name: what the processor is called.
        processor: the processor's type.
        settings: in the order in which people read them.
        fit: bands of an equalizer.
        echoes: all echoes, by time.
        points: (seconds, dB) of gain automation.
        remarks: sentences on what the settings mean here.
    """

    node: int
    place: str
    name: str
    processor: str
    settings: tuple[Setting, ...]
    fit: BandFit | None = None
    echoes: tuple[Echo, ...] = ()
    points: tuple[tuple[float, float], ...] = ()
    remarks: tuple[str, ...] = ()


def read_device(node: NodeSettings, sample_rate: int) -> Device:
    """Reads the settings of a processor of any type from its readings.

    Args:
        node: the processor in a graph at the rate of the session, see `FoundGraph.at_sample_rate`.
        sample_rate: that rate in Hz.
    """
    readings = node.readings
    kinds = {type(reading): reading for reading in readings}
    settings = [setting for reading in readings for setting in _settings(reading)]
    if not node.place.startswith("track "):  # buses are stereo
        settings = [setting for setting in settings if setting.name not in _OF_MONO]
    remarks = [reading.phrase for reading in readings if isinstance(reading, Number) and reading.phrase]
    is_wet, response, wet_bands = is_wet_only(node.values.weight), kinds.get(Response), kinds.get(Bands)
    fit = None
    if isinstance(response, Response):
        own = wet_bands if isinstance(wet_bands, Bands) and is_wet else None
        fit = _fit(node, response, own, sample_rate)
        settings = [Setting("output_gain_db", "output gain", fit.gain_db, "dB", signed=True), *_of_bands(fit)]
    if isinstance(node.processor, DynamicRangeProcessor):
        settings += _of_dynamics(node)
    if not kinds.keys() & {Gains, Response, Automation}:  # those are told with the dry sound in them
        settings += _of_mix(node)
    if getattr(node.processor, "detector", "energy") == "mid":
        remarks.append("It listens to the sum of both channels, not to their power.")
    if isinstance(wet_bands, Bands) and not is_wet:
        bands = "; ".join(_band_text(band) for band in _trained_bands(wet_bands))
        remarks.append(f"The same exactly: mix {100 * node.values.weight:.0f} % of {bands}.")
    taps, automation = kinds.get(Taps), kinds.get(Automation)
    return Device(
        node.node,
        node.place,
        node.name,
        node.processor.name,
        tuple(settings),
        fit,
        _echoes(taps) if isinstance(taps, Taps) else (),
        _points(automation) if isinstance(automation, Automation) else (),
        tuple(remarks),
    )


def _settings(reading: Reading) -> Iterator[Setting]:
    match reading:
        case Number():
            yield from _of_number(reading)
        case Gains(names=("left", "right"), levels_db=(left, right)):
            yield from _of_panning(left, right)
        case Gains():
            for name, level in zip(reading.names, reading.levels_db, strict=True):
                yield Setting(f"{name}_db", name, level, "dB", signed=True)
            if reading.names == ("side",):
                width = 100 * 10 ** (reading.levels_db[0] / 20)
                yield Setting("width_percent", "width (100 % is unchanged)", width, "%", 0)
        case Decay():
            for side, name in (("mid", "mid"), ("side", "side")):
                for hz, seconds in decay_seconds(replace(reading, mid=getattr(reading, side))).items():
                    bounded = seconds if math.isfinite(seconds) else None
                    yield Setting(f"t60_{name}_{hz}_hz_seconds", f"T60 of {name} at {hz} Hz", bounded, "s", 2)
            level = reading.against_dry_db
            yield Setting("level_db", "level" if reading.wet_only else "level against dry", level, "dB", signed=True)


def _of_number(number: Number) -> Iterator[Setting]:
    unit = "" if number.unit == "1" else number.unit
    if number.key == "threshold_db":
        if math.isfinite(number.values[0]):
            peak = number.values[0] + SINE_PEAK_DB
            yield Setting("threshold_rms_dbfs", "threshold (RMS)", number.values[0], "dBFS")
            yield Setting("threshold_sine_peak_dbfs", "threshold (peak of a sine)", peak, "dBFS")
        return
    for i, value in enumerate(number.values, start=1):
        several = len(number.values) > 1
        name, label = (f"{number.key}_{i}", f"{number.label} {i}") if several else (number.key, number.label)
        bounded = value if math.isfinite(value) else None
        digits = 1 if unit in ("dB", "ms", ":1") else 2
        yield Setting(name, _LABELS.get(number.key, label), bounded, unit, digits)


def _of_panning(left_db: float, right_db: float) -> Iterator[Setting]:
    """Gains of both channels; fader and balance of a stereo track; fader and pan of a mono track."""
    left, right = 10 ** (left_db / 20), 10 ** (right_db / 20)
    yield Setting("left_db", "left", left_db, "dB", signed=True)
    yield Setting("right_db", "right", right_db, "dB", signed=True)
    louder = max(left, right)
    yield Setting("stereo_fader_db", "stereo track: fader", max(left_db, right_db), "dB", signed=True)
    yield Setting("balance_percent", "stereo track: balance (- left, + right)", *_side((right - left) / louder))
    yield Setting("mono_fader_db", "mono track: fader", 10 * math.log10(left**2 + right**2), "dB", signed=True)
    yield Setting(
        "pan_percent", "mono track: pan (- left, + right)", *_side(math.atan2(right, left) / (math.pi / 4) - 1)
    )


def _side(share: float) -> tuple[float, str, int, bool]:
    return 100 * share + 0.0, "%", 0, True


def _of_dynamics(node: NodeSettings) -> Iterator[Setting]:
    processor = node.processor
    assert isinstance(processor, DynamicRangeProcessor)
    if processor.direction < 0:
        silence = torch.tensor([_SILENCE_DB], dtype=torch.float64)
        yield Setting(
            "range_db",
            "range (gain of silence)",
            float(to_db(processor.static_gain(node.values.parameters, silence))),
            "dB",
        )


def _of_mix(node: NodeSettings) -> Iterator[Setting]:
    """Mix; and the levels of both parts of an effect, which may stand on a bus of its own."""
    weight = node.values.weight
    yield Setting("mix_percent", "mix (wet)", 100 * weight, "%", 0)
    if node.processor.late and not is_wet_only(weight):
        for name, share in (("dry", 1 - weight), ("wet", weight)):
            level = 20 * math.log10(share) if share > 0 else _LEAST_DB
            yield Setting(f"{name}_db", f"{name} sound", level, "dB", signed=True)


def _fit(node: NodeSettings, response: Response, bands: Bands | None, sample_rate: int) -> BandFit:
    """Returns bands that make a response, the dry sound in it; those of the processor, where it is wet alone."""
    hertz = fit_hertz(sample_rate)
    if node.processor.linear:  # the reading begins at 40 Hz
        wet = frequency_response(node.processor, node.values.parameters, torch.from_numpy(hertz))[0]
        curve = to_db(blend(node.processor, wet, node.values.weight)).numpy()
    else:
        curve = np.interp(np.log(hertz), response.hertz.log().numpy(), response.levels_db.numpy())
    if bands is not None:
        trained = _trained_bands(bands)
        return BandFit(trained, 0.0, sample_rate, hertz, curve, bands_db(trained, hertz, sample_rate))
    return fit_bands(curve, sample_rate)


def _trained_bands(bands: Bands) -> tuple[Band, ...]:
    kinds = ["low shelf", *["bell"] * (len(bands.hertz) - 2), "high shelf"]
    rows = zip(kinds, bands.hertz, bands.gains_db, bands.q, strict=True)
    return tuple(Band(kind, hz, gain, q) for kind, hz, gain, q in rows)  # type: ignore[arg-type]


def _of_bands(fit: BandFit) -> Iterator[Setting]:
    for i, band in enumerate(fit.bands, start=1):
        label = f"band {i}, {band.kind}"
        yield Setting(f"band_{i}_hz", f"{label}: frequency", band.hertz, "Hz", 0)
        yield Setting(f"band_{i}_db", f"{label}: gain", band.gain_db, "dB", signed=True)
        yield Setting(f"band_{i}_q", f"{label}: Q", band.q, "", 2)


def _band_text(band: Band) -> str:
    return f"{band.kind} {band.hertz:.0f} Hz {band.gain_db:+.1f} dB Q {band.q:.2f}"


def _echoes(taps: Taps) -> tuple[Echo, ...]:
    rows = [Echo(*row) for row in zip(taps.channels, taps.ms, taps.levels_db, strict=True)]
    return tuple(sorted(rows, key=lambda echo: echo.ms))


def _points(automation: Automation) -> tuple[tuple[float, float], ...]:
    return tuple(zip(automation.seconds.tolist(), automation.gains_db.tolist(), strict=True))
