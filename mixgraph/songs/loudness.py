"""One factor that brings a mix to a stated loudness (ITU-R BS.1770)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mixgraph.dsp.biquads import biquad_rows
from mixgraph.songs.song_warning import SongWarning

BLOCK_SECONDS = 0.4
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
_SHELF_HZ, _SHELF_DB, _SHELF_Q = 1500.0, 4.0, 0.5**0.5
_HIGH_PASS_HZ, _HIGH_PASS_Q = 38.0, 0.5
_BLOCKS_AT_ONCE = 400


@dataclass(frozen=True)
class Level:
    """The factor to multiply by, the loudness measured before, and why the factor is 1.0 if it had to be."""

    factor: float
    measured_lufs: float
    warning: SongWarning | None = None


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

    -0.691 + 10 log10 of one is its momentary loudness in LUFS. Where the rate holds nothing above 1500 Hz, there is no
    shelf, whose middle that is. The audio is filtered some seconds at a time, in float64; memory does not grow with it.
    """
    block = round(BLOCK_SECONDS * sample_rate)
    hop = round(block / 4)
    low, high = torch.aminmax(audio)
    scale = 0.1 / max(float(-low), float(high), 1e-9)
    filters = [_high_pass(sample_rate)]
    if sample_rate > 2 * _SHELF_HZ:
        filters.insert(0, _high_shelf(sample_rate))
    states = [np.zeros((audio.shape[0], 4)) for _ in filters]
    energies: list[Tensor] = []
    weighted = torch.zeros(audio.shape[0], 0, dtype=torch.float64)
    for part in audio.cpu().split(_BLOCKS_AT_ONCE * hop, dim=-1):
        filtered = part.double() * scale
        for (forward, backward), state in zip(filters, states, strict=True):
            biquad_rows(filtered.numpy(), forward, backward, state)
        weighted = torch.cat((weighted, filtered / scale), dim=-1)
        if weighted.shape[-1] >= block:
            energies.append(weighted.square().unfold(-1, block, hop).mean(-1).sum(0))
            weighted = weighted[:, len(energies[-1]) * hop :]
    return torch.cat(energies).to(audio.device)


def _high_shelf(sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """The shelf of the K-weighting, +4 dB, as a biquad (b0, b1, b2) and (a1, a2): Bristow-Johnson's cookbook."""
    omega = 2 * math.pi * torch.tensor(_SHELF_HZ, dtype=torch.float64) / sample_rate
    alpha = torch.sin(omega) / 2 / _SHELF_Q
    gain = torch.exp(torch.tensor(_SHELF_DB, dtype=torch.float64) / 40 * math.log(10))
    root, less, more = 2 * torch.sqrt(gain) * alpha, (gain - 1) * torch.cos(omega), (gain + 1) * torch.cos(omega)
    forward = torch.stack(
        (
            gain * ((gain + 1) + less + root),
            -2 * gain * ((gain - 1) + more),
            gain * ((gain + 1) + less - root),
        )
    )
    backward = torch.stack((2 * ((gain - 1) - more), (gain + 1) - less - root))
    first = (gain + 1) - less + root
    return (forward / first).numpy(), (backward / first).numpy()


def _high_pass(sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """The high-pass of the K-weighting, at 38 Hz, likewise."""
    omega = 2 * math.pi * torch.tensor(_HIGH_PASS_HZ, dtype=torch.float64) / sample_rate
    alpha, cosine = torch.sin(omega) / 2.0 / _HIGH_PASS_Q, torch.cos(omega)
    forward = torch.stack(((1 + cosine) / 2, -1 - cosine, (1 + cosine) / 2))
    backward = torch.stack((-2 * cosine, 1 - alpha))
    return (forward / (1 + alpha)).numpy(), (backward / (1 + alpha)).numpy()


def level_for(mix: Tensor, sample_rate: int, loudness_lufs: float) -> Level:
    """The factor that brings a mix (2, frames) to `loudness_lufs`; 1.0 with a warning where it is silent or short."""
    if mix.shape[-1] < round(BLOCK_SECONDS * sample_rate):
        text = "the mix is shorter than 0.4 s: its loudness cannot be measured, level left"
        return Level(1.0, -math.inf, SongWarning("short_mix", text))
    measured = integrated_loudness(mix, sample_rate)
    if math.isinf(measured):
        text = "the mix is silent (below -70 LUFS): its level was left"
        return Level(1.0, measured, SongWarning("silent_mix", text))
    return Level(10 ** ((loudness_lufs - measured) / 20), measured)
