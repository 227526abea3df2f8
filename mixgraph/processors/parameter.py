"""A trainable parameter of a processor: the map from a trained coordinate to a unit, and the meaning of its value."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from mixgraph.names import did_you_mean

Parameters = Mapping[str, Tensor]
DB_PER_NEPER = 20 / math.log(10)
"""A natural-log amplitude of 1 in dB."""


@dataclass(frozen=True)
class Parameter:
    """A trainable quantity of a processor: trained in an unbounded coordinate, read in a physical unit.

    Attributes:
        shape: the shape of one node's value.
        unit: the unit of the mapped value, e.g. `"dB"`, `"ms"`; `"1"` where it has none.
        low, high: the range of mapped values that the processor is meant for (tests go to both ends).
        to_unit, from_unit: the map from the trained coordinate to the unit and its inverse.
        description: one line for reports.
        mean: the centre of the initial values, in the trained coordinate.
        positions: each entry is a complex number (the last axis has its real and imaginary part) whose angle is a
            place that is as likely as any other: estimators choose among places, random changes turn it.
        left_right: the first axis has the entries of the left channel, then those of the right.
        common_level: the part of the value without effect, because the processor normalises its output; it is left out
            of codes: `"mean"` of all entries, or `"energy"` of all entries together; `""` if every part has effect.
        follows_level: the dB by which the value must change so that the processor acts in the same way on audio that
            is 1 dB louder: 1 for a threshold, -1 for a drive, 0 for most.
    """

    shape: tuple[int, ...]
    unit: str
    low: float
    high: float
    to_unit: Callable[[Tensor], Tensor]
    from_unit: Callable[[Tensor], Tensor]
    description: str = ""
    mean: float = field(default=0.0, kw_only=True)
    positions: bool = field(default=False, kw_only=True)
    left_right: bool = field(default=False, kw_only=True)
    common_level: Literal["", "mean", "energy"] = field(default="", kw_only=True)
    follows_level: float = field(default=0.0, kw_only=True)


def chosen(name: str, value: str, allowed: tuple[str, ...]) -> str:
    """Checks an option of a processor's constructor, and returns its value.

    Raises:
        ValueError: the value is none of the allowed ones.
    """
    if value not in allowed:
        raise ValueError(f"{name}: one of {', '.join(allowed)}, got {value!r}.{did_you_mean(value, allowed)}")
    return value


def decibels(shape: tuple[int, ...], low: float, high: float, description: str, scale: float = 1.0) -> Parameter:
    """A level whose natural-log amplitude is `scale` times the trained coordinate, read in dB."""
    factor = DB_PER_NEPER * scale
    return Parameter(shape, "dB", low, high, lambda p: p * factor, lambda db: db / factor, description)
