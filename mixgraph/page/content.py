"""Everything that the page of a result shows, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from mixgraph.names import visible
from mixgraph.page.material import Material
from mixgraph.page.runs import found_in
from mixgraph.page.sentences import sentence
from mixgraph.page.stages import Stages, points, search_stages, stages_content
from mixgraph.processors.readings import Automation, Curve, Decay, Gains, Reading, Response, Taps
from mixgraph.report.drawing.palette import type_colour, type_label, type_order
from mixgraph.report.settings import NodeSettings, read_settings
from mixgraph.report.verdict import verdict_lines, what_tracks_are

_POINTS = 120
_SILENT_DB = -170.0
_SLOWEST_RATE = 1 / 20  # 1/s; decays that take longer are drawn as gaps


def result_content(material: Material) -> dict[str, Any]:
    """Returns the figures, settings and course of a result, without its audio."""
    found_graph, metrics = material.found_graph, material.found_graph.metrics
    values = found_graph.parameters, found_graph.weights, found_graph.num_samples, found_graph.level
    settings = read_settings(found_graph.graph, found_graph.processors, *values, found_graph.loss_increases)
    graph, has_graph = found_graph.graph, material.has_graph
    chains = {place: list(chain) for place, chain in groupby(settings, key=lambda node: node.place)}
    stages, why_none = _stages(material)
    runs = found_in(graph, material.other_runs)
    places = [graph.label(node) for node, kind in enumerate(graph.types) if kind in ("input", "mix") and has_graph]
    return {
        "hasGraph": has_graph,
        "title": visible((metrics.song.title if metrics else "") or found_graph.name),
        "licence": visible(metrics.song.licence if metrics else ""),
        "sampleRate": found_graph.sample_rate,
        "seconds": found_graph.num_samples / found_graph.sample_rate,
        "tracks": [visible(graph.names[node]) for node in graph.inputs if has_graph or metrics],
        "missing": [*what_tracks_are(metrics.warnings if metrics else ()), *material.missing, *why_none],
        "chains": [{"place": place, "sentence": sentence(chains.get(place, ()))} for place in places],
        "nodes": [_node(node) | {"foundIn": runs.get(node.node)} for node in settings],
        "verdict": _verdict(material),
        "types": _types(material),
        "course": _course(material),
        "stages": None if stages is None else stages_content(stages, material.trace),
        "points": points(stages, material.trace),
        **_names(material),
        "rounds": [_round(row) for row in material.trace if row.get("kind") == "round"],
    }


def _names(material: Material) -> dict[str, Any]:
    """What the mixes are called where there is no target: nothing is the error against a reference."""
    if not material.target_is_reference:
        return {}
    voices = {"target": "Reference", "found": "Proposed mix", "dry": "Dry sum", "live": "Live"}
    labels = {"target": "reference", "found": "proposed mix"}
    return {"voices": list(map(list, voices.items())), "labels": labels, "spectra": list(labels)}


def _stages(material: Material) -> tuple[Stages | None, list[str]]:
    """Returns the graphs of the search, or why they are not known; nothing where there were no rounds of pruning."""
    found_graph = material.found_graph
    rounds = [row for row in material.trace if row.get("kind") == "round"]
    if not rounds or not material.has_graph:
        return None, []
    try:
        return search_stages(found_graph.graph, material.config, rounds, found_graph.folder), []
    except (FileNotFoundError, ValueError) as error:
        return None, [f"The console and what each round removed cannot be drawn: {error}."]


def _node(node: NodeSettings) -> dict[str, Any]:
    kind = node.processor.name
    return {
        "node": node.node,
        "place": node.place,
        "name": node.name,
        "type": kind,
        "colour": type_colour(kind),
        "weight": node.values.weight,
        "loss": node.loss_increase,
        "right": node.probability_right,
        "text": node.text(),
        "parametric": "" if node.parametric is None else node.parametric.text,
        "curve": _first_curve(node.readings),
    }


def _first_curve(readings: Sequence[Reading]) -> dict[str, Any] | None:
    for reading in readings:
        match reading:
            case Response():
                return _frequencies(reading.hertz, {"": reading.levels_db}, "dB")
            case Decay():
                seconds = {
                    name: (1 / rates).where(rates > _SLOWEST_RATE, torch.nan)[1:]
                    for name, rates in (("mid", reading.mid), ("side", reading.side))
                }
                level = {"level": round(reading.against_dry_db, 2) if reading.against_dry_db > _SILENT_DB else None}
                return _frequencies(reading.hertz[1:], seconds, "T60 (s)") | {"bars": level}
            case Automation():
                gains = {"": _listed(reading.gains_db)}
                return {"x": _listed(reading.seconds), "lines": gains, "xLabel": "s", "yLabel": "dB"}
            case Curve():
                lines = {"": reading.y} | ({} if reading.unchanged is None else {"unchanged": reading.unchanged})
                return {"x": _listed(reading.x), "lines": {n: _listed(y) for n, y in lines.items()}} | {
                    "xLabel": reading.x_label,
                    "yLabel": reading.y_label,
                }
            case Taps():
                taps = zip(reading.channels, reading.ms, reading.levels_db, strict=True)
                return {"taps": [list(tap) for tap in taps], "xLabel": "ms", "yLabel": "dB"}
            case Gains():
                return {"bars": dict(zip(reading.names, reading.levels_db, strict=True)), "yLabel": "dB"}
    return None


def _frequencies(hertz: Tensor, lines: dict[str, Tensor], label: str) -> dict[str, Any]:
    return {
        "x": _listed(hertz),
        "lines": {name: _listed(values) for name, values in lines.items()},
        "log": True,
        "xLabel": "Hz",
        "yLabel": label,
    }


def _listed(values: Tensor) -> list[float]:
    step = max(1, len(values) // _POINTS)
    return [round(float(value), 4) for value in values[::step]]


def _verdict(material: Material) -> dict[str, Any] | None:
    metrics = material.found_graph.metrics
    if metrics is None:
        return None
    losses = metrics.losses
    scores = {"dry sum": losses.dry_sum, "console": losses.console, "found": losses.found}
    verdict = metrics.verdict
    lines = [] if verdict is None else verdict_lines(verdict, losses.found.loss["full"])
    return {
        "words": verdict.words if verdict else "",
        "lines": lines,
        "octaves": verdict.closeness.octaves_db if verdict and verdict.closeness else {},
        "losses": {name: score.loss["full"] for name, score in scores.items()},
        "windows": {name: list(score.windows) for name, score in scores.items()},
        "windowSeconds": losses.found.window_samples / metrics.sample_rate,
        "processors": [metrics.num_processors.found, metrics.num_processors.console],
    }


def _types(material: Material) -> list[dict[str, Any]]:
    metrics = material.found_graph.metrics
    before = metrics.num_console_processors_by_type if metrics else None
    left = material.found_graph.graph.count()
    if metrics is not None and not material.has_graph:
        left = dict(metrics.num_processors_by_type or {})
    return [
        {"type": t, "name": type_label(t), "colour": type_colour(t), "found": left.get(t, 0)}
        | {"console": before[t] if before else None}
        for t in type_order(before or left)
    ]


def _course(material: Material) -> dict[str, list[Any]]:
    rows = [row for row in material.log if "match/full" in row]
    return {name: [row.get(key) for row in rows] for name, key in (("step", "step"), ("loss", "match/full"))} | {
        "left": [row.get("num_processors") for row in rows]
    }


def _round(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row.get(name) for name in ("round", "step", "start_loss", "end_loss", "removed", "remaining")}
