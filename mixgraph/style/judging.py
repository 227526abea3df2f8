"""Judges mixes that graphs make of a song: levels and panning of tracks against an engineer's graph, and the sound.

All mixes of a song are brought to the loudness of the engineer's mix before their sound is compared.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import fmean

import torch
from torch import Tensor

from mixgraph.graph.values import GraphValues
from mixgraph.losses import SongTarget, make_match_loss
from mixgraph.processors import Processors
from mixgraph.render import render_song
from mixgraph.report.closeness import measure_closeness
from mixgraph.songs.loudness import integrated_loudness
from mixgraph.songs.song import Song
from mixgraph.style.distance import statistics_distance
from mixgraph.style.mix_statistics import mix_statistics
from mixgraph.style.track_levels import track_alone

_HARD_DB = 20.0  # a track that is louder by this in one channel counts as hard panned


@dataclass(frozen=True, eq=False)
class MixedSong:
    """A song and a graph that mixes it.

    Attributes:
        song: the song.
        values: the graph.
        processors: one module for each type.
        gain: the factor of the song's sources before the graph.
        order: for each input of the graph, the number of its track in the song; empty where they are in this order.
    """

    song: Song
    values: GraphValues
    processors: Processors
    gain: float = 1.0
    order: tuple[int, ...] = ()

    @torch.no_grad()
    def mix(self) -> Tensor:
        """Renders the mix, (2, L)."""
        return self._render(self.values, self.song.sources[list(self.order)] if self.order else self.song.sources)

    def _render(self, values: GraphValues, sources: Tensor) -> Tensor:
        return render_song(values.graph, self.processors, sources * self.gain, values.parameters, values.weights)[0]

    @torch.no_grad()
    def tracks(self) -> TrackMeasures:
        """Measures every track alone, through its chain and those behind it."""
        whole = integrated_loudness(self.mix(), self.song.sample_rate)
        levels, balances = [], []
        for row in range(len(self.song.sources)):
            source = self.song.sources[row : row + 1]
            place = self.order.index(row) if self.order else row
            alone = self._render(track_alone(self.values, place), source) if bool(source.any()) else source[0]
            loudness = integrated_loudness(alone, self.song.sample_rate)
            levels.append(loudness - whole if math.isfinite(loudness) else -math.inf)
            left, right = alone.double().square().mean(-1).tolist()
            ratio = 10 * math.log10((left + 1e-12) / (right + 1e-12))
            balances.append(min(max(ratio, -_HARD_DB), _HARD_DB))
        return TrackMeasures(tuple(levels), tuple(balances))


@dataclass(frozen=True)
class TrackMeasures:
    """The tracks of a mix.

    Attributes:
        levels: loudness of each track alone against the mix, in LU; minus infinity for silence.
        balances: power of left over right of each track alone, in dB, within 20 dB.
    """

    levels: tuple[float, ...]
    balances: tuple[float, ...]


@dataclass(frozen=True)
class Judgement:
    """How far a mix is from an engineer's; None where the song has no engineer's graph, or no mix.

    Attributes:
        level_db: mean over tracks of the difference of levels against the mix; a track that is silenced counts 60 dB.
        panning_db: mean over tracks of the difference of left over right.
        octaves_db: mean over octaves of the difference of long-term levels.
        range_lu: difference of the loudness ranges, positive where the mix has the larger one.
        width_db: difference of side over mid, positive where the mix is wider.
        match_loss: the match loss of the whole song.
        distance_db: the distance of statistics, at equal loudness.
        processors: the number of processors.
    """

    level_db: float | None
    panning_db: float | None
    octaves_db: float | None
    range_lu: float | None
    width_db: float | None
    match_loss: float | None
    distance_db: float | None
    processors: int

    def to_dict(self) -> dict[str, float | int | None]:
        """The figures by name, rounded."""
        return {name: round(v, 4) if isinstance(v, float) else v for name, v in asdict(self).items()}


FIGURES = tuple(Judgement.__dataclass_fields__)
_SILENCED_DB = 60.0


class Judge:
    """Judges mixes of one song.

    Args:
        song: the song, with the engineer's mix.
        engineer: the tracks of the engineer's graph; None where there is none.
    """

    def __init__(self, song: Song, engineer: TrackMeasures | None) -> None:
        self.song, self.engineer = song, engineer
        self.loudness = integrated_loudness(song.mix, song.sample_rate)
        self.heard = math.isfinite(self.loudness)
        self.target: SongTarget | None = None
        if self.heard:
            self.target = SongTarget(make_match_loss(song.sample_rate), song.mix)
            self.statistics = mix_statistics(song.mix, song.sample_rate)

    def levelled(self, mix: Tensor) -> Tensor:
        """Returns a mix, (2, L), at the loudness of the engineer's.

        Raises:
            ValueError: the mix is silent.
        """
        loudness = integrated_loudness(mix, self.song.sample_rate)
        if not math.isfinite(loudness):
            raise ValueError(f"{self.song.name}: a mix that sounds is needed, got a silent one")
        return mix * 10 ** ((self.loudness - loudness) / 20) if self.heard else mix

    @torch.no_grad()
    def __call__(self, mixed: MixedSong) -> Judgement:
        """Judges a mix of the song."""
        level, panning = (None, None) if self.engineer is None else _track_errors(self.engineer, mixed.tracks())
        count = len(mixed.values.graph.processors)
        if self.target is None:
            return Judgement(level, panning, None, None, None, None, None, count)
        mix = self.levelled(mixed.mix())
        closeness = measure_closeness(self.song.mix, mix, self.song.sample_rate)
        statistics = mix_statistics(mix, self.song.sample_rate)
        return Judgement(
            level_db=level,
            panning_db=panning,
            octaves_db=fmean(map(abs, closeness.octaves_db.values())),
            range_lu=float(statistics.loudness_range_lu - self.statistics.loudness_range_lu),
            width_db=closeness.width_db,
            match_loss=self.target.score(mix).loss["full"],
            distance_db=float(statistics_distance(statistics, self.statistics).full),
            processors=count,
        )


def _track_errors(engineer: TrackMeasures, measured: TrackMeasures) -> tuple[float | None, float | None]:
    levels, balances = [], []
    for row, level in enumerate(engineer.levels):
        if not math.isfinite(level):
            continue  # the engineer's graph does not let it sound either
        silenced = not math.isfinite(measured.levels[row])
        levels.append(_SILENCED_DB if silenced else abs(measured.levels[row] - level))
        if not silenced:
            balances.append(abs(measured.balances[row] - engineer.balances[row]))
    return (fmean(levels) if levels else None, fmean(balances) if balances else None)
