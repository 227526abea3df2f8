"""Makes a synthetic sample: tracks of several songs, a random sparse console, and the mix that it makes of them.

Where two graphs sound the same, the smaller one is the truth, as in `synthetic.song`: a gain, equalizer or imager on
a subgroup equals the same on each of its tracks, so it is only drawn where at least two of the tracks lack it; the one
track of a subgroup has no type in both of its chains; an imager is not put on mono tracks. What remains ambiguous is
the level that gains, equalizers and dry/wet weights of one chain share.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mixgraph.graph import GraphValues, MixGraph, build_console
from mixgraph.losses import MatchLoss
from mixgraph.processors import Processor, Processors, processor_type
from mixgraph.synthetic.corpus import Corpus, DryTrack
from mixgraph.synthetic.engineer import same_on_subgroups
from mixgraph.synthetic.mixer import Mixer, MixRules
from mixgraph.synthetic.prior import GraphPrior

_ATTEMPTS = 8
_PASSES = 2  # passes of removing processors that hardly change the mix
_GAIN_DB = 4.0  # a dry track's random gain is at most this, up or down
_DENSITY_SPREAD = 0.35  # standard deviation, over samples, of the log odds of keeping a processor


@dataclass(frozen=True)
class GenerationSettings:
    """The settings by which samples are made.

    Attributes:
        seed: seeds all random choices.
        seconds: length of a sample.
        min_tracks, max_tracks: the range of a sample's number of tracks; all numbers are equally likely.
        sample_rate: the sample rate in Hz.
        track_chain, subgroup_chain: processor letters of the full console, of which a part is kept.
        loudness_lufs: the loudness of the mix, as that to which a search brings songs.
        least_increase: removing any processor raises the match loss by at least this much, or it is removed; None
            keeps all that is drawn, and loss increases are not measured.
        varispeed: play tracks of the training split at random speeds.
    """

    seed: int = 0
    seconds: float = 6.0
    min_tracks: int = 2
    max_tracks: int = 6
    sample_rate: int = 30000
    track_chain: str = "ecnsgdr"
    subgroup_chain: str = "ecnsgdr"
    loudness_lufs: float = -16.0
    least_increase: float | None = 0.01
    varispeed: bool = True

    def __post_init__(self) -> None:
        problems = []
        if not 1 <= self.min_tracks <= self.max_tracks:
            problems.append(f"tracks: 1 <= least <= most expected, got {self.min_tracks} and {self.max_tracks}")
        if not self.seconds >= 1:
            problems.append(f"seconds: at least 1, got {self.seconds}")
        if self.least_increase is not None and not self.least_increase >= 0:
            problems.append(f"least_increase: None or at least 0, got {self.least_increase}")
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def num_samples(self) -> int:
        return round(self.seconds * self.sample_rate)


@dataclass(frozen=True, eq=False)
class GeneratedSample:
    """A sample with the graph that made it.

    Attributes:
        key: unique in the set: letters, digits and `_`.
        split: train, validation or test.
        values: the graph with parameters and weights.
        loss_increases: the loss increase on removing each processor alone (paper eq. 9), (processors,), or None.
        sources: the dry tracks in the order of the graph's inputs, (K, 2, L).
        mix: the mix of the tracks by the graph, (2, L).
        meta: origin and licences of the tracks, and the seed.
    """

    key: str
    split: str
    values: GraphValues
    loss_increases: Tensor | None
    sources: Tensor
    mix: Tensor
    meta: dict[str, Any]


def make_sample(
    corpus: Corpus,
    prior: GraphPrior,
    settings: GenerationSettings,
    processors: Processors,
    match: MatchLoss,
    split: str,
    index: int,
) -> GeneratedSample:
    """Makes a sample; it depends on the arguments alone, not on the samples before it.

    Raises:
        ValueError: eight draws in a row gave silent excerpts or a graph without an audible processor.
    """
    least = 0.0 if settings.least_increase is None else settings.least_increase
    mixer = Mixer(processors, match, MixRules(settings.loudness_lufs, None, _PASSES, least))
    for attempt in range(_ATTEMPTS):
        digest = hashlib.sha256(f"{settings.seed}/{split}/{index}/{attempt}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        cast = _cast(corpus, settings, split, generator)
        if cast is None:
            continue
        subgroups, tracks, sources = cast
        console = build_console(subgroups, settings.track_chain, settings.subgroup_chain, f"{split}_{index:06d}")
        mixed = mixer.mix(console, _place(console, tracks, prior, generator), sources, partial(_draw, prior, generator))
        if settings.least_increase is not None:
            mixed = mixer.pruned(mixer.measured(mixed), lambda graph: bool(graph.processors))
        if not mixed.values.graph.processors:
            continue
        meta = {
            "dataset": "synthetic",
            "seed": settings.seed,
            "sources": [{"song": t.song, "track": t.name, "subgroup": t.subgroup} for t in tracks],
            "licence": "; ".join(sorted({corpus.songs[t.song].licence for t in tracks})),
        }
        increases = mixed.loss_increases
        measured = None if increases is None else torch.tensor(increases, dtype=torch.float64)
        return GeneratedSample(console.names[-1], split, mixed.values, measured, mixed.sources, mixed.mix, meta)
    raise ValueError(f"{split} sample {index}: {_ATTEMPTS} draws gave no audible graph. HINT: longer or louder tracks")


def _draw(
    prior: GraphPrior, generator: torch.Generator, _: int, processor: Processor, signal: Tensor
) -> tuple[dict[str, Tensor], float]:
    return prior.draw(processor, signal, generator)


def _cast(
    corpus: Corpus, settings: GenerationSettings, split: str, generator: torch.Generator
) -> tuple[dict[str, list[str]], list[DryTrack], Tensor] | None:
    """Draws tracks: their subgroups, the tracks in that order, and their audio (K, 2, L); None if one is silent."""
    pool = corpus.of_split(split)
    most = min(settings.max_tracks, len(pool))
    least = min(settings.min_tracks, most)
    count = int(torch.randint(least, most + 1, (), generator=generator))
    chosen = [pool[i] for i in torch.randperm(len(pool), generator=generator)[:count].tolist()]
    groups = list(dict.fromkeys(_plain(track.subgroup) for track in chosen))
    tracks = sorted(chosen, key=lambda track: groups.index(_plain(track.subgroup)))
    audio = []
    for track in tracks:
        part = corpus.excerpt(track, settings.num_samples, generator, settings.varispeed and split == "train")
        if part is None:
            return None
        gain_db = _GAIN_DB * (2 * float(torch.rand((), generator=generator)) - 1)
        audio.append(part * 10 ** (gain_db / 20))
    subgroups: dict[str, list[str]] = {group: [] for group in groups}
    for number, track in enumerate(tracks):
        subgroups[_plain(track.subgroup)].append(f"{number:02d}_{_plain(track.name)}")
    return subgroups, tracks, torch.stack(audio)


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)


def _place(console: MixGraph, tracks: Sequence[DryTrack], prior: GraphPrior, generator: torch.Generator) -> list[int]:
    """Chooses the processors to keep, so that no smaller graph sounds the same; see the module's text."""
    mono = {console.names[i]: track.mono for i, track in zip(console.inputs, tracks, strict=True)}
    members: dict[str, list[str]] = {}
    for node, group in zip(console.inputs, console.subgroups, strict=True):
        members.setdefault(group, []).append(console.names[node])
    shift = _DENSITY_SPREAD * float(torch.randn((), generator=generator))
    keep: list[int] = []
    on_tracks: set[tuple[str, str]] = set()
    luck = torch.rand(len(console), generator=generator).tolist()
    for node in console.processors:  # tracks come first
        node_type, name, level = console.types[node], console.names[node], console.level(node)
        rate = prior.rates[level].get(node_type, 0.0)
        if luck[node] >= _shifted(rate, shift):
            continue
        needs_stereo = processor_type(node_type).usage.needs == "stereo"
        if level == "track":
            if not (needs_stereo and mono[name]):
                keep.append(node)
                on_tracks.add((name, node_type))
            continue
        lacking = [track for track in members[name] if (track, node_type) not in on_tracks]
        needed = 1 if len(members[name]) == 1 or not same_on_subgroups(node_type) else 2
        if needs_stereo and all(mono[track] for track in members[name]):
            continue
        if len(lacking) >= needed:
            keep.append(node)
    return keep


def _shifted(rate: float, shift: float) -> float:
    if not 0 < rate < 1:
        return rate
    return 1 / (1 + math.exp(-(math.log(rate / (1 - rate)) + shift)))
