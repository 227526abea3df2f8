"""A reverb made of a feedback delay network: eight delay lines that feed each other through an orthogonal matrix.

Without losses such a network rings forever; a line of m samples then gets the gain 10^(-3 m / (rate T60)), and a
first-order low-pass that makes it smaller at high frequencies, so that all lines decay alike (Jot & Chaigne 1991).
"""

from __future__ import annotations

import numba
import numpy as np

_LINES_MS = (23.3, 28.7, 33.1, 39.7, 45.7, 53.9, 61.7, 71.3)  # of a room of size 1
_SIGNS = ((1, 0, -1, 0, 1, 0, -1, 0), (0, 1, 0, -1, 0, 1, 0, -1))  # lines that each side hears
_ENTERS = (1, 1, 1, 1, -1, -1, -1, -1)


def reverberate(
    audio: np.ndarray,
    sample_rate: int,
    t60: float,
    high_t60: float | None = None,
    size: float = 1.0,
    pre_delay_ms: float = 0.0,
) -> np.ndarray:
    """The reverberation of audio, (2, samples), without the audio itself; impulses get about unit energy.

    Args:
        audio: (2, samples); the left side enters half of the lines, the right side the others.
        sample_rate: in Hz.
        t60: seconds in which low frequencies decay by 60 dB.
        high_t60: the same at half the sample rate, at most `t60`; None decays alike at all frequencies.
        size: a factor on the lengths of the delay lines.
        pre_delay_ms: the reverberation comes so much later.

    Raises:
        ValueError: not two channels, times or a size that are not above 0, or a `high_t60` above `t60`.
    """
    high = t60 if high_t60 is None else high_t60
    if audio.ndim != 2 or audio.shape[0] != 2:
        raise ValueError(f"audio: (2, samples) is needed, got {audio.shape}")
    if not (0 < high <= t60 and size > 0 and pre_delay_ms >= 0):
        raise ValueError(
            f"t60, high_t60, size, pre_delay_ms: 0 < high_t60 <= t60, 0 < size, 0 <= pre_delay_ms; "
            f"got {t60:g}, {high:g}, {size:g}, {pre_delay_ms:g}"
        )
    lengths = np.array([max(1, round(ms * size * sample_rate / 1000)) | 1 for ms in _LINES_MS], dtype=np.int64)
    low_gain, high_gain = (10 ** (-3 * lengths / (sample_rate * seconds)) for seconds in (t60, high))
    poles = (low_gain - high_gain) / (low_gain + high_gain)
    gains = low_gain * (1 - poles)
    delay = round(pre_delay_ms * sample_rate / 1000)
    delayed = np.pad(audio.astype(np.float64), ((0, 0), (delay, 0)))[:, : audio.shape[1]]
    energy = 4 * (low_gain**2).mean() / (1 - low_gain**2).mean()  # of the four lines that a side hears, all together
    signs, enters = np.array(_SIGNS, dtype=np.float64), np.array(_ENTERS, dtype=np.float64)
    return np.asarray(_network(delayed, lengths, gains, poles, signs / np.sqrt(energy), enters))


@numba.njit(nogil=True, cache=True)
def _network(
    audio: np.ndarray,
    lengths: np.ndarray,
    gains: np.ndarray,
    poles: np.ndarray,
    signs: np.ndarray,
    enters: np.ndarray,
) -> np.ndarray:
    count, longest = lengths.shape[0], lengths.max()
    lines, places = np.zeros((count, longest)), np.zeros(count, dtype=np.int64)
    lowpass, leaving = np.zeros(count), np.zeros(count)
    out = np.zeros_like(audio)
    for n in range(audio.shape[1]):
        total = 0.0
        for i in range(count):
            # Householder matrix I - (2 / count) 1 1^T, which is orthogonal.
            lowpass[i] = gains[i] * lines[i, places[i]] + poles[i] * lowpass[i]
            leaving[i] = lowpass[i]
            total += lowpass[i]
        for side in range(2):
            for i in range(count):
                out[side, n] += signs[side, i] * leaving[i]
        for i in range(count):
            lines[i, places[i]] = leaving[i] - 2.0 / count * total + enters[i] * audio[i % 2, n]
            places[i] += 1
            if places[i] == lengths[i]:
                places[i] = 0
    return out
