"""Ranks transforms for given stems by how well ideal masks on them separate the stems, and draws settings to try.

The ideal ratio mask of a stem is its magnitude over the sum of all stems' magnitudes; with the mix's phase it gives the
best that a network which predicts magnitudes can hope for, so that a transform is judged before anything is trained.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mixgraph.dsp.slicqt.frame import Raster
from mixgraph.dsp.slicqt.ragged import RaggedSpectrum
from mixgraph.dsp.slicqt.scales import Scale, make_scale, multi_resolution_scale
from mixgraph.dsp.slicqt.transforms import SliCQT, fitting_slice

SCALE_NAMES = ("bark", "mel", "constant_q", "variable_q", "linear", "multi_resolution")
RASTERS: tuple[Raster, ...] = ("power_of_two", "ragged")
NUM_BANDS, LOW_HZ, OFFSET_HZ = (24, 512), (15.0, 150.0), (5.0, 500.0)
"""Ranges of what is tried: number of bands, centre of the lowest one, and offset of variable Q; all logarithmic."""

MULTI_RESOLUTION = ((400.0, 128), (1200.0, 128), (4000.0, 128), (12000.0, 128), (22050.0, 64))
"""The highest frequency of each linear piece in Hz, and its bands."""

STFT_WINDOW, STFT_HOP = 4096, 1024
_MOST_DRAWS = 10000


@dataclass(frozen=True)
class TransformSettings:
    """Settings of a sliced transform whose highest band is the one at half the sample rate.

    Attributes:
        scale: one of `SCALE_NAMES`.
        num_bands: the number of bands from the lowest one to that at half the sample rate, both included. Those of
            `"multi_resolution"` are shared out as in `MULTI_RESOLUTION`, of which higher sample rates have more.
        low_hz: centre of the lowest band.
        offset_hz: the offset of the scale `"variable_q"`, see `make_scale`; 0 for other scales.
        raster: rule for the coefficients of a band, one of `RASTERS`, see `make_frame`.
    """

    scale: str
    num_bands: int
    low_hz: float
    offset_hz: float = 0.0
    raster: Raster = "power_of_two"

    def scale_at(self, sample_rate: int) -> Scale:
        """The bands below half a sample rate, at which the highest one is."""
        if self.scale == "multi_resolution":
            centres = _multi_resolution(self.num_bands, self.low_hz)
        else:
            centres = make_scale(self.scale, self.num_bands, self.low_hz, sample_rate / 2, self.offset_hz).centres_hz
        return Scale(self.scale, tuple(hertz for hertz in centres if hertz < sample_rate / 2 * (1 - 1e-9)))

    def make(self, sample_rate: int, longest_slice_seconds: float) -> SliCQT:
        """Makes the transform; its slices have the length that fits its narrowest band, see `fitting_slice`.

        Raises:
            ValueError: the transform's slices would be too long, or one of its bands too narrow.
        """
        scale = self.scale_at(sample_rate)
        slice_samples = fitting_slice(scale, sample_rate, self.raster)
        if slice_samples > longest_slice_seconds * sample_rate:
            raise ValueError(
                f"{self}: slices of at most {longest_slice_seconds:g} s are allowed, got "
                f"{slice_samples / sample_rate:.2f} s"
            )
        return SliCQT(scale, sample_rate, slice_samples, raster=self.raster)


def _multi_resolution(num_bands: int, low_hz: float) -> tuple[float, ...]:
    """The centres of the pieces of `MULTI_RESOLUTION`, among which the bands are shared out as there."""
    total = sum(count for _, count in MULTI_RESOLUTION)
    pieces = [(high_hz, max(2, round(count * num_bands / total))) for high_hz, count in MULTI_RESOLUTION]
    return multi_resolution_scale(low_hz, pieces).centres_hz


PUBLISHED = TransformSettings("bark", 262, 32.9)
"""The choice of xumx-sliCQ-V2, found in this way on MUSDB18-HQ."""


def draw_settings(seed: int, trial: int, sample_rate: int, longest_slice_seconds: float) -> TransformSettings:
    """Draws random settings that fit into a slice; the same seed and number of a trial give the same settings.

    Raises:
        ValueError: no settings that fit were drawn.
    """
    source = random.Random(f"{seed}/{trial}")
    for _ in range(_MOST_DRAWS):
        scale = source.choice(SCALE_NAMES)
        num_bands = round(_between(source, *NUM_BANDS))
        low_hz = round(_between(source, *LOW_HZ), 1)
        offset_hz = round(_between(source, *OFFSET_HZ), 1) if scale == "variable_q" else 0.0
        settings = TransformSettings(scale, num_bands, low_hz, offset_hz, source.choice(RASTERS))
        if fits(settings, sample_rate, longest_slice_seconds):
            return settings
    raise ValueError(
        f"longest slice: none of {_MOST_DRAWS} settings fits into {longest_slice_seconds:g} s at {sample_rate} Hz. "
        "HINT: allow longer slices"
    )


def fits(settings: TransformSettings, sample_rate: int, longest_slice_seconds: float) -> bool:
    """Whether a transform can be made with these settings."""
    try:
        settings.make(sample_rate, longest_slice_seconds)
    except ValueError:
        return False
    return True


def _between(source: random.Random, low: float, high: float) -> float:
    return math.exp(source.uniform(math.log(low), math.log(high)))


def ideal_mask_sdr_db(transform: SliCQT, stems: Sequence[Tensor]) -> list[float]:
    """Signal-to-distortion ratio of every stem as its ideal ratio mask on a sliced transform takes it out of the mix.

    Args:
        transform: a sliced transform at the stems' sample rate.
        stems: at least two, of one shape (channels, samples); their sum is the mix.

    Returns:
        10 log10(|stem|^2 / |stem - estimate|^2) of every stem, over all channels and samples.
    """
    samples = stems[0].shape[-1]

    def inverse(flat: Tensor) -> Tensor:
        return transform.inverse(RaggedSpectrum(flat, transform.layout), samples)

    return _masked_sdr_db(lambda signal: transform(signal).flat, inverse, stems)


def stft_mask_sdr_db(stems: Sequence[Tensor]) -> list[float]:
    """Returns what `ideal_mask_sdr_db` does, by an STFT (Hann window of 4096 samples every 1024), to compare with."""
    window, samples = torch.hann_window(STFT_WINDOW), stems[0].shape[-1]

    def forward(signal: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(signal, (0, max(0, STFT_WINDOW - samples)))
        return torch.stft(padded, STFT_WINDOW, STFT_HOP, window=window, return_complex=True)

    def inverse(spectrum: Tensor) -> Tensor:
        length = max(samples, STFT_WINDOW)
        return torch.istft(spectrum, STFT_WINDOW, STFT_HOP, window=window, length=length)[..., :samples]

    return _masked_sdr_db(forward, inverse, stems)


def _masked_sdr_db(
    forward: Callable[[Tensor], Tensor], inverse: Callable[[Tensor], Tensor], stems: Sequence[Tensor]
) -> list[float]:
    mix = forward(torch.stack(list(stems)).sum(0))
    magnitudes = [forward(stem).abs() for stem in stems]
    total = torch.stack(magnitudes).sum(0).clamp_min(torch.finfo(torch.float32).tiny)
    ratios = []
    for stem, magnitude in zip(stems, magnitudes, strict=True):
        error = stem - inverse(mix * (magnitude / total))
        energies = [float(part.double().square().sum()) for part in (stem, error)]
        ratios.append(10 * math.log10(energies[0] / max(energies[1], 1e-30)))
    return ratios
