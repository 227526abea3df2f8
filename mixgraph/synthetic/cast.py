"""Draws the tracks of a synthetic sample, and deals them to subgroups."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mixgraph.processors.usage import RandomSettings
from mixgraph.synthetic.corpus import Corpus, DryTrack
from mixgraph.synthetic.recording import RecordingSettings, as_recorded
from mixgraph.synthetic.settings import GenerationSettings

_MOST_GROUPS = 4  # of random subgroups
_FADE_SECONDS = 0.01


def draw_cast(
    corpus: Corpus, settings: GenerationSettings, split: str, generator: torch.Generator, choices: RandomSettings
) -> tuple[dict[str, list[str]], list[DryTrack], Tensor] | None:
    """Draws tracks: their subgroups, the tracks in that order, and their audio (K, 2, L); None if one is silent."""
    pool = corpus.of_split(split)
    most = min(settings.max_tracks, len(pool))
    least = min(settings.min_tracks, most)
    count = int(torch.randint(least, most + 1, (), generator=generator))
    one_song = choices.uniform(0, 1) < settings.mixing.one_song_share
    drawn = _of_one_song(corpus, pool, count, settings, choices) if one_song else None
    if drawn is None:
        drawn = _of_many_songs(corpus, pool, count, settings, split, generator)
    if drawn is None:
        return None
    if choices.uniform(0, 1) < settings.mixing.random_subgroups:
        number = 1 + choices.choose(1, min(_MOST_GROUPS, len(drawn)))[0]
        group_of = [f"group_{choices.choose(1, number)[0] + 1}" for _ in drawn]
    else:
        group_of = [_plain(track.subgroup) for track, _ in drawn]
    groups = list(dict.fromkeys(group_of))
    order = sorted(range(len(drawn)), key=lambda i: groups.index(group_of[i]))
    tracks = [drawn[i][0] for i in order]
    audio = torch.stack([drawn[i][1] for i in order])
    if settings.recording != replace(RecordingSettings(), level_db=settings.recording.level_db):
        audio = as_recorded(audio, settings.sample_rate, settings.recording, choices.generator)
    subgroups: dict[str, list[str]] = {group: [] for group in groups}
    for number, (i, track) in enumerate(zip(order, tracks, strict=True)):
        subgroups[group_of[i]].append(f"{number:02d}_{_plain(track.name)}")
    return subgroups, tracks, audio


def _of_many_songs(
    corpus: Corpus,
    pool: Sequence[DryTrack],
    count: int,
    settings: GenerationSettings,
    split: str,
    generator: torch.Generator,
) -> list[tuple[DryTrack, Tensor]] | None:
    """Draws tracks of any songs, and places in each; None if one is silent."""
    chosen = [pool[i] for i in torch.randperm(len(pool), generator=generator)[:count].tolist()]
    groups = list(dict.fromkeys(_plain(track.subgroup) for track in chosen))
    drawn = []
    for track in sorted(chosen, key=lambda track: groups.index(_plain(track.subgroup))):
        faster = settings.varispeed and split == "train"
        passages = [
            corpus.excerpt(track, settings.passage_samples, generator, faster) for _ in range(settings.mixing.passages)
        ]
        audible = [passage for passage in passages if passage is not None]
        if not audible:
            return None
        silence = torch.zeros_like(audible[0])
        whole = joined([silence if p is None else p for p in passages], settings.sample_rate)
        drawn.append((track, whole * _gain(settings, generator)))
    return drawn


def _of_one_song(
    corpus: Corpus, pool: Sequence[DryTrack], count: int, settings: GenerationSettings, choices: RandomSettings
) -> list[tuple[DryTrack, Tensor]] | None:
    """Draws tracks of one song at the same places; None if fewer than two of them are to be heard."""
    songs = sorted({track.song for track in pool})
    song = songs[choices.choose(1, len(songs))[0]]
    of_song = [track for track in pool if track.song == song]
    first = corpus.together(of_song, count, settings.passage_samples, choices.generator)
    if len(first) < 2:
        return None
    tracks = [track for track, _ in first]
    passages = [[part] for _, part in first]
    for _ in range(settings.mixing.passages - 1):
        later = dict(corpus.together(tracks, count, settings.passage_samples, choices.generator))
        for parts, track in zip(passages, tracks, strict=True):
            parts.append(later.get(track, torch.zeros_like(parts[0])))
    return [
        (track, joined(parts, settings.sample_rate) * _gain(settings, choices.generator))
        for track, parts in zip(tracks, passages, strict=True)
    ]


def _gain(settings: GenerationSettings, generator: torch.Generator) -> float:
    spread = 2 * float(torch.rand((), generator=generator)) - 1
    return float(10 ** (settings.recording.level_db * spread / 20))


def joined(passages: Sequence[Tensor], sample_rate: int) -> Tensor:
    """Puts passages, (2, samples) each, one after another, with fades of 10 ms where they meet; one stays as it is."""
    if len(passages) == 1:
        return passages[0]
    fade = torch.linspace(0, 1, round(_FADE_SECONDS * sample_rate))
    parts = []
    for passage in passages:
        part = passage.clone()
        part[:, : len(fade)] *= fade
        part[:, -len(fade) :] *= fade.flip(0)
        parts.append(part)
    return torch.cat(parts, dim=1)


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)
