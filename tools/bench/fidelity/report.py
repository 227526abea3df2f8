"""The report of a measurement as Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from mixgraph.recovery.agreement import markdown
from tools.bench.fidelity.equal_graphs import equal_markdown
from tools.bench.fidelity.runs import PEER
from tools.bench.fidelity.table import (
    RESPONSES,
    Runs,
    Summaries,
    against_peer,
    summarise,
    type_agreements,
    type_ratios,
)

# Title, key of a summary, digits.
COLUMNS = (
    ("loss / target", "loss_target", 3),
    ("loss / prediction", "loss_prediction", 3),
    ("other STFT", "stft", 3),
    ("loudness (LU)", "loudness_lu", 2),
    ("centroid (oct.)", "centroid_octaves", 3),
    ("worst octave (dB)", "worst_octave_db", 1),
    ("pruning ratio", "pruning_ratio", 3),
    ("processors", "num_processors", 0),
    ("seconds", "seconds", 0),
    ("steps to the reference's loss", "steps_to_reference", 0),
    ("seconds to it", "seconds_to_reference", 0),
    ("agreement of seeds", "seed_agreement", 2),
    ("F1", "f1", 2),
    ("precision", "precision", 2),
    ("recall", "recall", 2),
)

STATED_COLUMNS = (("steps to the stated loss", "steps_to_stated", 0), ("seconds to it", "seconds_to_stated", 0))
"""Further columns, where a loss is stated."""

RESPONSE_COLUMNS = (
    ("level (dB)", "level_db", 2),
    ("pan", "pan", 3),
    ("equalizer (dB)", "equalizer_db", 2),
    ("worst band (dB)", "worst_db", 2),
    ("bands within 1 dB, level aside", "equalizer_in_target", 2),
    ("bands within 1 dB", "in_target", 2),
)

PARTS = ("full", "lr", "mid", "side")
"""The parts of a match loss."""


def to_markdown(runs: Runs, head: Sequence[str], stated: float | None = None) -> str:
    """Formats the whole report.

    Args:
        runs: the results of the searches.
        head: the lines below the title.
        stated: a loss over the target's norm to report when it is reached, see `summarise`.
    """
    summaries = summarise(runs, stated)
    columns = COLUMNS if stated is None else (*COLUMNS, *STATED_COLUMNS)
    sections = [
        _summary_table(summaries, list(summaries), columns),
        _ratios(summaries),
        _pruning_ratios(runs),
        _agreements(runs),
        equal_markdown({key: [answer.get("equal") for answer in answers] for key, answers in runs.items()}),
        _octaves(runs),
        _responses(summaries),
        _errors(runs),
    ]
    return "\n".join(["# Fidelity", "", *head, "", *filter(None, sections)])


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _summary_table(
    summaries: Summaries, keys: Sequence[tuple[str, str]], columns: Sequence[tuple[str, str, int]]
) -> str:
    rows = [(*key, *(_cell(summaries[key][name], digits) for _, name, digits in columns)) for key in keys]
    return markdown(("song", "rules", *(title for title, *_ in columns)), rows)


def _ratios(summaries: Summaries) -> str:
    ratios = against_peer(summaries)
    if not ratios:
        return ""
    keys = list(next(iter(ratios.values())))
    rows = [(name, *(_cell(values[key], 3) for key in keys)) for name, values in ratios.items()]
    text = "Ratios; of the pruning ratio the difference; of steps, those to the reference's final loss."
    return f"## Against the reference, median over songs\n\n{text}\n\n{markdown(('rules', *keys), rows)}"


def _pruning_ratios(runs: Runs) -> str:
    types = sorted({t for answers in runs.values() for answer in answers for t in answer["console"]})
    rows = []
    for key, answers in runs.items():
        ratios = type_ratios(answers)
        rows.append((*key, *(_cell(ratios.get(t), 2) for t in types)))
    return f"## Pruning ratio of each type\n\n{markdown(('song', 'rules', *types), rows)}"


def _agreements(runs: Runs) -> str:
    agreements = type_agreements(runs)
    if not agreements:
        return ""
    rows = []
    for key, counted in agreements.items():
        shares = (_cell(share, 2) for share in (counted.precision, counted.recall, counted.f1))
        rows.append((*key, counted.true, counted.found, counted.matched, *shares))
    title = "## Processors of each type against the truth, all songs and seeds together"
    head = ("rules", "type", "true", "found", "in both", "precision", "recall", "F1")
    return f"{title}\n\n{markdown(head, rows)}"


def _octaves(runs: Runs) -> str:
    measured = {
        key: [answer["octaves_db"] for answer in answers if "octaves_db" in answer] for key, answers in runs.items()
    }
    names = next((list(seeds[0]) for seeds in measured.values() if seeds), [])
    if not names:
        return ""
    rows = [
        (*key, *(f"{median(octaves[name] for octaves in seeds):+.1f}" for name in names))
        for key, seeds in measured.items()
        if seeds
    ]
    text = "The level of the mix against its target in dB, by octave; medians over seeds."
    return f"## Level error by octave\n\n{text}\n\n{markdown(('song', 'rules', *names), rows)}"


def _responses(summaries: Summaries) -> str:
    known = [key for key, summary in summaries.items() if any(summary[name] is not None for name in RESPONSES)]
    if not known:
        return ""
    text = (
        "By truth.json, or by the graph that made the mix: errors of each track's direct sound, in third-octave bands "
        "in which it has energy; medians over tracks."
    )
    table = _summary_table(summaries, known, RESPONSE_COLUMNS)
    return f"## Gain, pan and equalizer against the truth\n\n{text}\n\n{table}"


def _errors(runs: Runs) -> str:
    groups: dict[tuple[str, str, str, str], list[float]] = {}
    for (_, name), answers in runs.items():
        for answer in answers:
            for error in answer["errors"]:
                groups.setdefault((name, error["type"], error["quantity"], error["unit"]), []).append(error["error"])
    if not groups:
        return ""
    rows = [(*key, len(values), f"{median(values):.3g}") for key, values in groups.items()]
    table = markdown(("rules", "type", "quantity", "unit", "values", "median error"), rows)
    return f"## Errors of settings, median over songs, seeds and processors\n\n{table}"


def losses_after_steps(runs: Runs, steps: Sequence[int]) -> str:
    """Formats our match loss after numbers of steps, by the published protocol over the prediction's norm."""
    rows = []
    for (song, name), answers in runs.items():
        for step in steps:
            terms = [
                point["published_terms"] for answer in answers for point in answer["curve"] if point["step"] == step
            ]
            if terms and name != PEER:
                rows.append((song, name, step, *(f"{median(parts[part] for parts in terms):.6g}" for part in PARTS)))
    lines = ["## Losses after given steps, by the published protocol, over the prediction's norm", ""]
    return "\n".join([*lines, markdown(("song", "rules", "step", *PARTS), rows)])
