"""Makes a synthetic sample: tracks of several songs, a random sparse console, and the mix that it makes of them.

Where two graphs sound the same, the smaller one is the truth, as in `synthetic.song`: a gain, equalizer or imager on
a subgroup equals the same on each of its tracks, so it is only drawn where at least two of the tracks lack it; the one
track of a subgroup has no type in both of its chains; an imager is not put on mono tracks. What remains ambiguous is
the level that gains, equalizers and dry/wet weights of one chain share.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mixgraph.graph import GraphValues, MixGraph, build_console
from mixgraph.losses import MatchLoss
from mixgraph.processors import Processor, Processors, processor_type
from mixgraph.processors.usage import RandomSettings
from mixgraph.synthetic.balance import Balance, draw_balance
from mixgraph.synthetic.cast import draw_cast
from mixgraph.synthetic.corpus import Corpus, DryTrack
from mixgraph.synthetic.engineer import Engineer, same_on_subgroups
from mixgraph.synthetic.mixer import DrawSettings, Mixer, MixRules
from mixgraph.synthetic.prior import GraphPrior
from mixgraph.synthetic.settings import GenerationSettings
from mixgraph.synthetic.studio import Studio

_ATTEMPTS = 8
_PASSES = 2  # passes of removing processors that hardly change the mix
_NO_WEIGHT = 0.5
UNKNOWN_SETTINGS = "unknown_settings"
"""The key of a sample's `meta` that says that its parameters and weights say nothing."""
ENGINEER = "engineer"
"""The key of a sample's `meta` that names its engineer, where several samples have the same."""
_ONLY_PANNED = 0.4  # of the gains of tracks: those of an engineer who listens, where the level is right already
_DENSITY_SPREAD = 0.35  # standard deviation, over samples, of the log odds of keeping a processor


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
    engineer = _engineer(settings, split, index)
    for attempt in range(_ATTEMPTS):
        generator = _seeded(settings, split, index, attempt, "")
        choices = RandomSettings(_seeded(settings, split, index, attempt, "/choices"))  # leaves the others' draws alone
        cast = draw_cast(corpus, settings, split, generator, choices)
        if cast is None:
            continue
        subgroups, tracks, sources = cast
        console = build_console(subgroups, settings.track_chain, settings.subgroup_chain, f"{split}_{index:06d}")
        balance = _balance(console, tracks, sources, settings, choices, engineer)
        keep = _place(console, tracks, prior, generator, engineer, balance)
        others = choices.uniform(0, 1) < settings.mixing.effects_share
        if others:
            result = _mixed_by_effects(console, keep, sources, settings, processors, match, choices, balance)
        else:
            draw = partial(_draw, prior, generator, engineer, console, balance)
            result = _mixed(console, keep, sources, settings, processors, match, draw)
        if result is None:
            continue
        meta = {
            "dataset": "synthetic",
            "seed": settings.seed,
            "sources": [{"song": t.song, "track": t.name, "subgroup": t.subgroup} for t in tracks],
            "licence": "; ".join(sorted({corpus.songs[t.song].licence for t in tracks})),
            **({} if engineer is None else {ENGINEER: engineer.name}),
            **result.meta,
        }
        measured = None if result.increases is None else torch.tensor(result.increases, dtype=torch.float64)
        return GeneratedSample(console.names[-1], split, result.values, measured, result.sources, result.mix, meta)
    raise ValueError(f"{split} sample {index}: {_ATTEMPTS} draws gave no audible graph. HINT: longer or louder tracks")


@dataclass(frozen=True, eq=False)
class _Result:
    values: GraphValues
    increases: Sequence[float] | None
    sources: Tensor
    mix: Tensor
    meta: dict[str, Any]


def _engineer(settings: GenerationSettings, split: str, index: int) -> Engineer | None:
    songs = settings.mixing.songs_per_engineer
    return None if songs == 1 else Engineer(f"{settings.seed}_{split}_{index // songs}")


def _balance(
    console: MixGraph,
    tracks: Sequence[DryTrack],
    sources: Tensor,
    settings: GenerationSettings,
    choices: RandomSettings,
    engineer: Engineer | None,
) -> Balance | None:
    """Draws how loud the tracks shall be; None where the engineer does not listen."""
    share = settings.mixing.balanced_share
    if share == 0 or choices.uniform(0, 1) >= share:
        return None
    names, instruments = [console.names[i] for i in console.inputs], [track.name for track in tracks]
    return draw_balance(names, instruments, sources, settings.loudness_lufs, settings.sample_rate, choices, engineer)


def _seeded(settings: GenerationSettings, split: str, index: int, attempt: int, use: str) -> torch.Generator:
    digest = hashlib.sha256(f"{settings.seed}/{split}/{index}/{attempt}{use}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def _mixed(
    console: MixGraph,
    keep: Sequence[int],
    sources: Tensor,
    settings: GenerationSettings,
    processors: Processors,
    match: MatchLoss,
    draw: DrawSettings,
) -> _Result | None:
    """Mixes by our own processors; None if none of them is audible."""
    least = 0.0 if settings.least_increase is None else settings.least_increase
    mixer = Mixer(processors, match, MixRules(settings.loudness_lufs, None, _PASSES, least))
    mixed = mixer.mix(console, keep, sources, draw)
    if settings.least_increase is not None:
        mixed = mixer.pruned(mixer.measured(mixed), lambda graph: bool(graph.processors))
    if not mixed.values.graph.processors:
        return None
    return _Result(mixed.values, mixed.loss_increases, mixed.sources, mixed.mix, {})


def _mixed_by_effects(
    console: MixGraph,
    keep: Sequence[int],
    sources: Tensor,
    settings: GenerationSettings,
    processors: Processors,
    match: MatchLoss,
    choices: RandomSettings,
    balance: Balance | None,
) -> _Result | None:
    """Mixes by other effects; None if none of them is audible. Parameters are initial values, and say nothing."""
    if not keep:
        return None
    studio = Studio(match, settings.loudness_lufs, settings.least_increase, balance)
    mixed = studio.mix(console, keep, sources, choices.generator)
    if mixed is None:
        return None
    graph = mixed.graph
    parameters = {t: processors[t].sample_initial_values(n, choices.generator) for t, n in graph.count().items()}
    values = GraphValues(graph, parameters, torch.full((len(graph.processors),), _NO_WEIGHT))
    meta = {UNKNOWN_SETTINGS: True, "effects": list(mixed.settings)}
    return _Result(values, mixed.loss_increases, mixed.sources, mixed.mix, meta)


def _draw(
    prior: GraphPrior,
    generator: torch.Generator,
    engineer: Engineer | None,
    console: MixGraph,
    balance: Balance | None,
    node: int,
    processor: Processor,
    signal: Tensor,
) -> tuple[dict[str, Tensor], float]:
    values, weight = prior.draw(processor, signal, generator, engineer)
    if balance is not None and balance.sets(console, node):
        values = balance.set_gain(processor, values, console.names[node], signal)
    return values, weight


def _place(
    console: MixGraph,
    tracks: Sequence[DryTrack],
    prior: GraphPrior,
    generator: torch.Generator,
    engineer: Engineer | None,
    balance: Balance | None,
) -> list[int]:
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
        rate = _shifted(prior.rates[level].get(node_type, 0.0), shift)
        if balance is not None and balance.sets(console, node):
            rate = 1.0 if balance.needs_gain(name) else _ONLY_PANNED * rate
        here = luck[node] if engineer is None else engineer.moved(luck[node], node_type, level)
        if here >= rate:
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
