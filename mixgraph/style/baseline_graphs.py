"""Mixes that a network has to beat: they know nothing of a song but the loudness and the instrument of its tracks."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from mixgraph.graph import INPUT, OUTPUT, MixGraph
from mixgraph.graph.values import GraphValues
from mixgraph.processors import Processors
from mixgraph.songs.loudness import integrated_loudness
from mixgraph.songs.song import Song
from mixgraph.songs.stem_rule import target_of
from mixgraph.style.distance import StatisticsWeights, statistics_distance
from mixgraph.style.judging import MixedSong, TrackMeasures
from mixgraph.style.mix_statistics import MixStatistics, mix_statistics
from mixgraph.style.track_levels import GAIN
from mixgraph.style.training_mixes import INSTRUMENTS

EQUAL_LUFS = -30.0  # of each track in the sum at equal loudness
_DB = math.log(10) / 20
_SHAPE = StatisticsWeights(loudness_lufs=0.0)


@dataclass(frozen=True, eq=False)
class EngineersMix:
    """A song of the training set with an engineer's graph.

    Attributes:
        mixed: the song and the graph.
        tracks: what is measured of its tracks.
        loudness: loudness of each dry track before the graph, in LUFS.
        dry: statistics of the sum at equal loudness.
    """

    mixed: MixedSong
    tracks: TrackMeasures
    loudness: tuple[float, ...]
    dry: MixStatistics

    @classmethod
    def of(cls, mixed: MixedSong) -> EngineersMix:
        """Measures a song and its graph."""
        loudness = dry_loudness(mixed.song)
        gain = 20 * math.log10(mixed.gain)
        equal = equal_loudness(mixed.song, mixed.processors, loudness).mix()
        dry = mix_statistics(equal, mixed.song.sample_rate)
        return cls(mixed, mixed.tracks(), tuple(level + gain for level in loudness), dry)


def dry_loudness(song: Song) -> tuple[float, ...]:
    """Returns the loudness of each dry track in LUFS; minus infinity for silence."""
    return tuple(integrated_loudness(source, song.sample_rate) for source in song.sources)


def instruments(song: Song) -> tuple[str | None, ...]:
    """Returns the instrument of each track, one of `INSTRUMENTS`."""
    return tuple(target_of(group, track, INSTRUMENTS) for group, tracks in song.subgroups.items() for track in tracks)


def as_they_are(song: Song, processors: Processors) -> MixedSong:
    """Returns the plain sum of all tracks."""
    return MixedSong(song, _of_chains(song, [[] for _ in song.tracks]), processors)


def equal_loudness(song: Song, processors: Processors, loudness: Sequence[float]) -> MixedSong:
    """Returns the sum of all tracks at equal loudness."""
    gains = [(EQUAL_LUFS - level,) * 2 if math.isfinite(level) else (0.0, 0.0) for level in loudness]
    return MixedSong(song, _of_chains(song, [_gain(left, right) for left, right in gains]), processors)


def mean_levels(song: Song, processors: Processors, training: Sequence[EngineersMix]) -> MixedSong:
    """Returns the sum of all tracks at the mean level and the mean balance of their instruments in a training set.

    Where no track of the training set is of an instrument, the mean over all its tracks stands for it.
    """
    loudness, chains = dry_loudness(song), []
    for instrument, level in zip(instruments(song), loudness, strict=True):
        rows = [(mix, row) for mix in training for row in _rows_of(mix, instrument)]
        rows = rows or [(mix, row) for mix in training for row in _rows_of(mix, None)]
        if not rows or not math.isfinite(level):
            chains.append(_gain(0.0, 0.0))
            continue
        wanted = fmean(mix.tracks.levels[row] for mix, row in rows) + EQUAL_LUFS - level
        balance = fmean(mix.tracks.balances[row] for mix, row in rows)
        # Both channels of the track at these gains have the power of the track.
        even = 10 * math.log10((10 ** (balance / 20) + 10 ** (-balance / 20)) / 2)
        chains.append(_gain(wanted - even + balance / 2, wanted - even - balance / 2))
    return MixedSong(song, _of_chains(song, chains), processors)


def graph_of(song: Song, donor: EngineersMix, seed: int = 0) -> MixedSong:
    """Returns the graph of another song, on this song's tracks.

    Each track goes through the chains of one of the donor's tracks of the same instrument (drawn; any track where there
    is none), its subgroup's included, at the loudness of that track.

    Args:
        song: the song.
        donor: the other song.
        seed: seeds the choice of tracks, together with the song's name.
    """
    generator = torch.Generator().manual_seed(seeded(f"{seed}/{song.name}/{donor.mixed.song.name}"))
    chains = []
    for instrument, level in zip(instruments(song), dry_loudness(song), strict=True):
        rows = _rows_of(donor, instrument) or _rows_of(donor, None)
        row = rows[int(torch.randint(len(rows), (), generator=generator))]
        louder = donor.loudness[row] - level if math.isfinite(level) else 0.0
        place = donor.mixed.order.index(row) if donor.mixed.order else row
        chains.append([*_gain(louder, louder), *_chain(donor.mixed.values, place)])
    return MixedSong(song, _of_chains(song, chains), donor.mixed.processors)


def nearest(song: Song, processors: Processors, training: Sequence[EngineersMix]) -> EngineersMix:
    """Returns the song whose tracks sound most alike: by the statistics of the sums at equal loudness."""
    dry = mix_statistics(equal_loudness(song, processors, dry_loudness(song)).mix(), song.sample_rate)
    return min(training, key=lambda mix: float(statistics_distance(mix.dry, dry, _SHAPE).full))


def seeded(text: str) -> int:
    """Returns a seed that depends on a text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def _rows_of(mix: EngineersMix, instrument: str | None) -> list[int]:
    """Rows of tracks that sound in a mix, of one instrument or of any."""
    sounding = [row for row, level in enumerate(mix.tracks.levels) if math.isfinite(level)]
    of = instruments(mix.mixed.song)
    return [row for row in sounding if instrument is None or of[row] == instrument]


@dataclass(frozen=True, eq=False)
class _Link:
    """A processor of a chain: its type, its values and its dry/wet weight."""

    type: str
    values: dict[str, Tensor]
    weight: float


def _gain(left_db: float, right_db: float) -> list[_Link]:
    """A gain with a weight of 1/2 from 0 dB on, and of up to nearly 1 below, where a dry half would be too loud."""
    gains = (torch.tensor([left_db, right_db], dtype=torch.float64) * _DB).exp()
    weight = max(0.5, 1 - 0.5 * float(gains.min()))
    wet = (gains - (1 - weight)) / weight
    return [_Link(GAIN, {"log_gain": wet.log().float()}, weight)]


def _chain(values: GraphValues, row: int) -> Iterator[_Link]:
    """The processors that an input goes through, one after the other; branches, returns and sends are left out."""
    graph = values.graph
    for node in graph.topological_order:
        if node not in graph.processors or row not in graph.sources[node] or graph.branch(node):
            continue
        if graph.level(node) == "return" or graph.keys[node] or graph.types[node] == "send":
            continue
        named = {name: value[graph.rows[node]] for name, value in values.parameters[graph.types[node]].items()}
        yield _Link(graph.types[node], named, float(values.weights[graph.processors.index(node)]))


def _of_chains(song: Song, chains: Sequence[Sequence[_Link]]) -> GraphValues:
    """Joins a chain for every track to a graph without subgroups."""
    types: list[str] = []
    names: list[str] = []
    edges: list[tuple[int, int]] = []
    ends: list[int] = []
    links: list[_Link] = []
    for track, chain in zip(song.tracks, chains, strict=True):
        for node_type in (INPUT, *(link.type for link in chain)):
            if node_type != INPUT:
                edges.append((len(types) - 1, len(types)))
            types.append(node_type)
            names.append(track)
        ends.append(len(types) - 1)
        links += chain
    edges += [(end, len(types)) for end in ends]
    graph = MixGraph((*types, OUTPUT), tuple(edges), (*names, song.name), ("",) * len(chains))
    of_type: dict[str, list[_Link]] = {}
    for link in links:
        of_type.setdefault(link.type, []).append(link)
    parameters = {
        t: {name: torch.stack([link.values[name] for link in of]) for name in of[0].values} for t, of in of_type.items()
    }
    return GraphValues(graph, parameters, torch.tensor([link.weight for link in links]))
