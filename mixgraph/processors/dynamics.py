"""What compressor and noisegate share: the detector, the envelope, the knee (paper B.5-B.6)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mixgraph.dsp.envelopes.attack_release import attack_release
from mixgraph.dsp.envelopes.dynamics import Detector, GainCurve, mix_dynamics
from mixgraph.dsp.envelopes.one_pole import one_pole, truncated_one_pole
from mixgraph.processors.base import Parameter, Parameters, Processor, chosen

DB_PER_ENERGY_NEPER = 10 / math.log(10)
_THRESHOLD_OFFSET = 6.0  # ln energy; the centre of initial thresholds is at -26 dB
ENERGY_FLOOR = 1e-5
_REFERENCE_TAPS = 16384
_LEAST_MS, _MOST_MS = 0.02, 3000.0


class DynamicRangeProcessor(Processor):
    """A feed-forward gain from a smoothed energy envelope, with a quadratic knee (Giannoulis et al. 2012).

    A subclass says how the energy is smoothed, in which direction the gain acts, and how steeply.

    Args:
        sample_rate: in Hz.
        detector: what is smoothed: `"energy"` (l^2 + r^2) / 2, or the paper's `"mid"` (l + r)^2, which is blind to
            what is out of phase.
        gain: `"amplitude"` gives the ratio its usual meaning (above the threshold, R dB more in is 1 dB more out);
            `"energy"` applies the energy's gain to the amplitude, as printed in eq. 22 and done by the reference.
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
            ),
        } | {name: smoothing(*given) for name, given in self.time_constants.items()}
        return dict(sorted(declared.items()))

    @property
    def time_constants(self) -> Mapping[str, tuple[float | None, str]]:
        """Trained coordinate -> the centre of its initial values in ms (None: z = 0), and what it is."""
        raise TypeError(f"{type(self).__name__} declares no envelope")

    def smooth(self, energy: Tensor, parameters: Parameters, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """The envelope of an energy, (nodes, time), and the state after its last sample."""
        raise TypeError(f"{type(self).__name__} declares no envelope")

    def slope(self, log_ratio: Tensor) -> Tensor:
        """Output level change for each unit of level past the threshold, less the one that bypass would give."""
        raise TypeError(f"{type(self).__name__} declares no slope")

    def process(self, signal: Tensor, parameters: Parameters, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        gain, state = self.gain(signal, parameters, state)
        return signal * gain.unsqueeze(1), state

    def gain(self, signal: Tensor, parameters: Parameters, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The gain of each sample, (nodes, time), and the state after the last."""
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

    def mix(
        self,
        signal: Tensor,
        parameters: Parameters,
        weight: Tensor,
        logits: Tensor,
        state: Tensor | None,
        log_makeup: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """`dry_wet` in few passes, for an exact envelope with the state of its last sample; see `mix_dynamics`."""
        curve = GainCurve(
            parameters["log_threshold"] - _THRESHOLD_OFFSET,
            torch.exp(parameters["log_knee"]) / 2,
            self.exponent * self.slope(parameters["log_ratio"]),
            log_makeup,
        )
        detector = Detector(self.direction, self.detector == "mid", ENERGY_FLOOR)
        initial = (torch.zeros_like(weight) if state is None else state).unsqueeze(-1)
        mixed, last = mix_dynamics(detector, signal, weight.unsqueeze(-1), logits, curve, initial)
        return mixed, last.squeeze(-1)


class OnePoleDynamics(DynamicRangeProcessor):
    """Dynamics of the paper: attack and release are one time constant (eq. 16-19).

    Args:
        sample_rate: in Hz.
        detector: see `DynamicRangeProcessor`.
        envelope: `"exact"` one-pole, or the reference's, `"truncated"` to 16,384 taps.
        gain: see `DynamicRangeProcessor`.
        start_ms: the time constant that a search starts from. None is the paper's and the reference's: half of the
            envelope is gone after a sample, so that the processor starts as a distortion.

    Raises:
        ValueError: `start_ms` is not within what the time constant is meant for.
    """

    def __init__(
        self,
        sample_rate: int = 30000,
        detector: Literal["energy", "mid"] = "energy",
        envelope: Literal["exact", "truncated"] = "exact",
        gain: Literal["amplitude", "energy"] = "amplitude",
        start_ms: float | None = 20.0,
    ) -> None:
        super().__init__(sample_rate, detector, gain)
        if start_ms is not None and not _LEAST_MS <= start_ms <= _MOST_MS:
            raise ValueError(f"start_ms: {_LEAST_MS:g} to {_MOST_MS:g} ms, or None (the paper's), got {start_ms}")
        self.start_ms = start_ms
        self.truncated = chosen("envelope", envelope, ("exact", "truncated")) == "truncated"

    @property
    def time_constants(self) -> Mapping[str, tuple[float | None, str]]:
        return {"smoothing_logit": (self.start_ms, "time constant of the envelope")}

    def smooth(self, energy: Tensor, parameters: Parameters, state: Tensor | None) -> tuple[Tensor, Tensor]:
        smoothing = parameters["smoothing_logit"].squeeze(-1)
        if self.truncated:
            return truncated_one_pole(energy, smoothing, _REFERENCE_TAPS, state)
        envelope = one_pole(energy, smoothing, state)
        return envelope, envelope[:, -1]

    def dry_wet(
        self, signal: Tensor, parameters: Parameters, weight: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        if self.truncated:
            return super().dry_wet(signal, parameters, weight, state)
        return self.mix(signal, parameters, weight, parameters["smoothing_logit"], state)

    def rest(self, parameters: Parameters, state: Tensor, samples: int) -> Tensor:
        if self.truncated:
            return super().rest(parameters, state, samples)
        return state * torch.exp(F.logsigmoid(parameters["smoothing_logit"].squeeze(-1)) * samples)


class AttackReleaseDynamics(DynamicRangeProcessor):
    """Dynamics whose envelope rises and falls at speeds of their own, exactly (`dsp.envelopes`)."""

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

    def dry_wet(
        self, signal: Tensor, parameters: Parameters, weight: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        logits = torch.cat((parameters["attack_logit"], parameters["release_logit"]), dim=1)
        return self.mix(signal, parameters, weight, logits, state, parameters.get("log_makeup"))

    def rest(self, parameters: Parameters, state: Tensor, samples: int) -> Tensor:
        return state * torch.exp(F.logsigmoid(parameters["release_logit"].squeeze(-1)) * samples)
