"""Rules that a result must fulfil to be good enough for a dataset, and the measurements that they need."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import Field, asdict, dataclass, field, fields
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the help of a build shows the rules below, and must not load torch
    from mixgraph.results.metrics import Metrics

QUARTERS = 4
SILENT_DB = -60.0
_UNIT = "mel"


def _rule(default: float, reason: str) -> Any:
    return field(default=default, metadata={"reason": reason})


@dataclass(frozen=True)
class QualityRules:
    """The limits that a result must keep; the reason of each default is stated beside it."""

    max_loss: float = _rule(
        1.0,
        "match loss of the whole song by the front end mel, of results by other front ends that of the second "
        "opinion. A console of gain and panning alone reaches 0.9 to 1.05 on real songs, a full one 0.5 to 0.6: above "
        "1 the graph explains less than faders would",
    )
    max_loss_ratio: float = _rule(
        0.9,
        "the found loss over the dry sum's: a graph that takes off less than a tenth has not found the mix",
    )
    max_loss_change: float = _rule(
        1.0,
        "the largest less the smallest loss of the song's quarters, over the song's loss. A fixed graph cannot follow "
        "a mix that changes (automation, an edit, a part that is missing); well matched real songs have 0.1 to 0.5",
    )
    max_silence: float = _rule(
        0.5, f"share of the song in which the mix is silent (windows below {SILENT_DB:g} dB of the loudest one)"
    )
    max_silent_tracks: float = _rule(
        0.5, "share of the tracks that are silent over the whole mix: more of them, and tracks and mix do not belong"
    )
    min_processors: int = _rule(1, "a graph without processors is the dry sum, and teaches nothing")
    min_pruning_ratio: float = _rule(
        0.05, "share of the console that was removed: with less the search was cut short, or its tolerance was too low"
    )

    def broken(self, measurements: Measurements) -> list[tuple[str, str]]:
        """Returns the rules that a result breaks: (name of the rule, text with the measured value and the limit)."""
        return list(self._broken(asdict(measurements)))

    def _broken(self, measurements: Mapping[str, float | None]) -> Iterator[tuple[str, str]]:
        for rule in fields(self):
            kind, name = rule.name.split("_", 1)
            limit, value = getattr(self, rule.name), measurements[name]
            if value is None:
                continue
            if not (value <= limit if kind == "max" else value >= limit):  # NaN breaks every rule
                words = "at most" if kind == "max" else "at least"
                yield rule.name, f"{name} {value:.3g}, {words} {limit:g} needed"

    @classmethod
    def rules(cls) -> tuple[Field[Any], ...]:
        """Returns the fields, each with its default and the reason for it in `metadata["reason"]`."""
        return fields(cls)


@dataclass(frozen=True)
class Measurements:
    """Values that the rules limit, named as the rules are; a rule for a value that is None is not applied.

    `loss` and `loss_ratio` are in units of the front end mel, whatever front end the search used, so that songs of one
    data set are judged alike.
    """

    loss: float
    loss_ratio: float
    loss_change: float
    silence: float
    silent_tracks: float | None
    processors: int
    pruning_ratio: float


def measure(folder: Path, metrics: Metrics) -> Measurements:
    """Measures the values that the rules limit.

    Args:
        folder: the result folder, which holds the target mix `mix_target` at its original level.
        metrics: the metrics of the result.
    """
    score = metrics.losses.found
    loss, dry_loss = _mel_losses(metrics)
    return Measurements(
        loss=loss,
        loss_ratio=loss / dry_loss if dry_loss else math.nan,
        loss_change=_change(score.windows, score.loss["full"]),
        silence=_silence(folder, metrics.sample_rate, score.window_samples),
        silent_tracks=_silent_tracks(folder, metrics),
        processors=metrics.num_processors.found,
        pruning_ratio=metrics.pruning_ratio,
    )


def _mel_losses(metrics: Metrics) -> tuple[float, float]:
    """Returns the losses of the found graph and of the dry sum by the front end mel, in which the rules are stated."""
    opinion = metrics.second_opinion
    if metrics.front_end != _UNIT and opinion is not None and opinion.front_end == _UNIT:
        return opinion.found, opinion.dry_sum
    if metrics.front_end != _UNIT:
        warnings.warn(
            f"max_loss is in units of the front end {_UNIT}, and the metrics have the loss by {metrics.front_end} "
            "only, which is taken. HINT: search the song again",
            stacklevel=4,
        )
    return metrics.losses.found.loss["full"], metrics.losses.dry_sum.loss["full"]


def _silent_tracks(folder: Path, metrics: Metrics) -> float | None:
    """Returns the share of silent tracks; None, with a warning, if an old version wrote no warning codes."""
    from mixgraph.results.metrics import METRICS, UNKNOWN_CODE

    codes = [warning.code for warning in metrics.warnings]
    if UNKNOWN_CODE in codes:
        warnings.warn(
            f"{folder / METRICS}: warning_codes is missing, since an earlier version of mixgraph wrote the file: "
            "silent tracks are not counted, and max_silent_tracks is not applied. HINT: search the song again",
            stacklevel=3,
        )
        return None
    return codes.count("silent_track") / len(metrics.tracks)


def _change(windows: Sequence[float], loss: float) -> float:
    """Returns maximum minus minimum loss of the song's quarters (windows if fewer), over the song's loss."""
    count = min(QUARTERS, len(windows))
    parts = [windows[len(windows) * i // count : len(windows) * (i + 1) // count] for i in range(count)]
    means = [fmean(part) for part in parts]
    if any(map(math.isnan, means)):
        return math.nan
    return (max(means) - min(means)) / loss if loss else 0.0


def _silence(folder: Path, sample_rate: int, window: int) -> float:
    """Returns the share of windows of the target that are silent relative to the loudest; 1 if all are silent."""
    import torch

    from mixgraph.songs import read_audio

    target = read_audio(next(iter(sorted(folder.glob("mix_target.*")))), sample_rate)
    powers = [float(part.square().mean()) for part in torch.split(target, window, dim=-1)]
    loudest = max(powers)
    return sum(power <= loudest * 10 ** (SILENT_DB / 10) for power in powers) / len(powers)
