"""The three questions that one network answers, by what it is shown beside the dry tracks.

- `OWN_MIX`: the song's own mix: which graph made it?
- `REFERENCE`: another mix: which graph gives the tracks its style? What relates tracks to a mix in time or explains the
  mix by them (gains by level, the explained share, lags) has no meaning and is masked. The reference's own statistics
  stay, and its spectrogram as the distribution of the levels of each mel band: its frames, sorted. So neither the
  reference's length nor the order of what sounds in it matters. In the place of the gains by band that explain the own
  mix stand those that would bring the dry sum to the reference's spectrum, shared out to the signals by their energy.
- `NOTHING`: no mix: which graph would an engineer make of such tracks? All of the mix is masked.

For the last two, tracks have the level at which their plain sum has the loudness of a search, as in use, and the energy
of a signal in a band, which is against that of the song's mix, is against that of that sum. So an example has, beside
the features and settings at the level of its mix, those at this level (their names begin with `DRY`): thresholds move
with the level.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor
from torch_geometric.data import Data

from mixgraph.estimators.features import (
    CUE_PARTS,
    LOWEST_BAND_HZ,
    LOWEST_MEL_HZ,
    NUM_BANDS,
    NUM_CUES,
    NUM_MELS,
)


class Question(IntEnum):
    """What a network is shown beside the dry tracks."""

    OWN_MIX = 0
    REFERENCE = 1
    NOTHING = 2


DRY = "dry_"
"""What the names of tensors begin with that take the place of others where there is no mix."""
DRY_SUM_LUFS = -16.0
"""The loudness of the plain sum of the tracks where there is no mix: that of a search."""
_OF_TRACKS = ("energy", "occupancy", "statistics", "counts")
"""Cues that need no mix, see `FeatureExtractor.without_mix`."""


def _places(*parts: str) -> list[int]:
    return [place for part in parts for place in range(NUM_CUES)[CUE_PARTS[part]]]


ENERGY, OF_MIX = CUE_PARTS["energy"], CUE_PARTS["mix_statistics"]


def seen_cues() -> Tensor:
    """1 where a question sees a cue and 0 where the cue is masked, (3, NUM_CUES)."""
    seen = torch.zeros(len(Question), NUM_CUES)
    seen[Question.OWN_MIX] = 1
    seen[Question.REFERENCE, _places(*_OF_TRACKS, "mix_statistics", "left", "right", "width")] = 1
    seen[Question.NOTHING, _places(*_OF_TRACKS)] = 1
    return seen


def pooled_level(mels: Tensor) -> Tensor:
    """The mean power over time of log-mel spectrograms, (..., NUM_MELS, frames), as its log10, (..., NUM_MELS)."""
    return torch.logsumexp(mels * (2.5 * math.log(10)), dim=-1) / math.log(10) - math.log10(mels.shape[-1])


def mels_to_bands(sample_rate: int) -> Tensor:
    """Reads a curve over mel bands at the bands of cues, (NUM_MELS, NUM_BANDS), columns of sum 1."""

    def mel(hertz: float) -> float:
        return 2595 * math.log10(1 + hertz / 700)

    low, high = mel(LOWEST_MEL_HZ), mel(sample_rate / 2)
    step = (high - low) / (NUM_MELS + 1)
    hertz = [LOWEST_BAND_HZ * (sample_rate / 2 / LOWEST_BAND_HZ) ** (i / (NUM_BANDS - 1)) for i in range(NUM_BANDS)]
    place = torch.tensor([(mel(f) - low) / step - 1 for f in hertz]).clamp(0, NUM_MELS - 1)
    return (1 - (place - torch.arange(NUM_MELS).unsqueeze(1)).abs()).clamp(min=0)


@dataclass(frozen=True, eq=False)
class ReferenceMix:
    """What a network sees of a reference.

    Attributes:
        mels: log-mel spectrograms, (1, 2, NUM_MELS, frames), as `SegmentFeatures.mix_mels`; the frames of several
            stretches may stand one after another.
        statistics: (7,), as in the cues.
    """

    mels: Tensor
    statistics: Tensor


def level_distribution(mels: Tensor, frames: int) -> Tensor:
    """The levels of each mel band in rising order, read at `frames` even places: (..., any number) to (..., frames)."""
    ranks = (torch.arange(frames, dtype=torch.float64) + 0.5) / frames * mels.shape[-1] - 0.5
    ranks = ranks.clamp(0, mels.shape[-1] - 1)
    below = ranks.floor().long()
    above = (below + 1).clamp(max=mels.shape[-1] - 1)
    rising = mels.sort(dim=-1).values
    return torch.lerp(rising[..., below], rising[..., above], (ranks - below).to(mels))


def without_mix(data: Data, reference: ReferenceMix | None = None) -> Data:
    """Returns an example of dry tracks alone with the question about a reference, or about nothing.

    Args:
        data: an example with features of `FeatureExtractor.without_mix`; its tensors are shared.
        reference: the reference.
    """
    changed = copy.copy(data)
    question = Question.NOTHING if reference is None else Question.REFERENCE
    changed.question = torch.tensor([int(question)])
    if reference is not None:
        changed.mix_mels = level_distribution(reference.mels.float(), data.mix_mels.shape[-1])
        cues = data.cues.clone()
        cues[:, OF_MIX] = reference.statistics
        changed.cues = cues
    return changed


def asked(data: Data, question: Question, reference: ReferenceMix | None = None) -> Data:
    """Returns an example with a question, and with what belongs to that question alone; its tensors are shared.

    Args:
        data: an example of one song with its mix, as `ExampleMaker` makes it.
        question: what the network is to be asked.
        reference: the reference, for that question alone.

    Raises:
        ValueError: a reference without that question, or the question without one.
    """
    if (question == Question.REFERENCE) != (reference is not None):
        raise ValueError(f"reference: one for the question REFERENCE and none for others, got {question.name}")
    changed = copy.copy(data)
    dry = [key for key in data.keys() if key.startswith(DRY)]  # noqa: SIM118 (not a dict)
    for key in dry:
        if question != Question.OWN_MIX:
            changed[key.removeprefix(DRY)] = data[key]
        del changed[key]
    if question == Question.OWN_MIX:
        changed.question = torch.tensor([int(question)])
        return changed
    changed.mix_mels, changed.lags = torch.zeros_like(data.mix_mels), torch.zeros_like(data.lags)
    return without_mix(changed, reference)


def reference_of(data: Data, first: int = 0, frames: int | None = None) -> ReferenceMix:
    """The mix of an example as a reference: all of it, or a stretch of frames, with the statistics of all of it."""
    last = None if frames is None else first + frames
    return ReferenceMix(data.mix_mels[..., first:last], data.cues[0, OF_MIX])
