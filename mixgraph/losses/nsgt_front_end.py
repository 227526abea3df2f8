"""A front end by the nonstationary Gabor transform: bands as the ear has them, each with the time resolution it allows.

Where the mel front end sums the bins of three STFTs into bands, this one has bands that are windows in frequency. One
transform of the whole audio gives all of them: wide and fast ones at the top, narrow and slow ones at the bottom.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mixgraph.dsp.filterbank import a_weighting_taps
from mixgraph.dsp.fourier import fast_length
from mixgraph.dsp.slicqt import NSGT, make_scale
from mixgraph.dsp.slicqt.frame import LEAST_BINS
from mixgraph.dsp.stft import FloorGradient, floored_magnitude, four_signals
from mixgraph.losses.front_ends import DESIGN_SAMPLE_RATE, FRONT_ENDS, FlooredFrontEnd

_MAX_LENGTHS = 8
_MOST_BANDS = 4096  # a band is at least 4 bins wide: more bands want minutes of audio
"""Transforms of so many lengths of audio are kept: a search has clips and windows of one length, or two."""


@FRONT_ENDS.register
class NsgtFrontEnd(FlooredFrontEnd):
    """Magnitudes of an NSGT (docs/slicqt.md) of A-weighted audio; all bands count alike.

    Each block of bands of one rate is a group, which counts by the number of its bands. A coefficient's magnitude is
    scaled to the root mean square of the sine that it stands for, whatever the rate of its band and the length of the
    audio. Audio is taken as periodic, with zeros up to a length whose FFT is fast.

    Args:
        sample_rate: sample rate of the audio, in Hz.
        floor_gradient: gradient below the floor, `"soft"` or `"hard"`, see `floored_magnitude`.
        scale: the scale of the bands, see `make_scale`.
        num_bands: the number of bands between those at 0 Hz and at half the sample rate.
        low_hz: centre of the lowest band.
        high_share: centre of the highest band, as a share of half the sample rate.
        oversampling: coefficients of a band over those that it needs: at 2 magnitudes hardly alias, at twice the cost.
        a_weighting: weight each band by the response of the mel front end's filter at its centre.
        magnitude_floor: least magnitude, as the root mean square of a sine at full scale 1.
        offset_hz: the offset of the scale `"variable_q"`, see `make_scale`; 0 for other scales.

    Raises:
        ValueError: a setting is out of its range; the message says which.
    """

    name = "nsgt"

    def __init__(
        self,
        sample_rate: int = DESIGN_SAMPLE_RATE,
        floor_gradient: FloorGradient = "soft",
        scale: str = "bark",
        num_bands: int = 96,
        low_hz: float = 30.0,
        high_share: float = 0.97,
        oversampling: int = 1,
        a_weighting: bool = True,
        magnitude_floor: float = 3e-5,
        offset_hz: float = 0.0,
    ) -> None:
        super().__init__(sample_rate, floor_gradient, magnitude_floor)
        if not 0 < high_share < 1:
            raise ValueError(f"high_share must be between 0 and 1; got {high_share}")
        if isinstance(num_bands, int) and num_bands > _MOST_BANDS:
            raise ValueError(f"num_bands must be at most {_MOST_BANDS}; got {num_bands}")
        self.oversampling = oversampling
        self.scale = make_scale(scale, num_bands, low_hz, high_share * sample_rate / 2, offset_hz)
        self._gains = self._band_gains(a_weighting)
        self._transforms: dict[tuple[int, torch.device], tuple[NSGT, Tensor]] = {}
        self._blocks = self._transform(self.min_samples, torch.device("cpu"))[0].layout.blocks

    def _band_gains(self, a_weighting: bool) -> Tensor:
        """Returns the factor of each band, (bands,), float64."""
        centres = torch.tensor((0.0, *self.scale.centres_hz, self.sample_rate / 2), dtype=torch.float64)
        if not a_weighting:
            return torch.ones_like(centres)
        taps = a_weighting_taps(self.sample_rate).double()
        time = torch.arange(len(taps)) - len(taps) // 2
        return (taps * torch.cos(2 * math.pi / self.sample_rate * centres.unsqueeze(-1) * time)).sum(-1).abs()

    @property
    def min_samples(self) -> int:
        """The length of audio at which the narrowest band has the least width that a band must have."""
        centres = (0.0, *self.scale.centres_hz, self.sample_rate / 2)
        narrowest = min(high - low for low, high in zip(centres, centres[2:], strict=False))
        return math.ceil(LEAST_BINS * self.sample_rate / narrowest)

    @property
    def num_groups(self) -> int:
        return len(self._blocks)

    @property
    def group_weights(self) -> tuple[float, ...]:
        """The groups' weights in the mean, proportional to their numbers of bands."""
        return tuple(float(block.num_bands) for block in self._blocks)

    def forward(self, audio: Tensor) -> tuple[Tensor, ...]:
        transform, weights = self._transform(audio.shape[-1], audio.device)
        padded = torch.nn.functional.pad(audio, (0, transform.samples - audio.shape[-1]))
        spectrum = transform(padded)
        weighted = spectrum.flat * weights.to(spectrum.flat.real.dtype)
        coefficients = four_signals(weighted.unsqueeze(-2)).squeeze(-2)
        magnitudes = floored_magnitude(coefficients, self.magnitude_floor, self.floor_gradient)
        parts = magnitudes.split([block.num_coefficients for block in spectrum.layout.blocks], dim=-1)
        return tuple(
            part.unflatten(-1, (block.num_bands, block.size))
            for part, block in zip(parts, spectrum.layout.blocks, strict=True)
        )

    def _transform(self, samples: int, device: torch.device) -> tuple[NSGT, Tensor]:
        """Returns the transform of audio of a length, and the factor of each coefficient, (T,), float64."""
        key = (samples, device)
        made = self._transforms.get(key)  # once, for another thread may make room
        if made is None:
            if len(self._transforms) >= _MAX_LENGTHS:
                self._transforms.pop(next(iter(self._transforms)), None)
            transform = NSGT(
                self.scale,
                fast_length(samples),
                self.sample_rate,
                raster="doubling",
                oversampling=self.oversampling,
                check_finite=False,  # a search looks at its loss, and names the processor that broke it
            )
            gains = [
                self._gains[block.first_band : block.first_band + block.num_bands, None]
                .expand(-1, block.size)
                .mul(math.sqrt(block.size / transform.layout.length))
                .flatten()
                for block in transform.layout.blocks
            ]
            made = self._transforms[key] = transform.to(device), torch.cat(gains).to(device)
        return made
