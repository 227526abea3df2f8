"""Graphs for other libraries: networkx, and PyTorch Geometric for networks that learn from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import networkx as nx
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from mixgraph.graph.edit import batch
from mixgraph.graph.types import AUXILIARY, INPUT, MixGraph
from mixgraph.processors import Processor, Processors, registered


def to_networkx(graph: MixGraph, weights: Tensor | None = None) -> nx.DiGraph:
    """Makes a networkx graph of node numbers, with attributes type, name, subgroup (of inputs, else "") and song.

    Edges carry their `order`, since networkx sorts them by source, and `outlet` and `inlet`. Two nodes may have several
    edges: where a graph has ports, it is a `MultiDiGraph`. Processors carry `weight` where weights,
    (len(graph.processors),), are given.
    """
    group_of = dict(zip(graph.inputs, graph.subgroups, strict=True))
    converted = nx.MultiDiGraph() if graph.has_ports else nx.DiGraph()
    for i, node_type in enumerate(graph.types):
        converted.add_node(i, type=node_type, name=graph.names[i], subgroup=group_of.get(i, ""), song=graph.songs[i])
    for order, ((source, destination), (outlet, inlet)) in enumerate(zip(graph.edges, graph.ports, strict=True)):
        converted.add_edge(source, destination, order=order, outlet=outlet, inlet=inlet)
    if weights is not None:
        _check_rows("weights", weights, len(graph.processors))
        for node, weight in zip(graph.processors, weights.tolist(), strict=True):
            converted.nodes[node]["weight"] = weight
    return converted


def from_networkx(source: nx.DiGraph) -> MixGraph:
    """Inverts `to_networkx`, for any labels: nodes are numbered in the order in which `source` has them.

    `type` is needed; `name` and `subgroup` default to "", `song`, `outlet` and `inlet` to 0. Edges without `order`
    come last, as they are.

    Raises:
        TypeError: `source` is not a directed graph.
        ValueError: a node without a type, or an invalid graph.
    """
    if not isinstance(source, nx.DiGraph):  # a MultiDiGraph is one
        raise TypeError(f"source: a networkx.DiGraph or MultiDiGraph is needed, got {type(source).__name__}")
    for node, attributes in source.nodes(data=True):
        if "type" not in attributes:
            raise ValueError(f"source: node {node!r} has no attribute 'type'; it has {sorted(attributes)}")
    number = {node: i for i, node in enumerate(source)}
    edges = sorted(source.edges(data=True), key=lambda edge: edge[2].get("order", source.number_of_edges()))
    nodes = source.nodes.values()
    return MixGraph(
        types=tuple(node["type"] for node in nodes),
        edges=tuple((number[a], number[b]) for a, b, _ in edges),
        names=tuple(node.get("name", "") for node in nodes),
        subgroups=tuple(node.get("subgroup", "") for node in nodes if node["type"] == INPUT),
        songs=tuple(node.get("song", 0) for node in nodes),
        ports=tuple((edge.get("outlet", 0), edge.get("inlet", 0)) for _, _, edge in edges),
    )


def type_vocabulary() -> dict[str, int]:
    """Returns the id of every type in `Data.x`: 0 to 2 for input, mix and output, the `type_id` of processors."""
    ids = {name: kind.type_id for name, kind in registered().items() if kind.type_id is not None}
    return {name: i for i, name in enumerate(AUXILIARY)} | dict(sorted(ids.items(), key=lambda item: item[1]))


def to_pyg(
    graph: MixGraph,
    parameters: Mapping[str, Mapping[str, Tensor]] | None = None,
    weights: Tensor | None = None,
    loss_increases: Tensor | None = None,
    processors: Processors | None = None,
) -> Data:
    """Makes one homogeneous graph that can be batched: `Batch` shifts the indices and joins everything else in order.

    Args:
        graph: the graph of one or several songs.
        parameters: type -> name -> (nodes of the type, *shape); needs `processors`.
        weights: dry/wet weight of each processor, (processors,).
        loss_increases: the match loss without each processor, less that with it, (processors,).
        processors: name -> processor; they declare the shapes, also of types that this graph does not have.

    Returns:
        x: (nodes,) type ids, see `type_vocabulary`; song: (nodes,); edge_index: (2, edges); name: a name per node.
        edge_port: (edges, 2), outlet and inlet of each edge.
        source_index: (tracks,) node of each dry source; subgroup: a name for every source.
        processor_index: (processors,) node of each processor; weight, loss_increase: (processors,), where given.
        param_{type}: (nodes of the type, numbers), where given, for every type in `processors`: row `r` is the
        `r`-th node with this type's id, its parameters flattened in alphabetical order (`parameters_from_pyg`).

    Raises:
        ValueError: a type that is not registered or declares no `type_id`, or values that do not fit the graph.
    """
    vocabulary = type_vocabulary()
    for node_type in graph.types:
        if node_type not in vocabulary:
            if node_type in registered():
                raise ValueError(f"graph: a type_id is needed, got none of {node_type!r}. HINT: its class declares it")
            raise ValueError(f"graph: unknown type {node_type!r}; known are {', '.join(vocabulary)}")
    columns: dict[str, Any] = {}
    for key, values in (("weight", weights), ("loss_increase", loss_increases)):
        if values is not None:
            _check_rows(f"{key}s", values, len(graph.processors))
            columns[key] = values
    if parameters is not None:
        if processors is None:
            raise ValueError("processors: needed with parameters, since they declare the shapes; got None")
        for node_type in processors:
            columns[f"param_{node_type}"] = _flatten(graph, node_type, processors[node_type], parameters)
    return Data(
        x=torch.tensor([vocabulary[node_type] for node_type in graph.types]),
        edge_index=torch.tensor(graph.edges, dtype=torch.long).reshape(-1, 2).T.contiguous(),
        edge_port=torch.tensor(graph.ports, dtype=torch.long).reshape(-1, 2),
        song=torch.tensor(graph.songs),
        name=list(graph.names),
        source_index=torch.tensor(graph.inputs, dtype=torch.long),
        subgroup=list(graph.subgroups),
        processor_index=torch.tensor(graph.processors, dtype=torch.long),
        **columns,
    )


def from_pyg(data: Data) -> MixGraph:
    """The inverse of `to_pyg`; a `Batch` becomes one disconnected graph, as `mixgraph.graph.batch` makes it.

    Raises:
        ValueError: a type id outside the vocabulary, or an invalid graph.
    """
    if isinstance(data, Batch):
        return batch([from_pyg(item) for item in data.to_data_list()])
    names = {i: name for name, i in type_vocabulary().items()}
    ids = data.x.tolist()
    for i in ids:
        if i not in names:
            raise ValueError(f"data.x: type ids {', '.join(map(str, names))} are known, got {i}")
    return MixGraph(
        types=tuple(names[i] for i in ids),
        edges=tuple((source, destination) for source, destination in data.edge_index.T.tolist()),
        names=tuple(data.name),
        subgroups=tuple(data.subgroup),
        songs=tuple(data.song.tolist()),
        ports=tuple((outlet, inlet) for outlet, inlet in data.edge_port.tolist()),
    )


def parameters_from_pyg(data: Data, processors: Processors) -> dict[str, dict[str, Tensor]]:
    """The parameters in `data` (or a `Batch`): type -> name -> (nodes of the type, *shape), of types with nodes.

    Raises:
        ValueError: no parameters of a type, or a width that the processor does not declare.
    """
    names = {i: name for name, i in type_vocabulary().items()}
    parameters: dict[str, dict[str, Tensor]] = {}
    for i in data.x.unique().tolist():
        node_type = names[i]
        if node_type in AUXILIARY:
            continue
        key = f"param_{node_type}"
        if key not in data:
            raise ValueError(f"data: {key} is missing; convert with to_pyg(graph, parameters, processors=...)")
        shapes = _shapes(processors[node_type])
        widths = [shape.numel() for shape in shapes.values()]
        if data[key].shape[1] != sum(widths):
            raise ValueError(f"data: {key}: {sum(widths)} columns are needed, got {data[key].shape[1]}")
        parts = data[key].split(widths, dim=1)
        parameters[node_type] = {
            name: part.reshape(-1, *shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)
        }
    return parameters


def _shapes(processor: Processor) -> dict[str, torch.Size]:
    return {name: torch.Size(declared.shape) for name, declared in sorted(processor.specification.items())}


def _flatten(
    graph: MixGraph, node_type: str, processor: Processor, parameters: Mapping[str, Mapping[str, Tensor]]
) -> Tensor:
    rows = len(graph.nodes_of(node_type))
    shapes = _shapes(processor)
    if rows == 0:
        return torch.zeros(0, sum(shape.numel() for shape in shapes.values()))
    parts = []
    for name, shape in shapes.items():
        value = parameters.get(node_type, {}).get(name)
        if value is None or tuple(value.shape) != (rows, *shape):
            actual = "none" if value is None else tuple(value.shape)
            raise ValueError(f"parameters: {node_type}.{name}: {(rows, *shape)} is needed, got {actual}")
        parts.append(value.reshape(rows, -1))
    return torch.cat(parts, dim=1)


def _check_rows(what: str, values: Tensor, rows: int) -> None:
    if tuple(values.shape) != (rows,):
        raise ValueError(f"{what}: ({rows},) is needed, one a processor, got {tuple(values.shape)}")
