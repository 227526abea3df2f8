"""The processors of a graph as effects in REAPER: our own JSFX, their sliders, and the responses of the convolver."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mixgraph.processors import Processor
from mixgraph.processors.dynamics import DynamicRangeProcessor
from mixgraph.processors.fader import Fader
from mixgraph.processors.parameter import Parameters
from mixgraph.report.drawing.palette import type_label

GAIN, IMAGER, SATURATOR, DYNAMICS, CONVOLVER = "gain", "imager", "saturator", "dynamics", "convolver"
SILENCE_DB = -120.0
"""The lowest level that sliders have."""
_DYNAMICS = (
    "compressor",
    "noisegate",
    "sidechain_compressor",
    "attack_release_compressor",
    "attack_release_gate",
)
_TAIL = 1e-14
"""Share of a response's energy that its cut end may have, -140 dB."""
_MOST_STEPS = 1e-5
"""Relative error that straight lines between the points of a volume envelope may have, where a fader's gain bends."""


@dataclass(frozen=True, eq=False)
class Response:
    """An impulse response for the convolver.

    Attributes:
        samples: (1 or 2, taps), in the channels of `mid_side`; one channel serves both.
        before: samples before time zero.
        mid_side: whether the channels are mid and side.
    """

    samples: Tensor
    before: int
    mid_side: bool


@dataclass(frozen=True, eq=False)
class Effect:
    """An effect of a track.

    Attributes:
        file: name of the JSFX, without its suffix.
        name: what the effect is, for people.
        sliders: values by number of the slider, in the slider's unit.
        response: what the convolver reads; its number is slider 1, which is not known yet.
        envelope: (seconds, gain) points of the volume of the track that the effect ends; it has no file then.
    """

    file: str
    name: str
    sliders: Mapping[int, float]
    response: Response | None = None
    envelope: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, eq=False)
class EffectNode:
    """A processor of a graph with its values.

    Attributes:
        type: its type in a graph of single outlets, as `band_splitter/1`.
        processor: the processor of the type.
        parameters: name -> (1, *shape), in trained coordinates.
        weight: the dry/wet weight.
        level: the factor that the tracks were multiplied by in the search.
        num_samples: length of the song.
    """

    type: str
    processor: Processor
    parameters: Parameters
    weight: float
    level: float
    num_samples: int

    def unit(self, name: str) -> float:
        """Returns a parameter of a single number in its unit."""
        value = self.processor.specification[name].to_unit(self.parameters[name].double())
        return float(value.flatten()[0])


def effect_of(node: EffectNode) -> Effect | None:
    """Returns the effect of a processor, None where there is none that does its job."""
    processor, name = node.processor, type_label(node.type.partition("/")[0])
    if isinstance(processor, DynamicRangeProcessor) and processor.name in _DYNAMICS:
        return Effect(DYNAMICS, name, _dynamics(node, processor))
    if processor.name == "saturator":
        drive = node.unit("log_drive") + _decibels(node.level)
        return Effect(SATURATOR, name, {1: drive, 2: node.unit("bias"), 3: node.weight})
    if isinstance(processor, Fader):
        return Effect("", name, {}, envelope=_fader_points(node, processor))
    if not processor.linear:
        return None
    if processor.name == "gain_panning":
        left, right = (_level(gain) for gain in torch.exp(node.parameters["log_gain"][0].double()))
        return Effect(GAIN, name, {1: left, 2: right, 3: node.weight})
    if processor.name == "stereo_imager":
        side = _level(torch.exp(node.parameters["log_gain"][0, 0].double()))
        return Effect(IMAGER, name, {1: side, 2: node.weight})
    if processor.name == "send":
        gain = _decibels(send_gain(node))
        return Effect(GAIN, name, {1: gain, 2: gain, 3: 1.0})
    response = _response(node)
    wet = 1.0 if processor.cuts else node.weight
    sliders = {2: float(response.before), 3: wet, 4: float(response.mid_side)}
    return Effect(CONVOLVER, name, sliders, response)


def approximation(node: EffectNode) -> str:
    """Says what an effect does nearly; `""` where it does exactly what the processor does."""
    if getattr(node.processor, "truncated", False):
        return "its envelope is cut after a time in the graph, and decays on in the effect"
    if isinstance(node.processor, Fader):
        return "the volume envelope of the track, with straight lines that differ from the fader's by 0.0001 dB at most"
    return ""


def send_gain(node: EffectNode) -> float:
    """Returns the gain of a send."""
    return node.weight * math.exp(float(node.parameters["log_gain"].flatten()[0]))


def _dynamics(node: EffectNode, processor: DynamicRangeProcessor) -> dict[int, float]:
    declared = processor.specification
    both = "smoothing_logit" in declared
    attack, release = ("smoothing_logit",) * 2 if both else ("attack_logit", "release_logit")
    return {
        1: node.unit("log_threshold"),
        2: node.unit("log_ratio"),
        3: node.unit("log_knee"),
        4: 1000 * node.unit(attack),
        5: 1000 * node.unit(release),
        6: node.unit("log_makeup") if "log_makeup" in declared else 0.0,
        7: node.weight,
        8: float(processor.direction < 0),
        9: float(processor.detector == "mid"),
        10: float(processor.exponent == 1.0),
        11: float(processor.inlets > 1),
        12: _decibels(node.level),
    }


def _response(node: EffectNode) -> Response:
    """The wet response; where the processor cuts, with its weight."""
    processor = node.processor
    with torch.no_grad():
        samples = processor.impulse_response(node.parameters)[0].detach().cpu()
    if processor.cuts:
        samples = samples * node.weight
    energy = samples.double().square().sum(dim=0)
    left = energy.flip(0).cumsum(0).flip(0)
    kept = max(processor.before + 1, int((left > _TAIL * left[0]).sum()))
    return Response(samples[:, :kept], processor.before, processor.channels == "mid_side")


def _fader_points(node: EffectNode, fader: Fader) -> tuple[tuple[float, float], ...]:
    """Points of a volume envelope, close enough that straight lines between gains follow straight lines in dB.

    Between points h apart, a gain exp(s t) is off its chord by (s h)^2 / 8 of itself at most.
    """
    rate, interval = fader.sample_rate, fader.interval
    values = node.parameters["log_gain"][0].double()
    last = min(len(values) - 1, math.ceil(node.num_samples / interval))
    points = []
    for i in range(last + 1):
        step = float(values[min(i + 1, last)] - values[i])
        parts = max(1, math.ceil(abs(step) / math.sqrt(8 * _MOST_STEPS))) if i < last else 1
        for part in range(parts):
            wet = math.exp(float(values[i]) + step * part / parts)
            points.append(((i + part / parts) * interval / rate, 1 - node.weight + node.weight * wet))
    return tuple(points)


def _level(gain: Tensor) -> float:
    return _decibels(float(gain))


def _decibels(amplitude: float) -> float:
    return max(SILENCE_DB, 20 * math.log10(amplitude)) if amplitude > 0 else SILENCE_DB
