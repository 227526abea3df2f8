"""Second-order recursive filters, as compiled loops over samples."""

from __future__ import annotations

import numba
import numpy as np


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
