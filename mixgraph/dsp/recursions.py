"""Compiled loops over samples, for recursions whose next step depends on what came out; see `attack_release`."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def smooth_rows(signal: np.ndarray, steps: np.ndarray, initial: np.ndarray, out: np.ndarray) -> None:
    """Writes y to `out`, (nodes, time), for x `signal`; `steps` are 1 - a of attack and release, (2, nodes)."""
    for row in range(signal.shape[0]):
        attack, release = steps[0, row], steps[1, row]
        y = np.float64(initial[row])
        for n in range(signal.shape[1]):
            rise = signal[row, n] - y
            y += (attack if rise > 0 else release) * rise
            out[row, n] = y


@numba.njit(nogil=True, cache=True)
def adjoint_rows(
    by_smooth: np.ndarray,
    signal: np.ndarray,
    smooth: np.ndarray,
    steps: np.ndarray,
    initial: np.ndarray,
    by_signal: np.ndarray,
    by_rest: np.ndarray,
) -> None:
    """Writes the gradients by x, and by the steps of attack and release and the initial y (`by_rest`, (3, nodes))."""
    for row in range(signal.shape[0]):
        attack, release = steps[0, row], steps[1, row]
        carried = 0.0
        for n in range(signal.shape[1] - 1, -1, -1):
            before = smooth[row, n - 1] if n > 0 else initial[row]
            rise = np.float64(signal[row, n]) - before
            own = by_smooth[row, n] + carried
            step = attack if rise > 0 else release
            by_signal[row, n] = step * own
            by_rest[0 if rise > 0 else 1, row] += own * rise
            carried = (1 - step) * own
        by_rest[2, row] = carried
