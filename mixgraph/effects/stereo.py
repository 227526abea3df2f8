"""Level, pan and width of stereo audio."""

from __future__ import annotations

import math

import numpy as np


def pan(audio: np.ndarray, gain_db: float, position: float) -> np.ndarray:
    """Sets level and balance by the law of constant power: 0 dB in the middle, +3 dB and silence at the ends.

    Args:
        audio: (2, samples).
        gain_db: the level.
        position: -1 is left, 1 is right.

    Raises:
        ValueError: a position outside -1 to 1.
    """
    if not -1 <= position <= 1:
        raise ValueError(f"position: -1 to 1 is needed, got {position:g}")
    angle = (position + 1) * math.pi / 4
    gains = 10 ** (gain_db / 20) * math.sqrt(2) * np.array([[math.cos(angle)], [math.sin(angle)]])
    return np.asarray(audio * gains)


def widen(audio: np.ndarray, width: float) -> np.ndarray:
    """Multiplies the difference of both sides of audio, (2, samples), by `width`: 0 is mono, 1 changes nothing."""
    mid, side = (audio[0] + audio[1]) / 2, (audio[0] - audio[1]) / 2 * width
    return np.stack((mid + side, mid - side))
