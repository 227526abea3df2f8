"""Tables 1 and 5: consoles of one processor type more each, trained and not pruned."""

from __future__ import annotations

from collections.abc import Mapping

from mixgraph.paper.published import CONSOLES, PART_SIGNS, PARTS
from mixgraph.paper.readings import Reading, check_alike
from mixgraph.paper.rows import about, common_notes, group_songs
from mixgraph.paper.table import Cell, Column, Table, mean

MAY_DIFFER = ("model.track_chain", "model.subgroup_chain")
"""The settings in which the rows of Tables 1 and 5 differ."""
_NAMES = {
    "": "Base graph (sum of dry sources)",
    "g": "+ Gain/panning",
    "sg": "+ Stereo imager",
    "esg": "+ Equalizer",
    "esgr": "+ Reverb",
    "ecsgr": "+ Compressor",
    "ecnsgr": "+ Noisegate",
    "ecnsgdr": "+ Multitap delay (full)",
}
_TITLES = {
    False: "Match losses of consoles, beside the paper's Table 1",
    True: "Match losses of consoles by data set, beside the paper's Table 5",
}


def losses_table(
    results: Mapping[str, Mapping[str, Reading]],
    data_sets: Mapping[str, str],
    *,
    by_data_set: bool = False,
    reasons: Mapping[str, str] | None = None,
) -> Table:
    """Makes Table 1, or Table 5 with the rows of every data set.

    Args:
        results: chain -> song -> result of a search without rounds of pruning.
        data_sets: song -> data set.
        by_data_set: Table 5 instead of Table 1.
        reasons: song -> why a search of it failed.

    Raises:
        ValueError: no song has all results, results are of other settings or versions, or one was pruned.
    """
    readings = [reading for songs in results.values() for reading in songs.values()]
    groups = group_songs(results, data_sets, reasons or {})
    check_alike(readings, MAY_DIFFER)
    for reading in readings:
        if reading.is_pruned:
            raise ValueError(f"result: {reading.folder} was pruned; a console that was only trained is needed")
    rows: list[dict[str, Cell]] = []
    for name, songs in groups.rows(by_data_set).items():
        for chain, of in results.items():
            printed = CONSOLES.get(name, {}).get(chain, {})
            row: dict[str, Cell] = {"data_set": name, "console": _NAMES.get(chain, chain), "chain": chain}
            scores = [of[song].metrics.losses.found for song in songs]
            for part in PARTS:
                row[f"loss_prediction/{part}"] = mean([score.loss_prediction[part] for score in scores])
                row[f"loss/{part}"] = mean([score.loss[part] for score in scores])
                row[f"paper_loss/{part}"] = printed.get(part)
            rows.append(row)
    trained = max(reading.metrics.steps for reading in readings)
    note = f"Every console was trained for {trained} steps (the paper's: 12000), the base graph has nothing to train."
    return Table(
        name="table_5" if by_data_set else "table_1",
        title=_TITLES[by_data_set],
        columns=_columns(by_data_set),
        rows=rows,
        notes=[*common_notes(readings, groups), note],
        about=about(readings, data_sets),
    )


def _columns(by_data_set: bool) -> list[Column]:
    columns = [Column("data_set", "Data set", "text")] if by_data_set else []
    columns += [Column("console", "Console", "text"), Column("chain", "Chain", "text")]
    for part in PARTS:
        sign = f"L_{PART_SIGNS[part]}"
        columns += [
            Column(f"loss_prediction/{part}", sign),
            Column(f"paper_loss/{part}", f"{sign}, paper"),
            Column(f"loss/{part}", f"{sign}, target"),
        ]
    return columns
