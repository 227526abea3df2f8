"""Octave bands: their middles, their names, and the bins of a spectrum that are in each."""

from __future__ import annotations

OCTAVES_HZ = (31.5, 63.0, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0)
"""Nominal middles of the octave bands (IEC 61260-1)."""
FLOOR_DB = -40.0
"""Relative to the power of the whole: an octave below it is inaudible beside the others."""
_HIGHEST_SHARE = 0.4  # share of the sample rate: the octave around a higher frequency is not complete at that rate


def octave_middles(sample_rate: int) -> list[float]:
    """Returns the middles, in Hz, of the octaves that a sample rate holds."""
    return [hz for hz in OCTAVES_HZ if hz < _HIGHEST_SHARE * sample_rate]


def octave_names(sample_rate: int) -> list[str]:
    """Returns the names of the octaves that a sample rate holds: `31`, `63`, `125` to `16k`."""
    return [f"{int(hz)}" if hz < 1000 else f"{hz / 1000:g}k" for hz in octave_middles(sample_rate)]


def octave_bins(n_fft: int, sample_rate: int) -> list[slice]:
    """Returns the bins of a real FFT in each of these octaves, from a factor of sqrt(2) below its middle to one above.

    Args:
        n_fft: length of the FFT, in samples.
        sample_rate: in Hz.
    """

    def first_bin(hertz: float) -> int:
        """The first bin that is not below a frequency."""
        number = int(hertz * n_fft / sample_rate)
        return number + (number * sample_rate < hertz * n_fft)

    edges = [(hz / 2**0.5, hz * 2**0.5) for hz in octave_middles(sample_rate)]
    return [slice(first_bin(low), first_bin(high)) for low, high in edges]
