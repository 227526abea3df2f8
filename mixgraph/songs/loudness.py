"""One factor that brings a mix to a stated loudness (ITU-R BS.1770)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torchaudio
from torch import Tensor

BLOCK_SECONDS = 0.4
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
_SHELF_HZ = 1500.0


@dataclass(frozen=True)
class Level:
    """The factor to multiply by, the loudness measured before, and why the factor is 1.0 if it had to be."""

    factor: float
    measured_lufs: float
    warning: str | None = None


def integrated_loudness(audio: Tensor, sample_rate: int) -> float:
    """Integrated loudness in LUFS of (1 or 2, frames); minus infinity where no block passes the gates.

    Raises:
        ValueError: if there are fewer than 0.4 s.
    """
    block = round(BLOCK_SECONDS * sample_rate)
    if audio.shape[-1] < block:
        raise ValueError(f"audio: at least {block} samples (0.4 s) expected, got {audio.shape[-1]}")
    if not audio.any():
        return -math.inf
    energy = block_energies(audio, sample_rate)
    loudness = -0.691 + 10 * torch.log10(energy)

    audible = energy[loudness > ABSOLUTE_GATE_LUFS]
    if audible.numel() == 0:
        return -math.inf
    gate = -0.691 + 10 * math.log10(float(audible.mean())) + RELATIVE_GATE_LU
    kept = energy[loudness > max(gate, ABSOLUTE_GATE_LUFS)]
    return -0.691 + 10 * math.log10(float(kept.mean()))


def block_energies(audio: Tensor, sample_rate: int) -> Tensor:
    """K-weighted energies of blocks of 0.4 s, every 0.1 s, of (1 or 2, frames): (blocks,) float64, channels added.

    -0.691 + 10 log10 of one is its momentary loudness in LUFS. The K-weighting is torchaudio's. Its own `loudness` is
    not used: the filters in it clip at 1.0, so that it understates loud mixes. Where the rate holds nothing above
    1500 Hz, there is no shelf, whose middle that is.
    """
    block = round(BLOCK_SECONDS * sample_rate)
    scale = 0.1 / max(float(audio.abs().max()), 1e-9)
    weighted = audio.double() * scale
    if sample_rate > 2 * _SHELF_HZ:
        weighted = torchaudio.functional.treble_biquad(weighted, sample_rate, 4.0, _SHELF_HZ, 0.5**0.5)
    weighted = torchaudio.functional.highpass_biquad(weighted, sample_rate, 38.0, 0.5) / scale
    return weighted.square().unfold(-1, block, round(block / 4)).mean(-1).sum(0)


def level_for(mix: Tensor, sample_rate: int, loudness_lufs: float) -> Level:
    """The factor that brings a mix (2, frames) to `loudness_lufs`; 1.0 with a warning where it is silent or short."""
    if mix.shape[-1] < round(BLOCK_SECONDS * sample_rate):
        return Level(1.0, -math.inf, "the mix is shorter than 0.4 s: its loudness cannot be measured, level left")
    measured = integrated_loudness(mix, sample_rate)
    if math.isinf(measured):
        return Level(1.0, measured, "the mix is silent (below -70 LUFS): its level was left")
    return Level(10 ** ((loudness_lufs - measured) / 20), measured)
