"""Fits and judges the probability of each found processor to be right, on synthetic songs with known graphs.

    python -m tools.calibrate_confidence --out results/calibration --write

searches songs by a short schedule, keeps every search in OUT/searches.jsonl, fits the model to the songs of one
split and judges it by those of another: confidence.json and reliability.png in OUT. Run again, it does what is missing;
`--kept` runs no search. `--write` makes the coefficients those that come with mixgraph.

    python -m tools.calibrate_confidence --out DIR --kept --results SONGS/clingo_band=results/clingo_band

also judges them by results of songs whose folder has a truth.json. `--table FILE` writes what is judged as a table.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from mixgraph.cli.command_parser import CommandParser
from mixgraph.graph.io import load_graph
from mixgraph.recovery.equivalence import COMMON_GAIN, match_chains, placed_processors, tracks_of_groups
from mixgraph.report.confidence import FEATURES, SHIPPED
from mixgraph.search.run import quiet_lightning
from mixgraph.system.files import json_text, write_atomically
from mixgraph.system.memory import keep_freed_memory
from tools.bench.calibration.fit import Judged, Judgement, fit_model, judge, judged_processors
from tools.bench.calibration.picture import draw_reliability
from tools.bench.calibration.searches import CalibrationSongs, searched
from tools.bench.fidelity.equal_graphs import searched_steps, true_processors
from tools.bench.kept_searches import FILE, Searches
from tools.bench.machine import command_line, machine, measured
from tools.bench.recipe import Recipe
from tools.result_tables import write_table

FITTED, OTHERS = "fitted songs", "other songs"
_COLUMNS = (
    "songs",
    "processors",
    "right",
    "calibration error",
    "Brier score",
    "mean probability: share that is right",
)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the searches and of the report")
    parser.add_argument("--train", type=int, default=20, help="songs to fit on (20)")
    parser.add_argument("--test", type=int, default=10, help="songs to judge by (10)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the searches of each song (0)")
    parser.add_argument(
        "--steps", type=int, nargs=3, default=[60, 3, 15], metavar=("CONSOLE", "ROUNDS", "STEPS"), help="(60 3 15)"
    )
    parser.add_argument("--kept", action="store_true", help="run no search: take those that OUT holds")
    parser.add_argument(
        "--results", nargs="*", default=[], metavar="SONG=RESULT", help="also judge by these; songs have a truth.json"
    )
    parser.add_argument("--table", type=Path, help="JSON file for the table, as docs/results holds it")
    parser.add_argument("--write", action="store_true", help=f"also write the coefficients to {SHIPPED.name}")
    options = parser.parse_args(arguments)
    try:
        options.recipe = Recipe.checked(options.steps, "--steps")
    except ValueError as error:
        parser.error(str(error))
    return options


def collect(options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Runs the missing searches, songs to fit on and songs to judge by in turns; split -> answers."""
    started = time.monotonic()

    def log(line: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - started:7.0f} s] {line}\n")
        sys.stderr.flush()

    kept = Searches(options.out / FILE, machine(torch.get_num_threads())["date"], True, log)
    songs = CalibrationSongs()
    answers: dict[str, list[dict[str, Any]]] = {"train": [], "test": []}
    with TemporaryDirectory() as scratch:
        counts = {split: getattr(options, split) for split in answers}
        made = {split: songs.generate(split, count, options.out / "cache") for split, count in counts.items()}
        order = sorted((i / count, split, i) for split, count in counts.items() for i in range(count))
        for _, split, index in order:
            sample = next(made[split])
            for seed in options.seeds:
                answer = searched(songs, split, index, sample, options.recipe, seed, Path(scratch), kept)
                answers[split].append(answer | {"song": sample.key, "seed": seed})
                log(f"{sample.key}, seed {seed}: loss {answer['loss']:.3f}, {len(answer['processors'])} processors")
    return answers


def kept_answers(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Returns the answers of the searches that a file holds, by split."""
    answers: dict[str, list[dict[str, Any]]] = {"train": [], "test": []}
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        answers[record["key"]["split"]].append(record["answer"])
    return answers


def processors_of_result(text: str) -> list[Judged]:
    """Judges the processors of a result folder: SONG=RESULT.

    Raises:
        ValueError: another text, a song without truth.json, or a result without loss increases.
        FileNotFoundError: there is no such result.
    """
    song, equals, result = text.partition("=")
    true = true_processors(Path(song)) if equals else None
    if true is None:
        raise ValueError(f"--results: SONG=RESULT is needed, of a song with a truth.json, got {text!r}")
    file = load_graph(Path(result) / "graph.json")
    if file.weights is None or file.loss_increases is None:
        raise ValueError(f"{result}: loss increases are needed. HINT: search with pruning.leave_one_out")
    graph, increases = file.graph, file.loss_increases.tolist()
    weights = dict(zip(graph.processors, file.weights.tolist(), strict=True))
    nodes = [node for node in graph.topological_order if node in weights]
    placed = [replace(one, label=str(i)) for i, one in enumerate(placed_processors(graph, increases))]
    step = match_chains(true, placed, tracks_of_groups(graph))[COMMON_GAIN]
    right = {int(step.found[i].label) for i in step.right}
    return [
        Judged(one.worth, weights[node], i in right)
        for i, (one, node) in enumerate(zip(placed, nodes, strict=True))
        if one.worth is not None
    ]


def table_rows(
    judgements: Mapping[str, Judgement], songs: Mapping[str, int], results: Sequence[str]
) -> list[tuple[str, ...]]:
    """The rows of the table.

    Args:
        judgements: by name, as they are in the record.
        songs: split -> number of synthetic songs.
        results: SONG=RESULT of the others.
    """
    labels = {FITTED: f"{songs['train']} synthetic songs, fitted to", OTHERS: f"{songs['test']} other synthetic songs"}
    for text in results:
        song, _, result = text.partition("=")
        labels[Path(song).name] = f"{Path(song).name}, {searched_steps(Path(result))} steps"
    return [
        (
            labels[name],
            str(one.processors),
            f"{one.right:.2f}",
            f"{one.expected_calibration_error:.2f}",
            f"{one.brier:.2f}",
            ", ".join(f"{b.probability:.2f}: {b.right:.2f} of {b.count}" for b in one.bins),
        )
        for name, one in judgements.items()
    ]


def table_note(songs: CalibrationSongs, steps: str) -> str:
    """The text below the table."""
    return (
        f"The last column is the reliability by fifths of the probability. Synthetic songs: {songs.min_tracks} to "
        f"{songs.max_tracks} tracks of {songs.seconds:g} s at {songs.sample_rate / 1000:g} kHz, "
        f"{songs.effects_share:.0%} of them mixed by other effects, {steps} steps. Other songs are one search each."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    keep_freed_memory()
    quiet_lightning()
    answers = kept_answers(options.out / FILE) if options.kept else collect(options)
    sets = {
        split: [one for answer in of_split for one in judged_processors(answer)] for split, of_split in answers.items()
    }
    model = fit_model(sets["train"])
    songs = {f"{split} songs": len(of_split) for split, of_split in answers.items()}
    judgements = {FITTED: judge(model, sets["train"])}
    if sets["test"]:
        judgements[OTHERS] = judge(model, sets["test"])
    for text in options.results:
        judgements[Path(text.partition("=")[0]).name] = judge(model, processors_of_result(text))
    record = {
        "coefficients": {"bias": model.bias} | {name: getattr(model, name) for name in FEATURES},
        "fitted_to": songs
        | {"processors": len(sets["train"]), "steps": str(options.recipe)}
        | asdict(CalibrationSongs()),
        "judged": {name: judgement.to_dict() for name, judgement in judgements.items()},
    }
    text = json_text(record, 1) + "\n"
    write_atomically(options.out / SHIPPED.name, text.encode())
    draw_reliability(judgements, options.out / "reliability.png")
    if options.table is not None:
        line = command_line("tools.calibrate_confidence", arguments, ("--out", "--table"))
        rows = table_rows(judgements, {split: len(of_split) for split, of_split in answers.items()}, options.results)
        note = table_note(CalibrationSongs(), str(options.recipe))
        run = measured(line, torch.get_num_threads())
        write_table(options.table, "Probabilities of found processors to be right", [run], _COLUMNS, rows, note)
    if options.write:
        write_atomically(SHIPPED, text.encode())
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
