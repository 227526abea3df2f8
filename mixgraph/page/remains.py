"""A result folder, read as far as it is there: what is missing or damaged is named, and the rest stands."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import soundfile
import torch

from mixgraph.graph import build_console
from mixgraph.graph.io import load_graph, load_parameters
from mixgraph.processors import make_processors
from mixgraph.results import CONFIG
from mixgraph.results.contents import LOG, TRACE
from mixgraph.results.found_graph import FoundGraph, load_result
from mixgraph.results.log import LogRow, log_from_csv
from mixgraph.results.metrics import METRICS, Metrics, SongReading, has_search, read_metrics, read_reading
from mixgraph.system.files import json_lines, parse_yaml, read_text

T = TypeVar("T")
_NEEDED = {
    "round": {"round": int, "removed": list},
    "leave_one_out": {"candidates": list, "weight": float, "loss": float, "loss_increase": float},
}


@dataclass(frozen=True, eq=False)
class Remains:
    """What can be read of a result folder, but for its audio.

    Attributes:
        found_graph: the graph; where it is missing, the plain sum of the song's tracks stands for it.
        has_graph: whether it is the graph of the result.
        has_level: whether the level is known at which the graph renders.
        trace: rows of trace.jsonl.
        log: rows of log.csv.
        config: the settings of the search.
        missing: a sentence for every part that is missing or damaged.
    """

    found_graph: FoundGraph
    has_graph: bool
    has_level: bool
    trace: Sequence[dict[str, Any]]
    log: Sequence[dict[str, Any]]
    config: Mapping[str, Any]
    missing: tuple[str, ...]


def read_remains(result: Path, searched: bool = True) -> Remains:
    """Reads a result folder, or a graph that was saved.

    Args:
        result: the folder.
        searched: whether a search made it; nothing of a search is read, nor missed, where none did.

    Raises:
        FileNotFoundError: nothing of a result is there.
        ValueError: files of different results.
    """
    missing: list[str] = []

    def part(read: Callable[[], T], what: str) -> T | None:
        try:
            return read()
        except (FileNotFoundError, ValueError) as error:
            reason = " ".join(str(error).replace(f"{result}/", "").split())
            missing.append(f"{what} cannot be read ({reason}).")
            return None

    try:
        whole: FoundGraph | None = load_result(result)
        why: Exception | None = None
    except (FileNotFoundError, ValueError) as error:
        whole, why = None, error
    graph = whole
    reading: SongReading | None = None if whole is None else whole.metrics
    if why is not None:
        reading = part(lambda: _reading(result), "The figures of the search")
        graph = part(lambda: _graph(result), "The graph")
    trace: Sequence[dict[str, Any]] = []
    log: Sequence[dict[str, Any]] = []
    config: Mapping[str, Any] = {}
    if searched:
        trace = part(lambda: _trace(result / TRACE), "The trials of the search") or []
        log = part(lambda: _log(result / LOG), "The course of the search") or []
        config = part(lambda: _config(result / CONFIG), "The settings of the search") or {}
    if why is not None:
        there = graph is not None or reading is not None or bool(trace) or bool(log) or _mix_shape(result) is not None
        if not there or (graph is not None and reading is not None):
            raise why
    if graph is not None and reading is None and why is not None:
        missing.append("The level of the search is not known: nothing can be rendered, and thresholds may be off.")
    elif searched and graph is not None and graph.metrics is None:
        missing.append("The figures of a search: this graph was saved without them.")
    shown = graph or _plain_sum(result, reading)
    return Remains(
        shown, graph is not None, reading is not None or whole is not None, trace, log, config, tuple(missing)
    )


def _text(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: the file is missing")
    return read_text(path)


def _reading(result: Path) -> SongReading:
    _text(result / METRICS)
    return read_metrics(result) if has_search(result) else read_reading(result)


def _graph(result: Path) -> FoundGraph:
    """Reads the graph and its values, where the level and the length of its song are not known."""
    for name in ("graph.json", "parameters.safetensors"):
        if not (result / name).is_file():
            raise FileNotFoundError(f"{result / name}: the file is missing")
    file = load_graph(result / "graph.json")
    processors = make_processors(file.sample_rate, file.processor_options)
    parameters, weights = load_parameters(result / "parameters.safetensors", file.graph, processors)
    seconds, _ = _mix_shape(result) or (1.0, 0)
    return FoundGraph(
        file.graph,
        processors,
        parameters,
        weights,
        file.sample_rate,
        1.0,
        round(seconds * file.sample_rate),
        {},
        {name: dict(options) for name, options in file.processor_options.items()},
        loss_increases=file.loss_increases,
    )


def _plain_sum(result: Path, reading: SongReading | None) -> FoundGraph:
    """A graph without processors, which stands for the one that is missing."""
    seconds, mix_rate = _mix_shape(result) or (1.0, 30000)
    rate = mix_rate if reading is None else reading.sample_rate
    names = ["mix"] if reading is None else [track.name for track in reading.tracks]
    metrics = reading if isinstance(reading, Metrics) else None
    name = result.resolve().name if metrics is None else metrics.song.name
    return FoundGraph(
        build_console({"all": names}, "", "", name),
        make_processors(rate),
        {},
        torch.zeros(0),
        rate,
        1.0 if reading is None else reading.level,
        round(seconds * rate) if reading is None else reading.num_samples,
        {} if reading is None else {track.name: (track.start_sample, track.polarity) for track in reading.tracks},
        metrics=metrics,
        folder=result,
    )


def _mix_shape(result: Path) -> tuple[float, int] | None:
    """Returns the length in seconds and the sample rate of the result's mixes; None where there are none."""
    for name in ("mix_target.flac", "mix_target.wav", "mix_found.flac", "mix_found.wav"):
        try:
            information = soundfile.info(str(result / name))
        except (soundfile.SoundFileError, OSError):
            continue
        return information.frames / information.samplerate, information.samplerate
    return None


def _log(path: Path) -> list[LogRow]:
    text = _text(path)
    if not text.startswith("step,"):
        raise ValueError(f"{path}: a table with a column step is needed")
    try:
        return log_from_csv(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _trace(path: Path) -> list[dict[str, Any]]:
    try:
        rows = json_lines(_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: a JSON object a line is needed ({error})") from error
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise ValueError(f"{path}: line {number}: a JSON object is needed")
        for key, kind in _NEEDED.get(str(row.get("kind")), {}).items():
            if not isinstance(row.get(key), int if kind is int else (int, float) if kind is float else kind):
                raise ValueError(f"{path}: line {number}: {key}: {kind.__name__} is needed, got {row.get(key)!r}")
            if kind is list and not all(isinstance(label, str) for label in row[key]):
                raise ValueError(f"{path}: line {number}: {key}: labels of processors are needed")
        if row.get("kind") == "leave_one_out" and not row["candidates"]:
            raise ValueError(f"{path}: line {number}: candidates: the label of a processor is needed, got none")
    return rows


def _config(path: Path) -> dict[str, Any]:
    try:
        settings = parse_yaml(_text(path)) or {}
    except ValueError as error:
        raise ValueError(f"{path}: YAML is needed ({error})") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{path}: settings by name are needed")
    return settings
