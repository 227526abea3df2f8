"""Changes that a listener made to a found graph on its page: read strictly, and applied to the graph."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mixgraph.graph.io import parameters_to_bytes
from mixgraph.graph.types import MixGraph
from mixgraph.names import did_you_mean, shown_value
from mixgraph.processors.readings import NodeValues
from mixgraph.results.adjustable import LEVEL, WET, Adjustable, adjustables
from mixgraph.results.found_graph import FoundGraph
from mixgraph.system.files import read_text

FORMAT, VERSION = "mixgraph changes", 1
_KEYS = ("format", "version", "song", "graph", "processors", "bypass", "solo", "mute")


@dataclass(frozen=True)
class Changes:
    """What was changed in a found graph.

    Attributes:
        graph: `graph_hash` of the graph that was changed.
        processors: label of a processor -> setting -> value in its unit, see `adjustables`.
        bypass: labels of processors that are switched off.
        solo, mute: labels of tracks and subgroups, `track kick` or `subgroup drums`.
    """

    graph: str
    processors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    bypass: tuple[str, ...] = ()
    solo: tuple[str, ...] = ()
    mute: tuple[str, ...] = ()

    def apply(self, found_graph: FoundGraph, sources: Tensor) -> tuple[FoundGraph, Tensor, list[str]]:
        """Returns the graph and the sources, (inputs, 2, L), to render in place of these, and a line on each change.

        Raises:
            ValueError: as `change` and `silence`.
        """
        changed, notes = self.change(found_graph)
        sources, muted = self.silence(found_graph.graph, sources)
        return changed, sources, notes + muted

    def change(self, found_graph: FoundGraph) -> tuple[FoundGraph, list[str]]:
        """Returns the graph with other settings and without what is bypassed, and a line on each change.

        A louder or softer reverb or delay, whose dry sound stays, is the same
        with another dry/wet weight, followed by a gain.

        Raises:
            ValueError: another graph, an unknown label or setting, or a value out of range.
        """
        if self.graph != graph_hash(found_graph):
            raise ValueError(
                f"changes: they are of another graph (hash {self.graph[:12]}) than this result's "
                f"({graph_hash(found_graph)[:12]}). HINT: open the page of this result and save its changes"
            )
        labels = {label: place for place, label in enumerate(processor_labels(found_graph.graph))}
        weights = found_graph.weights.double().clone()
        parameters = {t: {n: v.clone() for n, v in values.items()} for t, values in found_graph.parameters.items()}
        gains: dict[int, float] = {}
        notes = []
        for label, settings in self.processors.items():
            place = _known(label, labels, "processors")
            node = found_graph.graph.processors[place]
            values, weight, gain = _changed(found_graph, place, label, settings)
            node_type, row = found_graph.graph.types[node], found_graph.graph.rows[node]
            for name, value in values.items():
                parameters[node_type][name][row] = value[0].to(parameters[node_type][name])
            weights[place] = weight
            if gain != 1:
                gains[node] = gain
            notes.append(f"Changed: {label}: {', '.join(f'{name} {value:g}' for name, value in settings.items())}.")
        for label in self.bypass:
            place = _known(label, labels, "bypass")
            weights[place] = 0
            gains.pop(found_graph.graph.processors[place], None)
        notes += [f"Bypassed: {'; '.join(self.bypass)}."] if self.bypass else []
        changed = found_graph.with_parameters(parameters, weights.to(found_graph.weights))
        for node, gain in gains.items():
            changed = _with_gain_after(changed, node, gain)
        return changed, notes

    def silence(self, graph: MixGraph, sources: Tensor) -> tuple[Tensor, list[str]]:
        """Returns the sources, (inputs, 2, L), with tracks muted before their chains, and a line that names them.

        Raises:
            ValueError: an unknown track or subgroup.
        """
        rows = source_rows(graph)
        alone = set().union(*(_known(label, rows, "solo") for label in self.solo))
        muted = set().union(*(_known(label, rows, "mute") for label in self.mute))
        silent = sorted(muted | (set(range(len(graph.inputs))) - alone if self.solo else set()))
        if silent:
            sources = sources.clone()
            sources[silent] = 0
        names = ", ".join(graph.names[graph.inputs[row]] for row in silent)
        return sources, [f"Muted: {names}."] if silent else []


def graph_hash(found_graph: FoundGraph) -> str:
    """Returns the SHA-256 of a found graph: its nodes, cables, names, sample rate and level, and all its values."""
    graph = found_graph.graph
    structure = [graph.types, graph.edges, graph.ports, graph.names, graph.subgroups, found_graph.sample_rate]
    digest = hashlib.sha256(json.dumps([*structure, found_graph.level]).encode())
    digest.update(parameters_to_bytes(found_graph.parameters, found_graph.weights))
    return digest.hexdigest()


def processor_labels(graph: MixGraph) -> list[str]:
    """Returns a label of its own for every processor, in order: `track kick: equalizer`, then `... (2)`."""
    counts: Counter[str] = Counter()
    labels = []
    for node in graph.processors:
        label = graph.label(node)
        counts[label] += 1
        labels.append(label if counts[label] == 1 else f"{label} ({counts[label]})")
    return labels


def source_rows(graph: MixGraph) -> dict[str, set[int]]:
    """Returns the rows of the sources of each track and subgroup, by label."""
    rows: dict[str, set[int]] = {}
    for row, node in enumerate(graph.inputs):
        rows.setdefault(f"track {graph.names[node]}", set()).add(row)
    for name, members in graph.members.items():
        rows[f"subgroup {name}"] = set(members)
    return rows


def node_values(found_graph: FoundGraph, place: int) -> NodeValues:
    """Returns the values of the processor `graph.processors[place]`."""
    graph = found_graph.graph
    node = graph.processors[place]
    row = graph.rows[node]
    values = found_graph.parameters[graph.types[node]]
    return NodeValues(
        {name: value[row : row + 1].detach().cpu().double() for name, value in values.items()},
        float(found_graph.weights[place]),
        -20 * math.log10(found_graph.level),
        found_graph.num_samples,
    )


def read_changes(path: Path) -> Changes:
    """Reads a file of changes.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a file, a newer version, unknown names, or values that are no finite numbers.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: a file of changes (JSON) that a result's page saved is needed")
    try:
        record = json.loads(read_text(path), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: JSON is needed ({error})") from error
    return changes_from_dict(record, str(path))


def changes_from_dict(record: Any, where: str) -> Changes:
    """Reads changes from their JSON object; raises as `read_changes`, with `where` as the name of the file."""
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ValueError(f"{where}: format: {FORMAT!r} is needed, got {shown_value(record)}")
    if record.get("version") != VERSION or isinstance(record["version"], bool):
        raise ValueError(f"{where}: version: {VERSION} is needed, got {shown_value(record.get('version'))}")
    if unknown := [key for key in record if key not in _KEYS]:
        raise ValueError(f"{where}: {', '.join(_KEYS)} are known, got {unknown[0]!r}.{did_you_mean(unknown[0], _KEYS)}")
    graph = record.get("graph")
    if not isinstance(graph, str) or not graph:
        raise ValueError(f"{where}: graph: the hash of a graph is needed, got {shown_value(graph)}")
    processors = record.get("processors", {})
    if not isinstance(processors, dict):
        raise ValueError(f"{where}: processors: an object is needed, got {shown_value(processors)}")
    for label, settings in processors.items():
        if not isinstance(settings, dict):
            raise ValueError(f"{where}: {label}: an object of settings is needed, got {shown_value(settings)}")
        for name, value in settings.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
                raise ValueError(f"{where}: {label}: {name}: a finite number is needed, got {shown_value(value)}")
    lists = [_labels(record.get(key, []), f"{where}: {key}") for key in ("bypass", "solo", "mute")]
    return Changes(graph, processors, *lists)


def _labels(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
        raise ValueError(f"{where}: a list of labels is needed, got {shown_value(value)}")
    return tuple(value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(record := dict(pairs)) < len(pairs):
        raise ValueError("a name is given twice in one object")
    return record


def _no_constant(text: str) -> float:
    raise ValueError(f"a finite number is needed, got {text}")


def _known(label: str, labels: Mapping[str, Any], part: str) -> Any:
    if label not in labels:
        examples = ", ".join(map(repr, list(labels)[:3])) or "none"
        raise ValueError(
            f"changes: {part}: a label such as {examples} is needed, got {label!r}.{did_you_mean(label, labels)}"
        )
    return labels[label]


def _changed(
    found_graph: FoundGraph, place: int, label: str, settings: Mapping[str, float]
) -> tuple[dict[str, Tensor], float, float]:
    """Returns the parameters of a processor, (1, *shape), its weight, and a gain behind it."""
    node = node_values(found_graph, place)
    processor = found_graph.processors[found_graph.graph.types[found_graph.graph.processors[place]]]
    known: dict[str, Adjustable] = {setting.name: setting for setting in adjustables(processor, node)}
    values, weight, gain = dict(node.parameters), node.weight, 1.0
    for name, value in settings.items():
        if name not in known:
            raise ValueError(
                f"changes: {label}: one of {', '.join(known)} is needed, got {name!r}.{did_you_mean(name, known)}"
            )
        low, high, unit = known[name].low, known[name].high, known[name].unit
        if not low <= value <= high:
            raise ValueError(f"changes: {label}: {name}: {low:g} to {high:g} {unit} is needed, got {value:g}")
        values = known[name].change(values, value)
    weight = float(settings.get(WET, weight))
    if LEVEL in settings:  # (1 - w) dry + w k wet = gain ((1 - v) dry + v wet)
        louder = 10 ** (settings[LEVEL] / 20)
        gain = 1 - weight + weight * louder
        weight = weight * louder / gain
    return values, weight, gain


def _with_gain_after(found_graph: FoundGraph, node: int, gain: float) -> FoundGraph:
    """Returns the graph with a gain of both channels between a node and all that it feeds."""
    graph, new = found_graph.graph, len(found_graph.graph)
    edges = [(new if source == node else source, destination) for source, destination in graph.edges]
    changed = MixGraph(
        types=(*graph.types, "gain_panning"),
        edges=(*edges, (node, new)),
        names=(*graph.names, graph.names[node]),
        subgroups=graph.subgroups,
        songs=(*graph.songs, graph.songs[node]),
        ports=(*graph.ports, (0, 0)),
    )
    row = torch.full((1, 2), math.log(gain), dtype=found_graph.weights.dtype)
    parameters = dict(found_graph.parameters)
    before = parameters.get("gain_panning", {}).get("log_gain", row[:0])
    parameters["gain_panning"] = {"log_gain": torch.cat((before, row.to(before)))}
    weights = torch.cat((found_graph.weights, found_graph.weights.new_ones(1)))
    return replace(found_graph, graph=changed, parameters=parameters, weights=weights)
