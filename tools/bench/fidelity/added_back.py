"""What a found graph gains from processors that its search removed: added back or exchanged, trained, pruned again.

    python -m tools.bench.fidelity.added_back SONG RESULT --case none --case "+subgroup fx: reverb" \\
        --case "+subgroup fx: reverb; -subgroup fx: delay @ anew 0.1" --case truth --out DIR

RESULT is of a search of the usual console with `--result.keep_console=true`. A case names processors that are added to
its graph (`+`) and removed from it (`-`) by their labels; `true` adds all that made the mix (truth.json), and `truth`
stands for exactly these. What is added starts with its values in the trained console (`@ console`, the default) or anew
(`@ anew`, as a search starts), with the dry/wet weight of these values or the one that is named.

Then all values are trained for one stage, a round of pruning follows by the search's lowest loss and tolerance, and a
last stage in which the learning rate falls. `none` is RESULT itself with the same steps and round, which cases are
compared with. Cases that DIR has already are taken from there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning as L
import torch
from torch import Tensor

from callbacks import IterativePruning
from callbacks.iterative_pruning import song_evaluator
from datamodules import SongData
from mixgraph.checkpoints import read_checkpoint
from mixgraph.cli.command_parser import CommandParser
from mixgraph.cli.config_paths import read_saved_config
from mixgraph.graph.values import GraphValues, prune_values
from mixgraph.recovery.agreement import ChainKey, chain_keys
from mixgraph.recovery.equivalence import COMMON_GAIN, PlacedProcessor
from mixgraph.results import CONFIG, CONSOLE
from mixgraph.results.found_graph import load_result
from mixgraph.search import search
from mixgraph.search.checkpoint import saved_values
from mixgraph.search.module import ConsoleModule
from mixgraph.search.run import TRAINER_DEFAULTS, quiet_lightning
from mixgraph.search.trained_graph import TrainedGraph
from tools.bench.fidelity.equal_graphs import GOAL_WORTH, equal_figures, equal_graphs, true_processors
from tools.bench.kept_searches import Searches
from tools.bench.machine import command_line, measured
from tools.result_tables import write_table

NONE, TRUE, TRUTH = "none", "true", "truth"
_VALUES = ("console", "anew")
_TITLE = "Processors that were removed, added back to found graphs"
_COLUMNS = (
    "song",
    "added and removed",
    "start",
    "loss: start",
    "trained",
    "pruned",
    "end",
    "processors",
    "F1",
    "of the added ones stay (worth)",
    "others that go",
)


@dataclass(frozen=True)
class Case:
    """A change of a found graph.

    Attributes:
        text: how it was named.
        add, remove: labels of processors.
        exactly: nothing else is kept; for `truth`.
        values: where the values of what is added come from.
        weight: its dry/wet weight; None for that of the values.
    """

    text: str
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    exactly: bool = False
    values: str = "console"
    weight: float | None = None

    @property
    def start(self) -> str:
        return self.values if self.weight is None else f"{self.values} {self.weight:g}"


def read_case(text: str) -> Case:
    """Reads a case.

    Raises:
        ValueError: it is not written as the module's text says.

    >>> read_case("+subgroup fx: reverb; -subgroup fx: delay @ anew 0.1").start
    'anew 0.1'
    """
    what, _, start = (part.strip() for part in text.partition("@"))
    matched = re.fullmatch(rf"({'|'.join(_VALUES)})?\s*(0?\.\d+)?", start)
    items = [item.strip() for item in what.split(";")]
    if matched is None or any(item not in (NONE, TRUE, TRUTH) and item[:1] not in ("+", "-") for item in items):
        raise ValueError(
            f"--case: {NONE}, {TRUE}, {TRUTH}, or labels with + or - in front and ; between, and where values come "
            f"from, @ {' or '.join(_VALUES)} with a weight, got {text!r}"
        )
    add, remove = (tuple(item[1:].strip() for item in items if item[0] == sign) for sign in "+-")
    add += tuple(item for item in items if item in (TRUE, TRUTH))
    weight = matched[2] and float(matched[2])
    return Case(what, add, remove, TRUTH in items, matched[1] or _VALUES[0], weight or None)


class FoundWithConsole:
    """A result with its trained console, from which graphs of cases are made.

    Args:
        song: the folder of the song.
        folder: the result.

    Raises:
        FileNotFoundError: the folder is no result, or keeps no console.
        ValueError: its graph is not a part of its console.
    """

    def __init__(self, song: Path, folder: Path) -> None:
        self.song, self.folder = song, folder
        self.found = load_result(folder)
        self.console = saved_values(read_checkpoint(folder / CONSOLE))
        graph = self.console.graph
        self.node_of = {graph.label(node): node for node in graph.processors}
        if missing := {self.found.graph.label(node) for node in self.found.graph.processors} - self.node_of.keys():
            raise ValueError(f"{folder}: a graph out of its console is needed, which has no {min(missing)}")
        rounds = [row for row in self.found.trace() if row["kind"] == "round"]
        self.min_loss, self.rounds = rounds[-1]["min_loss"], len(rounds)

    @cached_property
    def true(self) -> list[PlacedProcessor] | None:
        """The processors that made the mix; None where they are not known."""
        return true_processors(self.song)

    def true_nodes(self) -> set[int]:
        """The processors of the console that made the mix; those that the console has no place for are left out.

        Raises:
            ValueError: they are not known.
        """
        if self.true is None:
            raise ValueError(f"--case: {TRUE} and {TRUTH} need {self.song}/truth.json")
        nodes = chain_keys(self.console.graph)
        ranks: dict[tuple[Any, ...], int] = {}
        places = set()
        for one in self.true:
            place = (*one.place, one.type)
            ranks[place] = ranks.get(place, -1) + 1
            node = nodes.get(ChainKey(*place, ranks[place]))
            places |= set() if node is None else {node}
        return places

    def nodes(self, labels: Sequence[str]) -> set[int]:
        """The nodes of labels, and of `true` and `truth`.

        Raises:
            ValueError: a label that the console does not have.
        """
        nodes: set[int] = set()
        for label in labels:
            if label in (TRUE, TRUTH):
                nodes |= self.true_nodes()
            elif label in self.node_of:
                nodes.add(self.node_of[label])
            else:
                raise ValueError(f"--case: a label such as {next(iter(self.node_of))!r} is needed, got {label!r}")
        return nodes

    def start(self, case: Case, module: ConsoleModule, data: SongData) -> tuple[GraphValues, set[str]]:
        """The graph of a case with its values, and the labels of what was added."""
        kept = {self.node_of[self.found.graph.label(node)] for node in self.found.graph.processors}
        wanted = self.nodes(case.add)
        added = wanted - kept
        left = wanted if case.exactly else (kept | wanted) - self.nodes(case.remove)
        values = self._anew(module, data) if case.values == "anew" else self.console
        values = self._with_found(values, case.weight)
        return prune_values(values, left), {self.console.graph.label(node) for node in added}

    def _anew(self, module: ConsoleModule, data: SongData) -> GraphValues:
        drawn = TrainedGraph()
        drawn.sample_initial_values(self.console.graph, module.processors, module.seed)
        if module.initial_values != "drawn":
            drawn.init_from_mix(data.songs, module.processors)
        return GraphValues(drawn.graph, drawn.parameters_by_type(), drawn.weights.detach())

    def _with_found(self, values: GraphValues, weight: float | None) -> GraphValues:
        """Returns values of the console with those of the found processors put in; the others with a weight."""
        graph, found = values.graph, self.found
        place = {node: i for i, node in enumerate(graph.processors)}
        weights = values.weights.clone() if weight is None else torch.full_like(values.weights, weight)
        parameters: dict[str, dict[str, Tensor]] = {
            t: {name: value.detach().clone() for name, value in by_name.items()}
            for t, by_name in values.parameters.items()
        }
        for i, node in enumerate(found.graph.processors):
            node_type = found.graph.types[node]
            here = self.node_of[found.graph.label(node)]
            weights[place[here]] = found.weights[i]
            for name, value in found.parameters[node_type].items():
                parameters[node_type][name][graph.rows[here]] = value[found.graph.rows[node]]
        return GraphValues(graph, parameters, weights)


class _AsInTheSearch(L.Callback):
    """Lets a round of pruning go by the lowest loss of the search before."""

    def __init__(self, pruning: IterativePruning, min_loss: float) -> None:
        self.pruning, self.min_loss = pruning, min_loss

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.pruning.songs[0].min_loss = self.min_loss


def _command_line(result: FoundWithConsole, steps: int) -> Any:
    """Sets up a search with the settings of a result, of one stage before and one behind a round."""
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # read on import; about Lightning's own calls
    from mixgraph.cli.search import SearchCLI

    config = read_saved_config(result.folder / CONFIG)
    if config is None:
        raise FileNotFoundError(f"{result.folder}: {CONFIG} is needed, which says how it was searched")
    groups: dict[str, Any] = {name: dict(config[name]) for name in ("model", "data", "pruning")}
    groups["data"] |= {"path": str(result.song), "steps_per_stage": steps}
    groups["pruning"] |= {"console_stages": 1, "rounds": 1, "leave_one_out": False}
    groups |= {"seed_everything": config["seed_everything"]}
    with TemporaryDirectory() as folder:
        file = Path(folder) / CONFIG
        file.write_text(json.dumps(groups), encoding="utf-8")
        return SearchCLI(
            ConsoleModule,
            SongData,
            args=["--config", str(file)],
            run=False,
            save_config_callback=None,
            trainer_defaults=TRAINER_DEFAULTS | {"devices": 1},
            parser_kwargs={"parser_mode": "omegaconf+"},
            auto_configure_optimizers=False,
        )


def run_case(result: FoundWithConsole, case: Case, steps: int) -> dict[str, Any]:
    """Trains and prunes the graph of a case.

    Returns:
        Match losses of the `start`, after the first stage (`trained`), after the round (`pruned`) and at the `end`;
        numbers of `processors` at the start and the end; `stays`, label of what was added and is left -> its loss
        increase; `removed`, the labels of others that the round removed; `f1`; `seconds` of processor time.
    """
    started = time.process_time()
    cli = _command_line(result, steps)
    module, data = cli.model, cli.datamodule
    (pruning,) = (c for c in cli.trainer.callbacks if isinstance(c, IterativePruning))
    data.setup("fit")
    values, added = result.start(case, module, data)
    module.load(values.graph, values.parameters, values.weights)
    start_loss = module.score(data.song).over(module.loss_settings.denominator)["full"]
    module.prune_phase, module.pruning_steps = True, result.rounds * steps
    search(module, data, [pruning, _AsInTheSearch(pruning, result.min_loss)], 2, "cpu", enable_progress_bar=False)
    evaluator, graph = song_evaluator(module, data.song), module.graph
    end = evaluator.evaluate(()).loss
    labels = [graph.label(node) for node in graph.processors]
    stays = {label: evaluator.evaluate((i,)).loss - end for i, label in enumerate(labels) if label in added}
    row = next(row for row in pruning.trace if row["kind"] == "round")
    matched = None if result.true is None else equal_graphs(result.true, graph)
    return {
        "start": start_loss,
        "trained": row["start_loss"],
        "pruned": row["end_loss"],
        "end": end,
        "processors": [len(values.graph.processors), len(labels)],
        "added": sorted(added),
        "stays": stays,
        "removed": [label for label in row["removed"] if label not in added],
        "f1": equal_figures(matched, COMMON_GAIN)["equal_f1"],
        "seconds": time.process_time() - started,
    }


def row_of(song: str, case: Case, answer: Mapping[str, Any]) -> tuple[str, ...]:
    """The cells of a case in the table."""
    losses = (f"{answer[name]:.3f}" for name in ("start", "trained", "pruned", "end"))
    before, after = answer["processors"]
    stays = ", ".join(f"{label} ({worth:.3f})" for label, worth in answer["stays"].items())
    f1 = "" if answer["f1"] is None else f"{answer['f1']:.2f}"
    start = case.start if answer["added"] else ""
    gone = ", ".join(answer["removed"])
    return song, case.text, start, *losses, f"{before}, {after}", f1, stays or "none" * bool(answer["added"]), gone


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the cases; returns the exit code."""
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("song", type=Path, help="folder of the song; F1 needs its truth.json")
    parser.add_argument("result", type=Path, help="result of a search of it")
    parser.add_argument("--case", action="append", required=True, help="a change of the graph, see above")
    parser.add_argument("--steps", type=int, default=50, help="of each of the two stages (50)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the cases that are done")
    parser.add_argument("--table", type=Path, help="JSON file for the table, as docs/results holds it")
    options = parser.parse_args(arguments)
    cases = [read_case(text) for text in options.case]
    quiet_lightning()
    result = FoundWithConsole(options.song.resolve(), options.result)
    for case in cases:
        result.nodes([*case.add, *case.remove])  # before anything is trained
    kept = Searches(options.out / "cases.jsonl", "", True, lambda line: None)
    rows = []
    for case in cases:
        key = {"song": result.song.name, "result": options.result.name, "steps": options.steps}
        key |= {"case": case.text, "start": case.start}
        done = kept.get(key) or kept.add(key, run_case(result, case, options.steps))
        rows.append(row_of(result.song.name, case, done.answer))
        sys.stdout.write(" | ".join(rows[-1]) + "\n")
        sys.stdout.flush()
    if options.table is not None:
        line = command_line("tools.bench.fidelity.added_back", arguments, ("--out", "--table"))
        write_table(
            options.table, _TITLE, [measured(line, torch.get_num_threads())], _COLUMNS, rows, _note(options.steps)
        )
    return 0


def _note(steps: int) -> str:
    return (
        f"{steps} steps of all values, a round of pruning, {steps} steps in which the learning rate falls. What is "
        "added starts with its values in the trained console, or anew, with their dry/wet weight or the one named. "
        "Match loss over the norm of the target; processors at the start and the end; F1 by what cannot be told apart, "
        f"recall of what is worth {GOAL_WORTH:g}; worth: the loss increase without it, at the end."
    )


if __name__ == "__main__":
    raise SystemExit(main())
