"""Tables 2 and 6: samplers and tolerances, with the loss, what is pruned of each type, and the minutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mixgraph.losses import SongScore
from mixgraph.paper.published import (
    ALL,
    CONSOLES,
    DEFAULT_METHOD,
    MINUTES,
    PRUNING,
    SAMPLER_NAMES,
    TYPE_SIGNS,
    TYPES,
    Method,
    Pruned,
)
from mixgraph.paper.readings import Reading, check_alike
from mixgraph.paper.rows import about, common_notes, group_songs
from mixgraph.paper.table import Cell, Column, Table, mean

MAY_DIFFER = ("pruning.sampler", "pruning.tolerance", "pruning.order", "pruning.leave_one_out")
"""The settings in which the rows of Tables 2 and 6 differ."""
_FULL_CHAIN = "ecnsgdr"
_TITLES = {
    False: "Pruning by samplers and tolerances, beside the paper's Table 2",
    True: "Pruning by samplers and tolerances, by data set, beside the paper's Table 6",
}


def pruning_table(
    results: Mapping[Method, Mapping[str, Reading]],
    data_sets: Mapping[str, str],
    *,
    by_data_set: bool = False,
    whole_training: Mapping[str, Reading] | None = None,
    reasons: Mapping[str, str] | None = None,
) -> Table:
    """Makes Table 2, or Table 6 with the rows of every data set.

    The console's row has the losses of the trained console that every search measures before it prunes.

    Args:
        results: (sampler, tolerance) -> song -> result.
        data_sets: song -> data set.
        by_data_set: Table 6 instead of Table 2.
        whole_training: song -> the full console that was trained for as many steps as a search has together (last row
            of Table 1), where it was; it is the paper's first row.
        reasons: song -> why a search of it failed.

    Raises:
        ValueError: no song has all results, or results are of other settings or versions.
    """
    readings = [reading for songs in results.values() for reading in songs.values()]
    groups = group_songs(results, data_sets, reasons or {})
    check_alike(readings, MAY_DIFFER)
    trained = results.get(DEFAULT_METHOD) or next(iter(results.values()))
    rows: list[dict[str, Cell]] = []
    for name, songs in groups.rows(by_data_set).items():
        head: dict[str, Cell] = {"data_set": name}
        paper = CONSOLES.get(name, {}).get(_FULL_CHAIN, {}).get("full")
        whole = [whole_training[song] for song in songs if song in whole_training] if whole_training else []
        has_whole = len(whole) == len(songs)
        scores = [trained[song].metrics.losses.console for song in songs]
        rows.append(head | {"method": "Mix console"} | _losses(scores, None if has_whole else paper))
        if has_whole:
            scores = [reading.metrics.losses.found for reading in whole]
            rows.append(head | {"method": "Mix console, all steps"} | _losses(scores, paper))
        rows += [head | _row(name, method, [of[song] for song in songs]) for method, of in results.items()]
    return Table(
        name="table_6" if by_data_set else "table_2",
        title=_TITLES[by_data_set],
        columns=_columns(by_data_set),
        rows=rows,
        notes=[*common_notes(readings, groups), _console_note(readings[0]), *_minutes_note(readings)],
        about=about(readings, data_sets),
    )


def _columns(by_data_set: bool) -> list[Column]:
    columns = [Column("data_set", "Data set", "text")] if by_data_set else []
    columns += [
        Column("method", "Sampler", "text"),
        Column("tolerance", "τ", "text"),
        Column("loss_prediction", "L_a"),
        Column("paper_loss", "L_a, paper"),
        Column("loss", "L_a, target"),
        *ratio_columns(),
    ]
    return [*columns, Column("minutes", "min", "minutes"), Column("paper_minutes", "min, paper", "minutes")]


def ratio_columns() -> list[Column]:
    """The columns of `ratios` and `printed_ratios`."""
    columns = [Column("ratio", "ρ", "ratio"), Column("paper_ratio", "ρ, paper", "ratio")]
    for kind in TYPES:
        sign = f"ρ_{TYPE_SIGNS[kind]}"
        columns += [Column(f"ratio/{kind}", sign, "ratio"), Column(f"paper_ratio/{kind}", f"{sign}, paper", "ratio")]
    return columns


def _losses(scores: Sequence[SongScore], paper: float | None) -> dict[str, Cell]:
    return {
        "loss_prediction": mean([score.loss_prediction["full"] for score in scores]),
        "loss": mean([score.loss["full"] for score in scores]),
        "paper_loss": paper,
    }


def _row(name: str, method: Method, readings: Sequence[Reading]) -> dict[str, Cell]:
    sampler, tolerance = method
    printed = PRUNING.get(name, {}).get(method)
    row: dict[str, Cell] = {"method": SAMPLER_NAMES.get(sampler, sampler), "tolerance": f"{tolerance:g}"}
    row |= _losses([reading.metrics.losses.found for reading in readings], printed.loss if printed else None)
    row |= ratios(readings)
    row["minutes"] = mean([reading.minutes for reading in readings])
    if printed:
        row |= printed_ratios(printed)
    if name == ALL and tolerance == DEFAULT_METHOD[1]:
        row["paper_minutes"] = MINUTES.get(sampler)
    return row


def ratios(readings: Sequence[Reading]) -> dict[str, Cell]:
    """Means over songs of the share of the console's processors that was pruned, together and by type."""
    by_type = [reading.metrics.pruning_ratio_by_type or {} for reading in readings]
    return {
        "ratio": mean([reading.metrics.pruning_ratio for reading in readings]),
        **{f"ratio/{kind}": mean([shares.get(kind) for shares in by_type]) for kind in TYPES},
    }


def printed_ratios(printed: Pruned) -> dict[str, Cell]:
    """The shares of processors that the paper pruned, together and by type."""
    by_type = {f"paper_ratio/{kind}": value for kind, value in printed.ratio_by_type.items()}
    return {"paper_ratio": printed.ratio, **by_type}


def _console_note(reading: Reading) -> str:
    pruning, steps = reading.config["pruning"], reading.config["data"]["steps_per_stage"]
    console = pruning["console_stages"] * steps
    return (
        f"Schedule: {console} steps of the console and {pruning['rounds']} rounds of pruning with {steps} steps each "
        f"(the paper's: 6000 and 12 of 500). Mix console: after the {console} steps, where pruning begins; all steps: "
        "trained for as many steps as a search has together, as the paper's row is."
    )


def _minutes_note(readings: Sequence[Reading]) -> list[str]:
    return [
        "Minutes are those of a whole search, with the console's training, without the measuring of loss increases; "
        "the paper's are of an RTX 3090 and the whole schedule."
    ]
