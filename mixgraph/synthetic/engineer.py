"""Settings of processors as engineers choose them, drawn in physical units to suit a signal."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from mixgraph.dsp.envelopes.one_pole import one_pole
from mixgraph.dsp.third_octaves import third_octave_means
from mixgraph.processors import Processor, Processors

_LEAST_LEVEL_DB = -46.0  # the detectors' own floor is at -50 dB
_ECHO_FLOOR_DB = -36.0

Values = dict[str, Tensor]


class _Draw:
    """Random numbers of the usual shapes."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.generator, dtype=torch.float64))

    def logarithmic(self, low: float, high: float) -> float:
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def sign(self) -> float:
        return 1.0 if self.uniform(0, 1) < 0.5 else -1.0

    def choose(self, count: int, of: int) -> list[int]:
        return torch.randperm(of, generator=self.generator)[:count].tolist()


def draw_settings(
    processor: Processor, signal: Tensor, strength: float, generator: torch.Generator
) -> tuple[Values, float]:
    """Draws the settings of one node, and its dry/wet weight.

    Args:
        processor: of the node's type.
        signal: (2, L), what enters the node; thresholds are set by its level.
        strength: 1, or more for settings that act more.
        generator: source of all randomness.

    Returns:
        name -> values in trained coordinates, of one node; and the weight.

    Raises:
        ValueError: a type without a rule here.
    """
    if processor.name not in _RULES:
        raise ValueError(f"processor {processor.name!r}: no rule how to set it; known are {', '.join(sorted(_RULES))}")
    units, weight = _RULES[processor.name](processor, signal, strength, _Draw(generator))
    declared = processor.specification
    values = {name: declared[name].from_unit(units[name]).float() for name in declared}
    return values, weight


def _gain_panning(_: Processor, signal: Tensor, strength: float, draw: _Draw) -> tuple[Values, float]:
    level = draw.uniform(3, 9) * -1 if draw.uniform(0, 1) < 0.6 else draw.uniform(2, 4)
    panning = draw.sign() * draw.uniform(1.5, 3)
    gains = torch.tensor([level + panning, level - panning], dtype=torch.float64) * strength
    return {"log_gain": gains.clamp(-12, 6)}, _full(draw)


def _stereo_imager(_: Processor, signal: Tensor, strength: float, draw: _Draw) -> tuple[Values, float]:
    side_db = draw.uniform(-12, -7) if draw.uniform(0, 1) < 0.5 else draw.uniform(4, 6)
    return {"log_gain": torch.tensor([side_db * strength]).clamp(-20, 9)}, _full(draw)


def _equalizer(processor: Processor, signal: Tensor, strength: float, draw: _Draw) -> tuple[Values, float]:
    # A few bells an octave or so wide, one in each part of the spectrum; zero mean, since a level is a gain's matter.
    bins = processor.specification["log_magnitude"].shape[0]
    hertz = torch.arange(bins, dtype=torch.float64) * (processor.sample_rate / (2 * bins - 1))
    octave = torch.log2(hertz.clamp(min=float(hertz[1]) / 2))
    curve = torch.zeros(bins, dtype=torch.float64)
    borders = (80, 400, 2000, 10000)
    sign = draw.sign()
    for low, high in itertools.pairwise(borders):
        centre, width = math.log2(draw.logarithmic(low, high)), draw.uniform(0.6, 1.2)
        curve += sign * strength * draw.uniform(4, 9) * torch.exp(-0.5 * ((octave - centre) / width) ** 2)
        sign = -sign if draw.uniform(0, 1) < 0.75 else sign
    curve = curve - (third_octave_means(hertz) @ curve).mean()
    return {"log_magnitude": curve.clamp(-18, 14)}, _full(draw)


def _compressor(processor: Processor, signal: Tensor, strength: float, draw: _Draw) -> tuple[Values, float]:
    time_ms = draw.logarithmic(5, 100)
    loud = float(_levels(signal, time_ms, processor.sample_rate).quantile(0.9))
    threshold = loud - draw.uniform(5, 11) * strength
    ratio = 1 + draw.uniform(2, 7) * strength
    return _dynamics(threshold, ratio, draw.uniform(2, 10), time_ms), _full(draw)


def _noisegate(processor: Processor, signal: Tensor, strength: float, draw: _Draw) -> tuple[Values, float]:
    time_ms = draw.logarithmic(5, 40)
    levels = _levels(signal, time_ms, processor.sample_rate)
    quiet, loud = float(levels.quantile(0.1)), float(levels.quantile(0.9))
    threshold = quiet + min(1.0, draw.uniform(0.45, 0.6) * strength) * (loud - quiet)
    ratio = 1 + draw.uniform(1, 3) * strength
    return _dynamics(threshold, ratio, draw.uniform(2, 8), time_ms), _full(draw)


def _dynamics(threshold_db: float, ratio: float, knee_db: float, time_ms: float) -> Values:
    units = {
        "log_knee": knee_db,
        "log_ratio": ratio,
        "log_threshold": max(threshold_db, _LEAST_LEVEL_DB),
        "smoothing_logit": time_ms,
    }
    return {name: torch.tensor([value], dtype=torch.float64) for name, value in units.items()}


def _reverb(processor: Processor, signal: Tensor, strength: float, draw: _Draw) -> tuple[Values, float]:
    channels, bins = processor.specification["delta_log_magnitude"].shape
    height = torch.linspace(0, 1, bins, dtype=torch.float64).sqrt()
    seconds = draw.logarithmic(0.7, 2.0) * (1 - draw.uniform(0, 0.45) * height)
    tilt = -draw.uniform(2, 10) * height
    width_db = draw.uniform(-6, 0)
    units = {
        "delta_log_magnitude": seconds.clamp(0.4, 2.0).expand(channels, bins),
        "init_log_magnitude": torch.stack((tilt, tilt + width_db)),
    }
    return units, min(0.5, draw.uniform(0.25, 0.45) * strength)


def _delay(processor: Processor, signal: Tensor, strength: float, draw: _Draw) -> tuple[Values, float]:
    taps, bins = processor.specification["log_fir_magnitude"].shape
    segments, segment_ms = taps // 2, 100.0
    inside = torch.tensor([draw.uniform(0.1, 0.9) for _ in range(taps)], dtype=torch.float64)
    first = torch.arange(taps, dtype=torch.float64).remainder(segments)
    levels = torch.full((taps, bins), _ECHO_FLOOR_DB, dtype=torch.float64)
    damping = torch.linspace(0, 1, bins, dtype=torch.float64)
    # The first echoes are the loud ones: on each side two of the segments between 0.1 and 0.8 seconds.
    for side in range(2):
        for tap in draw.choose(2, of=7):
            levels[side * segments + 1 + tap] = draw.uniform(-4, 0) - draw.uniform(0, 8) * damping
    units = {
        "delay_z": torch.stack(((first + inside) * segment_ms, torch.full((taps,), 0.9)), dim=-1),
        "log_fir_magnitude": levels,
    }
    return units, min(0.5, draw.uniform(0.25, 0.45) * strength)


_RULES: dict[str, Callable[[Processor, Tensor, float, _Draw], tuple[Values, float]]] = {
    "compressor": _compressor,
    "delay": _delay,
    "equalizer": _equalizer,
    "gain_panning": _gain_panning,
    "noisegate": _noisegate,
    "reverb": _reverb,
    "stereo_imager": _stereo_imager,
}


def _full(draw: _Draw) -> float:
    return draw.uniform(0.93, 0.99)


def _levels(signal: Tensor, time_ms: float, sample_rate: int) -> Tensor:
    """Levels in dB of the smoothed energy, every 5 ms: what a detector sees."""
    energy = signal.double().square().mean(dim=0, keepdim=True)
    log_a = torch.tensor([-1000 / (time_ms * sample_rate)], dtype=torch.float64)
    smoothed = one_pole(energy, log_a - torch.log(-torch.expm1(log_a)))[0, :: max(1, sample_rate // 200)]
    return 10 * torch.log10(smoothed.clamp(min=1e-5))


def moved_thresholds(
    processors: Processors, parameters: Mapping[str, Mapping[str, Tensor]], shift_db: float
) -> dict[str, dict[str, Tensor]]:
    """Parameters for audio that is louder by `shift_db`: thresholds move along, so that dynamics act as before."""
    moved = {t: dict(values) for t, values in parameters.items()}
    for t, values in moved.items():
        if "log_threshold" in values:
            declared = processors[t].specification["log_threshold"]
            values["log_threshold"] = declared.from_unit(declared.to_unit(values["log_threshold"]) + shift_db)
    return moved
