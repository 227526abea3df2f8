"""The cases that are measured: a console of some size, on a song and clips of some length."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from datamodules import SongData
from mixgraph.graph import MixGraph, build_console, prune
from mixgraph.processors import Processors
from mixgraph.render import render_song
from mixgraph.songs.align import TrackAlignment
from mixgraph.songs.song import Song
from tools.bench.machine import ROOT

Kind = Literal["stereo", "mono"]
DEMO = ROOT / "mixgraph" / "songs" / "demo_potassium"
WARM_UP_SECONDS = 1.0
_SUBGROUPS = {8: 3, 24: 6}
_SPREAD = 0.3  # spread of the parameters of a case that imitates a trained console


@dataclass(frozen=True)
class Case:
    """One case of a measurement, the same for both sides; it is one row of a table.

    Attributes:
        tracks: number of tracks of the song.
        seconds: length of the synthetic song.
        clip_seconds: length of a training clip, the warm-up of 1 s included.
        share: share of the console's processors that are left, drawn at random.
        sample_rate: sample rate in Hz.
        song: folder of a real song, or "".
        kind: kind of the synthetic tracks; `"mono"` ones have two equal channels, as most recorded tracks do.
        trained: make the mix with the console, half of whose processors are nearly dry; then trials are accepted and
            refused as in the middle of a search.
        seed: seeds the song and the values.
    """

    tracks: int = 8
    seconds: float = 30.0
    clip_seconds: float = 3.8
    share: float = 1.0
    sample_rate: int = 30000
    song: str = ""
    kind: Kind = "stereo"
    trained: bool = False
    seed: int = 0

    @property
    def audio(self) -> str:
        """The name of the song in tables."""
        return song_name(self.song) if self.song else f"synthetic, {self.kind}"

    @property
    def subgroups(self) -> dict[str, tuple[str, ...]]:
        count = _SUBGROUPS.get(self.tracks, max(1, round(self.tracks / 4)))
        bounds = [round(i * self.tracks / count) for i in range(count + 1)]
        names = [f"track{i}" for i in range(self.tracks)]
        return {f"group{g}": tuple(names[a:b]) for g, (a, b) in enumerate(pairwise(bounds))}

    @property
    def scored_seconds(self) -> float:
        return self.clip_seconds - WARM_UP_SECONDS


def make_song(case: Case) -> Song:
    """Makes the song of a case, at its own level; the mix of a synthetic one is a sum with gains and pans."""
    if case.song:
        data = SongData(case.song, sample_rate=case.sample_rate, loudness_lufs=None, cache_dir=None)
        return data.song
    length = round(case.seconds * case.sample_rate)
    generator = torch.Generator().manual_seed(case.seed)
    sources = torch.stack([_track(i, length, case.sample_rate, generator) for i in range(case.tracks)])
    if case.kind == "mono":
        sources = sources[:, :1].repeat(1, 2, 1)
    gains = 0.2 + torch.rand(case.tracks, 2, 1, generator=generator)
    names = tuple(name for members in case.subgroups.values() for name in members)
    return Song(
        name=f"synthetic{case.tracks}",
        title="Noise bursts and tones",
        licence="none",
        sample_rate=case.sample_rate,
        subgroups=case.subgroups,
        sources=sources,
        mix=(gains * sources).sum(dim=0),
        mono=(case.kind == "mono",) * case.tracks,
        placements=((0, 1),) * case.tracks,
        level=1.0,
        alignment=tuple(TrackAlignment(0, 1, 0.0, name, False) for name in names),
        warnings=(),
        file_hashes={},
    )


def _track(index: int, length: int, sample_rate: int, generator: torch.Generator) -> Tensor:
    """Decaying tones or noise bursts on a noise floor, in stereo and never silent."""
    t = torch.arange(length) / sample_rate
    period = 0.25 + 0.5 * float(torch.rand((), generator=generator))
    envelope = torch.exp(-6 * (t % period))
    noise = torch.randn(2, length, generator=generator)
    tone = torch.sin(2 * math.pi * (60.0 * 2 ** (index % 12 / 2)) * t).expand(2, -1)
    body = tone if index % 2 else 0.5 * noise
    width = torch.tensor([[1.0], [0.8]])
    return 0.2 * envelope * body * width + 1e-3 * noise


def real_case(base: Case, path: str) -> Case:
    """Makes the case of a real song, with the song's number of tracks and length in seconds."""
    song = make_song(replace(base, song=path))
    return replace(base, song=path, tracks=len(song.tracks), seconds=song.num_samples / song.sample_rate)


def make_graph(case: Case, song: Song | None = None) -> MixGraph:
    """Makes the full console of a song, or a random part of it by the case's share of processors.

    Args:
        case: the case.
        song: the song; None for the case's synthetic one.
    """
    subgroups, name = (case.subgroups, "") if song is None else (song.subgroups, song.name)
    graph = build_console(subgroups, name=name)
    if case.share >= 1:
        return graph
    count = max(1, round(case.share * len(graph.processors)))
    return prune(graph, random.Random(case.seed).sample(graph.processors, count))[0]


def trained_values(
    case: Case, graph: MixGraph, processors: Processors, song: Song
) -> tuple[dict[str, dict[str, Tensor]], Tensor, Tensor]:
    """Returns values that imitate a converged console: parameters, weights, and the mix (2, L) rendered with them."""
    generator = torch.Generator().manual_seed(case.seed)
    counts = graph.count()
    parameters = {t: processors[t].sample_initial_values(counts[t], generator, _SPREAD) for t in sorted(counts)}
    needed = torch.rand(len(graph.processors), generator=generator) < 0.5
    weights = torch.where(needed, 0.8, 0.02)
    with torch.no_grad():
        mix = render_song(graph, processors, song.sources, parameters, weights)[0]
    return parameters, weights, mix


def song_name(path: str) -> str:
    return Path(path).name
