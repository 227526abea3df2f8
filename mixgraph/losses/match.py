"""The match loss: how far a mix is from its target, over time, frequency and stereo image (paper eq. 3-4).

Both mixes go through an A-weighting filter, and are seen as four signals: left, right, mid = l + r and side = l - r.
Everything up to the magnitude is linear, so two signals are filtered and transformed and the other two are sums of
spectra. Magnitudes become mel bands at three resolutions; each signal at each resolution gives a spectral convergence
(what is loud) and a mean log distance (what is quiet).

    L(x) = mean over resolutions of ( |Y - P|_F / |Y|_F + mean over bands and frames of |ln Y - ln P| )
    L = 0.5 mean(L(l), L(r)) + 0.25 L(mid) + 0.25 L(side)

Means, where eq. 4 sums over resolutions and divides by the frames only, so that numbers compare with the published
ones (docs/published_code.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

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

Denominator = Literal["target", "prediction"]

SIGNALS = ("left", "right", "mid", "side")
DESIGN_SAMPLE_RATE = 30000  # the rate, in Hz, at which FFT and hop sizes are stated
DENOMINATOR_FLOOR_DB = -30.0  # of the loudest of left, right and mid


@dataclass(frozen=True)
class Features:
    """Mel magnitudes of stereo audio, at every resolution.

    Attributes:
        linear: per resolution, (B, 4, bands, frames); the 4 are left, right, mid and side.
        log: their natural logs.
        norm: (B, resolutions, 4), Frobenius norms over bands and frames of `linear`.
    """

    linear: tuple[Tensor, ...]
    log: tuple[Tensor, ...]
    norm: Tensor

    def __len__(self) -> int:
        """Returns the number of batch items."""
        return self.norm.shape[0]

    @property
    def num_bytes(self) -> int:
        """What the features take in memory."""
        return sum(part.numel() * part.element_size() for part in (*self.linear, *self.log, self.norm))

    @property
    def num_frames(self) -> tuple[int, ...]:
        """Frames, per resolution."""
        return tuple(linear.shape[-1] for linear in self.linear)

    def select(self, items: slice | Tensor | Sequence[int]) -> Features:
        """Returns the features of some batch items (windows), in the order given; a slice copies nothing."""
        index = items if isinstance(items, slice | Tensor) else torch.as_tensor(items, device=self.norm.device)
        return Features(
            linear=tuple(linear[index] for linear in self.linear),
            log=tuple(log[index] for log in self.log),
            norm=self.norm[index],
        )


@dataclass(frozen=True)
class MatchTerms:
    """The match loss of every batch item, and what it is made of. No units.

    Attributes:
        full: (B,), the loss (eq. 3).
        lr: (B,), the mean of left's and right's loss, before weighting; as the next two.
        mid: (B,)
        side: (B,)
        spectral_convergence: (B, resolutions, 4), the 4 as in `SIGNALS`; a distance over a denominator.
        log_magnitude: (B, resolutions, 4)
        denominator: whose norm the spectral convergence is divided by.
        distance: (B, resolutions, 4), Frobenius norms of the differences.
        target_norm: (B, resolutions, 4), denominators with their floor.
        prediction_norm: the same.
        weights: of lr, mid and side.
    """

    full: Tensor
    lr: Tensor
    mid: Tensor
    side: Tensor
    spectral_convergence: Tensor
    log_magnitude: Tensor
    denominator: Denominator
    distance: Tensor
    target_norm: Tensor
    prediction_norm: Tensor
    weights: tuple[float, float, float]

    @classmethod
    def combine(
        cls,
        *,
        distance: Tensor,
        target_norm: Tensor,
        prediction_norm: Tensor,
        log_magnitude: Tensor,
        denominator: Denominator,
        weights: tuple[float, float, float],
    ) -> MatchTerms:
        """Divides, averages and weights the parts; they are as in the class.

        Raises:
            ValueError: an unknown denominator.
        """
        _check_denominator(denominator)
        spectral_convergence = distance / (target_norm if denominator == "target" else prediction_norm)
        left, right, mid, side = (spectral_convergence + log_magnitude).mean(1).unbind(-1)
        lr = (left + right) / 2
        return cls(
            full=weights[0] * lr + weights[1] * mid + weights[2] * side,
            lr=lr,
            mid=mid,
            side=side,
            spectral_convergence=spectral_convergence,
            log_magnitude=log_magnitude,
            denominator=denominator,
            distance=distance,
            target_norm=target_norm,
            prediction_norm=prediction_norm,
            weights=weights,
        )

    def over(self, denominator: Denominator) -> MatchTerms:
        """Returns the loss over another denominator, for the price of a division.

        Raises:
            ValueError: an unknown denominator.
        """
        if denominator == self.denominator:
            return self
        return MatchTerms.combine(
            distance=self.distance,
            target_norm=self.target_norm,
            prediction_norm=self.prediction_norm,
            log_magnitude=self.log_magnitude,
            denominator=denominator,
            weights=self.weights,
        )


class MatchLoss(nn.Module):
    """Multi-resolution mel-spectral distance of two stereo mixes; every batch item has its own.

    Constants are buffers outside the state dict. They are made in float32; audio of another dtype is computed in its
    own.

    Args:
        sample_rate: in Hz.
        fft_sizes: at 30 kHz; elsewhere the nearest sizes with small prime factors of the same duration are taken, such
            that the hop stays the same fraction of them.
        hop_sizes: at 30 kHz, even divisors of the FFT sizes; None: a quarter of each.
        num_mels: bands from 0 Hz to half the sample rate, before empty ones are dropped.
        a_weighting: filter the audio first.
        denominator: of the spectral convergence: "target" is eq. 4's, "prediction" very probably that of the published
            tables (docs/published_code.md).
        magnitude_floor: least magnitude of an FFT bin, at full-scale audio and an unnormalised FFT.
        floor_gradient: see `floored_magnitude`.
        weights: of the mean of left and right, of mid, and of side.

    Raises:
        ValueError: a setting is out of its range; the message says which.
    """

    def __init__(
        self,
        sample_rate: int = DESIGN_SAMPLE_RATE,
        fft_sizes: Sequence[int] = (512, 1024, 4096),
        hop_sizes: Sequence[int] | None = None,
        num_mels: int = 96,
        a_weighting: bool = True,
        denominator: Denominator = "target",
        magnitude_floor: float = 0.01,
        floor_gradient: FloorGradient = "soft",
        weights: tuple[float, float, float] = (0.5, 0.25, 0.25),
    ) -> None:
        super().__init__()
        if sample_rate <= 0:
            raise ValueError(f"sample_rate must be positive, in Hz; got {sample_rate}")
        if not magnitude_floor > 0:
            raise ValueError(f"magnitude_floor must be positive; got {magnitude_floor}")
        if floor_gradient not in get_args(FloorGradient):
            raise ValueError(f"floor_gradient must be one of {get_args(FloorGradient)}; got {floor_gradient!r}")
        if len(weights) != 3 or min(weights) < 0:
            raise ValueError(f"weights must be three (lr, mid, side), none negative; got {tuple(weights)}")
        _check_denominator(denominator)
        self.sample_rate = sample_rate
        self.denominator: Denominator = denominator
        self.magnitude_floor = magnitude_floor
        self.floor_gradient: FloorGradient = floor_gradient
        self.weights = (float(weights[0]), float(weights[1]), float(weights[2]))
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
    def min_samples(self) -> int:
        """The shortest audio that can be compared: half the largest window is reflected at its ends."""
        return max(self.fft_sizes) // 2 + 1

    def features(self, audio: Tensor) -> Features:
        """Transforms audio, (B, 2, T), into mel magnitudes.

        Raises:
            ValueError: the audio is not a batch of stereo signals, or is shorter than `min_samples`.
        """
        if audio.dim() != 3 or audio.shape[1] != 2:
            raise ValueError(f"audio must be (batch, 2, time); got {tuple(audio.shape)}")
        if audio.shape[-1] < self.min_samples:
            raise ValueError(
                f"audio must have at least {self.min_samples} samples, half the largest FFT size "
                f"({max(self.fft_sizes)}) and one; got {audio.shape[-1]}"
            )
        if self.num_taps:
            audio = zero_phase_filter(audio, self._constant("a_weighting", audio), self.num_taps)
        linear, log, norm = [], [], []
        for i, hop_size in enumerate(self.hop_sizes):
            spectra = four_signals(stft(audio, self._constant(f"window{i}", audio), hop_size))
            magnitude = floored_magnitude(spectra, self.magnitude_floor, self.floor_gradient)
            mel = filterbank_product(magnitude, self._constant(f"mel{i}", audio), self.mel_blocks[i]).mT
            linear.append(mel)
            log.append(mel.log())
            norm.append(torch.linalg.vector_norm(mel, dim=(-2, -1)))
        return Features(linear=tuple(linear), log=tuple(log), norm=torch.stack(norm, 1))

    def loudest(self, target: Features) -> Tensor:
        """Returns the level of the loudest of left, right and mid, over a song whose windows are the batch.

        Shape:
            (resolutions,), root mean square over frames of the norm over bands, so that it serves clips of any length.
        """
        levels = target.norm[..., :3].amax((0, 2)).unbind()
        return torch.stack([level / math.sqrt(n) for level, n in zip(levels, target.num_frames, strict=True)])

    def forward(
        self,
        prediction: Tensor,
        target: Tensor | Features,
        loudest: Tensor | None = None,
        denominator: Denominator | None = None,
    ) -> MatchTerms:
        """Compares mixes with their targets, item by item, at the level that they are given at.

        Searches compare at the level of `Song.mix`, which `load_song` brings to -16 LUFS. The level matters little:
        only magnitudes near the floor of the logarithm hear it.

        Args:
            prediction: (B, 2, T)
            target: the same shape, or its `features`. No gradient flows into it.
            loudest: of `self.loudest`, over the song: (resolutions,), or (B, resolutions) where the items are of
                different songs. Denominators are not taken below -30 dB of it: a silent window, and the side of a
                mono mix, would be divided by next to nothing. None: no floor.
            denominator: instead of the module's own.

        Raises:
            ValueError: wrong or different shapes, audio that is too short, an unknown denominator.
        """
        predicted = self.features(prediction)
        if isinstance(target, Tensor):
            if target.shape != prediction.shape:
                raise ValueError(
                    f"target must have the prediction's shape {tuple(prediction.shape)}; got {tuple(target.shape)}"
                )
            with torch.no_grad():
                target = self.features(target)
        if [y.shape for y in target.linear] != [y.shape for y in predicted.linear]:
            raise ValueError(
                f"target must have the features of {len(predicted)} items of {predicted.num_frames} frames; "
                f"got {len(target)} of {target.num_frames}"
            )
        pairs = list(zip(predicted.linear, target.linear, strict=True))
        log_pairs = list(zip(predicted.log, target.log, strict=True))
        target_norm, prediction_norm = target.norm, predicted.norm
        if loudest is not None:
            floor = self._denominator_floor(loudest, target)
            target_norm, prediction_norm = target_norm.maximum(floor), prediction_norm.maximum(floor)
        return MatchTerms.combine(
            distance=torch.stack([torch.linalg.vector_norm(y - p, dim=(-2, -1)) for p, y in pairs], 1),
            target_norm=target_norm,
            prediction_norm=prediction_norm,
            log_magnitude=torch.stack([(y - p).abs().mean((-2, -1)) for p, y in log_pairs], 1),
            denominator=self.denominator if denominator is None else denominator,
            weights=self.weights,
        )

    def _denominator_floor(self, loudest: Tensor, target: Features) -> Tensor:
        """Returns the least denominator, (1 or B, resolutions, 1)."""
        resolutions = len(self.fft_sizes)
        if loudest.shape not in ((resolutions,), (len(target), resolutions)):
            raise ValueError(
                f"loudest must be ({resolutions},) or ({len(target)}, {resolutions}); got {tuple(loudest.shape)}"
            )
        ratio = 10 ** (DENOMINATOR_FLOOR_DB / 20)
        levels = zip(loudest.unbind(-1), target.num_frames, strict=True)
        return torch.stack([ratio * math.sqrt(n) * level for level, n in levels], -1).reshape(-1, resolutions, 1)

    def _constant(self, name: str, like: Tensor) -> Tensor:
        return self.get_buffer(name).to(like.dtype)


def _check_denominator(denominator: str) -> None:
    if denominator not in get_args(Denominator):
        raise ValueError(f"denominator must be one of {get_args(Denominator)}; got {denominator!r}")


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
