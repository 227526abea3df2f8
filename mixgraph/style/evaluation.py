"""Judges baselines and answers on songs, each song with what the others teach; tables and a picture."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mixgraph.graph.values import GraphValues
from mixgraph.names import spreadsheet_cell, visible
from mixgraph.processors import Processors, make_processors
from mixgraph.recovery.agreement import markdown
from mixgraph.results.found_graph import load_result
from mixgraph.songs.loudness import integrated_loudness
from mixgraph.songs.song import Song
from mixgraph.style.baseline_graphs import (
    EngineersMix,
    as_they_are,
    dry_loudness,
    equal_loudness,
    graph_of,
    mean_levels,
    nearest,
    seeded,
)
from mixgraph.style.judging import FIGURES, Judge, Judgement, MixedSong

PLAIN, SUM = "tracks as they are", "sum at equal loudness"
MEAN, RANDOM = "mean levels and panning", "random graph of another song"
NEAREST, ENGINEER = "graph of the nearest song", "the engineer's graph"
REAL, SYNTHETIC = "real songs", "synthetic songs"
_SHOWN = {
    "level_db": "track levels, dB",
    "panning_db": "panning, dB",
    "octaves_db": "octaves, dB",
    "range_lu": "loudness range, LU",
    "width_db": "width, dB",
    "match_loss": "match loss",
    "distance_db": "statistics, dB",
    "processors": "processors",
}
_SIGNED = ("range_lu", "width_db")  # in tables their sizes
_DRAWN = ("level_db", "panning_db", "octaves_db", "match_loss", "distance_db")


@dataclass(frozen=True, eq=False)
class JudgedSong:
    """A song to judge mixes of.

    Attributes:
        song: the song, with the engineer's mix.
        kind: `REAL` or `SYNTHETIC`; songs learn from others of their kind.
        engineer: the engineer's graph, or the one that a search found of the engineer's mix; None where there is none.
    """

    song: Song
    kind: str
    engineer: MixedSong | None


@dataclass(frozen=True)
class Row:
    """The judgement of one mix of one song."""

    song: str
    kind: str
    method: str
    judgement: Judgement


def excerpt(song: Song, seconds: float | None) -> Song:
    """Returns the middle of a song; all of it if it is not longer, or if `seconds` is None."""
    length = song.num_samples if seconds is None else min(round(seconds * song.sample_rate), song.num_samples)
    first = (song.num_samples - length) // 2
    part = slice(first, first + length)
    sources, mix = song.sources[..., part].clone(), song.mix[..., part].clone()  # the rest need not stay in memory
    return replace(song, sources=sources, mix=mix, groups=(), files=None)


def mixed_by_result(song: Song, folder: Path) -> MixedSong:
    """Reads the graph of a result folder for a song.

    Raises:
        FileNotFoundError, ValueError: no result folder, or one of other tracks.
    """
    found = load_result(folder).at_sample_rate(song.sample_rate)
    names = [found.graph.names[node] for node in found.graph.inputs]
    if sorted(names) != sorted(song.tracks):
        raise ValueError(
            f"{folder}: a graph of the tracks of {song.name} is needed ({', '.join(song.tracks)}), got one of "
            f"{', '.join(names)}"
        )
    order = tuple(song.tracks.index(name) for name in names)
    values = GraphValues(found.graph, found.parameters, found.weights)
    return MixedSong(song, values, found.processors, found.level / song.level, order)


def mixes_of(
    judged: JudgedSong, training: Sequence[EngineersMix], answers: Mapping[str, MixedSong], seed: int
) -> Iterator[tuple[str, MixedSong]]:
    """Yields the mixes of a song that are judged, by name: baselines, answers, and the engineer's."""
    song = judged.song
    processors: Processors = make_processors(song.sample_rate)
    yield PLAIN, as_they_are(song, processors)
    yield SUM, equal_loudness(song, processors, dry_loudness(song))
    if training:
        yield MEAN, mean_levels(song, processors, training)
        if len(training) > 1:  # of one it would be that of the nearest song
            yield RANDOM, graph_of(song, training[seeded(f"{seed}/{song.name}") % len(training)], seed)
        yield NEAREST, graph_of(song, nearest(song, processors, training), seed)
    yield from answers.items()
    if judged.engineer is not None:
        yield ENGINEER, judged.engineer


def mixes_by_song(songs: Sequence[JudgedSong], answers: Mapping[str, Mapping[str, MixedSong]]) -> dict[str, int]:
    """Returns, by song with an engineer's mix that sounds, the number of mixes that `evaluate` yields of it."""
    counts = {}
    for judged in songs:
        name = judged.song.name
        others = sum(s.engineer is not None and s.kind == judged.kind for s in songs if s is not judged)
        learned = 0 if others == 0 else 2 if others == 1 else 3
        given = sum(name in mixes for mixes in answers.values())
        if math.isfinite(integrated_loudness(judged.song.mix, judged.song.sample_rate)):
            counts[name] = 2 + learned + given + (judged.engineer is not None)
    return counts


def check_mixes(songs: Sequence[JudgedSong], answers: Mapping[str, Mapping[str, MixedSong]]) -> None:
    """Renders the mixes that are not baselines once, before anything is judged.

    Raises:
        ValueError: one is silent.
    """
    for judged in songs:
        song = judged.song
        given = {method: mixes[song.name] for method, mixes in answers.items() if song.name in mixes}
        if judged.engineer is not None:
            given[ENGINEER] = judged.engineer
        for method, mixed in given.items():
            if not math.isfinite(integrated_loudness(mixed.mix(), song.sample_rate)):
                raise ValueError(f"{method}: {song.name}: a mix that sounds is needed, got a silent one")


def evaluate(
    songs: Sequence[JudgedSong], answers: Mapping[str, Mapping[str, MixedSong]], seed: int = 0
) -> Iterator[tuple[Row, MixedSong, Judge]]:
    """Judges mixes song by song; the baselines of each song learn from the other songs of its kind.

    Args:
        songs: the songs.
        answers: name of a method -> name of a song -> its mix.
        seed: seeds the choice of random graphs and of tracks.

    Yields:
        A judgement, the mix, and the judge of the song, which brings mixes to the engineer's loudness.

    Raises:
        ValueError: a mix is silent. All but baselines are rendered before the first judgement.
    """
    check_mixes(songs, answers)
    engineers = {judged.song.name: EngineersMix.of(judged.engineer) for judged in songs if judged.engineer is not None}
    for judged in songs:
        name = judged.song.name
        others = [s.song.name for s in songs if s.kind == judged.kind and s.song.name != name]
        training = [engineers[other] for other in others if other in engineers]
        judge = Judge(judged.song, engineers[name].tracks if name in engineers else None)
        given = {method: mixes[name] for method, mixes in answers.items() if name in mixes}
        for method, mixed in mixes_of(judged, training, given, seed):
            try:
                judgement = judge(mixed)
            except ValueError as error:
                raise ValueError(f"{method}: {error}") from error
            yield Row(name, judged.kind, method, judgement), mixed, judge


# What is written.


def medians(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Returns kind -> method -> figure -> median over songs of its size; None where no song has it."""
    result: dict[str, dict[str, dict[str, float | None]]] = {}
    for kind in dict.fromkeys(row.kind for row in rows):
        result[kind] = {}
        for method in dict.fromkeys(row.method for row in rows):
            of = [row.judgement for row in rows if (row.kind, row.method) == (kind, method)]
            if of:
                values = {figure: [v for j in of if (v := getattr(j, figure)) is not None] for figure in FIGURES}
                sizes = {n: [abs(v) if n in _SIGNED else v for v in named] for n, named in values.items()}
                result[kind][method] = {n: round(median(v), 4) if v else None for n, v in sizes.items()}
    return result


def counts(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    """Returns kind -> method -> the number of songs that it was judged on."""
    result: dict[str, dict[str, int]] = {}
    for row in rows:
        of = result.setdefault(row.kind, {})
        of[row.method] = of.get(row.method, 0) + 1
    return result


def report(rows: Sequence[Row]) -> dict[str, Any]:
    """Returns all figures as JSON values."""
    return {
        "medians": medians(rows),
        "counts": counts(rows),
        "songs": [
            {"song": row.song, "kind": row.kind, "method": row.method, **row.judgement.to_dict()} for row in rows
        ],
    }


HEAD = ("mix", "songs", *(_SHOWN[figure] for figure in FIGURES))


def table_lines(rows: Sequence[Row]) -> dict[str, list[tuple[str, ...]]]:
    """Returns kind -> lines of the table of medians, a line for each method, below `HEAD`."""
    judged = counts(rows)
    return {
        kind: [
            (visible(method), str(judged[kind][method]), *(_shown(values[figure]) for figure in FIGURES))
            for method, values in methods.items()
        ]
        for kind, methods in medians(rows).items()
    }


def tables(rows: Sequence[Row]) -> str:
    """Returns the medians as Markdown, a table for each kind of songs."""
    parts = []
    for kind, lines in table_lines(rows).items():
        count = len({row.song for row in rows if row.kind == kind})
        parts.append(f"Medians over {count} {kind}:\n\n{markdown(HEAD, lines)}")
    return "\n".join(parts)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def rows_csv(rows: Sequence[Row]) -> str:
    """Returns all figures as CSV, a line for each mix."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("song", "kind", "method", *FIGURES))
    for row in rows:
        writer.writerow((spreadsheet_cell(row.song), row.kind, row.method, *row.judgement.to_dict().values()))
    return text.getvalue()


def picture(rows: Sequence[Row]) -> bytes:
    """Returns a PNG: for each figure and method a point a song, and a line at the median of each kind."""
    methods = list(dict.fromkeys(row.method for row in rows))[::-1]
    kinds = list(dict.fromkeys(row.kind for row in rows))
    middle = medians(rows)
    figure = Figure(figsize=(3.1 * len(_DRAWN) + 2.2, 1.2 + 0.42 * len(methods)), dpi=110, layout="constrained")
    axes = figure.subplots(1, len(_DRAWN), sharey=True, squeeze=False)[0]
    for axis, name in zip(axes, _DRAWN, strict=True):
        for number, kind in enumerate(kinds):
            shift = 0.14 * (1 - 2 * number) if len(kinds) > 1 else 0.0
            points = [
                (v, methods.index(r.method) + shift) for r in rows if r.kind == kind and (v := _of(r, name)) is not None
            ]
            axis.plot([x for x, _ in points], [y for _, y in points], "o", alpha=0.5, markersize=5, color=f"C{number}")
            lines = [(middle[kind][m][name], methods.index(m) + shift) for m in methods if m in middle[kind]]
            known = [(x, y) for x, y in lines if x is not None]
            label = kind if name == _DRAWN[-1] else None
            axis.plot([x for x, _ in known], [y for _, y in known], "|", markersize=16, color=f"C{number}", label=label)
        axis.set_xlabel(_SHOWN[name])
        axis.set_xlim(left=0)
        axis.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(methods)), [visible(method) for method in methods])
    axes[-1].legend(fontsize="small")
    data = io.BytesIO()
    FigureCanvasAgg(figure).print_png(data)
    return data.getvalue()


def _of(row: Row, name: str) -> float | None:
    value: float | None = getattr(row.judgement, name)
    return value
