"""Summaries of a measurement: medians over seeds, for each song and configuration, and medians over all songs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from statistics import fmean, median, median_high
from typing import Any

from mixgraph.recovery.agreement import Agreement
from tools.bench.fidelity.curve import first_at
from tools.bench.fidelity.equal_graphs import equal_figures
from tools.bench.fidelity.runs import PEER, Answer
from tools.bench.fidelity.truth import Processor, agreement

_LOSSES = ("loss_target", "loss_prediction", "stft", "loudness_lu", "centroid_octaves")
Runs = dict[tuple[str, str], list[Answer]]
"""(song, configuration) -> the answers of `run_search`, one a seed."""

Summaries = dict[tuple[str, str], dict[str, float | None]]
"""(song, configuration) -> medians by name; None where a value is not known."""

RESPONSES = ("level_db", "pan", "equalizer_db", "worst_db", "equalizer_in_target", "in_target")
"""Medians over tracks that `measure_responses` returns."""


def summarise(runs: Runs, stated: float | None = None) -> Summaries:
    """Makes a summary for each song and configuration; unknown values are None.

    Args:
        runs: the results of the searches.
        stated: a loss over the target's norm; the summary then also has the steps and seconds until it is reached.
    """
    return {(song, name): _summary(answers, runs.get((song, PEER)), stated) for (song, name), answers in runs.items()}


def _summary(answers: Sequence[Answer], peer: Sequence[Answer] | None, stated: float | None) -> dict[str, float | None]:
    def middle(of: Callable[[Answer], float | None]) -> float | None:
        known = [value for value in map(of, answers) if value is not None]
        return median(known) if known else None

    keys = (*_LOSSES, "pruning_ratio", "seconds")
    summary = {key: middle(lambda answer, key=key: answer[key]) for key in keys}  # type: ignore[misc]
    summary["num_processors"] = middle(lambda answer: sum(answer["found"].values()))
    for name in ("f1", "precision", "recall"):
        summary[name] = middle(lambda answer, name=name: answer["truth"] and answer["truth"]["all"][name])  # type: ignore[misc]
    for name in equal_figures(None):
        summary[name] = middle(lambda answer, name=name: equal_figures(answer.get("equal"))[name])  # type: ignore[misc]
    for key in RESPONSES:
        summary[key] = middle(lambda answer, key=key: answer.get("responses") and answer["responses"][key])  # type: ignore[misc]
    summary["worst_octave_db"] = middle(
        lambda answer: max(map(abs, answer.get("octaves_db", {}).values()), default=None)
    )
    pairs = [agreement(_keys(a), _keys(b))["all"]["f1"] for a, b in combinations(answers, 2)]
    summary["seed_agreement"] = fmean(1.0 if f1 is None else f1 for f1 in pairs) if pairs else None
    # The peer optimises the loss over the prediction's norm: to that one it is held. Of an even number of its
    # seeds the higher middle one is taken, which half of them reach.
    end = median_high(answer["loss_prediction"] for answer in peer) if peer else None

    def until(coordinate: str, loss: float | None, key: str) -> float | None:
        """Returns the median until a loss is reached; a seed that never reaches it counts as later than any other."""
        if loss is None:
            return None
        reached = [first_at(answer["curve"], loss, key, coordinate) for answer in answers]
        return _if_finite(median(math.inf if value is None else value for value in reached))

    for coordinate, name in (("step", "steps"), ("seconds", "seconds")):
        summary[f"{name}_to_reference"] = until(coordinate, end, "loss_prediction")
        summary[f"{name}_to_stated"] = until(coordinate, stated, "loss_target")
    return summary


def _if_finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _keys(answer: Answer) -> list[Processor]:
    return [tuple(place) for place in answer["processors"]]  # places from a file are lists


def type_ratios(answers: Sequence[Answer]) -> dict[str, float]:
    """Median pruning ratio of each type of the console."""
    types = sorted({t for answer in answers for t in answer["console"]})
    return {
        t: median(1 - answer["found"].get(t, 0) / answer["console"][t] for answer in answers if t in answer["console"])
        for t in types
    }


def against_peer(
    summaries: Summaries,
) -> dict[str, dict[str, float | None]]:
    """Configuration -> medians over songs: ratio of losses, differences of pruning ratios, share of steps."""
    songs = [song for song, name in summaries if name == PEER]
    medians: dict[str, dict[str, float | None]] = {}
    for name in dict.fromkeys(name for _, name in summaries):
        pairs = [(summaries[song, name], summaries[song, PEER]) for song in songs if (song, name) in summaries]
        if name == PEER or not pairs:
            continue

        def over(of: Callable[[Any, Any], float], key: str, pairs: Any = pairs) -> float | None:
            """Returns the median over songs; a song on which ours never reaches the peer's loss counts as later."""
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
    """Divides our value by the peer's; 1 if both are 0."""
    if theirs == 0:
        return 1.0 if ours == 0 else math.inf
    return ours / theirs


def type_agreements(runs: Runs) -> dict[tuple[str, str], Agreement]:
    """Returns (configuration, type) -> numbers of true, found and common processors, over seeds and known truths."""
    counts: dict[tuple[str, str], list[Agreement]] = {}
    for (_, name), answers in runs.items():
        for answer in answers:
            for node_type, row in (answer["truth"] or {}).items():
                counts.setdefault((name, node_type), []).append(Agreement(row["true"], row["found"], row["matched"]))
    return {
        key: Agreement(*(sum(getattr(counted, name) for counted in all_of) for name in ("true", "found", "matched")))
        for key, all_of in counts.items()
    }
