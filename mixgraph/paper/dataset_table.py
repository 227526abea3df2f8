"""Table 3: the graphs of a built data set, before its quality rules and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixgraph.dataset.files import read_lines
from mixgraph.dataset.folder import SONGS
from mixgraph.paper.pruning_table import printed_ratios, ratio_columns, ratios
from mixgraph.paper.published import ALL, DATA_SETS, FULL_DATA
from mixgraph.paper.readings import Reading, check_alike, read_search
from mixgraph.paper.table import Cell, Column, Table, mean

SEARCHED, ACCEPTED = "every searched song", "accepted songs"


@dataclass(frozen=True, eq=False)
class BuiltSet:
    """The songs of a folder that `build-dataset` wrote.

    Attributes:
        name: the name of the data set.
        searched: song -> the best of its results, of all songs that were searched.
        accepted: the songs that break no quality rule.
        failed: song -> why it has no result.
    """

    name: str
    searched: Mapping[str, Reading]
    accepted: frozenset[str]
    failed: Mapping[str, str]

    def songs(self, kind: str) -> list[Reading]:
        """Returns the results of all searched songs, or of the accepted ones."""
        return [reading for song, reading in self.searched.items() if kind == SEARCHED or song in self.accepted]


def read_built_set(name: str, folder: Path) -> BuiltSet:
    """Reads a folder that `build-dataset` wrote.

    Raises:
        FileNotFoundError: the folder is no data set's.
        ValueError: a result in it is unfinished or damaged.
    """
    if not (folder / SONGS).is_file():
        raise FileNotFoundError(f"dataset: {folder}: a folder that build-dataset wrote is needed ({SONGS} is missing)")
    searched: dict[str, Reading] = {}
    accepted: set[str] = set()
    failed: dict[str, str] = {}
    for row in read_lines(folder / SONGS):
        song, search = row["song"], row.get("search")
        if search is None:
            failed[song] = "; ".join(row["reasons"])
            continue
        searched[song] = read_search(folder / "results" / song / f"run_{search['best_run']}")
        if row["status"] == "accepted":
            accepted.add(song)
    if not searched:
        raise ValueError(f"dataset: {folder}: at least one song with a result is needed, got none")
    return BuiltSet(name, searched, frozenset(accepted), failed)


def check_data_sets(built: Sequence[BuiltSet]) -> None:
    """Refuses data sets that no table or figure can hold together.

    Raises:
        ValueError: no data set, two of one name, one of the name `ALL`, or results of other settings or versions.
    """
    names = [data_set.name for data_set in built]
    if not built or len({*names, ALL}) <= len(names):
        raise ValueError(
            f"dataset: at least one is needed, each name once and none of them {ALL!r}, got "
            f"{', '.join(names) or 'none'}. HINT: NAME=DIR"
        )
    check_alike([reading for data_set in built for reading in data_set.searched.values()])


def dataset_table(built: Sequence[BuiltSet]) -> Table:
    """Makes Table 3 with two rows a data set, before and after its quality rules, and two for all of them.

    Raises:
        ValueError: as `check_data_sets`.
    """
    check_data_sets(built)
    groups = {**{data_set.name: [data_set] for data_set in built}, ALL: list(built)}
    rows: list[dict[str, Cell]] = []
    for name, sets in groups.items():
        for kind in (SEARCHED, ACCEPTED):
            readings = [reading for data_set in sets for reading in data_set.songs(kind)]
            rows.append(_row(name, kind, readings))
    denominator = next(iter(built[0].searched.values())).metrics.denominator
    notes = [
        "Means over songs, of the best of a song's searches. The paper has no quality rules: its values are beside "
        "ours before them. Losses are over the norm of the prediction as in the paper, very probably, and over the "
        f"norm of the target; the searches trained on the one over the {denominator}."
    ]
    for data_set in built:
        notes += [f"No result of {song} ({data_set.name}): {why}." for song, why in data_set.failed.items()]
    return Table(
        "table_3",
        "Pruning of whole data sets before and after quality rules, beside the paper's Table 3",
        _columns(),
        rows,
        notes,
        {"songs": {data_set.name: sorted(data_set.searched) for data_set in built}},
    )


def _row(name: str, kind: str, readings: Sequence[Reading]) -> dict[str, Cell]:
    row: dict[str, Cell] = {"data_set": name, "songs": kind, "count": len(readings)}
    scores = [reading.metrics.losses.found for reading in readings]
    row["loss_prediction"] = mean([score.loss_prediction["full"] for score in scores])
    row["loss"] = mean([score.loss["full"] for score in scores])
    row |= ratios(readings)
    printed = FULL_DATA.get(name) if kind == SEARCHED and (name in DATA_SETS or name == ALL) else None
    if printed:
        row |= {"paper_loss": printed.loss, **printed_ratios(printed)}
    return row


def _columns() -> list[Column]:
    return [
        Column("data_set", "Data set", "text"),
        Column("songs", "Of", "text"),
        Column("count", "Songs", "count"),
        Column("loss_prediction", "L_a"),
        Column("paper_loss", "L_a, paper"),
        Column("loss", "L_a, target"),
        *ratio_columns(),
    ]
