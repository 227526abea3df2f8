"""What recordings have and clean stems lack: other levels, fades, bleed between microphones, noise.

All of it is done to the dry tracks, before they are mixed: the graph stays the truth of what follows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mixgraph.effects import Band, equalize
from mixgraph.processors.usage import RandomSettings

_BLEED_DB = (-36.0, -16.0)  # relative to the track that bleeds
_BLEED_SECONDS = (0.001, 0.015)  # the way between microphones, up to 5 m
_NOISE_DB = (-80.0, -50.0)  # relative to full scale
_FADE_SECONDS = (0.005, 1.0)


@dataclass(frozen=True)
class RecordingSettings:
    """How recordings differ from clean stems.

    Attributes:
        level_db: a track's random gain is at most this, up or down.
        fade_share: share of the tracks that begin late or end early, with a fade.
        bleed_share: share of the tracks that pick up one or two of the others, later and duller.
        noise_share: share of the tracks with a noise floor of their own.
    """

    level_db: float = 4.0
    fade_share: float = 0.0
    bleed_share: float = 0.0
    noise_share: float = 0.0

    def problems(self) -> list[str]:
        """What is wrong with the settings, one text for each."""
        shares = {name: getattr(self, name) for name in ("fade_share", "bleed_share", "noise_share")}
        problems = [f"{name}: 0 to 1 expected, got {share:g}" for name, share in shares.items() if not 0 <= share <= 1]
        return problems + ([] if self.level_db >= 0 else [f"level_db: at least 0 expected, got {self.level_db:g}"])


def as_recorded(sources: Tensor, sample_rate: int, settings: RecordingSettings, generator: torch.Generator) -> Tensor:
    """Adds fades, bleed and noise to dry tracks, (tracks, 2, L); levels are not changed here.

    Args:
        sources: the clean tracks.
        sample_rate: in Hz.
        settings: what is added.
        generator: source of all randomness.
    """
    draw = RandomSettings(generator)
    clean = sources.double().numpy().copy()
    for track in clean:
        if draw.uniform(0, 1) < settings.fade_share:
            track *= _fade(track.shape[-1], sample_rate, draw)
    recorded = clean.copy()
    for row in range(len(clean)):
        if len(clean) > 1 and draw.uniform(0, 1) < settings.bleed_share:
            others = [other for other in draw.choose(3, len(clean)) if other != row][: 1 + int(draw.uniform(0, 2))]
            for other in others:
                recorded[row] += _bleed(clean[other], sample_rate, draw)
        if draw.uniform(0, 1) < settings.noise_share:
            recorded[row] += _noise(clean.shape[-1], sample_rate, draw, mono=np.array_equal(*clean[row]))
    return torch.from_numpy(recorded).float()


def _fade(length: int, sample_rate: int, draw: RandomSettings) -> np.ndarray:
    """A gain that rises in the first half, or falls in the second."""
    place, width = draw.uniform(0, 0.5) * length, draw.logarithmic(*_FADE_SECONDS) * sample_rate
    rising = np.clip((np.arange(length) - place) / width, 0, 1)
    return rising if draw.uniform(0, 1) < 0.5 else rising[::-1]


def _bleed(track: np.ndarray, sample_rate: int, draw: RandomSettings) -> np.ndarray:
    """A track as a far microphone hears it: mono, later, quieter and duller."""
    gain = 10 ** (draw.uniform(*_BLEED_DB) / 20)
    later = max(1, round(draw.uniform(*_BLEED_SECONDS) * sample_rate))
    cut_hz = min(draw.logarithmic(2000, 8000), 0.45 * sample_rate)
    dull = equalize(track.mean(axis=0, keepdims=True), [Band("high_cut", cut_hz)], sample_rate)
    return gain * np.pad(dull, ((0, 0), (later, 0)))[:, : track.shape[-1]]


def _noise(length: int, sample_rate: int, draw: RandomSettings, mono: bool) -> np.ndarray:
    """White or dull noise; the same on both sides of a mono track."""
    level = 10 ** (draw.uniform(*_NOISE_DB) / 20)
    white = torch.randn(1 if mono else 2, length, generator=draw.generator, dtype=torch.float64).numpy()
    if draw.uniform(0, 1) < 0.5:
        white = equalize(white, [Band("high_shelf", min(1000.0, 0.2 * sample_rate), -12)], sample_rate)
    return np.broadcast_to(level * white, (2, length))
