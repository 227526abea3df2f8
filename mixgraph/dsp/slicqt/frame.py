"""The windows of a tight nonstationary Gabor frame, as lists of indices and weights.

The spectrum of a real frame of N samples is its half, R = N / 2 + 1 bins, X = s rfft(x) with an orthonormal FFT,
s = sqrt(2) but for the first and the last bin, so that |X| = |x|. Band k sees it through a window w_k >= 0 in frequency
(Balazs et al. 2011, JCAM 236; Holighaus et al. 2012, arXiv 1210.0084),

    c_k = ifft(w_k X, placed at bin n mod M_k of a buffer of M_k),      sum_k w_k[n]^2 = 1 at every bin n.

No window is wider than its M_k bins, and the FFTs are orthonormal, so that c -> sum_k w_k fft(c_k), which is the
adjoint, is the inverse, too (a tight frame). Windows at 0 Hz and at half the rate are one-sided: there are no mirrored
bands. Between two centres the windows are a cosine and a sine, so that two bands cover a bin; where bands are so narrow
that they are widened, more do, and the squares are divided by their sum.

Placed at n mod M_k, coefficients have the phase of a fixed origin: with even M_k it runs on from one slice to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from mixgraph.dsp.fourier import fast_length
from mixgraph.dsp.slicqt.ragged import Block, Layout
from mixgraph.dsp.slicqt.scales import Scale

Raster = Literal["ragged", "power_of_two", "doubling"]
LEAST_BINS = 4
"""Of a band before it is widened: below it, neighbouring bands would be the same band."""


@dataclass(frozen=True, eq=False)
class Frame:
    """The index lists and weights by which analysis and synthesis gather values, for frames of one length.

    Attributes:
        layout: says which band and rate every coefficient belongs to.
        analysis_bin: (coefficients,) int64, the bin that each place of the bands' buffers takes.
        analysis_weight: (coefficients,) float64, what it is multiplied by; 0 where a buffer is longer than its window.
        synthesis_place: for the first, second, ... band that covers a bin: int64, the place in the buffers for each of
            the bins from 0 to the last one that has so many. The first list is of all bins.
        synthesis_weight: likewise, float64.
    """

    layout: Layout
    analysis_bin: np.ndarray
    analysis_weight: np.ndarray
    synthesis_place: tuple[np.ndarray, ...]
    synthesis_weight: tuple[np.ndarray, ...]


def make_frame(
    length: int, sample_rate: int, scale: Scale, raster: Raster, oversampling: int = 1, least_window: int = LEAST_BINS
) -> Frame:
    """Makes the tight frame whose bands are centred as a scale says.

    Args:
        length: N, samples of a frame; even.
        sample_rate: sample rate of the signals, in Hz.
        scale: centres of the bands.
        raster: M_k is a multiple of 4 (`"ragged"`: least memory), a power of two (`"power_of_two"`: few blocks), or
            that of the narrowest band, doubled until it is enough (`"doubling"`: the same few blocks at any length).
        oversampling: M_k is at least as many times the width of its window.
        least_window: narrower windows are widened to so many bins; in a slice, a band of 16 bins keeps a click
            28 dB below itself in the slice's outer quarters.

    Raises:
        ValueError: a setting is out of its range, or a band is too narrow for the frame; the message says which.
    """
    _check(length, sample_rate, scale, raster, oversampling)
    positions = np.array([0.0, *scale.centres_hz, sample_rate / 2]) * (length / sample_rate)
    supports, windows = _windows(positions, length // 2 + 1, least_window)
    widths = [stop - start for start, stop in supports]
    if raster == "doubling":
        sizes = _doubled_sizes(positions, widths, oversampling)
    else:
        sizes = _sizes(widths, raster, oversampling)
    layout = _layout(sizes, length, sample_rate, scale, raster, oversampling, least_window)
    offsets = np.concatenate(([0], np.cumsum(sizes)))
    analysis_bin = np.zeros(offsets[-1], dtype=np.int64)
    analysis_weight = np.zeros(offsets[-1])
    covering: list[list[tuple[int, float]]] = [[] for _ in range(length // 2 + 1)]
    for (start, stop), window, size, offset in zip(supports, windows, sizes, offsets, strict=False):
        bins = np.arange(start, stop)
        places = offset + bins % size
        analysis_bin[places], analysis_weight[places] = bins, window
        for bin_, place, weight in zip(bins.tolist(), places.tolist(), window.tolist(), strict=True):
            if weight > 0:
                covering[bin_].append((place, weight))
    places_of, weights_of = [], []
    for j in range(max(map(len, covering))):
        last = 1 + max(bin_ for bin_, pairs in enumerate(covering) if len(pairs) > j)
        row = [pairs[j] if j < len(pairs) else (0, 0.0) for pairs in covering[:last]]
        places_of.append(np.array([place for place, _ in row], dtype=np.int64))
        weights_of.append(np.array([weight for _, weight in row]))
    return Frame(layout, analysis_bin, analysis_weight, tuple(places_of), tuple(weights_of))


def _check(length: int, sample_rate: int, scale: Scale, raster: Raster, oversampling: int) -> None:
    if not 0 < sample_rate < np.inf:
        raise ValueError(f"sample_rate: above 0 Hz, got {sample_rate}")
    if not isinstance(length, int) or length < 4 or length % 2:
        raise ValueError(f"length: an even number of samples from 4, got {length}")
    if raster not in get_args(Raster):
        raise ValueError(f"raster: one of {', '.join(get_args(Raster))}, got {raster!r}")
    if not isinstance(oversampling, int) or oversampling < 1:
        raise ValueError(f"oversampling: a whole number from 1, got {oversampling!r}")
    if scale.centres_hz[-1] >= sample_rate / 2:
        raise ValueError(
            f"scale: its bands end below half the sample rate ({sample_rate / 2:g} Hz), got one at "
            f"{scale.centres_hz[-1]:g} Hz"
        )
    positions = np.array([0.0, *scale.centres_hz, sample_rate / 2]) * (length / sample_rate)
    widths = positions[2:] - positions[:-2]
    narrow = int(widths.argmin())
    if widths[narrow] < LEAST_BINS:
        needed = int(np.ceil(length * LEAST_BINS / widths[narrow] / 4)) * 4
        raise ValueError(
            f"scale: band {narrow} at {scale.centres_hz[narrow]:.1f} Hz is {widths[narrow]:.1f} bins wide in a frame "
            f"of {length} samples, at least {LEAST_BINS} are needed. HINT: a frame of {needed} samples, or fewer bands"
        )


def _windows(positions: np.ndarray, num_bins: int, least_window: int) -> tuple[list[tuple[int, int]], list[np.ndarray]]:
    """(First bin, bin after the last) of each band, and its window there; the squares of all add up to 1."""
    total = np.zeros(num_bins)
    supports, squares = [], []
    half = least_window / 2
    for k, centre in enumerate(positions):
        below = centre - min(positions[k - 1], centre - half) if k else np.inf
        above = max(positions[k + 1], centre + half) - centre if k + 1 < len(positions) else np.inf
        start = max(0, int(np.floor(centre - below)) + 1) if k else 0
        stop = min(num_bins, int(np.ceil(centre + above))) if k + 1 < len(positions) else num_bins
        bins = np.arange(start, stop)
        distance = np.where(bins < centre, (centre - bins) / below, (bins - centre) / above)
        square = np.cos(np.pi / 2 * distance) ** 2
        total[start:stop] += square
        supports.append((start, stop))
        squares.append(square)
    return supports, [np.sqrt(square / total[a:b]) for (a, b), square in zip(supports, squares, strict=True)]


def _sizes(widths: list[int], raster: Raster, oversampling: int) -> list[int]:
    """M_k of each band: never falling from low to high, or rounding would split blocks."""
    sizes, least = [], 4
    for width in widths[:-1]:
        least_size = width * oversampling
        size = 4 * -(-least_size // 4) if raster == "ragged" else 1 << (least_size - 1).bit_length()
        least = max(least, size)
        sizes.append(least)
    last = widths[-1] * oversampling  # the one-sided band at half the rate is narrower than the one before it
    return [*sizes, max(4, 4 * -(-last // 4) if raster == "ragged" else 1 << (last - 1).bit_length())]


def _doubled_sizes(positions: np.ndarray, rounded: list[int], oversampling: int) -> list[int]:
    """M_k of each band by its width before rounding to bins, so that no length moves a band into another block.

    Windows that a large `least_window` has widened by more may need twice as many.
    """
    widths = [positions[1], *(positions[2:] - positions[:-2]), positions[-1] - positions[-2]]
    least = min(widths[1:-1])
    base = fast_length(int(np.ceil((least + 2) * oversampling)))  # rounding, and widening to 4 bins, add up to 2 bins
    ratios = [max(width / least, size * oversampling / base) for width, size in zip(widths, rounded, strict=True)]
    doublings = np.maximum.accumulate([max(0, int(np.ceil(np.log2(ratio) - 1e-9))) for ratio in ratios])
    return [base << int(times) for times in doublings]


def _layout(
    sizes: list[int],
    length: int,
    sample_rate: int,
    scale: Scale,
    raster: Raster,
    oversampling: int,
    least_window: int,
) -> Layout:
    blocks: list[Block] = []
    for band, size in enumerate(sizes):
        if blocks and blocks[-1].size == size:
            blocks[-1] = Block(blocks[-1].first_band, blocks[-1].num_bands + 1, size)
        else:
            blocks.append(Block(band, 1, size))
    centres = (0.0, *scale.centres_hz, sample_rate / 2)
    return Layout(tuple(blocks), centres, length, sample_rate, raster, oversampling, least_window)
