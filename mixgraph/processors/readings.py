"""What the settings of one processor amount to, in the units that people read: curves, gains and levels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mixgraph.processors.base import Parameters, Processor
from mixgraph.processors.delay import MultitapDelay
from mixgraph.processors.dynamics import ENERGY_FLOOR, DynamicRangeProcessor

_TINY = 1e-9
STEEPEST_RATIO = 200.0
"""Above it a compressor is told as a limiter, of an infinite ratio."""
_WET_ONLY = 0.999  # the dry sound is 60 dB below
_MID_OF_EQUALS_DB = 20 * math.log10(2)  # (l + r)^2 over (l^2 + r^2) / 2, where l = r


def to_db(amplitude: Tensor) -> Tensor:
    """20 log10 of the modulus; at least -180 dB."""
    return 20 * torch.log10(amplitude.abs().clamp(min=_TINY))


def blend(processor: Processor, wet: Tensor, weight: float) -> Tensor:
    """A wet gain with the dry sound beside it, 1 - w + w g; for what has no dry part, w g."""
    return weight * wet if processor.cuts else 1 - weight + weight * wet


def frequency_response(processor: Processor, values: Parameters, hertz: Tensor) -> Tensor:
    """The wet gain of a linear processor at some frequencies, (1 or 2, frequencies), complex.

    Args:
        processor: linear.
        values: of one node, (1, *shape) each.
        hertz: (frequencies,).
    """
    taps = processor.impulse_response(values)[0].double()
    time = torch.arange(-processor.before, taps.shape[-1] - processor.before, dtype=torch.float64)
    angle = -2 * torch.pi / processor.sample_rate * hertz.double().unsqueeze(-1) * time
    return torch.complex(taps @ angle.cos().T, taps @ angle.sin().T)


def static_gain(processor: DynamicRangeProcessor, values: Parameters, levels_db: Tensor) -> Tensor:
    """The wet gain (not in dB) of a processor of dynamics for steady signals at these levels (RMS), (levels,).

    Args:
        processor: any compressor or gate.
        values: of one node, (1, *shape) each.
        levels_db: (levels,).
    """
    tone = (10 ** (levels_db / 20)).view(-1, 1, 1).expand(-1, 2, 1)
    rows = {name: value.expand(len(levels_db), *value.shape[1:]) for name, value in values.items()}
    at_once = torch.full_like(next(iter(rows.values()))[:, :1], -40.0)  # the envelope follows without delay
    return processor.gain(tone, rows | dict.fromkeys(processor.time_constants, at_once))[0][:, 0]


def acting_threshold_db(processor: DynamicRangeProcessor, values: Parameters) -> float:
    """The level (RMS) of a signal in the middle of the panorama at which a processor of dynamics starts to act.

    The detector hears `ENERGY_FLOOR` beside every signal: a threshold below it is minus infinity.
    """
    declared = processor.specification["log_threshold"]
    energy = 10 ** (float(declared.to_unit(values["log_threshold"])) / 10) - ENERGY_FLOOR
    if energy <= 0:
        return -math.inf
    return 10 * math.log10(energy) - (_MID_OF_EQUALS_DB if processor.detector == "mid" else 0.0)


def acting_ratio(processor: DynamicRangeProcessor, values: Parameters) -> float:
    """The ratio R of a processor of dynamics past its threshold, wet alone.

    A compressor turns R dB more in into 1 dB more out; negative where it is less out, infinite where it is as much. A
    gate turns 1 dB less in into R dB less out. With `gain="energy"` both are steeper than their coordinate says.
    """
    steepness = 2 * processor.exponent * float(processor.slope(values["log_ratio"].double()))
    if processor.direction < 0:
        return 1 - steepness
    rise = 1 + steepness
    return 1 / rise if abs(rise) > 1 / STEEPEST_RATIO else math.inf


def tap_levels_db(processor: MultitapDelay, values: Parameters, weight: float) -> Tensor:
    """The level of each tap, (taps,): its share of the unit energy, against the dry sound where there is one."""
    magnitude = torch.exp(values["log_fir_magnitude"][0])
    energy = torch.fft.irfft(magnitude, n=2 * processor.num_bins - 1).mul(processor.window).square().sum(dim=-1)
    share = torch.sqrt(energy / (energy.sum() / 2))  # the mean of both channels has unit energy
    return to_db(share * wet_against_dry(weight))


def is_wet_only(weight: float) -> bool:
    """The dry sound is 60 dB below, or there is none."""
    return weight > _WET_ONLY


def wet_against_dry(weight: float) -> float:
    """w / (1 - w), the wet sound over a dry one of the same energy; w where the dry one is not there."""
    return weight if is_wet_only(weight) else weight / (1 - weight)
