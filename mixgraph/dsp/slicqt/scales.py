"""Where the bands of a transform are: centre frequencies that are evenly spaced in the unit of a scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Spacing = Callable[[int, float, float], np.ndarray]


@dataclass(frozen=True)
class Scale:
    """The centre frequencies of a transform's bands, without the two at 0 Hz and at half the sample rate.

    Attributes:
        name: one of `SCALE_NAMES`, or `"list"` where the frequencies were given one by one.
        centres_hz: the centre frequencies, rising.
    """

    name: str
    centres_hz: tuple[float, ...]

    def __post_init__(self) -> None:
        centres = self.centres_hz
        if not isinstance(centres, tuple):
            raise TypeError(f"centres_hz: a tuple of frequencies is needed, got {type(centres).__name__}")
        if not centres or not all(math.isfinite(hertz) and hertz > 0 for hertz in centres):
            raise ValueError(f"scale: frequencies above 0 Hz are needed, got {list(centres[:8])}")
        falling = next((i for i in range(1, len(centres)) if centres[i] <= centres[i - 1]), None)
        if falling is not None:
            raise ValueError(
                f"scale: rising frequencies are needed, got {centres[falling - 1]:g} Hz before {centres[falling]:g} Hz"
            )

    @property
    def least_spacing_hz(self) -> float:
        """The smallest distance of two neighbouring bands, the one at 0 Hz among them."""
        return min(high - low for low, high in zip((0.0, *self.centres_hz), self.centres_hz, strict=False))


def _warped(to_unit: Callable[[np.ndarray], np.ndarray], from_unit: Callable[[np.ndarray], np.ndarray]) -> Spacing:
    def spaced(num_bands: int, low_hz: float, high_hz: float) -> np.ndarray:
        low, high = to_unit(np.array([low_hz, high_hz]))
        return from_unit(np.linspace(low, high, num_bands))

    return spaced


SCALES: dict[str, Spacing] = {
    "bark": _warped(lambda hz: 6 * np.arcsinh(hz / 600), lambda bark: 600 * np.sinh(bark / 6)),
    "mel": _warped(lambda hz: 2595 * np.log10(1 + hz / 700), lambda mel: 700 * (10 ** (mel / 2595) - 1)),
    "constant_q": lambda num_bands, low_hz, high_hz: np.geomspace(low_hz, high_hz, num_bands),
    "linear": lambda num_bands, low_hz, high_hz: np.linspace(low_hz, high_hz, num_bands),
}


def make_scale(name: str, num_bands: int, low_hz: float, high_hz: float, offset_hz: float = 0.0) -> Scale:
    """Makes bands from one frequency to another, both included, evenly spaced in the unit of a scale.

    Args:
        name: `"bark"` (Traunmueller's 6 asinh(f / 600)), `"mel"` (2595 log10(1 + f / 700)), `"constant_q"` (octaves),
            `"variable_q"` (octaves of f + offset_hz, so that the lowest bands are wider) or `"linear"`.
        num_bands: the number of bands, at least 2.
        low_hz: centre of the lowest band.
        high_hz: centre of the highest band.
        offset_hz: the offset of `"variable_q"`, where it must be above 0; 0 for every other scale.

    Raises:
        ValueError: a setting is out of its range; the message says which.

    >>> [round(hertz) for hertz in make_scale("constant_q", 4, 100.0, 800.0).centres_hz]
    [100, 200, 400, 800]
    """
    names = sorted([*SCALES, "variable_q"])
    if name not in names:
        raise ValueError(f"scale: one of {', '.join(names)}, got {name!r}")
    if not isinstance(num_bands, int) or num_bands < 2:
        raise ValueError(f"num_bands: a whole number from 2, got {num_bands!r}")
    if not 0 < low_hz < high_hz < math.inf:
        raise ValueError(f"low_hz, high_hz: 0 < low_hz < high_hz is needed, got {low_hz:g} and {high_hz:g}")
    if name == "variable_q":
        if not 0 < offset_hz < math.inf:
            raise ValueError(f"offset_hz: above 0 Hz for variable_q, got {offset_hz:g}. HINT: constant_q has none")
        centres = np.geomspace(low_hz + offset_hz, high_hz + offset_hz, num_bands) - offset_hz
    else:
        if offset_hz:
            raise ValueError(f"offset_hz: only variable_q has one, got {offset_hz:g} for {name}")
        centres = SCALES[name](num_bands, low_hz, high_hz)
    return Scale(name, tuple(centres.tolist()))


def multi_resolution_scale(low_hz: float, pieces: Sequence[tuple[float, int]]) -> Scale:
    """Linear pieces, each from where the one before it ends: several STFTs, each on a part of the spectrum.

    Args:
        low_hz: centre of the lowest band.
        pieces: (highest Hz, bands behind the end of the piece before it), from low to high.

    Raises:
        ValueError: frequencies that do not rise, or a piece without bands.

    >>> multi_resolution_scale(100.0, [(400.0, 3), (1200.0, 2)]).centres_hz
    (100.0, 200.0, 300.0, 400.0, 800.0, 1200.0)
    """
    centres = [low_hz]
    for high_hz, num_bands in pieces:
        if num_bands < 1:
            raise ValueError(f"pieces: at least one band in each, got {num_bands} up to {high_hz:g} Hz")
        start = centres[-1]
        centres += [start + (high_hz - start) * i / num_bands for i in range(1, num_bands + 1)]
    return Scale("multi_resolution", tuple(centres))
