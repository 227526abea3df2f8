"""Soft clipping, oversampled so that the harmonics that it makes do not fold back."""

from __future__ import annotations

import numpy as np
from scipy.signal import resample_poly

OVERSAMPLING = 4


def saturate(audio: np.ndarray, drive_db: float, asymmetry: float = 0.0) -> np.ndarray:
    """Shapes audio, (channels, samples), by tanh, with a gain of one for quiet sounds.

    Args:
        audio: (channels, samples).
        drive_db: the gain before the curve, which is taken out behind it; full scale is where the curve bends.
        asymmetry: moves the working point, which makes even harmonics; 0 makes odd ones alone.
    """
    drive = 10 ** (drive_db / 20)
    upsampled = resample_poly(audio, OVERSAMPLING, 1, axis=-1)
    rest = np.tanh(asymmetry)
    shaped = (np.tanh(drive * upsampled + asymmetry) - rest) / (drive * (1 - rest**2))
    return np.asarray(resample_poly(shaped, 1, OVERSAMPLING, axis=-1))
