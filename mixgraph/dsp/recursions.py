"""Compiled loops over samples: recursions whose next step depends on what came out (see `attack_release`), biquads.

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
def smooth_rows(signal: np.ndarray, steps: np.ndarray, initial: np.ndarray, out: np.ndarray) -> None:
    """Writes y to `out`, (nodes, time), for x `signal`; `steps` are 1 - a of attack and release, (2, nodes)."""
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
def biquad_rows(signal: np.ndarray, forward: np.ndarray, backward: np.ndarray, state: np.ndarray) -> None:
    """Filters float64 rows in place: y[n] = b0 x[n] + b1 x[n-1] + b2 x[n-2] - a2 y[n-2] - a1 y[n-1], in this order.

    Args:
        signal: x, (rows, time), becomes y.
        forward: b0, b1 and b2.
        backward: a1 and a2, where a0 is 1.
        state: x[-1], x[-2], y[-1] and y[-2] of each row, (rows, 4); becomes that after the signal.
    """
    for row in range(signal.shape[0]):
        x_1, x_2, y_1, y_2 = state[row]
        for n in range(signal.shape[1]):
            x = signal[row, n]
            y = forward[2] * x_2 + forward[1] * x_1 + forward[0] * x
            y = y - backward[1] * y_2
            y = y - backward[0] * y_1
            signal[row, n] = y
            x_2, x_1, y_2, y_1 = x_1, x, y_1, y
        state[row, 0], state[row, 1], state[row, 2], state[row, 3] = x_1, x_2, y_1, y_2


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
