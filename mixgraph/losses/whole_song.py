"""The match loss of a whole song: averaged over windows whose targets are transformed once, as far as memory allows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from mixgraph.losses.match import Denominator, Features, MatchLoss, MatchTerms

WINDOW_SECONDS = 2.8
_WINDOWS_AT_ONCE = 4
_PARTS = ("full", "lr", "mid", "side")
Reader = Callable[[int, int], Tensor]
"""Returns samples [first, last) of a mix, (2, samples); asked for in order of time."""


@dataclass(frozen=True)
class SongScore:
    """The match loss of a song, over both denominators of the spectral convergence, by the reduction `"mean"`.

    Attributes:
        loss: match loss parts `full`, `lr`, `mid`, `side`, over the target's norm (paper eq. 4).
        loss_prediction: the same parts over the prediction's norm (as in the published tables, very probably).
        windows: `full` of each window, over the target's norm.
        windows_prediction: `full` of each window, over the prediction's norm.
        window_samples: length of a window; the last may hold fewer real samples.
    """

    loss: dict[str, float]
    loss_prediction: dict[str, float]
    windows: tuple[float, ...]
    windows_prediction: tuple[float, ...]
    window_samples: int

    def over(self, denominator: Denominator) -> dict[str, float]:
        """Returns the loss by part, over one of the denominators."""
        return self.loss if denominator == "target" else self.loss_prediction


class SongTarget:
    """The finished mix of a song as windows of features, with which predictions of the song are compared.

    Features take 1.1 to 1.2 MB a second of song, at any sample rate. Those of the first windows are kept, up to
    `max_bytes`: a trial that gives up reads no further. Those of later windows are made again whenever they are read,
    from the same samples in the same batches, so that no loss depends on what is kept.

    Args:
        loss: the match loss.
        mix: (2, L), any device; features stay on the loss's device. It is read again where features are not kept.
        floor: keep denominators above -30 dB of the song's loudest window (our rule; the published code has none).
        window_seconds: length of the windows; the last one is padded with zeros and counts by its real samples.
        max_bytes: the largest memory for kept features.
    """

    def __init__(
        self,
        loss: MatchLoss,
        mix: Tensor,
        floor: bool = True,
        window_seconds: float = WINDOW_SECONDS,
        max_bytes: float = math.inf,
    ) -> None:
        if mix.dim() != 2 or mix.shape[0] != 2 or mix.shape[1] < 1:
            raise ValueError(f"mix: (2, samples) is needed, got {tuple(mix.shape)}")
        self.match, self.mix = loss, mix
        self.num_samples = mix.shape[-1]
        self.window = round(window_seconds * loss.sample_rate)
        self.device = loss.device
        self.kept: list[Features] = []
        levels: list[Tensor] = []
        with torch.no_grad():
            for _, windows in self._windows(_reader(mix)):
                features = loss.features(windows.to(self.device))
                levels.append(loss.loudest(features))
                max_bytes -= features.num_bytes
                if max_bytes >= 0:  # once it is below, it stays so
                    self.kept.append(features)
        self.loudest: Tensor | None = torch.stack(levels).amax(dim=0) if floor else None
        starts = torch.arange(self.num_windows, dtype=torch.float64) * self.window
        real = (self.num_samples - starts).clamp(max=self.window)
        self.weights = (real / self.num_samples).tolist()

    @property
    def num_windows(self) -> int:
        return -(-self.num_samples // self.window)

    def _windows(self, read: Reader, first: int = 0) -> Iterator[tuple[int, Tensor]]:
        step = self.window * _WINDOWS_AT_ONCE
        for start in range(first, self.num_samples, step):
            part = read(start, min(start + step, self.num_samples))
            count = -(-part.shape[-1] // self.window)
            padded = F.pad(part, (0, count * self.window - part.shape[-1]))
            yield start // self.window, padded.view(2, count, self.window).transpose(0, 1)

    def terms(self, mix: Tensor | Reader) -> Iterator[tuple[list[float], MatchTerms]]:
        """Yields (weights of the windows, their match terms), a few windows at a time, in order of time.

        Args:
            mix: (2, L), the prediction, or a function that reads it.
        """
        if isinstance(mix, Tensor) and mix.shape != (2, self.num_samples):
            raise ValueError(f"mix: (2, {self.num_samples}) is needed, as the target, got {tuple(mix.shape)}")
        with torch.no_grad():
            for number, (first, windows) in enumerate(self._windows(_reader(mix))):
                moved, features = windows.to(self.device), self._features(number)
                yield self.weights[first : first + len(windows)], self.match(moved, features, self.loudest)

    def _features(self, number: int) -> Features:
        """Returns the features of one of the batches of windows that `_windows` makes."""
        if number < len(self.kept):
            return self.kept[number]
        start = number * _WINDOWS_AT_ONCE * self.window
        _, windows = next(self._windows(_reader(self.mix), start))
        return self.match.features(windows.to(self.device))

    def bounded_loss(
        self, mix: Tensor | Reader, bound: float | None = None, ceilings: Sequence[float] | None = None
    ) -> tuple[float, bool]:
        """Computes the loss of a song; stops once the sum so far is above `bound`, and returns that sum and True.

        Losses are not negative, so the sum so far is a lower bound, and both ways of ending give the same verdict.
        Stops likewise where a window is above its ceiling, even the last one.
        """
        total, seen = 0.0, 0
        for weights, terms in self.terms(mix):
            losses = terms.full.tolist()
            total += sum(w * loss for w, loss in zip(weights, losses, strict=True))
            if ceilings is not None and any(not a <= b for a, b in zip(losses, ceilings[seen:], strict=False)):
                return total, True
            seen += len(weights)
            if bound is not None and total > bound and seen < self.num_windows:
                return total, True
        return total, False

    def windows(self, mix: Tensor | Reader) -> list[float]:
        """Returns the loss of each window."""
        return [loss for _, terms in self.terms(mix) for loss in terms.full.tolist()]

    def score(self, mix: Tensor | Reader) -> SongScore:
        """Returns the loss of a song by part, window and denominator; means, also where the match loss sums."""
        totals: dict[Denominator, dict[str, float]] = {}
        windows: dict[Denominator, list[float]] = {"target": [], "prediction": []}
        for weights, window_terms in self.terms(mix):
            for denominator, losses in windows.items():
                terms = window_terms.over(denominator, "mean")
                losses += terms.full.tolist()
                sums = totals.setdefault(denominator, dict.fromkeys(_PARTS, 0.0))
                for name in sums:
                    values = getattr(terms, name).tolist()
                    sums[name] += sum(w * v for w, v in zip(weights, values, strict=True))
        return SongScore(
            totals["target"], totals["prediction"], tuple(windows["target"]), tuple(windows["prediction"]), self.window
        )


def _reader(mix: Tensor | Reader) -> Reader:
    return (lambda first, last: mix[:, first:last]) if isinstance(mix, Tensor) else mix


def clip_score(
    match: MatchLoss, render: Callable[[Tensor, int], Tensor], sources: Tensor, mix: Tensor, inside: bool = False
) -> SongScore:
    """The published evaluation (docs/published_code.md), to compare with the paper's tables.

    Clips of 3.8 s every 2.8 s, each rendered from silence, its first second dropped, all with the same weight, no
    floor under the denominator. The first second of the song is never scored. The last clips reach beyond the song's
    end, where the target counts as silent: where a file is an excerpt, the true target there is not known.

    Args:
        match: the match loss.
        render: renders sources (K, 2, T) that begin at a sample of the song to a mix (2, T).
        sources: (K, 2, L) of the whole song.
        mix: (2, L), the target.
        inside: take clips inside the song only; the last one ends with it.

    Raises:
        ValueError: `inside`, and a song that is shorter than a clip.
    """
    warm_up, scored = match.sample_rate, round(WINDOW_SECONDS * match.sample_rate)
    length = mix.shape[-1]
    last = length - warm_up - scored
    if inside and last < 0:
        raise ValueError(f"mix: at least a clip of {warm_up + scored} samples is needed, got {length}")
    starts = sorted({*range(0, last + 1, scored), last}) if inside else range(0, length, scored)
    clips: list[MatchTerms] = []
    with torch.no_grad():
        for start in starts:
            stop = start + warm_up + scored
            part, target = (F.pad(x[..., start:stop], (0, max(0, stop - length))) for x in (sources, mix))
            prediction = render(part, start)[..., warm_up:].unsqueeze(0)
            clips.append(match(prediction, target[..., warm_up:].unsqueeze(0).to(prediction.device)))
    means: list[dict[str, float]] = []
    windows: list[tuple[float, ...]] = []
    for denominator in get_args(Denominator):
        terms = [clip.over(denominator, "mean") for clip in clips]
        windows.append(tuple(float(t.full) for t in terms))
        means.append({n: sum(float(getattr(t, n)) for t in terms) / len(terms) for n in _PARTS})
    return SongScore(means[0], means[1], windows[0], windows[1], scored)
