"""How far a found mix is from its target in figures that a mixing engineer reads: level, octaves, width, peak."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mixgraph.dsp.octaves import FLOOR_DB, octave_bins, octave_names

_FRAME_SECONDS = 0.25  # bins of 4 Hz, which resolve the octave around 31.5 Hz
_FRAMES_AT_ONCE = 256
_AT_ONCE = 1 << 22  # samples of each channel that are taken to float64 at a time
_WIDTH_FLOOR_DB = -60.0


@dataclass(frozen=True)
class Closeness:
    """The found mix against the target, in dB; positive where the found mix is louder, wider or peaks higher.

    Attributes:
        level_db: ratio of the powers of both channels over the whole song.
        octaves_db: name of the octave (`"31"`, `"63"` to `"16k"`, those that the sample rate holds) -> its long-term
            level. What is more than 40 dB below the whole target counts as that, in both mixes.
        width_db: difference of the ratios of side to mid.
        target_width_db: side over mid of the target; -60 where it is mono.
        found_width_db: side over mid of the found mix, likewise.
        target_peak_dbfs: the target's highest sample, at the song's level.
        found_peak_dbfs: the found mix's highest sample, likewise.
    """

    level_db: float
    octaves_db: dict[str, float]
    width_db: float
    target_width_db: float
    found_width_db: float
    target_peak_dbfs: float
    found_peak_dbfs: float

    @property
    def peak_db(self) -> float:
        """The found mix's peak relative to the target's, in dB."""
        return self.found_peak_dbfs - self.target_peak_dbfs

    @property
    def worst_octave(self) -> tuple[str, float]:
        """The octave that differs most from the target, and the difference in dB."""
        return max(self.octaves_db.items(), key=lambda octave: abs(octave[1]))


def measure_closeness(target: Tensor, found_mix: Tensor, sample_rate: int) -> Closeness:
    """Measures a found mix against its target.

    Args:
        target: (2, L), the song's mix at its own level.
        found_mix: (2, L), the found mix at that level.
        sample_rate: sample rate of both mixes, in Hz.

    Raises:
        ValueError: other shapes, samples that are not finite, or a silent target.
    """
    if target.dim() != 2 or target.shape[0] != 2 or target.shape != found_mix.shape:
        raise ValueError(
            f"target, found_mix: both (2, samples) are needed, got {tuple(target.shape)} and {tuple(found_mix.shape)}"
        )
    if not bool(torch.isfinite(target).all() and torch.isfinite(found_mix).all()):
        raise ValueError("target, found_mix: finite samples are needed, got NaN or infinity")
    if not bool(target.any()):
        raise ValueError("target: sound is needed, got silence")
    floor = power(target) * 10 ** (FLOOR_DB / 10)
    before, after = (_octave_powers(mix, sample_rate).clamp(min=floor) for mix in (target, found_mix))
    octaves = (10 * torch.log10(after / before)).tolist()
    width = [_width_db(mix) for mix in (target, found_mix)]
    return Closeness(
        level_db=decibels(power(found_mix) / power(target)),
        octaves_db=dict(zip(octave_names(sample_rate), octaves, strict=True)),
        width_db=width[1] - width[0],
        target_width_db=width[0],
        found_width_db=width[1],
        target_peak_dbfs=peak_dbfs(target),
        found_peak_dbfs=peak_dbfs(found_mix),
    )


def power(audio: Tensor) -> float:
    """The mean square of all samples."""
    return sum(float(part.double().square().sum()) for part in audio.split(_AT_ONCE, dim=-1)) / audio.numel()


def decibels(ratio: float) -> float:
    """Returns 10 log10 of a ratio of powers, at least -200 dB."""
    return 10 * math.log10(max(ratio, 1e-20))


def peak_dbfs(audio: Tensor) -> float:
    """Returns the highest sample relative to full scale in dB; -200 for silence."""
    low, high = torch.aminmax(audio)
    return 20 * math.log10(max(-float(low), float(high), 1e-10))


def _octave_powers(mix: Tensor, sample_rate: int) -> Tensor:
    """Powers in octave bands, both channels together, in units of `power`: (octaves,)."""
    size = 2 * math.ceil(_FRAME_SECONDS * sample_rate / 2)
    hop = size // 2
    window = torch.hann_window(size, dtype=torch.float64)
    count = 1 + math.ceil(mix.shape[-1] / hop)
    padded = torch.nn.functional.pad(mix, (hop, (count + 1) * hop - mix.shape[-1] - hop))
    energy = torch.zeros(size // 2 + 1, dtype=torch.float64)
    for first in range(0, count, _FRAMES_AT_ONCE):
        last = min(first + _FRAMES_AT_ONCE, count)
        frames = padded[:, first * hop : (last + 1) * hop].double().unfold(-1, size, hop)
        energy += torch.fft.rfft(frames * window).abs().square().sum(dim=(0, 1))
    # Parseval: every bin but 0 Hz and the last stands for two, and the squared windows overlap to 3/4 everywhere.
    energy[1:-1] *= 2
    powers = energy / (size * 0.75 * mix.numel())
    return torch.stack([powers[of].sum() for of in octave_bins(size, sample_rate)])


def _width_db(mix: Tensor) -> float:
    mid, side = power(mix[0] + mix[1]), power(mix[0] - mix[1])
    ratio = decibels(side / mid) if mid else math.inf if side else -math.inf
    return min(max(ratio, _WIDTH_FLOOR_DB), -_WIDTH_FLOOR_DB)
