"""Everything that a page of several results of one song shows, as JSON, but for its audio."""

from __future__ import annotations

import string
from collections.abc import Collection, Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

from mixgraph.graph.types import MixGraph
from mixgraph.names import visible
from mixgraph.page.comparison import Compared, differing_settings, page_link
from mixgraph.recovery.agreement import ChainKey, chain_keys
from mixgraph.report.drawing.draw import draw_svg
from mixgraph.report.drawing.palette import node_letter, type_colour, type_label, type_order
from mixgraph.report.settings import read_settings


def letters(count: int) -> list[str]:
    """Returns short names of results: A, B ... Z, AA, AB."""
    alphabet = string.ascii_uppercase
    return [(alphabet[i // 26 - 1] if i >= 26 else "") + alphabet[i % 26] for i in range(count)]


def comparison_content(results: Sequence[Compared], damaged: Sequence[str], page: Path) -> dict[str, Any]:
    """Returns table, drawings and figures of results of one song.

    Args:
        results: the results.
        damaged: a sentence for each result that cannot be read.
        page: where the page will be, to which links are relative.
    """
    first = results[0].found_graph
    kinds = {t for result in results for t in (*_console_counts(result), *result.found_graph.graph.count())}
    names = letters(len(results))
    return {
        "title": visible((first.metrics.song.title if first.metrics else "") or first.name),
        "licence": visible(first.metrics.song.licence if first.metrics else ""),
        "notes": [*damaged, *(sentence for result in results for sentence in result.missing)],
        "results": [_result(letter, result, page) for letter, result in zip(names, results, strict=True)],
        "settings": differing_settings(results),
        "types": type_rows(kinds),
        "matrix": _matrix([result.found_graph.graph for result in results]),
        "agreement": agreement([result.found_graph.graph for result in results]),
    }


def type_rows(types: Collection[str]) -> list[dict[str, str]]:
    """Returns name, letter and colour of processor types, in their usual order."""
    return [
        {"type": t, "name": type_label(t), "letter": node_letter(t), "colour": type_colour(t)}
        for t in type_order(types)
    ]


def _result(letter: str, result: Compared, page: Path) -> dict[str, Any]:
    graph, metrics = result.found_graph, result.found_graph.metrics
    values = graph.parameters, graph.weights, graph.num_samples, graph.level, graph.loss_increases
    texts = {node.node: node.text() for node in read_settings(graph.graph, graph.processors, *values)}
    losses = metrics.losses if metrics else None
    return {
        "letter": letter,
        "name": result.name,
        "href": page_link(result.folder, page),
        "words": metrics.verdict.words if metrics and metrics.verdict else "",
        "losses": [losses.dry_sum.loss["full"], losses.console.loss["full"], losses.found.loss["full"]]
        if losses
        else [None] * 3,
        "windows": list(losses.found.windows) if losses else [],
        "windowSeconds": losses.found.window_samples / graph.sample_rate if losses else None,
        "left": len(graph.graph.processors),
        "console": metrics.num_processors.console if metrics else None,
        "ratio": metrics.pruning_ratio if metrics else None,
        "seconds": result.seconds,
        "tolerance": metrics.tolerance if metrics else None,
        "sampler": visible(str(result.settings.get("pruning.sampler", ""))),
        "found": dict(graph.graph.count()),
        "before": _console_counts(result),
        "drawing": draw_svg(graph.graph, graph.weights, "", texts),
    }


def _console_counts(result: Compared) -> dict[str, int]:
    """The processors of the console by type; empty where that is not known."""
    metrics = result.found_graph.metrics
    return dict((metrics.num_console_processors_by_type if metrics else None) or {})


def _matrix(graphs: Sequence[MixGraph]) -> list[dict[str, Any]]:
    """Returns a row for each processor that any graph has, in order of places and chains, with a mark a graph."""
    keys = [chain_keys(graph) for graph in graphs]
    labels: dict[ChainKey, str] = {}
    for graph, found in zip(graphs, keys, strict=True):
        for key, node in found.items():
            labels.setdefault(key, graph.label(node).rpartition(": ")[0])
    kinds = type_order([key.type for key in labels])
    places = {place: rank for rank, place in enumerate(_places(graphs))}
    order = sorted(labels, key=lambda k: (places[k.level, k.name], k.branch, kinds.index(k.type), k.rank))
    return [
        {
            "place": labels[key],
            "name": type_label(key.type) + (f" {key.rank + 1}" if key.rank else ""),
            "colour": type_colour(key.type),
            "found": [key in found for found in keys],
        }
        for key in order
    ]


def _places(graphs: Sequence[MixGraph]) -> list[tuple[str, str]]:
    """The chains of graphs in order: tracks as they are listed, then subgroups, buses and the master."""
    places: dict[tuple[str, str], None] = {}
    for kind in ("input", "mix"):
        for graph in graphs:
            for node in graph.nodes_of(kind):
                places.setdefault((graph.level(node), graph.names[node]))
    for graph in graphs:  # chains whose head is none of these
        places.update(((graph.level(node), graph.names[node]), None) for node in graph.processors)
    return list(places)


def agreement(graphs: Sequence[MixGraph]) -> float | None:
    """Returns the mean F1 between the processors of two graphs, over all pairs; None for a single graph."""
    keys = [set(chain_keys(graph)) for graph in graphs]
    pairs = [2 * len(a & b) / (len(a) + len(b)) if a or b else 1.0 for a, b in combinations(keys, 2)]
    return fmean(pairs) if pairs else None
