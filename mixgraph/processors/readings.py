"""The readings of a processor's settings, as data: each kind is printed, drawn, saved and compared in one way.

A processor returns its readings (`Processor.readings`) and what a comparison of two graphs looks at
(`Processor.quantities`); reports and recovery know these kinds alone, never a type of processor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from mixgraph.processors.parameter import Parameter, Parameters

if TYPE_CHECKING:
    from mixgraph.processors.base import Processor

_TINY = 1e-9
_WET_ONLY = 0.999  # the dry sound is 60 dB below
LOWEST_HZ, _POINTS = 40.0, 400
UNIT_SUFFIXES = {"dB": "db", "Hz": "hz", "ms": "ms", "s": "seconds"}


@dataclass(frozen=True, eq=False)
class NodeValues:
    """The values of one processor in a graph, and the level and length of the audio that it acts on.

    Attributes:
        parameters: name -> (1, *shape), in trained coordinates, float64.
        weight: the dry/wet weight.
        offset_db: level of the tracks' files relative to the level at which the values were found.
        num_samples: the length of the song in samples.
    """

    parameters: Parameters
    weight: float
    offset_db: float = 0.0
    num_samples: int = 1


@dataclass(frozen=True)
class Number:
    """One or several numbers of one meaning.

    Attributes:
        key: names the number in tables, with its unit at the end: `threshold_db`.
        label: names the number in texts and pictures.
        values: the numbers in the unit; infinite if there is no bound.
        unit: `"1"` has none, `":1"` is a ratio.
        style: the format specification of a value; `""` gives two digits.
        phrase: a text in place of label and values, e.g. "never acts".
        on_panel: whether panels that draw another reading of the processor also print this one, in full or its value
            alone.
    """

    key: str
    label: str
    values: tuple[float, ...]
    unit: str
    style: str = ""
    phrase: str = ""
    on_panel: Literal["no", "value", "whole"] = "no"

    @property
    def value_text(self) -> str:
        values = self.values if len(self.values) < 4 else (min(self.values), max(self.values))
        values_text = (", " if len(self.values) < 4 else " to ").join(map(self._format, values))
        space = "" if self.unit.startswith(":") else " "
        return values_text if self.unit == "1" else f"{values_text}{space}{self.unit}"

    @property
    def text(self) -> str:
        return self.phrase or f"{self.label} {self.value_text}"

    def _format(self, value: float) -> str:
        if math.isinf(value):
            return "∞" if value > 0 else "-∞"
        if self.style:
            return f"{value:{self.style}}"
        return f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"


@dataclass(frozen=True)
class Gains:
    """Gains in dB by channel or outlet, dry sound included."""

    names: tuple[str, ...]
    levels_db: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Response:
    """The gain over frequency, dry sound included: Hz, dB, (frequencies,) each, and half the sample rate in Hz."""

    hertz: Tensor
    levels_db: Tensor
    highest_hz: float


@dataclass(frozen=True)
class Bands:
    """The bands of an equalizer as an engineer sets them, wet alone: Hz, dB and Q of each."""

    hertz: tuple[float, ...]
    gains_db: tuple[float, ...]
    q: tuple[float, ...]


@dataclass(frozen=True)
class Taps:
    """Echoes: the channel (`left` or `right`), the delay in ms and the level in dB of each.

    Levels are against the dry sound, or, with `wet_only`, of the output.
    """

    channels: tuple[str, ...]
    ms: tuple[float, ...]
    levels_db: tuple[float, ...]
    wet_only: bool


@dataclass(frozen=True, eq=False)
class Decay:
    """Reverberation: 1 / T60 in 1/s of mid and side at frequencies in Hz, (frequencies,) each, and its level.

    Rates are not above 0 where the sound does not decay. The level is against the dry sound, unless `wet_only`. The
    levels of mid and side at the start, in dB, have any common level; None where they are not known.
    """

    hertz: Tensor
    mid: Tensor
    side: Tensor
    against_dry_db: float
    wet_only: bool
    mid_db: Tensor | None = None
    side_db: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Automation:
    """A gain that moves: seconds in the song, and dB with the dry sound, (points,) each."""

    seconds: Tensor
    gains_db: Tensor


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve for pictures alone: (points,) each, with labels of the axes.

    Attributes:
        x, y: the curve.
        x_label, y_label: with units.
        unchanged: (points,), the curve of a processor that does nothing, where that is known.
        x_limits, y_limits: limits of the axes, where they are not to fit the curve.
    """

    x: Tensor
    y: Tensor
    x_label: str
    y_label: str
    unchanged: Tensor | None = None
    x_limits: tuple[float, float] | None = None
    y_limits: tuple[float, float] | None = None


Reading = Number | Gains | Response | Bands | Taps | Decay | Automation | Curve


@dataclass(frozen=True, eq=False)
class Quantity:
    """Something that the same processor has in two graphs, and whose error is reported.

    Attributes:
        name: names the quantity in tables.
        unit: the unit of values and error.
        values: a tensor of any shape; the error is the mean or median of their absolute differences.
        average: `"mean"` or `"median"`.
        stated: whether reports print the averages of the values beside the error.
    """

    name: str
    unit: str
    values: Tensor
    average: Literal["mean", "median"] = "mean"
    stated: bool = False


Compared = Quantity | Response | Taps
"""What comparisons know. Responses are compared at multiples of a bin width, from 0 Hz."""


def single(name: str, unit: str, value: float | Tensor) -> Quantity:
    """A quantity of one value, which is reported beside its error."""
    return Quantity(name, unit, torch.as_tensor(value, dtype=torch.float64).reshape(()), stated=True)


def to_db(amplitude: Tensor) -> Tensor:
    """Returns 20 log10 of the modulus, at least -180 dB."""
    return 20 * torch.log10(amplitude.abs().clamp(min=_TINY))


def is_wet_only(weight: float) -> bool:
    """Whether the dry sound is at least 60 dB below the wet one, or missing."""
    return weight > _WET_ONLY


def wet_against_dry(weight: float) -> float:
    """Returns w / (1 - w), the wet sound over a dry one of the same energy; w where there is no dry sound."""
    return weight if is_wet_only(weight) else weight / (1 - weight)


def blend(processor: Processor, wet: Tensor, weight: float) -> Tensor:
    """Returns the gain of dry and wet sound together, 1 - w + w g; w g for a processor without a dry part."""
    return weight * wet if processor.cuts else 1 - weight + weight * wet


def in_units(processor: Processor, node: NodeValues, name: str) -> tuple[float, ...]:
    """Returns a parameter in its unit, flattened."""
    return tuple(processor.specification[name].to_unit(node.parameters[name])[0].flatten().tolist())


def declared_numbers(processor: Processor, node: NodeValues, *names: str) -> tuple[Number, ...]:
    """Reads all parameters, or those of `names`, in their units, without the dry sound."""
    declared = processor.specification
    return tuple(
        Number(_key(name, declared[name]), declared[name].description or name, values, declared[name].unit, ".3g")
        for name in names or declared
        if (values := in_units(processor, node, name))
    )


def _key(name: str, declared: Parameter) -> str:
    suffix = UNIT_SUFFIXES.get(declared.unit)
    return f"{name.removeprefix('log_')}_{suffix}" if suffix else name


def frequency_response(processor: Processor, parameters: Parameters, hertz: Tensor) -> Tensor:
    """The wet gain of a linear processor at some frequencies, (1 or 2, frequencies), complex.

    Args:
        processor: a linear processor.
        parameters: the trained values of one node, (1, *shape) each.
        hertz: (frequencies,), in Hz.
    """
    taps = processor.impulse_response(parameters)[0].double()
    time = torch.arange(-processor.before, taps.shape[-1] - processor.before, dtype=torch.float64)
    angle = -2 * torch.pi / processor.sample_rate * hertz.double().unsqueeze(-1) * time
    return torch.complex(taps @ angle.cos().T, taps @ angle.sin().T)


def response_reading(processor: Processor, node: NodeValues) -> Response:
    """Reads a linear processor's response, at frequencies evenly spaced in octaves from 40 Hz to half the rate."""
    highest = 0.5 * processor.sample_rate
    hertz = torch.logspace(math.log10(LOWEST_HZ), math.log10(highest), _POINTS, dtype=torch.float64)
    wet = frequency_response(processor, node.parameters, hertz)[0]
    return Response(hertz, to_db(blend(processor, wet, node.weight)), highest)


def gains_reading(processor: Processor, node: NodeValues) -> Gains:
    """Reads the gain of each channel of a linear processor without memory; that of mid only where it is not 0 dB."""
    wet = processor.impulse_response(node.parameters)[0, :, 0]
    levels = to_db(blend(processor, wet, node.weight)).tolist()
    if len(levels) == 1:
        return Gains(("gain",), tuple(levels))
    if processor.channels == "left_right":
        return Gains(("left", "right"), tuple(levels))
    kept = [(name, level) for name, level in zip(("mid", "side"), levels, strict=True) if name == "side" or level]
    return Gains(*zip(*kept, strict=True))


def outlet_gains(processor: Processor, node: NodeValues, wet: Tensor) -> Gains:
    """Reads the gain of each outlet of a splitter from wet gains, (outlets,); the dry signal goes to the first."""
    dry = (1 - node.weight) * torch.eye(processor.outlets, dtype=wet.dtype)[0]
    return Gains(processor.outlet_names, tuple(to_db(dry + node.weight * wet).tolist()))
