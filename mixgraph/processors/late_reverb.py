"""Late reverb: the reverb with the few settings that engineers know."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from mixgraph.processors.base import Processor
from mixgraph.processors.parameter import Parameter, Parameters, decibels
from mixgraph.processors.readings import NodeValues, Reading, declared_numbers, to_db
from mixgraph.processors.registry import register
from mixgraph.processors.reverb import BINS, HOP, RATE, Reverb
from mixgraph.processors.usage import Usage

_KNOTS_HZ = (150.0, 1200.0, 7000.0)


@register
class LateReverb(Reverb):
    """Two seconds of noise that decays, wet only: 7 numbers in place of the reverb's 772.

    Decay time and colour are given at 150, 1200 and 7000 Hz; their logarithms are straight over log frequency between
    them and constant outside. `log_width` is the level of the side against the mid.

    Args:
        sample_rate: sample rate of the audio, in Hz.
        found_at: the rate at which the settings were found, see `Reverb`.
    """

    name = "late_reverb"
    letter = "l"
    type_id = 14
    paper_type = "reverb"
    truth_names: ClassVar = ()
    usage = Usage()
    quantities = Processor.quantities  # few enough to be compared one by one
    engineer_settings = Processor.engineer_settings

    def __init__(self, sample_rate: int = 30000, found_at: int | None = None) -> None:
        super().__init__(sample_rate, found_at=found_at)
        self.knots: Tensor
        hz = torch.arange(BINS, dtype=torch.float64).clamp(min=0.5) * (RATE / (2 * (BINS - 1)))
        place = torch.tensor(_KNOTS_HZ, dtype=torch.float64).log()
        hats = []  # (knots, bins): how much of each knot's value a bin takes
        for k in range(len(place)):
            up = (hz.log() - place[k - 1]) / (place[k] - place[k - 1]) if k > 0 else torch.ones_like(hz)
            down = (place[k + 1] - hz.log()) / (place[k + 1] - place[k]) if k + 1 < len(place) else torch.ones_like(hz)
            hats.append(torch.minimum(up, down).clamp(0, 1))
        self.register_buffer("knots", torch.stack(hats), persistent=False)

    @property
    def specification(self) -> dict[str, Parameter]:
        knots = (len(_KNOTS_HZ),)
        return {
            "log_colour": decibels(knots, -24, 24, "initial level at 150, 1200 and 7000 Hz"),
            "log_t60": Parameter(
                knots, "s (T60)", 0.1, 10, torch.exp, torch.log, "decay time at 150, 1200 and 7000 Hz"
            ),
            "log_width": decibels((1,), -40, 12, "side against mid"),
        }

    def impulse_response(self, parameters: Parameters) -> Tensor:
        knots = self.knots.to(parameters["log_t60"])
        slope = -math.log(1000) * HOP / RATE * torch.exp(-parameters["log_t60"] @ knots)
        level = parameters["log_colour"] @ knots
        start = torch.stack((level, level + parameters["log_width"]), dim=1)
        return self.shaped_noise(start, slope.unsqueeze(1).expand_as(start))

    def decay_rates(self, parameters: Parameters) -> tuple[Tensor, Tensor]:
        rate = 1 / self.specification["log_t60"].to_unit(parameters["log_t60"] @ self.knots.double())
        return rate[0], rate[0]

    def start_levels_db(self, parameters: Parameters) -> tuple[Tensor, Tensor]:
        level = to_db(torch.exp(parameters["log_colour"].double() @ self.knots.double()))[0]
        return level, level + to_db(torch.exp(parameters["log_width"].double()))[0]

    def readings(self, node: NodeValues) -> tuple[Reading, ...]:
        """Reads decay and level, as for the reverb, then colour and width."""
        return (*super().readings(node), *declared_numbers(self, node, "log_colour", "log_width"))
