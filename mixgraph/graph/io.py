"""Graph files (JSON) and parameter files (safetensors).

Nothing is pickled, the same values give the same bytes, and no reader sees half a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from mixgraph.graph.records import (
    GraphFile,
    check_names,
    check_version,
    graph_file_from_dict,
    graph_file_from_json,
    graph_file_to_json,
    graph_from_dict,
    graph_from_json,
    graph_to_dict,
    graph_to_json,
    node_letter,
)
from mixgraph.graph.types import MixGraph
from mixgraph.processors import Parameter, Processors
from mixgraph.system.files import read_text, write_atomically

__all__ = [
    "WEIGHT_KEY",
    "GraphFile",
    "check_parameters",
    "graph_file_from_dict",
    "graph_file_from_json",
    "graph_file_to_json",
    "graph_from_dict",
    "graph_from_json",
    "graph_to_dict",
    "graph_to_json",
    "load_graph",
    "load_parameters",
    "node_letter",
    "parameters_to_bytes",
    "save_graph",
    "save_parameters",
    "write_atomically",
]

WEIGHT_KEY = "dry_wet_weight"
"""The tensor of dry/wet weights in a parameter file."""
_PARAMETER_VERSION = 1


class Declares(Protocol):
    """Anything that declares the parameters of a type of processor."""

    @property
    def specification(self) -> dict[str, Parameter]:
        """Name -> declaration."""
        ...


def save_graph(
    path: Path,
    graph: MixGraph,
    weights: Tensor | None = None,
    *,
    sample_rate: int,
    loss_increases: Tensor | None = None,
    processor_options: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Writes a graph file (JSON); the fields are those of `GraphFile`, and so are the errors of its conversion."""
    text = graph_file_to_json(GraphFile(graph, sample_rate, weights, loss_increases, processor_options or {}))
    write_atomically(path, text.encode())


def load_graph(path: Path) -> GraphFile:
    """Reads a graph file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, has an unknown schema or an invalid graph; the message names file and field.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: a graph file (JSON) is expected, got none")
    try:
        text = read_text(path)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    return graph_file_from_json(text, str(path))


def save_parameters(path: Path, parameters: Mapping[str, Mapping[str, Tensor]], weights: Tensor) -> None:
    """Writes parameters to a file, as `parameters_to_bytes` makes it; raises as that does."""
    write_atomically(path, parameters_to_bytes(parameters, weights))


def parameters_to_bytes(parameters: Mapping[str, Mapping[str, Tensor]], weights: Tensor) -> bytes:
    """Writes parameters as safetensors: keys `"type.name"` and `"dry_wet_weight"`.

    Args:
        parameters: type -> name -> (nodes of the type, *shape), in the trained coordinates. Types without nodes
            are left out of the file.
        weights: dry/wet weight of each processor, (processors,), in 0..1.

    Raises:
        ValueError: values that are not finite, weights out of range, or a name with a dot.
    """
    tensors = {WEIGHT_KEY: weights}
    for node_type, type_parameters in parameters.items():
        for name, value in type_parameters.items():
            if "." in node_type or "." in name:
                raise ValueError(f"parameters: a name cannot have a dot, got {node_type!r}, {name!r}")
            if value.shape[0] > 0:
                tensors[f"{node_type}.{name}"] = value
    for key, value in tensors.items():
        _check_values(key, value, "parameters")
    plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    # One entry of metadata: the writer keeps several in no fixed order, and bytes would differ between runs.
    return safetensors.torch.save(plain, metadata={"schema_version": str(_PARAMETER_VERSION)})


def load_parameters(path: Path, graph: MixGraph, processors: Processors) -> tuple[dict[str, dict[str, Tensor]], Tensor]:
    """Reads a parameter file and checks it against a graph.

    Args:
        path: the parameter file.
        graph: the graph that the parameters belong to.
        processors: name -> processor, as made for the graph's sample rate and options; they declare the shapes.

    Returns:
        type -> name -> (nodes of the type, *shape), in order of the graph, and the weights, (processors,).

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a safetensors file, a newer schema, missing or unknown keys, shapes that do not fit, or
            values that are not finite. The message names the key, what is needed and what the file has.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: a parameter file (safetensors) is expected, got none")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file: {error}") from error
    return check_parameters(tensors, metadata, graph, processors, str(path))


def check_parameters(
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    graph: MixGraph,
    processors: Processors | Mapping[str, Declares],
    where: str,
    finite: bool = False,
) -> tuple[dict[str, dict[str, Tensor]], Tensor]:
    """Returns what `load_parameters` does, of tensors that were read already; raises as that does.

    Args:
        tensors: the tensors of the file by key, `"type.name"` or `"dry_wet_weight"`.
        metadata: metadata of the safetensors header.
        graph: the graph that the parameters belong to.
        processors: name -> processor, or another value that declares the shapes.
        where: names the source in messages.
        finite: skips checks: all tensors are known to be float32 with finite values only.
    """
    version = metadata.get("schema_version", "")
    if not version.isdecimal():
        raise ValueError(f"{where}: schema_version is missing from the metadata, got {metadata}")
    check_version(int(version), where, _PARAMETER_VERSION)

    needed: dict[str, tuple[int, ...]] = {WEIGHT_KEY: (len(graph.processors),)}
    for node_type, rows in graph.count().items():
        if node_type not in processors:
            raise ValueError(f"processors: {node_type!r} is needed by the graph, got {', '.join(processors)}")
        for name, declared in processors[node_type].specification.items():
            needed[f"{node_type}.{name}"] = (rows, *declared.shape)
    check_names(needed, tensors, where)
    for key, shape in needed.items():
        if tuple(tensors[key].shape) != shape:
            raise ValueError(
                f"{where}: {key}: shape {shape} is needed (rows of the graph first), got {tuple(tensors[key].shape)}. "
                "HINT: are graph, sample rate and processor options those that the file was saved with?"
            )
    for key in needed if not finite else ():
        _check_values(key, tensors[key], where)
    _check_weights(tensors[WEIGHT_KEY], where)
    parameters: dict[str, dict[str, Tensor]] = {node_type: {} for node_type in graph.count()}
    for key in needed:
        if key != WEIGHT_KEY:
            node_type, name = key.split(".")
            parameters[node_type][name] = tensors[key]
    return parameters, tensors[WEIGHT_KEY]


def _check_values(key: str, value: Tensor, where: str) -> None:
    if not value.is_floating_point():
        raise ValueError(f"{where}: {key}: floating-point values are needed, got {value.dtype}")
    if not bool(torch.isfinite(value).all()):
        raise ValueError(f"{where}: {key}: finite values are needed, got {int((~torch.isfinite(value)).sum())} others")
    if key == WEIGHT_KEY:
        _check_weights(value, where)


def _check_weights(weights: Tensor, where: str) -> None:
    if weights.numel() > 0:
        low, high = map(float, weights.detach().aminmax())
        if not 0 <= low <= high <= 1:
            raise ValueError(f"{where}: {WEIGHT_KEY}: 0 to 1 is needed, got {low:g} to {high:g}")
