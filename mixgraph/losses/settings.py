"""Settings of the match loss, and the one place where it is made from them."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any, Literal

from mixgraph.losses.front_ends import FRONT_ENDS, FrontEnd
from mixgraph.losses.match import MatchLoss


@dataclass(frozen=True)
class LossSettings:
    """The match loss (paper eq. 3-4).

    Attributes:
        denominator: norm that the spectral convergence is divided by: the target's (paper) or the prediction's (very
            probably the published code's).
        reduction: `"mean"` over resolutions, bands and frames (as published), or the `"sum"` over resolutions and bands
            of paper eq. 4. It is 3 times the spectral convergence and 288 times the log distance, in training and in
            trials: tolerances, loss increases and the weights of gain staging and sparsity are in its unit. Reported
            losses of songs are means whatever it is, so that they compare.
        silence_floor: keep the denominator above -30 dB of the loudest window of the song.
        floor_gradient: `"soft"` lets a nearly silent prediction learn; `"hard"` is the published code's clamp.
        front_end: name of the transform of audio to magnitudes: `"mel"`, or the registered name of another front end.
        front_end_options: further arguments of the front end's constructor.
    """

    denominator: Literal["target", "prediction"] = "target"
    reduction: Literal["mean", "sum"] = "mean"
    silence_floor: bool = True
    floor_gradient: Literal["soft", "hard"] = "soft"
    front_end: str = "mel"
    front_end_options: dict[str, Any] = field(default_factory=dict)


LOSS = LossSettings()


def make_match_loss(sample_rate: int, settings: LossSettings = LOSS) -> MatchLoss:
    """Makes the match loss of a search, an estimator or a synthetic song.

    Args:
        sample_rate: sample rate of the mixes, in Hz.
        settings: settings of the loss; `silence_floor` is not used here, but an argument of `SongTarget`.

    Raises:
        ValueError: an unknown front end, or settings that it does not take.
    """
    return MatchLoss(make_front_end(sample_rate, settings), settings.denominator, reduction=settings.reduction)


def make_front_end(sample_rate: int, settings: LossSettings = LOSS) -> FrontEnd:
    """Makes the front end that settings name; see `make_match_loss`."""
    kind = FRONT_ENDS.find(settings.front_end)
    allowed = inspect.signature(kind).parameters
    options = dict(settings.front_end_options)
    if "floor_gradient" in allowed:
        options.setdefault("floor_gradient", settings.floor_gradient)
    elif settings.floor_gradient != LOSS.floor_gradient:
        raise ValueError(
            f"floor_gradient: front end {settings.front_end} takes none, got {settings.floor_gradient!r}; leave it out"
        )
    unknown = [name for name in options if name not in allowed or name == "sample_rate"]
    if unknown:
        names = [name for name in allowed if name != "sample_rate"]
        raise ValueError(
            f"front_end_options: front end {settings.front_end} takes {', '.join(names) or 'none'}, got "
            f"{', '.join(unknown)}"
        )
    try:
        return kind(sample_rate, **options)
    except TypeError as error:
        raise ValueError(f"front_end_options: front end {settings.front_end}: {error}") from error
