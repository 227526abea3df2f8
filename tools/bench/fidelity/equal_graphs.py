"""How many true processors were found, where graphs are equal that no one can tell apart, and what each equality adds.

    python -m tools.bench.fidelity.equal_graphs SONGS/demo_potassium=RESULT... --out DIR --table TABLE.json

tells it of result folders, and of files `searches.jsonl` of `python -m mixgraph fidelity`, each of a song whose folder
has truth.json and importance.json: a list of `{level, name, position, type, loss_increase}`, the loss increase without
each processor that made the mix. Recall is of the true processors that are worth at least .01 and .03 by it; precision
is over all true processors.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from mixgraph.cli.command_parser import CommandParser
from mixgraph.cli.config_paths import read_saved_config
from mixgraph.graph import MixGraph, build_console, prune
from mixgraph.graph.io import load_graph
from mixgraph.names import shown_name
from mixgraph.recovery.agreement import chain_keys, markdown
from mixgraph.recovery.equivalence import (
    AS_PLACED,
    COMMON_GAIN,
    EQUIVALENCES,
    PlacedProcessor,
    match_chains,
    placed_processors,
    tracks_of_groups,
)
from mixgraph.songs import load_song
from mixgraph.songs.text_files import read_json
from mixgraph.system.files import json_text, parse_json, write_atomically
from tools.bench.cases import Case
from tools.bench.fidelity.truth import our_type, read_settings
from tools.bench.machine import command_line, measured
from tools.bench.recipe import Recipe
from tools.result_tables import write_table

LEAST_WORTHS = (0.0, 0.01, 0.03)
"""Recall is of true processors that are worth so much; 0 takes all."""
GOAL_WORTH = 0.03
"""F1 is of precision and of recall over true processors that are worth so much."""
IMPORTANCE = "importance.json"
_TITLE = "True processors, modulo what cannot be told apart"
_NOTE = (
    "One search each. Precision is over all true processors, recall over all and over those worth .01 and .03, F1 of "
    "precision and the last one. What an equivalence adds: to precision, to recall over those worth .03. F1 has single "
    "tracks and the common gain in it; doubles are told beside it."
)


def true_processors(song: Path) -> list[PlacedProcessor] | None:
    """Reads the processors that made a song's mix, and what they are worth where importance.json says so.

    Returns:
        The processors of truth.json, each chain in the order of the signal; None where there is no such file.

    Raises:
        ValueError: a type is unknown, or importance.json has other processors than truth.json.
    """
    known = read_settings(song)
    if known is None:
        return None
    worths: list[float | None] = [None] * len(known)
    path = song / IMPORTANCE
    if path.is_file():
        left: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for entry in sorted(read_json(path), key=lambda entry: entry["position"]):
            left.setdefault((entry["level"], shown_name(entry["name"])), []).append(entry)
        for i, processor in enumerate(known):
            chain = left.get((processor.level, processor.name)) or [{}]
            entry = chain.pop(0)
            if our_type(entry.get("type", "")) != processor.type:
                raise ValueError(
                    f"{path}: {processor.level} {processor.name}: the processors of truth.json are needed, in their "
                    f"order: {processor.type}, got {entry.get('type', 'none')}"
                )
            worths[i] = float(entry["loss_increase"])
        if unused := sum(map(len, left.values())):
            raise ValueError(f"{path}: {unused} processors that truth.json does not have")
    return [
        PlacedProcessor((one.level, one.name, ()), one.type, worth) for one, worth in zip(known, worths, strict=True)
    ]


def equal_graphs(
    true: Sequence[PlacedProcessor], graph: MixGraph, worths: Sequence[float | None] | None = None
) -> dict[str, Any]:
    """Matches the processors of a found graph with the true ones; equivalence -> numbers, see `Step.to_dict`.

    Args:
        true: the processors that made the mix.
        graph: the found graph.
        worths: the loss increase of each found processor, where it is known.
    """
    steps = match_chains(true, placed_processors(graph, worths), tracks_of_groups(graph))
    return {name: step.to_dict(LEAST_WORTHS) for name, step in steps.items()}


def equal_figures(matched: Mapping[str, Any] | None, equivalence: str = COMMON_GAIN) -> dict[str, float | None]:
    """Precision, recalls and F1 by name, of what `equal_graphs` returned; None where they are not known."""
    step: Mapping[str, Any] = (matched or {}).get(equivalence, {})
    figures: dict[str, float | None] = {"equal_precision": step.get("precision")}
    for worth in LEAST_WORTHS:
        figures[f"equal_recall_{worth:g}"] = step.get("recall", {}).get(f"{worth:g}")
    goal = step.get("f1", {}).get(f"{GOAL_WORTH:g}")
    return figures | {"equal_f1": step.get("f1", {}).get("0") if goal is None else goal}


def equal_markdown(rows: Mapping[tuple[str, str], Sequence[Mapping[str, Any] | None]]) -> str:
    """Formats medians over searches, with what each equivalence adds, as Markdown; empty where no truth is known.

    Args:
        rows: (song, configuration) -> what `equal_graphs` returned for each search, None where no truth is known.
    """
    cells = {key: [matched for matched in searches if matched] for key, searches in rows.items()}
    lines = [(*key, len(searches), *_figures(searches)) for key, searches in cells.items() if searches]
    if not lines:
        return ""
    text = (
        "Graphs that cannot be told apart by listening count as equal (`mixgraph/recovery/equivalence.py`). Precision "
        "is over all true processors; recall over all, and over those worth .01 and .03; F1 of precision and the last "
        "one, or of the first where no worths are known. Then what each equivalence adds to precision and to that "
        "recall; all but `doubles` are in the figures before. Medians over searches."
    )
    return f"## {_TITLE}\n\n{text}\n\n{markdown(('song', 'rules', 'searches', *_TITLES), lines)}"


def _worth(least: float) -> str:
    return f"(worth {least:g})" if least else "(all)"


_TITLES = (
    "precision",
    *(f"recall {_worth(worth)}" for worth in LEAST_WORTHS),
    "F1",
    *(f"by {name}" for name in EQUIVALENCES[1:]),
)


def _figures(searches: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The cells of `_TITLES`: medians over searches."""

    def middle(name: str, equivalence: str = COMMON_GAIN) -> float | None:
        known = [value for matched in searches if (value := equal_figures(matched, equivalence)[name]) is not None]
        return median(known) if known else None

    def added(before: str, after: str) -> str:
        cells = []
        for name in ("equal_precision", _goal_recall(searches)):
            values = [
                (equal_figures(matched, after)[name] or 0.0) - (equal_figures(matched, before)[name] or 0.0)
                for matched in searches
            ]
            cells.append(f"{median(values):+.2f}")
        return ", ".join(cells)

    names = ("equal_precision", *(f"equal_recall_{worth:g}" for worth in LEAST_WORTHS), "equal_f1")
    shares = (_share(middle(name)) for name in names)
    return (*shares, *(added(*pair) for pair in pairwise(EQUIVALENCES)))


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _goal_recall(searches: Sequence[Mapping[str, Any]]) -> str:
    """The recall whose rise is told: over what is worth enough, or over all where worths are not known."""
    goal = f"equal_recall_{GOAL_WORTH:g}"
    return goal if equal_figures(searches[0])[goal] is not None else "equal_recall_0"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "results", nargs="+", metavar="SONG=RESULT", help="folder of a song, and a result of it or a file of searches"
    )
    parser.add_argument("--out", type=Path, help="folder for equal_graphs.json")
    parser.add_argument("--table", type=Path, help="JSON file for the table, as docs/results holds it")
    options = parser.parse_args(arguments)
    matched: dict[tuple[str, str], dict[str, Any]] = {}
    try:
        for text in options.results:
            of_text = _matched(text)
            if twice := matched.keys() & of_text.keys():
                raise ValueError(f"{text}: {', '.join(min(twice))} was given before. HINT: name each result once")
            matched |= of_text
    except (OSError, ValueError) as error:
        parser.error(str(error))
    text = equal_markdown({key: [steps] for key, steps in matched.items()})
    for key, steps in matched.items():
        text += f"\n{', '.join(key)}:\n"
        for which in ("missed", "spurious"):
            labels = (
                one["label"] + ("" if one["worth"] is None else f" ({one['worth']:.3f})")
                for one in sorted(steps[COMMON_GAIN][which], key=lambda one: -(one["worth"] or 0.0))
            )
            text += f"- {which}: {', '.join(labels) or 'none'}\n"
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        record = [{"song": song, "search": name, "matched": steps} for (song, name), steps in matched.items()]
        write_atomically(options.out / "equal_graphs.json", json_text(record, 1).encode())
    if options.table is not None:
        line = command_line("tools.bench.fidelity.equal_graphs", arguments, ("--out", "--table"))
        rows = [
            (*key, _share(equal_figures(steps, AS_PLACED)["equal_f1"]), *_figures([steps]))
            for key, steps in matched.items()
        ]
        columns = ("song", "search", "F1 as placed", *_TITLES)
        write_table(options.table, _TITLE, [measured(line, 1)], columns, rows, _NOTE)
    sys.stdout.write(text)


def searched_steps(result: Path) -> str:
    """The number of steps of the search that a result comes from, as `Recipe` tells it.

    Raises:
        FileNotFoundError: the result has no configuration.
    """
    config = read_saved_config(result / "config.yaml")
    if config is None:
        raise FileNotFoundError(f"{result}: config.yaml is needed, which says how it was searched")
    steps, pruning = config["data"]["steps_per_stage"], config["pruning"]
    return str(Recipe(pruning["console_stages"] * steps, pruning["rounds"], steps))


def _matched(text: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Matches the searches of SONG=RESULT; name of the song and of the search -> equivalences.

    Raises:
        ValueError: another text, a song without truth.json, or searches that have another console.
        FileNotFoundError: there is no such result.
    """
    name, equals, result = text.partition("=")
    song, path = Path(name).resolve(), Path(result)
    true = true_processors(song) if equals else None
    if true is None:
        raise ValueError(f"SONG=RESULT is needed, of a song whose mix truth.json tells of, got {text!r}")
    if path.suffix == ".jsonl":
        searches = _of_searches(true, song, path)
    else:
        searches = {f"{path.name}, {searched_steps(path)} steps": _of_result(true, path)}
    return {(song.name, search): steps for search, steps in searches.items()}


def _of_result(true: Sequence[PlacedProcessor], folder: Path) -> dict[str, Any]:
    file = load_graph(folder / "graph.json")
    return equal_graphs(true, file.graph, None if file.loss_increases is None else file.loss_increases.tolist())


def _of_searches(true: Sequence[PlacedProcessor], song: Path, path: Path) -> dict[str, Any]:
    """Matches the searches of a song that a file keeps; of the usual console, which has each type once in a chain."""
    console = build_console(load_song(song, Case(song=str(song)).sample_rate).subgroups)
    nodes = {(key.level, key.name, key.type): node for key, node in chain_keys(console).items()}
    matched = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        record = parse_json(line)
        key, answer = record["key"], record["answer"]
        if key["song"] != song.name:
            continue
        places = [(level, name, node_type) for level, name, node_type, *_ in answer["processors"]]
        if unknown := [place for place in places if place not in nodes]:
            raise ValueError(f"{path}: the usual console is needed, which has no {' '.join(unknown[0])}")
        graph, _ = prune(console, [nodes[place] for place in places])
        rules = " ".join(key["rules"]) or "defaults" if key["rules"] != "peer" else "peer"
        matched[f"{rules}, {key['steps']} steps, seed {key['seed']}"] = equal_graphs(true, graph)
    return matched


if __name__ == "__main__":
    main()
