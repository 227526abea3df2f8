"""A delay that feeds its output back, damped, on each side or from side to side."""

from __future__ import annotations

import numba
import numpy as np


def feedback_delay(
    audio: np.ndarray,
    sample_rate: int,
    seconds: float,
    feedback: float = 0.4,
    damping_hz: float | None = None,
    ping_pong: bool = False,
) -> np.ndarray:
    """The echoes of audio, without the audio itself: each comes a delay later than the one before, `feedback` as loud.

    Args:
        audio: (2, samples).
        sample_rate: in Hz.
        seconds: the delay, rounded to whole samples, at least one.
        feedback: gain of the loop, 0 to below 1.
        damping_hz: the -3 dB point of the analogue first-order low-pass that the one in the loop is made after, nearly
            its own far below half the sample rate; the first echo passes it, too. None has none.
        ping_pong: the mean of both sides enters on the left, and echoes change sides: left, right, left, ...

    Raises:
        ValueError: not two channels, a feedback that is not in its range, a delay below one sample, or damping from 0
            Hz or less.
    """
    delay = round(seconds * sample_rate)
    if audio.ndim != 2 or audio.shape[0] != 2:
        raise ValueError(f"audio: (2, samples) is needed, got {audio.shape}")
    if not 0 <= feedback < 1 or delay < 1:
        raise ValueError(f"feedback: 0 to below 1, seconds: at least one sample; got {feedback:g} and {seconds:g}")
    if damping_hz is not None and not damping_hz > 0:
        raise ValueError(f"damping_hz: above 0 is needed, got {damping_hz:g}")
    step = 1.0 if damping_hz is None else float(-np.expm1(-2 * np.pi * damping_hz / sample_rate))
    entering = np.stack((audio.mean(axis=0), np.zeros(audio.shape[1]))) if ping_pong else audio
    return np.asarray(_echoes(entering.astype(np.float64), delay, feedback, step, ping_pong))


@numba.njit(nogil=True, cache=True)
def _echoes(entering: np.ndarray, delay: int, feedback: float, step: float, crossed: bool) -> np.ndarray:
    out = np.zeros_like(entering)
    damped = np.zeros(2)
    for n in range(delay, entering.shape[1]):
        for side in range(2):
            source = 1 - side if crossed else side
            arriving = entering[side, n - delay] + feedback * out[source, n - delay]
            damped[side] += step * (arriving - damped[side])
            out[side, n] = damped[side]
    return out
