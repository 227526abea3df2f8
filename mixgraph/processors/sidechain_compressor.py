"""Sidechain compressor: one signal is turned down where another is loud (paper C.5)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from mixgraph.dsp.envelopes.one_pole import one_pole
from mixgraph.processors.dynamics import DynamicRangeProcessor
from mixgraph.processors.parameter import Parameters
from mixgraph.processors.registry import register


@register
class SidechainCompressor(DynamicRangeProcessor):
    """A compressor (paper eq. 16-22) whose detector listens to its key; without a key it hears silence, -50 dB.

    What it is for: a bass that makes room for the kick, music that ducks under a voice.
    """

    name = "sidechain_compressor"
    letter = "x"
    type_id = 19
    direction = 1
    inlets = 2

    @property
    def time_constants(self) -> Mapping[str, tuple[float | None, str]]:
        return {"smoothing_logit": (20.0, "time constant of the key's envelope")}

    def slope(self, log_ratio: Tensor) -> Tensor:
        return -torch.sigmoid(log_ratio)  # 1 / R - 1

    def smooth(self, energy: Tensor, parameters: Parameters, state: Tensor | None) -> tuple[Tensor, Tensor]:
        envelope = one_pole(energy, parameters["smoothing_logit"].squeeze(-1), state)
        return envelope, envelope[:, -1]

    def process(self, signal: Tensor, parameters: Parameters, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.process_keyed(signal, torch.zeros_like(signal), parameters, state)

    def process_keyed(
        self, signal: Tensor, key: Tensor, parameters: Parameters, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        gain, state = self.gain(key, parameters, state)
        return signal * gain.unsqueeze(1), state

    def rest(self, parameters: Parameters, state: Tensor, samples: int) -> Tensor:
        return state * torch.exp(F.logsigmoid(parameters["smoothing_logit"].squeeze(-1)) * samples)
