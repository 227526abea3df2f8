"""A brickwall limiter with look-ahead."""

from __future__ import annotations

import numba
import numpy as np
from scipy.ndimage import minimum_filter1d, uniform_filter1d


def limit(
    audio: np.ndarray,
    sample_rate: int,
    ceiling_db: float = -1.0,
    look_ahead_ms: float = 2.0,
    release_ms: float = 100.0,
) -> np.ndarray:
    """Turns audio, (channels, samples), down where it would pass the ceiling; both channels alike.

    The gain that a sample needs is held over the look-ahead on both sides of it (a running minimum), recovers with the
    release, and is averaged over as long. Every value in the average is at most what the sample needs, hence so is the
    average: no sample passes the ceiling.

    Raises:
        ValueError: a time below 0, or a ceiling above 0 dBFS.
    """
    if not (look_ahead_ms >= 0 and release_ms >= 0 and ceiling_db <= 0):
        raise ValueError(
            f"look_ahead_ms, release_ms: at least 0, ceiling_db: at most 0; got {look_ahead_ms:g}, {release_ms:g}, "
            f"{ceiling_db:g}"
        )
    ceiling = 10 ** (ceiling_db / 20)
    peak = np.abs(audio).max(axis=0).astype(np.float64)
    needed = np.minimum(1.0, ceiling / np.maximum(peak, 1e-12))
    half = round(look_ahead_ms * sample_rate / 1000)
    held = minimum_filter1d(needed, 2 * half + 1, mode="nearest")
    released = _recover(held, 1.0 if release_ms == 0 else float(-np.expm1(-1000 / (release_ms * sample_rate))))
    smooth = uniform_filter1d(released, 2 * half + 1, mode="nearest")
    return np.asarray(audio * np.minimum(smooth, needed))  # the sums of the average are rounded


@numba.njit(nogil=True, cache=True)
def _recover(held: np.ndarray, step: float) -> np.ndarray:
    """Falls at once, and rises towards 1 by a share of what is missing."""
    recovered = np.empty_like(held)
    last = 1.0
    for n in range(held.shape[0]):
        last = min(held[n], last + step * (1 - last))
        recovered[n] = last
    return recovered
