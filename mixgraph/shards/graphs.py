"""Writes and reads `graph.json`, `params.safetensors` and `trace.json` of a sample."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from mixgraph.graph.io import GraphFile, check_parameters, graph_file_from_dict
from mixgraph.graph.records import graph_to_dict
from mixgraph.processors import Parameter, Processors, make_processors
from mixgraph.shards.fields import MAX_SAMPLE_RATE, parse_json, to_json

Values = dict[str, dict[str, Tensor]]

TRACE_KEYS = (
    "kind",
    "when",
    "round",
    "step",
    "candidates",
    "weight",
    "loss",
    "loss_increase",
    "stopped",
    "bound",
    "accepted",
    "remaining",
    "start_loss",
    "min_loss",
    "end_loss",
    "trials",
    "removed",
)
"""Every row of a trace has all of them; null where a kind of row has no such value."""

_OPTION_KEYS = {"type", "option", "value"}
_HEADER_LIMIT = 1 << 20
_MAX_ROWS = 1_000_000


def graph_bytes(file: GraphFile) -> bytes:
    """Encodes `graph.json`: a graph file, but with the processors' options as a list of `{type, option, value}`.

    Tools that infer a schema can read a list of uniform records; `value` is a string that holds JSON.
    """
    record = graph_to_dict(file.graph, file.weights, file.loss_increases)
    options = [
        {"type": name, "option": option, "value": json.dumps(value, allow_nan=False)}
        for name, arguments in sorted(file.processor_options.items())
        for option, value in sorted(arguments.items())
    ]
    head = {"schema_version": record["schema_version"], "sample_rate": file.sample_rate, "processor_options": options}
    return to_json(head | {"nodes": record["nodes"], "edges": record["edges"]})


def read_graph(data: bytes, where: str, strict: bool = False) -> GraphFile:
    """Decodes the bytes of `graph_bytes`, and checks every field.

    Raises:
        ValueError: the data is not JSON, has missing, unknown or ill-typed fields or a newer schema, or the graph is
            invalid.
    """
    record = parse_json(data, where, strict)
    if not isinstance(record, dict) or not isinstance(record.get("processor_options"), list):
        raise ValueError(f"{where}: an object with a list of processor_options is needed")
    options: dict[str, dict[str, Any]] = {}
    for entry in record.pop("processor_options"):
        if not isinstance(entry, dict) or entry.keys() != _OPTION_KEYS or not all(map(_is_text, entry.values())):
            raise ValueError(f"{where}: processor_options: texts type, option and value are needed, got {entry!r:.60}")
        value = parse_json(entry["value"].encode(), f"{where}: processor_options: value")
        options.setdefault(entry["type"], {})[entry["option"]] = value
    file = graph_file_from_dict(record | {"processors": options}, where)
    if not 1000 <= file.sample_rate <= MAX_SAMPLE_RATE:
        raise ValueError(f"{where}: sample_rate: 1000 to {MAX_SAMPLE_RATE} Hz, got {file.sample_rate}")
    return file


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 1000


@lru_cache(maxsize=8)
def _processors(sample_rate: int, options: str, device: str) -> Processors:
    return make_processors(sample_rate, json.loads(options)).to(device)


def processors_of(
    sample_rate: int, options: Mapping[str, Mapping[str, Any]], device: torch.device | str = "cpu"
) -> Processors:
    """Returns the processors of a graph file; samples with equal options on one device share them.

    Raises:
        ValueError: a processor does not have one of the options.
    """
    return _processors(sample_rate, _options_text(options), str(device))


def _options_text(options: Mapping[str, Mapping[str, Any]]) -> str:
    return (
        json.dumps({name: dict(arguments) for name, arguments in options.items()}, sort_keys=True) if options else "{}"
    )


@dataclass(frozen=True)
class _Declared:
    """The specification of a processor, kept for `check_parameters`: a processor builds it anew at every access."""

    specification: dict[str, Parameter]


@lru_cache(maxsize=8)
def _declared(sample_rate: int, options: str) -> dict[str, _Declared]:
    processors = _processors(sample_rate, options, "cpu")
    return {name: _Declared(processors[name].specification) for name in processors}


def read_parameters(data: bytes, file: GraphFile, where: str) -> tuple[Values, Tensor]:
    """Decodes parameters and weights from `params.safetensors`, as `graph.io.load_parameters` does.

    Raises:
        ValueError: the header is too large or damaged, or keys, shapes or values do not fit the graph.
    """
    stated = int.from_bytes(data[:8], "little")
    if len(data) < 8 or stated > min(_HEADER_LIMIT, len(data) - 8):
        raise ValueError(f"{where}: a safetensors header of at most {_HEADER_LIMIT:,} bytes is needed, got {stated:,}")
    header = parse_json(data[8 : 8 + stated], where)
    metadata = header.get("__metadata__", {}) if isinstance(header, dict) else {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError(f"{where}: __metadata__: an object of texts is needed")
    try:
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise ValueError(f"{where}: not a safetensors file: {error}") from error
    for key, value in tensors.items():
        if value.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"{where}: {key}: float32 or float64 is needed, got {value.dtype}")
    try:
        declared = _declared(file.sample_rate, _options_text(file.processor_options))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}") from error
    floats = {value.dtype for value in tensors.values()} == {torch.float32}
    finite = floats and bool(np.isfinite(np.frombuffer(data, np.float32, offset=8 + stated)).all())
    return check_parameters(tensors, metadata, file.graph, declared, where, finite)


def trace_bytes(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Encodes `trace.json`, a list of rows that all have the keys `TRACE_KEYS`.

    Raises:
        ValueError: a row has another key.
    """
    uniform = []
    for i, row in enumerate(rows):
        unknown = sorted(set(row) - set(TRACE_KEYS))
        if unknown:
            raise ValueError(f"trace[{i}]: unknown keys {', '.join(unknown)}; known are {', '.join(TRACE_KEYS)}")
        uniform.append({key: row.get(key) for key in TRACE_KEYS})
    return to_json(uniform)


def read_trace(data: bytes, where: str, strict: bool = False) -> list[dict[str, Any]]:
    """Decodes the rows of `trace.json`.

    Raises:
        ValueError: the data is not JSON or not a list of rows, or a row has other keys or nested values.
    """
    rows = parse_json(data, where, strict)
    if not isinstance(rows, list) or len(rows) > _MAX_ROWS:
        raise ValueError(f"{where}: a list of at most {_MAX_ROWS:,} rows is needed")
    for i, row in enumerate(rows):
        if not isinstance(row, dict) or row.keys() != set(TRACE_KEYS):
            raise ValueError(f"{where}: [{i}]: the keys {', '.join(TRACE_KEYS)} are needed, got {row!r:.60}")
        for key, value in row.items():
            texts = key in ("candidates", "removed") and value is not None
            if texts != isinstance(value, list) or (texts and not all(map(_is_text, value))):
                raise ValueError(f"{where}: [{i}]: {key}: {'a list of texts' if texts else 'one value'} is needed")
            if isinstance(value, dict):
                raise ValueError(f"{where}: [{i}]: {key}: one value is needed, got an object")
    return rows
