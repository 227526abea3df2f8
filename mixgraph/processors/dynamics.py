"""The common parts of compressors and gates: the detector, the envelope, the knee (paper B.5-B.6)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mixgraph.dsp.envelopes.attack_release import attack_release
from mixgraph.dsp.envelopes.dynamics import SETTINGS, Detector, mix_dynamics, prepare_dynamics
from mixgraph.dsp.envelopes.one_pole import one_pole, truncated_one_pole
from mixgraph.processors.base import Processor
from mixgraph.processors.other_rates import SettingsAtRate
from mixgraph.processors.parameter import Parameter, Parameters, chosen
from mixgraph.processors.readings import (
    Compared,
    Curve,
    NodeValues,
    Number,
    Quantity,
    Reading,
    blend,
    in_units,
    single,
    to_db,
)

DB_PER_ENERGY_NEPER = 10 / math.log(10)
_THRESHOLD_OFFSET = 6.0  # ln energy; the centre of initial thresholds is at -26 dB
ENERGY_FLOOR = 1e-5
STEEPEST_RATIO = 200.0
"""Above it a compressor is told as a limiter, of an infinite ratio."""
_MID_OF_EQUALS_DB = 20 * math.log10(2)  # (l + r)^2 over (l^2 + r^2) / 2, where l = r
_LEAST_LEVEL_DB = -46.0  # the lowest threshold that engineers choose: the detectors' own floor is at -50 dB
_CURVE_DB = torch.arange(-60.0, 0.5, 1.0, dtype=torch.float64)
_COMPARED_DB = torch.arange(-48, 1, 2, dtype=torch.float64)
PUBLISHED_TAPS = 16384
_LEAST_MS, _MOST_MS = 0.02, 3000.0


_TIMES = {"smoothing_logit": "time constant", "attack_logit": "attack", "release_logit": "release"}


class DynamicRangeProcessor(Processor):
    """A feed-forward gain from a smoothed energy envelope, with a quadratic knee (Giannoulis et al. 2012).

    A subclass says how the energy is smoothed, in which direction the gain acts, and how steeply.

    Args:
        sample_rate: sample rate of the audio, in Hz.
        detector: the quantity that is smoothed: `"energy"` (l^2 + r^2) / 2, or the paper's `"mid"` (l + r)^2, which is
            blind to sound that is out of phase between the channels.
        gain: `"amplitude"` gives the ratio its usual meaning (above the threshold, R dB more in is 1 dB more out);
            `"energy"` applies the energy's gain to the amplitude, as printed in eq. 22 and done by the published code.
    """

    linear = False
    keeps_mono = True
    direction: int  # +1 acts above the threshold, -1 below

    def __init__(
        self,
        sample_rate: int = 30000,
        detector: Literal["energy", "mid"] = "energy",
        gain: Literal["amplitude", "energy"] = "amplitude",
    ) -> None:
        super().__init__(sample_rate)
        self.detector = chosen("detector", detector, ("energy", "mid"))
        self.exponent = 0.5 if chosen("gain", gain, ("amplitude", "energy")) == "amplitude" else 1.0

    @property
    def specification(self) -> dict[str, Parameter]:
        rate = self.sample_rate

        def to_ms(z: Tensor) -> Tensor:
            return -1000 / (rate * F.logsigmoid(z))

        def from_ms(ms: Tensor) -> Tensor:
            log_a = -1000 / (ms * rate)
            return log_a - torch.log(-torch.expm1(log_a))

        def smoothing(ms: float | None, description: str) -> Parameter:
            mean = 0.0 if ms is None else float(from_ms(torch.tensor(ms, dtype=torch.float64)))
            return Parameter((1,), "ms", _LEAST_MS, _MOST_MS, to_ms, from_ms, description, mean=mean)

        scale = DB_PER_ENERGY_NEPER
        declared = {
            "log_knee": Parameter(
                (1,), "dB", 0.05, 40, lambda p: p.exp() * scale, lambda db: (db / scale).log(), "width of the knee"
            ),
            "log_ratio": Parameter((1,), ":1", 1.01, 50, lambda p: 1 + p.exp(), lambda r: (r - 1).log(), "ratio"),
            "log_threshold": Parameter(
                (1,),
                "dB",
                -80,
                0,
                lambda p: (p - _THRESHOLD_OFFSET) * scale,
                lambda db: db / scale + _THRESHOLD_OFFSET,
                "threshold of the smoothed energy",
                follows_level=1.0,
            ),
        } | {name: smoothing(*constants) for name, constants in self.time_constants.items()}
        return dict(sorted(declared.items()))

    def at_sample_rate(self, parameters: Parameters, sample_rate: int) -> SettingsAtRate:
        """Keeps time constants in seconds."""
        values = dict(parameters)
        for name in self.time_constants:
            log_a = F.logsigmoid(values[name].double()) * (self.sample_rate / sample_rate)
            values[name] = (log_a - torch.log(-torch.expm1(log_a))).to(values[name])
        return SettingsAtRate(values)

    @property
    def time_constants(self) -> Mapping[str, tuple[float | None, str]]:
        """The time constants by trained coordinate: centre of the initial values in ms (None: z = 0), and label."""
        raise TypeError(f"{type(self).__name__} declares no envelope")

    def smooth(self, energy: Tensor, parameters: Parameters, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Returns the envelope of an energy, (nodes, time), and the state after its last sample."""
        raise TypeError(f"{type(self).__name__} declares no envelope")

    def slope(self, log_ratio: Tensor) -> Tensor:
        """Output level change for each unit of level past the threshold, less the one that bypass would give."""
        raise TypeError(f"{type(self).__name__} declares no slope")

    def process(self, signal: Tensor, parameters: Parameters, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        gain, state = self.gain(signal, parameters, state)
        return signal * gain.unsqueeze(1), state

    def gain(self, signal: Tensor, parameters: Parameters, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns the gain of each sample, (nodes, time), and the state after the last one."""
        left, right = signal.expand(-1, 2, -1).unbind(1)
        energy = (left + right).square() if self.detector == "mid" else (left.square() + right.square()) / 2
        envelope, state = self.smooth(energy, parameters, state)
        level = torch.log(envelope.clamp(min=0) + ENERGY_FLOOR)
        # Distance past the threshold in the direction that is acted on, bent by the quadratic knee:
        # 0 below -W, the distance itself above W, (d + W)^2 / 4W between.
        distance = self.direction * (level - (parameters["log_threshold"] - _THRESHOLD_OFFSET))
        half_knee = torch.exp(parameters["log_knee"]) / 2
        inside = torch.minimum((distance + half_knee).clamp(min=0), 2 * half_knee)
        bent = inside.square() / (4 * half_knee) + (distance - half_knee).clamp(min=0)
        return torch.exp(self.exponent * self.slope(parameters["log_ratio"]) * bent), state

    def prepare_exact(self, parameters: Parameters, weights: Tensor, length: int) -> Parameters:
        """What `prepare` returns where the envelope is exact: all that `mix` needs, see `prepare_dynamics`."""
        makeup = ("log_makeup",) if "log_makeup" in parameters else ()
        settings = (
            weights.unsqueeze(-1),
            parameters["log_threshold"] - _THRESHOLD_OFFSET,
            parameters["log_knee"],
            self.exponent * self.slope(parameters["log_ratio"]),
            *(parameters[name] for name in (*makeup, *self.time_constants)),
        )
        table = torch.cat(settings, dim=1)
        return prepare_dynamics(self._detector(table), table, len(self.time_constants), length)

    def mix(
        self, signal: Tensor, parameters: Parameters, weight: Tensor, state: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Computes `dry_wet` in few passes for an exact envelope whose last sample is the state; see `mix_dynamics`."""
        if "table" not in parameters:
            parameters = self.prepare_exact(parameters, weight, signal.shape[-1])
        initial = None if state is None else state.unsqueeze(-1)
        mixed, last = mix_dynamics(self._detector(parameters["table"]), signal, parameters, initial)
        return mixed, last.squeeze(-1)

    def _detector(self, table: Tensor) -> Detector:
        makeup = table.shape[1] > len(SETTINGS) + len(self.time_constants)  # a column more
        return Detector(self.direction, self.detector == "mid", ENERGY_FLOOR, makeup)

    def static_gain(self, parameters: Parameters, levels_db: Tensor) -> Tensor:
        """Returns one node's wet gain (not in dB) for steady signals at these levels (RMS), (levels,)."""
        tone = (10 ** (levels_db / 20)).view(-1, 1, 1).expand(-1, 2, 1)
        rows = {name: value.expand(len(levels_db), *value.shape[1:]) for name, value in parameters.items()}
        at_once = torch.full_like(next(iter(rows.values()))[:, :1], -40.0)  # the envelope follows without delay
        return self.gain(tone, rows | dict.fromkeys(self.time_constants, at_once))[0][:, 0]

    def acting_threshold_db(self, parameters: Parameters) -> float:
        """The level (RMS) of a signal in the middle of the panorama at which one node starts to act.

        The detector adds `ENERGY_FLOOR` to every signal: a threshold below it is minus infinity.
        """
        declared = self.specification["log_threshold"]
        energy = 10 ** (float(declared.to_unit(parameters["log_threshold"])) / 10) - ENERGY_FLOOR
        if energy <= 0:
            return -math.inf
        return 10 * math.log10(energy) - (_MID_OF_EQUALS_DB if self.detector == "mid" else 0.0)

    def acting_ratio(self, parameters: Parameters) -> float:
        """The ratio R of one node past its threshold, wet alone.

        A compressor turns R dB more in into 1 dB more out; negative where it is less out, infinite where it is as
        much. A gate turns 1 dB less in into R dB less out. With `gain="energy"` both are steeper than their coordinate
        says.
        """
        steepness = 2 * self.exponent * float(self.slope(parameters["log_ratio"].double()))
        if self.direction < 0:
            return 1 - steepness
        rise = 1 + steepness
        return 1 / rise if abs(rise) > 1 / STEEPEST_RATIO else math.inf

    def readings(self, node: NodeValues) -> tuple[Reading, ...]:
        """Threshold (at the tracks' own level), ratio, knee, times and make-up gain; and the static curve."""
        threshold = self.acting_threshold_db(node.parameters) + node.offset_db
        acts = "acts at every level" if self.direction > 0 else "never acts"
        phrase = "" if math.isfinite(threshold) else acts
        ratio = self.acting_ratio(node.parameters)
        upward = (
            f"ratio {ratio:.2g}:1, turns up what is below the threshold" if self.direction < 0 and ratio < 1 else ""
        )
        numbers = [
            Number("threshold_db", "threshold", (threshold,), "dB", ".1f", phrase, on_panel="whole"),
            Number("ratio", "ratio", (ratio,), ":1", "", upward, on_panel="whole"),
            Number("knee_db", "knee", in_units(self, node, "log_knee"), "dB", ".1f"),
        ]
        for name, label in _TIMES.items():
            if name in node.parameters:
                key = f"{label.replace(' ', '_')}_ms"
                numbers.append(Number(key, label, in_units(self, node, name), "ms", on_panel="whole"))
        if "log_makeup" in node.parameters:
            makeup = in_units(self, node, "log_makeup")
            numbers.append(Number("make_up_db", "make-up", makeup, "dB", ".1f", on_panel="whole"))
        return (*numbers, self._static_curve(node))

    def _static_curve(self, node: NodeValues) -> Curve:
        gain = to_db(blend(self, self.static_gain(node.parameters, _CURVE_DB - node.offset_db), node.weight))
        if self.inlets > 1:  # the level of the signal that it turns down is not that of its key
            limits = min(-6.0, 1.2 * float(gain.min())), max(3.0, 1.2 * float(gain.max()))
            flat = torch.zeros_like(_CURVE_DB)
            return Curve(_CURVE_DB, gain, "key (dB)", "gain (dB)", flat, (-60, 0), limits)
        return Curve(_CURVE_DB, _CURVE_DB + gain, "in (dB)", "out (dB)", _CURVE_DB, (-60, 0), (-66, 3))


class OnePoleDynamics(DynamicRangeProcessor):
    """Dynamics of the paper: attack and release are one time constant (eq. 16-19).

    Args:
        sample_rate: sample rate of the audio, in Hz.
        detector: `"energy"` or `"mid"`, see `DynamicRangeProcessor`.
        envelope: `"exact"` one-pole, or the published one, `"truncated"` to 16,384 taps.
        gain: `"amplitude"` or `"energy"`, see `DynamicRangeProcessor`.
        start_ms: the time constant that a search starts from. None is the paper's and the published code's: half of the
            envelope is gone after a sample, so that the processor starts as a distortion.
        truncated_taps: samples after which the envelope `"truncated"` is cut.

    Raises:
        ValueError: `start_ms` is outside the range of the time constant.
    """

    def __init__(
        self,
        sample_rate: int = 30000,
        detector: Literal["energy", "mid"] = "energy",
        envelope: Literal["exact", "truncated"] = "exact",
        gain: Literal["amplitude", "energy"] = "amplitude",
        start_ms: float | None = 20.0,
        truncated_taps: int = PUBLISHED_TAPS,
    ) -> None:
        super().__init__(sample_rate, detector, gain)
        if start_ms is not None and not _LEAST_MS <= start_ms <= _MOST_MS:
            raise ValueError(f"start_ms: {_LEAST_MS:g} to {_MOST_MS:g} ms, or None (the paper's), got {start_ms}")
        self.start_ms = start_ms
        self.truncated_taps = truncated_taps
        self.truncated = chosen("envelope", envelope, ("exact", "truncated")) == "truncated"

    @property
    def time_constants(self) -> Mapping[str, tuple[float | None, str]]:
        return {"smoothing_logit": (self.start_ms, "time constant of the envelope")}

    def smooth(self, energy: Tensor, parameters: Parameters, state: Tensor | None) -> tuple[Tensor, Tensor]:
        smoothing = parameters["smoothing_logit"].squeeze(-1)
        if self.truncated:
            return truncated_one_pole(energy, smoothing, self.truncated_taps, state)
        envelope = one_pole(energy, smoothing, state)
        return envelope, envelope[:, -1]

    def at_sample_rate(self, parameters: Parameters, sample_rate: int) -> SettingsAtRate:
        taps = max(1, round(self.truncated_taps * sample_rate / self.sample_rate))
        options = {"truncated_taps": taps} if self.truncated else {}
        return replace(super().at_sample_rate(parameters, sample_rate), options=options)

    def prepare(self, parameters: Parameters, weights: Tensor, length: int) -> Parameters:
        return parameters if self.truncated else self.prepare_exact(parameters, weights, length)

    def dry_wet(
        self, signal: Tensor, parameters: Parameters, weight: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        if self.truncated:
            return super().dry_wet(signal, parameters, weight, state)
        return self.mix(signal, parameters, weight, state)

    def rest(self, parameters: Parameters, state: Tensor, samples: int) -> Tensor:
        if self.truncated:
            return super().rest(parameters, state, samples)
        return state * torch.exp(F.logsigmoid(parameters["smoothing_logit"].squeeze(-1)) * samples)

    def quantities(self, node: NodeValues) -> tuple[Compared, ...]:
        """Threshold and ratio as they act, knee, time constant, the static gain from -48 to 0 dB, and the weight.

        A threshold that the detector never falls below counts as the detector's floor, an infinite ratio as 200.
        """
        floor_db = 10 * math.log10(ENERGY_FLOOR)
        (knee,), (time_ms,) = in_units(self, node, "log_knee"), in_units(self, node, "smoothing_logit")
        curve = to_db(blend(self, self.static_gain(node.parameters, _COMPARED_DB), node.weight))
        return (
            single("threshold", "dB", max(self.acting_threshold_db(node.parameters), floor_db)),
            single("ratio", ":1", min(self.acting_ratio(node.parameters), STEEPEST_RATIO)),
            single("knee", "dB", knee),
            single("time constant", "ms", time_ms),
            Quantity("curve", "dB", curve),
            single("weight", "1", node.weight),
        )


class AttackReleaseDynamics(DynamicRangeProcessor):
    """Dynamics whose envelope rises and falls at speeds of their own, exactly (`dsp.envelopes`)."""

    capturable = False  # whether policy iteration has settled is read on the host

    @property
    def time_constants(self) -> Mapping[str, tuple[float | None, str]]:
        return {
            "attack_logit": (5.0, "time constant of a rising envelope"),
            "release_logit": (50.0, "time constant of a falling envelope"),
        }

    def smooth(self, energy: Tensor, parameters: Parameters, state: Tensor | None) -> tuple[Tensor, Tensor]:
        start = energy.new_zeros(energy.shape[0]) if state is None else state
        attack, release = parameters["attack_logit"].squeeze(-1), parameters["release_logit"].squeeze(-1)
        envelope = attack_release(energy, attack, release, start)
        return envelope, envelope[:, -1]

    def prepare(self, parameters: Parameters, weights: Tensor, length: int) -> Parameters:
        return self.prepare_exact(parameters, weights, length)

    def dry_wet(
        self, signal: Tensor, parameters: Parameters, weight: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        return self.mix(signal, parameters, weight, state)

    def rest(self, parameters: Parameters, state: Tensor, samples: int) -> Tensor:
        return state * torch.exp(F.logsigmoid(parameters["release_logit"].squeeze(-1)) * samples)


def engineer_units(threshold_db: float, ratio: float, knee_db: float, time_ms: float) -> dict[str, Tensor]:
    """Returns an engineer's settings of a compressor or gate with one time constant, in the parameters' units."""
    units = {
        "log_knee": knee_db,
        "log_ratio": ratio,
        "log_threshold": max(threshold_db, _LEAST_LEVEL_DB),
        "smoothing_logit": time_ms,
    }
    return {name: torch.tensor([value], dtype=torch.float64) for name, value in units.items()}


def detected_levels_db(signal: Tensor, time_ms: float, sample_rate: int) -> Tensor:
    """Returns the levels that a detector measures: of the smoothed energy of a signal (2, L), in dB, every 5 ms."""
    energy = signal.double().square().mean(dim=0, keepdim=True)
    log_a = torch.tensor([-1000 / (time_ms * sample_rate)], dtype=torch.float64)
    smoothed = one_pole(energy, log_a - torch.log(-torch.expm1(log_a)))[0, :: max(1, sample_rate // 200)]
    return 10 * torch.log10(smoothed.clamp(min=1e-5))
