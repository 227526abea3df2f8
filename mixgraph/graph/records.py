"""Graphs as JSON text, and back with every field checked.

Records are uniform (a list of node objects with the same keys), so that tools which infer a schema from many files
find one. Processors are stored by type and row: row `r` of a type's parameters belongs to the `r`-th node of the type.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor

from mixgraph.graph.types import INPUT, MIX, OUTPUT, MixGraph
from mixgraph.processors import processor_type, registered

SCHEMA_VERSION = 2
"""Version 2 has the ports of edges; version 1, which is the same otherwise, is still read."""

_AUXILIARY_LETTERS = {INPUT: "i", MIX: "m", OUTPUT: "o"}
_NODE_KINDS: dict[str, tuple[type, ...]] = {
    "id": (int,),
    "type": (str,),
    "letter": (str,),
    "name": (str,),
    "subgroup": (str,),
    "song": (int,),
    "row": (int,),
    "weight": (float, int, type(None)),
    "loss_increase": (float, int, type(None)),
}
_OLD_EDGE_KINDS: dict[str, tuple[type, ...]] = {"source": (int,), "destination": (int,)}
_EDGE_KINDS: dict[str, tuple[type, ...]] = {**_OLD_EDGE_KINDS, "outlet": (int,), "inlet": (int,)}
_GRAPH_KINDS: dict[str, tuple[type, ...]] = {"schema_version": (int,), "nodes": (list,), "edges": (list,)}
_FILE_KINDS: dict[str, tuple[type, ...]] = {**_GRAPH_KINDS, "sample_rate": (int,), "processors": (dict,)}
_RANGES = {"weight": (0.0, 1.0), "loss_increase": (-1e30, 1e30)}  # refuses what is not finite, too
_KIND_NAMES = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


@dataclass(frozen=True, eq=False)
class GraphFile:
    """The content of a graph file: all that rendering needs, but for the parameters.

    Attributes:
        graph: the graph of one or several songs.
        sample_rate: sample rate in Hz of the audio that the graph was made for.
        weights: dry/wet weight of each processor, (len(graph.processors),) float32; None where not known.
        loss_increases: rise of the match loss when a processor is removed, for every processor, the same shape,
            float64; None where not known.
        processor_options: processor name -> the constructor's arguments that differ from the defaults.
    """

    graph: MixGraph
    sample_rate: int
    weights: Tensor | None = None
    loss_increases: Tensor | None = None
    processor_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def node_letter(node_type: str) -> str:
    """Returns the letter of a node type: i, m, o, or that of the processor.

    Raises:
        ValueError: a type that is not registered.
    """
    return _AUXILIARY_LETTERS.get(node_type) or processor_type(node_type).letter


def graph_to_dict(
    graph: MixGraph, weights: Tensor | None = None, loss_increases: Tensor | None = None
) -> dict[str, Any]:
    """Converts a graph to plain values: `{"schema_version", "nodes", "edges"}` with uniform records.

    Raises:
        ValueError: an unregistered processor type, weights that are not in 0..1, or values of the wrong shape.
    """
    weight_of = _by_node(graph, weights, "weight")
    increase_of = _by_node(graph, loss_increases, "loss_increase")
    group_of = dict(zip(graph.inputs, graph.subgroups, strict=True))
    nodes = [
        {
            "id": i,
            "type": node_type,
            "letter": node_letter(node_type),
            "name": graph.names[i],
            "subgroup": group_of.get(i, ""),
            "song": graph.songs[i],
            "row": graph.rows[i],
            "weight": weight_of.get(i),
            "loss_increase": increase_of.get(i),
        }
        for i, node_type in enumerate(graph.types)
    ]
    edges = [
        {"source": source, "destination": destination, "outlet": outlet, "inlet": inlet}
        for (source, destination), (outlet, inlet) in zip(graph.edges, graph.ports, strict=True)
    ]
    return {"schema_version": SCHEMA_VERSION, "nodes": nodes, "edges": edges}


def graph_from_dict(record: Any, where: str = "graph") -> MixGraph:
    """The inverse of `graph_to_dict`; `where` names the source in messages.

    Raises:
        ValueError: missing, unknown or ill-typed fields, a newer schema, or an invalid graph.
    """
    _check_schema(record, where)
    _check_record(record, _GRAPH_KINDS, where)
    return _graph(record, where)[0]


def graph_to_json(graph: MixGraph) -> str:
    """Writes a graph as one line of JSON, for checkpoints."""
    return json.dumps(graph_to_dict(graph), allow_nan=False, separators=(",", ":"))


def graph_from_json(text: str, where: str = "graph") -> MixGraph:
    """The inverse of `graph_to_json`; raises as `graph_from_dict` does."""
    return graph_from_dict(_parse(text, where), where)


def graph_file_to_json(file: GraphFile) -> str:
    """Writes the text of a graph file, one node or edge a line.

    Raises:
        ValueError: values that do not fit the graph, or options that JSON cannot hold.
    """
    if type(file.sample_rate) is not int or file.sample_rate < 1:
        raise ValueError(f"sample_rate: a positive whole number of Hz is needed, got {file.sample_rate!r}")
    options = {name: dict(values) for name, values in sorted(file.processor_options.items())}
    _check_options(options, "processor_options")
    record = graph_to_dict(file.graph, file.weights, file.loss_increases)

    def line(value: Any) -> str:
        return json.dumps(value, allow_nan=False)

    def lines(values: Iterable[Any]) -> str:
        return "[\n    " + ",\n    ".join(map(line, values)) + "\n  ]"

    return (
        "{\n"
        f'  "schema_version": {record["schema_version"]},\n'
        f'  "sample_rate": {file.sample_rate},\n'
        f'  "processors": {line(options)},\n'
        f'  "nodes": {lines(record["nodes"])},\n'
        f'  "edges": {lines(record["edges"])}\n'
        "}\n"
    )


def graph_file_from_json(text: str, where: str) -> GraphFile:
    """The inverse of `graph_file_to_json`; `where` names the file in messages.

    Raises:
        ValueError: not JSON, missing, unknown or ill-typed fields, a newer schema, or an invalid graph.
    """
    return graph_file_from_dict(_parse(text, where), where)


def graph_file_from_dict(record: Any, where: str) -> GraphFile:
    """Makes a graph file from the values of its JSON; raises as `graph_file_from_json` does."""
    _check_schema(record, where)
    _check_record(record, _FILE_KINDS, where)
    if record["sample_rate"] < 1:
        raise ValueError(f"{where}: sample_rate: a positive number of Hz is needed, got {record['sample_rate']}")
    _check_options(record["processors"], f"{where}: processors")
    graph, nodes = _graph(record, where)
    return GraphFile(
        graph=graph,
        sample_rate=record["sample_rate"],
        weights=_column(graph, nodes["weight"], "weight", where, torch.float32),
        loss_increases=_column(graph, nodes["loss_increase"], "loss_increase", where, torch.float64),
        processor_options=record["processors"],
    )


def _parse(text: str, where: str) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not a number of JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not JSON: {error}") from error


def _check_schema(record: Any, where: str) -> None:
    if not isinstance(record, dict):
        raise ValueError(f"{where}: an object is needed, got {_shown(record)}")
    version = record.get("schema_version")
    if type(version) is not int or version < 1:
        raise ValueError(f"{where}: schema_version: a whole number from 1 is needed, got {_shown(version)}")
    check_version(version, where)


def check_version(version: int, where: str, newest: int = SCHEMA_VERSION) -> None:
    if version > newest:
        raise ValueError(f"{where}: made by a newer mixgraph: schema {version}, this one reads up to {newest}; upgrade")


def check_names(needed: Iterable[str], present: Iterable[str], where: str) -> None:
    missing, unknown = sorted(set(needed) - set(present)), sorted(set(present) - set(needed))
    if missing:
        raise ValueError(f"{where}: missing: {', '.join(missing)}")
    if unknown:
        raise ValueError(f"{where}: unknown: {', '.join(unknown)}; known are {', '.join(needed)}")


def _check_record(record: Any, kinds: Mapping[str, tuple[type, ...]], where: str) -> None:
    if not isinstance(record, dict):
        raise ValueError(f"{where}: an object is needed, got {_shown(record)}")
    check_names(kinds, record, where)
    for key, allowed in kinds.items():
        if type(record[key]) not in allowed:  # not isinstance: true is no number here
            needed = " or ".join(_KIND_NAMES[kind] for kind in allowed if not (kind is int and float in allowed))
            raise ValueError(f"{where}: {key}: {needed} is needed, got {_shown(record[key])}")


def _columns(records: Sequence[Any], kinds: Mapping[str, tuple[type, ...]], where: str) -> dict[str, tuple[Any, ...]]:
    """Returns the values of uniform records by key, after a check of their types."""
    # By column: data sets have many graphs, and nearly all of them are sound.
    if set(map(type, records)) <= {dict} and set(map(len, records)) <= {len(kinds)}:
        with suppress(KeyError):
            columns = list(zip(*map(itemgetter(*kinds), records), strict=True)) or [()] * len(kinds)
            allowed = zip(columns, kinds.values(), strict=True)
            if all(set(map(type, column)).issubset(types) for column, types in allowed):
                return dict(zip(kinds, columns, strict=True))
    for i, record in enumerate(records):
        _check_record(record, kinds, f"{where}[{i}]")
    raise AssertionError(f"{where}: a record that is refused as one of many is refused by itself")


def _check_nodes(nodes: Mapping[str, tuple[Any, ...]], where: str) -> None:
    known = _AUXILIARY_LETTERS | {name: processor.letter for name, processor in registered().items()}
    types, letters, subgroups = nodes["type"], nodes["letter"], nodes["subgroup"]
    if (
        nodes["id"] == tuple(range(len(types)))
        and min(nodes["song"]) >= 0
        and set(zip(types, letters, strict=True)) <= known.items()
        and (set(subgroups) <= {""} or all(t == INPUT for t, group in zip(types, subgroups, strict=True) if group))
    ):
        return
    for i, number in enumerate(nodes["id"]):  # says which one it is, and why
        at = f"{where}[{i}]"
        if number != i:
            raise ValueError(f"{at}: id: {i} is needed (nodes in order), got {number}")
        if nodes["song"][i] < 0:
            raise ValueError(f"{at}: song: a number from 0 is needed, got {nodes['song'][i]}")
        try:
            letter = node_letter(types[i])
        except ValueError as error:
            raise ValueError(f"{at}: type: {error}") from error
        if letters[i] != letter:
            raise ValueError(f"{at}: letter: {letter!r} is needed for {types[i]}, got {letters[i]!r}")
        if subgroups[i] and types[i] != INPUT:
            raise ValueError(f"{at}: subgroup: '' is needed, only inputs have one, got {subgroups[i]!r}")


def _check_options(options: Mapping[str, Any], where: str) -> None:
    for name, type_options in options.items():
        try:
            processor_type(name)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        if not isinstance(type_options, dict):
            raise ValueError(f"{where}: {name}: an object is needed, got {_shown(type_options)}")
        for option, value in type_options.items():
            values = value if isinstance(value, list | tuple) else (value,)
            if not all(map(_is_option, values)):
                needed = "a text, finite number, bool or null, or a list of these,"
                raise ValueError(f"{where}: {name}.{option}: {needed} is needed, got {_shown(value)}")


def _is_option(value: Any) -> bool:
    return (
        value is None or isinstance(value, str) or (isinstance(value, int | float) and abs(value) <= sys.float_info.max)
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _graph(record: dict[str, Any], where: str) -> tuple[MixGraph, dict[str, tuple[Any, ...]]]:
    """Makes a graph from its record; also returns the node records' values by key."""
    if not record["nodes"]:
        raise ValueError(f"{where}: nodes: at least one is needed, got none")
    nodes = _columns(record["nodes"], _NODE_KINDS, f"{where}: nodes")
    _check_nodes(nodes, f"{where}: nodes")
    kinds = _OLD_EDGE_KINDS if record["schema_version"] == 1 else _EDGE_KINDS
    edges = _columns(record["edges"], kinds, f"{where}: edges")
    types = nodes["type"]
    try:
        graph = MixGraph(
            types=types,
            edges=tuple(zip(edges["source"], edges["destination"], strict=True)),
            names=nodes["name"],
            subgroups=tuple(group for group, t in zip(nodes["subgroup"], types, strict=True) if t == INPUT),
            songs=nodes["song"],
            ports=tuple(zip(edges["outlet"], edges["inlet"], strict=True)) if "outlet" in kinds else (),
        )
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    if nodes["row"] != graph.rows:
        i = next(i for i, row in enumerate(graph.rows) if nodes["row"][i] != row)
        needed = f"{graph.rows[i]} is needed (its rank in its type)"
        raise ValueError(f"{where}: nodes[{i}]: row: {needed}, got {nodes['row'][i]}")
    return graph, nodes


def _by_node(graph: MixGraph, values: Tensor | None, key: str) -> dict[int, float]:
    """Returns the value of every processor by its node number; nothing where there are no values."""
    if values is None:
        return {}
    if tuple(values.shape) != (len(graph.processors),):
        raise ValueError(f"{key}s: ({len(graph.processors)},) is needed, one a processor, got {tuple(values.shape)}")
    low, high = _RANGES[key]
    value_of = dict(zip(graph.processors, values.detach().cpu().tolist(), strict=True))
    for node, value in value_of.items():
        if not low <= value <= high:
            raise ValueError(f"{key}s: {low:g} to {high:g} is needed, got {value:g} at {graph.label(node)}")
    return value_of


def _column(graph: MixGraph, values: Sequence[Any], key: str, where: str, dtype: torch.dtype) -> Tensor | None:
    """The values of the processors, all or none of which are known; those of a graph without processors are known."""
    low, high = _RANGES[key]
    known = tuple(i for i, value in enumerate(values) if value is not None)
    if not known and graph.processors:
        return None
    if known != graph.processors:
        odd = min(set(known) ^ set(graph.processors))
        raise ValueError(f"{where}: nodes[{odd}]: {key}: all processors have one, or none; other nodes have null")
    numbers = [values[i] for i in known]
    if numbers and not low <= min(numbers) <= max(numbers) <= high:
        i = next(i for i in known if not low <= values[i] <= high)
        raise ValueError(f"{where}: nodes[{i}]: {key}: {low:g} to {high:g} is needed, got {_shown(values[i])}")
    return torch.tensor(numbers, dtype=dtype)
