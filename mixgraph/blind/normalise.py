"""Brings stems to the reference state: centred, of the instrument's mean spectrum, at the instrument's mean loudness.

What compressors and reverbs did to a stem stays in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from mixgraph.blind.reference import InstrumentState
from mixgraph.blind.spectrum import apply_band_gains, band_levels_db, matching_gains_db
from mixgraph.songs.loudness import BLOCK_SECONDS, integrated_loudness


@dataclass(frozen=True, eq=False)
class NormalisedStem:
    """A stem in the reference state, and what was done to it.

    Attributes:
        audio: (1, samples).
        gain_db: the change of loudness, apart from the filter's and from the sum of both channels to one.
        band_gains_db: the filter's gain in each band of `reference.BANDS_HZ`.
    """

    audio: Tensor
    gain_db: float
    band_gains_db: tuple[float, ...]


def is_silent(audio: Tensor, sample_rate: int) -> bool:
    """Whether a stem, (1 or 2, samples), has no loudness: nothing of it, taken to one channel, passes -70 LUFS."""
    return math.isinf(loudness(audio, sample_rate))


def loudness(audio: Tensor, sample_rate: int) -> float:
    """The integrated loudness in LUFS of a signal that is taken to one channel and played on two.

    Raises:
        ValueError: it is shorter than 0.4 s.
    """
    if audio.shape[-1] < round(BLOCK_SECONDS * sample_rate):
        raise ValueError(f"stems of at least {BLOCK_SECONDS} s are needed, got {audio.shape[-1] / sample_rate:.3f} s")
    return integrated_loudness(audio.mean(0, keepdim=True).expand(2, -1), sample_rate)


def normalise_stem(audio: Tensor, sample_rate: int, state: InstrumentState, whole_lufs: float) -> NormalisedStem:
    """Brings a stem to the reference state of its instrument.

    Args:
        audio: (1 or 2, samples).
        sample_rate: in Hz.
        state: the instrument's reference state.
        whole_lufs: the loudness of the mix, against which the state's loudness is.

    Raises:
        ValueError: the stem is silent, or shorter than 0.4 s.
    """
    mono = audio.mean(0)
    levels = band_levels_db(mono, sample_rate)
    if levels is None or is_silent(audio, sample_rate):
        raise ValueError("a stem that sounds is needed, got a silent one")
    gains = matching_gains_db(levels, state.levels_db)
    filtered = apply_band_gains(mono, sample_rate, gains)[None]
    gain_db = whole_lufs + state.loudness_lu - loudness(filtered, sample_rate)
    return NormalisedStem(filtered * 10 ** (gain_db / 20), gain_db, gains)
