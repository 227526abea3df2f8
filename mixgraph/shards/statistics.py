"""The statistics of a data set: those of the paper's Figure 6 and Table 3."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from mixgraph.graph.records import node_letter
from mixgraph.graph.types import MixGraph

DENOMINATORS = {"loss": "target", "loss_prediction": "prediction"}


@dataclass(frozen=True)
class SongFigures:
    """The figures of one song; excerpts of a song count as one song.

    Attributes:
        dataset, song, split, licence: texts from its meta data.
        seconds: the length of the song.
        tracks, subgroups, nodes, edges: their numbers in its graph.
        counts: type -> number of processors in the graph.
        console: type -> number of processors before pruning; None if not known.
        losses: stage and denominator, such as `"dry_sum/target"` -> match loss; only those that are known.
    """

    dataset: str
    song: str
    split: str
    licence: str
    seconds: float
    tracks: int
    subgroups: int
    nodes: int
    edges: int
    counts: Mapping[str, int]
    console: Mapping[str, int] | None
    losses: Mapping[str, float]

    @property
    def processors(self) -> int:
        return sum(self.counts.values())

    @property
    def console_processors(self) -> int | None:
        return None if self.console is None else sum(self.console.values())


def song_figures(meta: Mapping[str, Any], graph: MixGraph, split: str) -> SongFigures:
    """Returns the figures of a sample's song."""
    losses = {
        f"{stage}/{name}": score[key]["full"]
        for stage, score in (meta["losses"] or {}).items()
        for key, name in DENOMINATORS.items()
        if score[key]["full"] is not None
    }
    before = {entry["type"]: entry["console"] for entry in meta["types"]}
    return SongFigures(
        dataset=meta["dataset"],
        song=meta["song"],
        split=split,
        licence=meta["licence"],
        seconds=meta["song_num_samples"] / meta["sample_rate"],
        tracks=len(graph.inputs),
        subgroups=len(set(graph.subgroups)),
        nodes=len(graph),
        edges=len(graph.edges),
        counts={entry["type"]: entry["found"] for entry in meta["types"]},
        console=None if None in before.values() else before,
        losses=losses,
    )


def by_dataset(songs: Sequence[SongFigures]) -> dict[str, list[SongFigures]]:
    """Groups songs by their data set, in alphabetical order."""
    return {name: [song for song in songs if song.dataset == name] for name in sorted({s.dataset for s in songs})}


def pruning_ratio(songs: Iterable[SongFigures], node_type: str | None = None) -> float | None:
    """Returns the mean over songs of the share of processors that was pruned, of all types or one; None if unknown."""
    ratios = []
    for song in songs:
        if song.console is None:
            continue
        before = sum(song.console.values()) if node_type is None else song.console.get(node_type, 0)
        left = song.processors if node_type is None else song.counts.get(node_type, 0)
        if before:
            ratios.append(1 - left / before)
    return fmean(ratios) if ratios else None


def mean_loss(songs: Iterable[SongFigures], name: str) -> float | None:
    """Returns the mean over songs of a loss such as `"found/target"`; None if no song has it."""
    known = [song.losses[name] for song in songs if name in song.losses]
    return fmean(known) if known else None


def table_3(songs: Sequence[SongFigures], types: Sequence[str]) -> list[list[str]]:
    """Returns the paper's Table 3: losses (over the prediction's norm) and pruning ratios, by data set."""
    head = ["data set", "songs", "loss (target)", "loss (prediction)", "ratio", *map(node_letter, types)]
    rows = [
        [
            name,
            str(len(members)),
            shown(mean_loss(members, "found/target"), 3),
            shown(mean_loss(members, "found/prediction"), 3),
            shown(pruning_ratio(members)),
            *(shown(pruning_ratio(members, node_type)) for node_type in types),
        ]
        for name, members in (*by_dataset(songs).items(), ("all", songs))
    ]
    return [head, *rows]


def table_losses(songs: Sequence[SongFigures]) -> list[list[str]]:
    """Returns the mean match losses of dry sum, trained console and found graph, over both denominators."""
    head = ["match loss", *(f"over the {name}'s norm" for name in DENOMINATORS.values())]
    labels = {"dry_sum": "sum of the dry tracks", "console": "console, trained", "found": "found graph"}
    return [head] + [
        [label, *(shown(mean_loss(songs, f"{stage}/{name}"), 3) for name in DENOMINATORS.values())]
        for stage, label in labels.items()
    ]


def table_sizes(songs: Sequence[SongFigures]) -> list[list[str]]:
    """Returns minimum, mean and maximum over songs of the numbers that Figure 6 shows as histograms."""
    head = ["a song has", "least", "mean", "most"]
    rows = []
    for label, values in size_columns(songs).items():
        if values:
            low, high = (
                f"{value:g}" if value == round(value) else f"{value:.1f}" for value in (min(values), max(values))
            )
            rows.append([label, low, f"{fmean(values):.1f}", high])
    return [head, *rows]


def size_columns(songs: Sequence[SongFigures]) -> dict[str, list[float]]:
    """Returns label -> one value for each song whose value is known."""
    return {
        "tracks": [song.tracks for song in songs],
        "subgroups": [song.subgroups for song in songs],
        "processors of the console": [s.console_processors for s in songs if s.console_processors is not None],
        "processors": [song.processors for song in songs],
        "nodes": [song.nodes for song in songs],
        "edges": [song.edges for song in songs],
        "seconds": [song.seconds for song in songs],
    }


def shown(value: float | None, digits: int = 2) -> str:
    """Formats a number for a table; None is a dash."""
    return "-" if value is None else f"{value:.{digits}f}"


def _cell(text: str) -> str:
    """A text that stays in its cell, and is no HTML."""
    return " ".join(text.splitlines()).replace("|", "\\|").replace("<", "&lt;")


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Formats a table in Markdown; its first row is the header."""
    lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])
