"""The table of a measurement: medians over seeds, a row a song and configuration, and medians over all songs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from statistics import fmean, median, median_high
from typing import Any

from mixgraph.recovery.agreement import Agreement, markdown
from tools.bench.fidelity.curve import first_at
from tools.bench.fidelity.runs import REFERENCE, Answer
from tools.bench.fidelity.truth import Processor, agreement

_LOSSES = ("loss_target", "loss_prediction", "stft", "loudness_lu", "centroid_octaves")
PARTS = ("full", "lr", "mid", "side")
Runs = dict[tuple[str, str], list[Answer]]
"""(song, configuration) -> what its seeds found."""

# Title, key of a summary, digits.
COLUMNS = (
    ("loss / target", "loss_target", 3),
    ("loss / prediction", "loss_prediction", 3),
    ("other STFT", "stft", 3),
    ("loudness (LU)", "loudness_lu", 2),
    ("centroid (oct.)", "centroid_octaves", 3),
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


def summarise(runs: Runs, stated: float | None = None) -> dict[tuple[str, str], dict[str, float | None]]:
    """One summary a song and configuration; None where a value is not known.

    Args:
        runs: of the searches.
        stated: a loss over the target's norm; when it is reached is told, too.
    """
    return {
        (song, name): _summary(answers, runs.get((song, REFERENCE)), stated) for (song, name), answers in runs.items()
    }


def _summary(
    answers: Sequence[Answer], reference: Sequence[Answer] | None, stated: float | None
) -> dict[str, float | None]:
    def middle(of: Callable[[Answer], float | None]) -> float | None:
        known = [value for value in map(of, answers) if value is not None]
        return median(known) if known else None

    keys = (*_LOSSES, "pruning_ratio", "seconds")
    summary = {key: middle(lambda answer, key=key: answer[key]) for key in keys}  # type: ignore[misc]
    summary["num_processors"] = middle(lambda answer: sum(answer["found"].values()))
    for name in ("f1", "precision", "recall"):
        summary[name] = middle(lambda answer, name=name: answer["truth"] and answer["truth"]["all"][name])  # type: ignore[misc]
    for _, key, _ in RESPONSE_COLUMNS:
        summary[key] = middle(lambda answer, key=key: answer.get("responses") and answer["responses"][key])  # type: ignore[misc]
    pairs = [agreement(_keys(a), _keys(b))["all"]["f1"] for a, b in combinations(answers, 2)]
    summary["seed_agreement"] = fmean(1.0 if f1 is None else f1 for f1 in pairs) if pairs else None
    # The reference optimises the loss over the prediction's norm: to that one it is held. Of an even number of its
    # seeds the higher middle one is taken, which half of them reach.
    end = median_high(answer["loss_prediction"] for answer in reference) if reference else None

    def until(what: str, loss: float | None, key: str) -> float | None:
        """The median, where a seed that never comes there counts as later than any other."""
        if loss is None:
            return None
        reached = [first_at(answer["curve"], loss, key, what) for answer in answers]
        return _if_finite(median(math.inf if value is None else value for value in reached))

    for what, name in (("step", "steps"), ("seconds", "seconds")):
        summary[f"{name}_to_reference"] = until(what, end, "loss_prediction")
        summary[f"{name}_to_stated"] = until(what, stated, "loss_target")
    return summary


def _if_finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _keys(answer: Answer) -> list[Processor]:
    return [tuple(place) for place in answer["processors"]]  # lists, where they come from a file


def type_ratios(answers: Sequence[Answer]) -> dict[str, float]:
    """Median pruning ratio of each type of the console."""
    types = sorted({t for answer in answers for t in answer["console"]})
    return {
        t: median(1 - answer["found"].get(t, 0) / answer["console"][t] for answer in answers if t in answer["console"])
        for t in types
    }


def against_reference(
    summaries: dict[tuple[str, str], dict[str, float | None]],
) -> dict[str, dict[str, float | None]]:
    """Configuration -> medians over songs: ratio of losses, differences of pruning ratios, share of steps."""
    songs = [song for song, name in summaries if name == REFERENCE]
    medians: dict[str, dict[str, float | None]] = {}
    for name in dict.fromkeys(name for _, name in summaries):
        pairs = [(summaries[song, name], summaries[song, REFERENCE]) for song in songs if (song, name) in summaries]
        if name == REFERENCE or not pairs:
            continue

        def over(of: Callable[[Any, Any], float], key: str, pairs: Any = pairs) -> float | None:
            """The median over songs; a song on which ours never comes to the reference's loss counts as later."""
            known = [of(math.inf if a[key] is None else a[key], b[key]) for a, b in pairs if b[key] is not None]
            return _if_finite(median(known)) if known else None

        ratios = {key: over(_ratio, key) for key in _LOSSES}
        medians[name] = ratios | {
            "pruning_ratio": over(lambda a, b: a - b, "pruning_ratio"),
            "steps": over(_ratio, "steps_to_reference"),
            "seconds to its loss": over(_ratio, "seconds_to_reference"),
            "seconds": over(_ratio, "seconds"),
        }
    return medians


def _ratio(ours: float, theirs: float) -> float:
    """Ours over the reference's; 1 where neither has any."""
    if theirs == 0:
        return 1.0 if ours == 0 else math.inf
    return ours / theirs


def type_agreements(runs: Runs) -> dict[tuple[str, str], Agreement]:
    """(configuration, type) -> how many processors are true, found and both, over seeds and songs of known truth."""
    counts: dict[tuple[str, str], list[Agreement]] = {}
    for (_, name), answers in runs.items():
        for answer in answers:
            for node_type, row in (answer["truth"] or {}).items():
                counts.setdefault((name, node_type), []).append(Agreement(row["true"], row["found"], row["matched"]))
    return {
        key: Agreement(*(sum(getattr(counted, name) for counted in all_of) for name in ("true", "found", "matched")))
        for key, all_of in counts.items()
    }


def to_markdown(runs: Runs, head: Sequence[str], stated: float | None = None) -> str:
    """The report, see `summarise`."""
    summaries = summarise(runs, stated)
    columns = COLUMNS if stated is None else (*COLUMNS, *STATED_COLUMNS)

    def cell(value: float | None, digits: int) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    rows = [
        (song, name, *(cell(summary[key], digits) for _, key, digits in columns))
        for (song, name), summary in summaries.items()
    ]
    lines = ["# Fidelity", "", *head, "", markdown(("song", "rules", *(title for title, *_ in columns)), rows)]
    ratios = against_reference(summaries)
    if ratios:
        keys = list(next(iter(ratios.values())))
        overall = [(name, *(cell(values[key], 3) for key in keys)) for name, values in ratios.items()]
        lines += [
            "## Against the reference, median over songs",
            "",
            "Ratios; of the pruning ratio the difference; of steps, those to the reference's final loss.",
            "",
            markdown(("rules", *keys), overall),
        ]
    types = sorted({t for answers in runs.values() for answer in answers for t in answer["console"]})
    by_type = [
        (song, name, *(cell(type_ratios(answers).get(t), 2) for t in types)) for (song, name), answers in runs.items()
    ]
    lines += ["## Pruning ratio of each type", "", markdown(("song", "rules", *types), by_type)]
    agreements = type_agreements(runs)
    if agreements:
        counted = [
            (
                *key,
                values.true,
                values.found,
                values.matched,
                *(cell(v, 2) for v in (values.precision, values.recall, values.f1)),
            )
            for key, values in agreements.items()
        ]
        lines += [
            "## Processors of each type against the truth, all songs and seeds together",
            "",
            markdown(("rules", "type", "true", "found", "in both", "precision", "recall", "F1"), counted),
        ]
    known = [
        key for key, summary in summaries.items() if any(summary[name] is not None for _, name, _ in RESPONSE_COLUMNS)
    ]
    if known:
        rows = [(*key, *(cell(summaries[key][name], digits) for _, name, digits in RESPONSE_COLUMNS)) for key in known]
        lines += [
            "## Gain, pan and equalizer against the truth",
            "",
            "By truth.json, or by the graph that made the mix: errors of each track's direct sound, in third-octave "
            "bands in which it has energy; medians over tracks.",
            "",
            markdown(("song", "rules", *(title for title, *_ in RESPONSE_COLUMNS)), rows),
        ]
    errors = _errors(runs)
    if errors:
        lines += ["## Errors of settings, median over songs, seeds and processors", "", errors]
    return "\n".join(lines)


def losses_after_steps(runs: Runs, steps: Sequence[int]) -> str:
    """The match loss by the published protocol, over the prediction's norm, after numbers of steps of ours."""
    rows = []
    for (song, name), answers in runs.items():
        for step in steps:
            terms = [
                point["published_terms"] for answer in answers for point in answer["curve"] if point["step"] == step
            ]
            if terms and name != REFERENCE:
                rows.append((song, name, step, *(f"{median(parts[part] for parts in terms):.6g}" for part in PARTS)))
    lines = ["## Losses after given steps, by the published protocol, over the prediction's norm", ""]
    return "\n".join([*lines, markdown(("song", "rules", "step", *PARTS), rows)])


def _errors(runs: Runs) -> str:
    groups: dict[tuple[str, str, str, str], list[float]] = {}
    for (_, name), answers in runs.items():
        for answer in answers:
            for error in answer["errors"]:
                groups.setdefault((name, error["type"], error["quantity"], error["unit"]), []).append(error["error"])
    if not groups:
        return ""
    rows = [(*key, len(values), f"{median(values):.3g}") for key, values in groups.items()]
    return markdown(("rules", "type", "quantity", "unit", "values", "median error"), rows)
