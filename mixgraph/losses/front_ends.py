"""Front ends of the match loss: stereo audio to magnitudes in bands, registered by name (`model.loss.front_end`).

A front end need not have the same number of bands or frames everywhere: it returns groups of bands, such as the
resolutions of a multi-resolution transform or the octaves of a constant-Q transform. The loss compares each group by
itself and takes the mean over groups, with the weights that the front end gives them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, get_args

import torch
from torch import Tensor, nn

from mixgraph.dsp.filterbank import (
    Blocks,
    a_weighting_taps,
    filterbank_blocks,
    filterbank_product,
    mel_filterbank,
    zero_phase_filter,
    zero_phase_response,
)
from mixgraph.dsp.fourier import nearest_fast_length
from mixgraph.dsp.stft import FloorGradient, floored_magnitude, four_signals, stft
from mixgraph.registry import Registry

DESIGN_SAMPLE_RATE = 30000  # the rate, in Hz, at which FFT and hop sizes are stated


class FrontEnd(nn.Module):
    """Turns stereo audio into magnitudes. A subclass registers itself.

    Its constructor takes the sample rate first, then `floor_gradient` where it has such a thing, and further options by
    name. Constants are buffers outside the state dict.

    Attributes:
        name: the name by which the setting `model.loss.front_end` chooses it.
        sample_rate: sample rate of the audio, in Hz.
    """

    name: ClassVar[str]

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        if sample_rate <= 0:
            raise ValueError(f"sample_rate must be positive, in Hz; got {sample_rate}")
        self.sample_rate = sample_rate

    @property
    def num_groups(self) -> int:
        """The number of groups of bands."""
        raise TypeError(f"front end {type(self).__name__} does not say its num_groups")

    @property
    def min_samples(self) -> int:
        """The shortest audio that can be transformed, in samples."""
        return 1

    @property
    def band_weights(self) -> tuple[Tensor | None, ...]:
        """The weights of bands in the loss of their group: (bands,) for each group, None where all count alike."""
        return (None,) * self.num_groups

    @property
    def group_weights(self) -> tuple[float, ...] | None:
        """The weights of the groups in the mean over groups; None where all count alike."""
        return None

    def forward(self, audio: Tensor) -> tuple[Tensor, ...]:
        """Transforms audio, (B, 2, T).

        Returns:
            For each group (B, 4, bands, frames), magnitudes above 0 of left, right, mid = l + r and side = l - r.
        """
        raise TypeError(f"front end {type(self).__name__} has no forward")


class FlooredFrontEnd(FrontEnd):
    """A front end whose magnitudes have a floor, so that their logarithm is bounded.

    Args:
        sample_rate: sample rate of the audio, in Hz.
        floor_gradient: gradient below the floor, `"soft"` or `"hard"`, see `floored_magnitude`.
        magnitude_floor: least magnitude.

    Raises:
        ValueError: a floor that is not positive, or another gradient.
    """

    def __init__(self, sample_rate: int, floor_gradient: FloorGradient, magnitude_floor: float) -> None:
        super().__init__(sample_rate)
        if not magnitude_floor > 0:
            raise ValueError(f"magnitude_floor must be positive; got {magnitude_floor}")
        if floor_gradient not in get_args(FloorGradient):
            raise ValueError(f"floor_gradient must be one of {get_args(FloorGradient)}; got {floor_gradient!r}")
        self.magnitude_floor = magnitude_floor
        self.floor_gradient: FloorGradient = floor_gradient


FRONT_ENDS: Registry[FrontEnd] = Registry("front_end")


@FRONT_ENDS.register
class MelFrontEnd(FlooredFrontEnd):
    """Mel magnitudes of A-weighted audio at several resolutions (paper eq. 3-4).

    Everything up to the magnitude is linear, so two signals are filtered and transformed and the other two are sums of
    spectra. Constants are made in float32; audio of another dtype is computed in its own.

    Args:
        sample_rate: sample rate of the audio, in Hz.
        floor_gradient: gradient below the floor, `"soft"` or `"hard"`, see `floored_magnitude`.
        fft_sizes: FFT sizes at 30 kHz; at other rates the sizes with small prime factors whose duration is
            nearest are taken, such that the hop stays the same fraction of them.
        hop_sizes: hop sizes at 30 kHz, even divisors of the FFT sizes; None for a quarter of each FFT size.
        num_mels: the number of bands from 0 Hz to half the sample rate, before empty ones are dropped.
        a_weighting: filter the audio first.
        magnitude_floor: least magnitude of an FFT bin, at full-scale audio and an unnormalised FFT.

    Raises:
        ValueError: a setting is out of its range; the message says which.
    """

    name = "mel"

    def __init__(
        self,
        sample_rate: int = DESIGN_SAMPLE_RATE,
        floor_gradient: FloorGradient = "soft",
        fft_sizes: Sequence[int] = (512, 1024, 4096),
        hop_sizes: Sequence[int] | None = None,
        num_mels: int = 96,
        a_weighting: bool = True,
        magnitude_floor: float = 0.01,
    ) -> None:
        super().__init__(sample_rate, floor_gradient, magnitude_floor)
        self.fft_sizes, self.hop_sizes = _sizes_at(sample_rate, fft_sizes, hop_sizes)
        self.num_taps = 0
        if a_weighting:
            taps = a_weighting_taps(sample_rate)
            self.num_taps = len(taps)
            self.register_buffer("a_weighting", zero_phase_response(taps), persistent=False)
        self.mel_blocks: list[Blocks] = []
        for i, fft_size in enumerate(self.fft_sizes):
            self.register_buffer(f"window{i}", torch.hann_window(fft_size), persistent=False)
            mel = mel_filterbank(sample_rate, fft_size, num_mels)
            self.register_buffer(f"mel{i}", mel, persistent=False)
            self.mel_blocks.append(filterbank_blocks(mel))

    @property
    def num_groups(self) -> int:
        return len(self.fft_sizes)

    @property
    def min_samples(self) -> int:
        """Half the largest window is reflected at the ends of the audio."""
        return max(self.fft_sizes) // 2 + 1

    def forward(self, audio: Tensor) -> tuple[Tensor, ...]:
        if self.num_taps:
            audio = zero_phase_filter(audio, self._constant("a_weighting", audio), self.num_taps)
        mels = []
        for i, hop_size in enumerate(self.hop_sizes):
            spectra = four_signals(stft(audio, self._constant(f"window{i}", audio), hop_size))
            magnitude = floored_magnitude(spectra, self.magnitude_floor, self.floor_gradient)
            mels.append(filterbank_product(magnitude, self._constant(f"mel{i}", audio), self.mel_blocks[i]).mT)
        return tuple(mels)

    def _constant(self, name: str, like: Tensor) -> Tensor:
        return self.get_buffer(name).to(like.dtype)


def _sizes_at(
    sample_rate: int, fft_sizes: Sequence[int], hop_sizes: Sequence[int] | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns the FFT and hop sizes at a sample rate, given those at 30 kHz."""
    hops = [size // 4 for size in fft_sizes] if hop_sizes is None else list(hop_sizes)
    if not fft_sizes or len(hops) != len(fft_sizes):
        raise ValueError(
            f"fft_sizes and hop_sizes must be as many, and not none; got {tuple(fft_sizes)} and {tuple(hops)}"
        )
    scaled = []
    for size, hop in zip(fft_sizes, hops, strict=True):
        if size < 4 or size % 2 or hop < 1 or size % hop or (size // hop) % 2:
            raise ValueError(
                f"fft_sizes must be even, and hop_sizes must divide them evenly into an even number of parts; "
                f"got {size} and {hop}"
            )
        overlap = size // hop
        wished = size * sample_rate / DESIGN_SAMPLE_RATE
        scaled.append((size if wished == size else nearest_fast_length(wished, overlap), overlap))
    return tuple(size for size, _ in scaled), tuple(size // overlap for size, overlap in scaled)
