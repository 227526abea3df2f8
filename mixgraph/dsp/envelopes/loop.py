"""The recursion of `attack_release` and its adjoint, as compiled loops over samples.

A sample waits for the one before it, so four rows go side by side, which takes hardly longer than one. The last rows
stand in for those that are missing from a group of four: they are then written twice, alike.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(inline="always")
def _move(rise: float, attack: float, release: float) -> float:
    return (attack if rise > 0 else release) * rise


@numba.njit(nogil=True, cache=True)
def smooth(signal: np.ndarray, steps: np.ndarray, initial: np.ndarray, out: np.ndarray) -> None:
    """Writes y to `out`, (nodes, time); x is `signal`, and `steps` are 1 - a of attack and release, (2, nodes)."""
    last = signal.shape[0] - 1
    for i in range(0, last + 1, 4):
        j, k, m = min(i + 1, last), min(i + 2, last), min(i + 3, last)
        attack_i, attack_j, attack_k, attack_m = steps[0, i], steps[0, j], steps[0, k], steps[0, m]
        release_i, release_j, release_k, release_m = steps[1, i], steps[1, j], steps[1, k], steps[1, m]
        y_i, y_j = np.float64(initial[i]), np.float64(initial[j])
        y_k, y_m = np.float64(initial[k]), np.float64(initial[m])
        for n in range(signal.shape[1]):
            y_i += _move(signal[i, n] - y_i, attack_i, release_i)
            y_j += _move(signal[j, n] - y_j, attack_j, release_j)
            y_k += _move(signal[k, n] - y_k, attack_k, release_k)
            y_m += _move(signal[m, n] - y_m, attack_m, release_m)
            out[i, n], out[j, n], out[k, n], out[m, n] = y_i, y_j, y_k, y_m


@numba.njit(nogil=True, cache=True)
def adjoint(
    by_envelope: np.ndarray,
    signal: np.ndarray,
    envelope: np.ndarray,
    steps: np.ndarray,
    initial: np.ndarray,
    by_signal: np.ndarray,
    by_steps_and_initial: np.ndarray,
) -> None:
    """Writes the gradients by x, and by the steps of attack and release and the initial y, (3, nodes)."""
    for row in range(signal.shape[0]):
        attack, release = steps[0, row], steps[1, row]
        carried = 0.0
        for n in range(signal.shape[1] - 1, -1, -1):
            before = envelope[row, n - 1] if n > 0 else initial[row]
            rise = np.float64(signal[row, n]) - before
            arriving = by_envelope[row, n] + carried
            step = attack if rise > 0 else release
            by_signal[row, n] = step * arriving
            by_steps_and_initial[0 if rise > 0 else 1, row] += arriving * rise
            carried = (1 - step) * arriving
        by_steps_and_initial[2, row] = carried
