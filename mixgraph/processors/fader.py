"""Fader: gain automation over the song."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from mixgraph.processors.base import Processor
from mixgraph.processors.other_rates import SettingsAtRate, interpolated
from mixgraph.processors.parameter import Parameter, Parameters, decibels
from mixgraph.processors.readings import Automation, NodeValues, Reading, blend, to_db
from mixgraph.processors.registry import register


@register
class Fader(Processor):
    """Multiplies by a gain that moves: straight lines in dB between points of the song, held after the last one.

    Moves cost a penalty, roughness * sum of squared steps between neighbours (in ln amplitude), so that the gain
    stays constant where the mix needs no move.

    Args:
        sample_rate: sample rate of the audio, in Hz.
        interval: distance of neighbouring points in seconds.
        seconds: the length of a song that has points; after it the last gain is held.
        roughness: the factor of the penalty.
    """

    name = "fader"
    letter = "f"
    type_id = 13
    linear = False
    keeps_mono = True
    timed = True
    identity: ClassVar = {"log_gain": 0.0}

    def __init__(
        self, sample_rate: int = 30000, interval: float = 2.0, seconds: float = 600.0, roughness: float = 0.01
    ) -> None:
        super().__init__(sample_rate)
        if not 0 < interval <= seconds or round(interval * sample_rate) < 1 or not roughness >= 0:
            raise ValueError(
                "interval, seconds, roughness: a sample or more, at least an interval, and 0 or more are needed, got "
                f"{interval:g}, {seconds:g} and {roughness:g}"
            )
        self.interval, self.roughness = round(interval * sample_rate), roughness
        self.seconds_between = interval
        self.points = 1 + round(seconds / interval)

    @property
    def specification(self) -> dict[str, Parameter]:
        return {"log_gain": decibels((self.points,), -60, 24, "gain at each point")}

    def state_at(self, position: Tensor) -> Tensor:
        return position.unsqueeze(-1)

    def process(self, signal: Tensor, parameters: Parameters, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        samples = signal.shape[-1]
        if state is None:
            state = torch.zeros(signal.shape[0], 1, dtype=torch.long, device=signal.device)
        time = state + torch.arange(samples, device=signal.device)
        inside = time.clamp(0, (self.points - 1) * self.interval)
        before = (inside // self.interval).clamp(max=max(0, self.points - 2))
        share = (inside - before * self.interval).to(signal) / self.interval
        points = parameters["log_gain"]
        gain = torch.lerp(points.gather(1, before), points.gather(1, before + 1), share).exp()
        return signal * gain.unsqueeze(1), state + samples

    def rest(self, parameters: Parameters, state: Tensor, samples: int) -> Tensor:
        return state + samples

    def at_sample_rate(self, parameters: Parameters, sample_rate: int) -> SettingsAtRate:
        """Points lie at whole samples: where their times differ by parts of a sample, gains are interpolated."""
        interval = round(self.seconds_between * sample_rate)
        place = torch.arange(self.points, dtype=torch.float64) * (interval / sample_rate)
        place = place * (self.sample_rate / self.interval)
        return SettingsAtRate({"log_gain": interpolated(parameters["log_gain"], place)})

    def parameter_penalty(self, parameters: Parameters) -> Tensor:
        return self.roughness * parameters["log_gain"].diff(dim=-1).square().sum()

    def readings(self, node: NodeValues) -> tuple[Reading, ...]:
        """Reads the gains at the points within the song, and at its end."""
        points = node.parameters["log_gain"][0]
        last = min((node.num_samples - 1) / self.interval, len(points) - 1)
        last_whole = int(last)
        end = torch.lerp(points[last_whole], points[min(last_whole + 1, len(points) - 1)], last - last_whole)
        wet = torch.cat((points[: last_whole + 1], end.view(1))).exp()
        place = torch.cat((torch.arange(last_whole + 1, dtype=wet.dtype), torch.tensor([last], dtype=wet.dtype)))
        seconds = place * (self.interval / self.sample_rate)
        return (Automation(seconds, to_db(blend(self, wet, node.weight))),)
