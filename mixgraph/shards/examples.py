"""Training examples for a network: the graph of a sample with a stretch of its audio."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from mixgraph.render import lookahead
from mixgraph.shards.sample import GraphSample

Target = Literal["mix", "rendered"]


@dataclass(frozen=True, eq=False)
class Example:
    """A sample and, if audio is read, a stretch of its audio.

    Attributes:
        sample: the sample; its graph is that of the whole song.
        start: the position of the stretch in the sample's audio, in samples.
        tracks: dry tracks, (K, 2, T) float32, at the level of the search; None if no audio is read.
        target: (2, T), the engineer's mix or the tracks rendered by the graph; None if no audio is read.
    """

    sample: GraphSample
    start: int = 0
    tracks: Tensor | None = None
    target: Tensor | None = None

    def to(self, device: torch.device | str) -> Example:
        """Returns a copy whose tensors are on a device."""
        return replace(
            self,
            sample=self.sample.to(device),
            tracks=None if self.tracks is None else self.tracks.to(device),
            target=None if self.target is None else self.target.to(device),
        )


@dataclass(frozen=True)
class Stretch:
    """How examples are cut from samples.

    Attributes:
        audio: read audio; otherwise examples are graphs only.
        seconds: the length of the stretch; None takes the whole sample. Shorter samples are padded with zeros.
        target: `"mix"`, the engineer's mix, or `"rendered"`, the tracks rendered by the graph. Only the latter agrees
            exactly with tracks and graph: a graph found by a search only approximates the engineer's mix.
        warm_up_seconds: the audio rendered before the stretch and dropped, for reverb tails and envelopes.
        seed: seeds the random positions of stretches.
    """

    audio: bool = False
    seconds: float | None = None
    target: Target = "mix"
    warm_up_seconds: float = 2.0
    seed: int = 42

    def __post_init__(self) -> None:
        if self.target not in ("mix", "rendered"):
            raise ValueError(f"target: 'mix' or 'rendered' is needed, got {self.target!r}")
        if self.seconds is not None and not self.seconds > 0:
            raise ValueError(f"segment_seconds: above 0 is needed, got {self.seconds}")
        if not self.warm_up_seconds >= 0:
            raise ValueError(f"warm_up_seconds: at least 0 is needed, got {self.warm_up_seconds}")

    def cut(self, sample: GraphSample, draw: str | None = None) -> Example:
        """Cuts an example from a sample.

        Args:
            sample: the sample; it needs audio if `self.audio` is set.
            draw: the name of a random draw; the same name gives the same position. None takes the middle.

        Raises:
            ValueError: audio is to be read, but the sample has none; the message says how to add it.
        """
        if not self.audio:
            return Example(sample)
        if sample.audio is None:
            raise ValueError(
                f"{sample.shard}: {sample.key}: has no audio. HINT: name the folder of the songs with audio_root, or "
                "write shards with audio: python -m mixgraph rehydrate DIR --root SONGS --out DIR"
            )
        length = sample.num_samples if self.seconds is None else round(self.seconds * sample.sample_rate)
        room = max(0, sample.num_samples - length)
        start = room // 2 if draw is None else _random(f"{self.seed}/{draw}/{sample.key}").randint(0, room)
        tracks = sample.audio.tracks(start, start + length)
        if self.target == "mix":
            return Example(sample, start, tracks, sample.audio.mix(start, start + length))
        return Example(sample, start, tracks, rendered(sample, start, start + length, self.warm_up_seconds))


def _random(name: str) -> random.Random:
    return random.Random(hashlib.sha256(name.encode()).digest())


def rendered(sample: GraphSample, start: int, stop: int, warm_up_seconds: float) -> Tensor:
    """Renders the dry tracks from `start` to `stop` with the sample's graph, (2, stop - start).

    Args:
        sample: a sample with audio.
        start: the first audio sample of the stretch.
        stop: the audio sample after the last of the stretch.
        warm_up_seconds: audio rendered before `start` and dropped; older audio counts as silence.
    """
    if sample.audio is None:
        raise ValueError(f"{sample.shard}: {sample.key}: has no audio")
    past = min(start, round(warm_up_seconds * sample.sample_rate))
    future = lookahead(sample.graph, sample.processors())
    sources = sample.audio.tracks(start - past, stop + future)
    return sample.render(sources, first=start - past)[:, past : past + stop - start]
