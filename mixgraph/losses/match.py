"""The match loss: how far a mix is from its target, over time, frequency and stereo image (paper eq. 3-4).

Both mixes are seen as four signals: left, right, mid = l + r and side = l - r. A front end turns them into magnitudes
in groups of bands, such as mel bands at three resolutions. Each signal in each group gives a spectral convergence,
which depends on loud parts, and a mean log distance, which depends on quiet ones, too.

    L(x) = mean over groups of ( |Y - P|_F / |Y|_F + mean over bands and frames of |ln Y - ln P| )
    L = 0.5 mean(L(l), L(r)) + 0.25 L(mid) + 0.25 L(side)

Means, where eq. 4 sums over resolutions and divides by the frames only, so that numbers compare with the published
ones (docs/published_code.md). The reduction `"sum"` is that of eq. 4: with G groups of B bands it is G times the
spectral convergence and G B times the log distance, 3 and 288 times for mel bands at three resolutions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from mixgraph.dsp.constants import constant_index, made_once
from mixgraph.dsp.pieces import in_pieces
from mixgraph.losses.distances import group_distances
from mixgraph.losses.front_ends import FrontEnd

Denominator = Literal["target", "prediction"]
Reduction = Literal["mean", "sum"]

SIGNALS = ("left", "right", "mid", "side")
DENOMINATOR_FLOOR_DB = -30.0  # of the loudest of left, right and mid


@dataclass(frozen=True)
class Features:
    """Magnitudes of stereo audio, in the groups of bands of a front end.

    Attributes:
        linear: the magnitudes of each group, (B, 4, bands, frames); the 4 are left, right, mid and side.
        log: the natural logarithms of the magnitudes.
        norm: (B, groups, 4), Frobenius norms over bands and frames of `linear`, with the weights of the bands.
    """

    linear: tuple[Tensor, ...]
    log: tuple[Tensor, ...]
    norm: Tensor

    def __len__(self) -> int:
        """Returns the number of batch items."""
        return self.norm.shape[0]

    @property
    def num_bytes(self) -> int:
        """The memory that the features take, in bytes."""
        return sum(part.numel() * part.element_size() for part in (*self.linear, *self.log, self.norm))

    @property
    def num_frames(self) -> tuple[int, ...]:
        """The number of frames of each group."""
        return tuple(linear.shape[-1] for linear in self.linear)

    def detach(self) -> Features:
        """Returns the features without their gradient."""
        return Features(
            tuple(linear.detach() for linear in self.linear),
            tuple(log.detach() for log in self.log),
            self.norm.detach(),
        )

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
    """The match loss of every batch item, and its terms. No units.

    Attributes:
        full: (B,), the loss (eq. 3).
        lr: (B,), the mean of left's and right's loss, before weighting.
        mid: (B,), the loss of mid, before weighting.
        side: (B,), the loss of side, before weighting.
        spectral_convergence: (B, groups, 4), the 4 as in `SIGNALS`; a distance over a denominator.
        log_magnitude: (B, groups, 4)
        denominator: the mix, target or prediction, whose norm divides the spectral convergence.
        distance: (B, groups, 4), Frobenius norms of the differences.
        target_norm: (B, groups, 4), denominators with their floor.
        prediction_norm: (B, groups, 4), likewise for the prediction.
        weights: weights of lr, mid and side.
        group_weights: weights of the groups, with a sum of 1; None where all count alike.
        num_bands: the number of bands of each group.
        reduction: `"mean"` over groups and bands, or the `"sum"` of eq. 4.
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
    group_weights: tuple[float, ...] | None
    num_bands: tuple[int, ...]
    reduction: Reduction

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
        group_weights: tuple[float, ...] | None,
        num_bands: tuple[int, ...],
        reduction: Reduction,
    ) -> MatchTerms:
        """Divides, averages (or sums) and weights the terms; arguments are those of the class.

        Raises:
            ValueError: an unknown denominator or reduction.
        """
        _check_choice("denominator", denominator, get_args(Denominator))
        _check_choice("reduction", reduction, get_args(Reduction))
        spectral_convergence = distance / (target_norm if denominator == "target" else prediction_norm)
        if reduction == "mean":
            distances = spectral_convergence + log_magnitude
        else:  # what is averaged over groups below is the sum over them
            bands = constant_index(num_bands, log_magnitude.device).to(log_magnitude.dtype)
            distances = len(num_bands) * (spectral_convergence + log_magnitude * bands.unsqueeze(-1))
        if group_weights is None:
            of_signals = distances.mean(1)
        else:
            pairs = zip(distances.unbind(1), group_weights, strict=True)
            of_signals = sum((d * w for d, w in pairs), torch.zeros_like(distances[:, 0]))
        left, right, mid, side = of_signals.unbind(-1)
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
            group_weights=group_weights,
            num_bands=num_bands,
            reduction=reduction,
        )

    def over(self, denominator: Denominator, reduction: Reduction | None = None) -> MatchTerms:
        """Returns the loss over another denominator, and by another reduction if given, for the price of a division.

        Raises:
            ValueError: an unknown denominator or reduction.
        """
        reduction = reduction or self.reduction
        if (denominator, reduction) == (self.denominator, self.reduction):
            return self
        return MatchTerms.combine(
            distance=self.distance,
            target_norm=self.target_norm,
            prediction_norm=self.prediction_norm,
            log_magnitude=self.log_magnitude,
            denominator=denominator,
            weights=self.weights,
            group_weights=self.group_weights,
            num_bands=self.num_bands,
            reduction=reduction,
        )


class MatchLoss(nn.Module):
    """Computes the distance of two stereo mixes in the magnitudes of a front end, for every batch item.

    See `make_match_loss`, which makes it from settings.

    Args:
        front_end: turns audio into magnitudes.
        denominator: norm under the spectral convergence: "target" is eq. 4's, "prediction" very probably that of the
            published tables.
        weights: weights of the mean of left and right, of mid, and of side.
        reduction: `"mean"` over groups and bands, or the `"sum"` of eq. 4.

    Raises:
        ValueError: a setting is out of its range; the message says which.
    """

    def __init__(
        self,
        front_end: FrontEnd,
        denominator: Denominator = "target",
        weights: tuple[float, float, float] = (0.5, 0.25, 0.25),
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        if len(weights) != 3 or min(weights) < 0:
            raise ValueError(f"weights must be three (lr, mid, side), none negative; got {tuple(weights)}")
        _check_choice("denominator", denominator, get_args(Denominator))
        _check_choice("reduction", reduction, get_args(Reduction))
        self.reduction: Reduction = reduction
        self.front_end = front_end
        self.denominator: Denominator = denominator
        self.weights = (float(weights[0]), float(weights[1]), float(weights[2]))
        self.register_buffer("_on_device", torch.zeros(()), persistent=False)

    @property
    def sample_rate(self) -> int:
        """The sample rate of the mixes, in Hz."""
        return self.front_end.sample_rate

    @property
    def min_samples(self) -> int:
        """The shortest audio that can be compared."""
        return self.front_end.min_samples

    @property
    def device(self) -> torch.device:
        """The device of the constants, on which audio must be."""
        return self.get_buffer("_on_device").device

    def features(self, audio: Tensor) -> Features:
        """Transforms audio, (B, 2, T), into magnitudes.

        Raises:
            ValueError: the audio is not a batch of stereo signals, or is shorter than `min_samples`.
        """
        if audio.dim() != 3 or audio.shape[1] != 2:
            raise ValueError(f"audio must be (batch, 2, time); got {tuple(audio.shape)}")
        if audio.shape[-1] < self.min_samples:
            raise ValueError(
                f"audio must have at least {self.min_samples} samples for the front end {self.front_end.name}; "
                f"got {audio.shape[-1]}"
            )
        linear = self.front_end(audio)
        log = tuple(torch._foreach_log(linear))
        norms = [_norm(magnitudes, weights) for magnitudes, weights in zip(linear, self._band_weights(), strict=True)]
        return Features(linear=linear, log=log, norm=torch.stack(norms, 1))

    def _features_of_both(self, prediction: Tensor, target: Tensor) -> tuple[Features, Features]:
        """Transforms the prediction, and the target without gradient; both together where operations are dear."""
        if in_pieces(prediction):
            predicted = self.features(prediction)
            with torch.no_grad():
                return predicted, self.features(target)
        both = self.features(torch.cat((prediction, target.detach())))
        first, second = slice(len(prediction)), slice(len(prediction), None)
        return both.select(first), both.detach().select(second)

    def _band_weights(self) -> list[Tensor | None]:
        """The weights of each group's bands, (bands, 1), with a mean of 1; None where all count alike."""
        return [None if w is None else (w / w.mean()).unsqueeze(-1) for w in self.front_end.band_weights]

    def loudest(self, target: Features) -> Tensor:
        """Returns the level of the loudest of left, right and mid, over a song whose windows are the batch.

        Shape:
            (groups,), root mean square over frames of the norm over bands, so that it serves clips of any length.
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
        only magnitudes near the floor of the logarithm depend on it.

        Args:
            prediction: (B, 2, T).
            target: (B, 2, T), or its `features`. No gradient flows into it.
            loudest: the result of `self.loudest` for the song: (groups,), or (B, groups) where the items are of
                different songs. Denominators are not taken below -30 dB of it: a silent window, and the side of a
                mono mix, would be divided by next to nothing. None: no floor.
            denominator: replaces the module's denominator in this call.

        Raises:
            ValueError: wrong or different shapes, audio that is too short, an unknown denominator.
        """
        if isinstance(target, Tensor):
            if target.shape != prediction.shape:
                raise ValueError(
                    f"target must have the prediction's shape {tuple(prediction.shape)}; got {tuple(target.shape)}"
                )
            predicted, target = self._features_of_both(prediction, target)
        else:
            predicted = self.features(prediction)
        if [y.shape for y in target.linear] != [y.shape for y in predicted.linear]:
            raise ValueError(
                f"target must have the features of {len(predicted)} items of {predicted.num_frames} frames; "
                f"got {len(target)} of {target.num_frames}"
            )
        distance, log_distance = self._distances(predicted, target)
        target_norm, prediction_norm = target.norm, predicted.norm
        if loudest is not None:
            floor = self._denominator_floor(loudest, target)
            target_norm, prediction_norm = target_norm.maximum(floor), prediction_norm.maximum(floor)
        return MatchTerms.combine(
            distance=distance,
            target_norm=target_norm,
            prediction_norm=prediction_norm,
            log_magnitude=log_distance,
            denominator=self.denominator if denominator is None else denominator,
            weights=self.weights,
            group_weights=self._group_weights(),
            num_bands=tuple(magnitudes.shape[-2] for magnitudes in predicted.linear),
            reduction=self.reduction,
        )

    def _distances(self, predicted: Features, target: Features) -> tuple[Tensor, Tensor]:
        """Returns the norms of the differences, and the mean log distances, (B, groups, 4) both."""
        weights = self._band_weights()
        if all(w is None for w in weights):
            return group_distances(target.linear, target.log, predicted.linear, predicted.log)
        pairs = zip(predicted.linear, target.linear, weights, strict=True)
        log_pairs = zip(predicted.log, target.log, weights, strict=True)
        norms = torch.stack([_norm(y - p, w) for p, y, w in pairs], 1)
        return norms, torch.stack([_mean((y - p).abs(), w) for p, y, w in log_pairs], 1)

    def _group_weights(self) -> tuple[float, ...] | None:
        weights = self.front_end.group_weights
        return None if weights is None else tuple(weight / sum(weights) for weight in weights)

    def _denominator_floor(self, loudest: Tensor, target: Features) -> Tensor:
        """Returns the least denominator, (1 or B, groups, 1)."""
        groups = self.front_end.num_groups
        if loudest.shape not in ((groups,), (len(target), groups)):
            raise ValueError(f"loudest must be ({groups},) or ({len(target)}, {groups}); got {tuple(loudest.shape)}")
        factors = _floor_factors(target.num_frames, loudest.dtype, loudest.device)
        return (loudest * factors).reshape(-1, groups, 1)


@made_once(keep=64)
def _floor_factors(num_frames: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Returns the factor of the root mean square over frames in the least norm of each group."""
    ratio = 10 ** (DENOMINATOR_FLOOR_DB / 20)
    return torch.cat([torch.full((1,), ratio * math.sqrt(n), dtype=dtype, device=device) for n in num_frames])


def _norm(magnitudes: Tensor, weights: Tensor | None) -> Tensor:
    """Frobenius norms, (..., bands, frames) to (...); weights of bands, (bands, 1), count under the square root."""
    if weights is not None:
        magnitudes = magnitudes * weights.sqrt().to(magnitudes)
    return torch.linalg.vector_norm(magnitudes, dim=(-2, -1))


def _mean(distances: Tensor, weights: Tensor | None) -> Tensor:
    """Means over bands and frames, (..., bands, frames) to (...)."""
    if weights is not None:
        distances = distances * weights.to(distances)
    return distances.mean((-2, -1))


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {allowed}; got {value!r}")
