"""The graphs that a search went through: its console, and what each round of pruning left of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mixgraph.graph import MixGraph, build_console, prune
from mixgraph.graph.io import load_graph
from mixgraph.names import shown_name, visible
from mixgraph.report.drawing.draw import draw_svg
from mixgraph.report.drawing.palette import type_colour, type_label
from mixgraph.results.changes import processor_labels

GONE = 1_000_000
"""The drawings number a processor of the console that was removed from here on, in the console's order."""
_LONGEST_CHAIN = 1000  # letters


@dataclass(frozen=True)
class Stages:
    """A console and what each round left of it.

    Attributes:
        graphs: the console, then the graph after each round; the last one is the found graph.
        places: for each graph, the places of its processors among the console's.
    """

    graphs: tuple[MixGraph, ...]
    places: tuple[tuple[int, ...], ...]

    @property
    def console(self) -> MixGraph:
        return self.graphs[0]

    def removed_in(self, place: int) -> int | None:
        """Returns the round, from 0, that removed a processor of the console; None where it was kept."""
        return next((number for number, places in enumerate(self.places[1:]) if place not in places), None)

    def numbers(self, stage: int) -> dict[int, int]:
        """Returns for each node of a graph the number of the same node in the found graph, or `GONE` plus its place.

        A sum that went with the processors behind it has -1.
        """
        graph, found = self.graphs[stage], self.graphs[-1]
        ends = {found.label(node): node for node in _fixed(found)}
        kept = dict(zip(self.places[-1], found.processors, strict=True))
        numbers = {node: ends.get(graph.label(node), -1) for node in _fixed(graph)}
        for node, place in zip(graph.processors, self.places[stage], strict=True):
            numbers[node] = kept.get(place, GONE + place)
        return numbers


def search_stages(
    found: MixGraph, config: Mapping[str, Any], rounds: Sequence[Mapping[str, Any]], folder: Path | None = None
) -> Stages:
    """Builds the graphs of a search again from its settings and from what its rounds of pruning removed.

    Args:
        found: the graph that it found.
        config: its settings, as config.yaml holds them.
        rounds: the rows of trace.jsonl of the kind `round`.
        folder: the result folder, to which a path in the settings is relative.

    Raises:
        ValueError: settings or rounds that do not lead to the found graph, or the graph that the search started from
            is not where it was.
    """
    try:
        graphs = [_console(found, config, folder)]
    except (AttributeError, LookupError, TypeError) as error:  # settings of other kinds
        raise ValueError("its settings are not those of a console") from error
    places = [tuple(range(len(graphs[0].processors)))]
    for row in rounds:
        graph, gone = graphs[-1], set(row["removed"])
        labels = processor_labels(graph)
        if missing := gone - set(labels):
            raise ValueError(f"round {row['round'] + 1}: processors of the console expected, got {sorted(missing)[0]}")
        keep = [node for node, label in zip(graph.processors, labels, strict=True) if label not in gone]
        left, index = prune(graph, keep)
        graphs.append(left)
        places.append(tuple(places[-1][old] for old in index.processors))
    if graphs[-1] != found:
        raise ValueError("the console of its settings and its rounds of pruning do not lead to the found graph")
    return Stages(tuple(graphs), tuple(places))


def _fixed(graph: MixGraph) -> list[int]:
    """Returns the nodes that are no processors."""
    return sorted(set(range(len(graph))) - set(graph.processors))


def _console(found: MixGraph, config: Mapping[str, Any], folder: Path | None) -> MixGraph:
    start, model = config.get("start"), config.get("model") or {}
    if isinstance(start, str) and folder is not None:
        if not (folder / start / "graph.json").is_file():
            raise ValueError("the graph that the search started from is not where it was")
        return load_graph(folder / start / "graph.json").graph
    model = model.get("init_args") or model
    if "track_chain" not in model or start is not None:
        raise ValueError("its settings do not say what it started from")
    members = {name: [found.names[found.inputs[row]] for row in rows] for name, rows in found.members.items()}
    sidechains = {shown_name(name): shown_name(key) for name, key in (model.get("sidechains") or {}).items()}
    chains = model["track_chain"], model["subgroup_chain"], model["master_chain"]
    if longest := [chain for chain in chains if len(chain) > _LONGEST_CHAIN]:
        raise ValueError(f"chains of at most {_LONGEST_CHAIN} letters expected, got {len(longest[0])}")
    single = model.get("single_track_subgroups", "chain")
    mix = found.names[found.outputs[0]]
    return build_console(members, *chains[:2], mix, chains[2], model.get("returns"), sidechains, single)


def measured_console(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, float, float]]:
    """Returns label, dry/wet weight and loss increase of the processors of the trained console that were measured."""
    measured = [row for row in rows if row.get("kind") == "leave_one_out" and row.get("when") == "console"]
    return [(row["candidates"][0], row["weight"], row["loss_increase"]) for row in measured]


def points(stages: Stages | None, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns the processors of the trained console by weight and loss increase (paper figure 4).

    `node` is the number by which drawings know a processor; None where the graphs of the search are not known.
    """
    console = () if stages is None else stages.console.processors
    numbers = {} if stages is None else stages.numbers(0)
    shown = []
    for place, (label, weight, increase) in enumerate(measured_console(rows)):
        kind = label.rpartition(": ")[2].partition(" ")[0]  # without the number of one of several in a chain
        shown.append(
            {
                "label": visible(label),
                "name": type_label(kind),
                "colour": type_colour(kind),
                "weight": weight,
                "loss": increase,
                "node": numbers[console[place]] if place < len(console) else None,
            }
        )
    return shown


def stages_content(stages: Stages, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the drawings of all graphs but the last one, and what is known of the processors that were removed.

    The console is drawn with its dry/wet weights where they were measured.

    Args:
        stages: the graphs.
        rows: the rows of trace.jsonl.
    """
    rounds = [row for row in rows if row.get("kind") == "round"]
    measured = measured_console(rows)
    removed = {}
    for place, node in enumerate(stages.console.processors):
        number = stages.removed_in(place)
        if number is not None:
            values = measured[place][1:] if place < len(measured) else (None, None)
            removed[GONE + place] = _processor(stages.console, node) | {
                "weight": values[0],
                "loss": values[1],
                "round": number,
            }
    losses = [row.get("end_loss") for row in rounds]
    all_known = len(measured) == len(stages.console.processors)
    weights = torch.tensor([weight for _, weight, _ in measured]) if measured and all_known else None
    return {
        "drawings": [
            {
                "name": f"round {number}" if number else "console",
                "left": len(graph.processors),
                "loss": losses[number - 1] if number else None,
                "svg": _drawing(stages, number, weights if number == 0 else None)
                if number + 1 < len(stages.graphs)
                else None,
            }
            for number, graph in enumerate(stages.graphs)
        ],
        "removed": removed,
    }


def _processor(graph: MixGraph, node: int) -> dict[str, Any]:
    kind = graph.types[node]
    return {
        "place": graph.label(node).rpartition(": ")[0],
        "name": type_label(kind),
        "colour": type_colour(kind),
    }


def _drawing(stages: Stages, number: int, weights: Tensor | None) -> str:
    numbers = stages.numbers(number)
    svg = draw_svg(stages.graphs[number], weights)
    return re.sub(r'data-node="(\d+)"', lambda match: f'data-node="{numbers[int(match[1])]}"', svg)
