"""The songs of a table, a row each: from results of several songs, or from the build of a dataset."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mixgraph.graph.io import load_graph
from mixgraph.graph.types import MixGraph
from mixgraph.names import visible
from mixgraph.page.comparison import SONGS, Compared, page_link
from mixgraph.results.contents import PAGE
from mixgraph.results.metrics import Metrics, read_metrics
from mixgraph.system.files import read_text

_REPORT = "python -m mixgraph report"


def rows_of_results(results: Sequence[Compared], page: Path) -> list[dict[str, Any]]:
    """Returns a row for each result, as JSON; links and commands are relative to the page."""
    return [_row_of_result(result, page) for result in results]


def _row_of_result(result: Compared, page: Path) -> dict[str, Any]:
    graph, metrics = result.found_graph, result.found_graph.metrics
    row = _blank(result.name)
    if metrics is not None:
        row |= _figures(metrics, graph.graph) | {"licence": visible(metrics.song.licence)}
    else:
        row |= {"title": visible(graph.name), "left": len(graph.graph.processors), "tracks": len(graph.graph.inputs)}
    return row | {"searched": result.seconds} | _way(result.folder, [result.folder], page)


def rows_of_dataset(name: str, folder: Path, page: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Returns a row for each song of a build, as JSON, and a sentence for everything that cannot be read.

    Args:
        name: the name of the dataset.
        folder: the folder of the build.
        page: where the page will be, to which links and commands are relative.

    Raises:
        OSError: songs.jsonl cannot be read.
    """
    rows, notes = [], list[str]()
    lines = read_text(folder / SONGS, errors="replace").split("\n")
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            stated = json.loads(line)
            row = _row_of_song(stated) | {"set": name}
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            notes.append(f"{name}: line {number} of {SONGS} is damaged and is not shown: {error!r}")
            continue
        rows.append(row)
        try:
            row |= _search(folder, stated, page)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError) as error:
            notes.append(f"{name}: the result of {row['song']} cannot be read: {error}")
    return rows, notes


def _blank(name: str) -> dict[str, Any]:
    unknown = ("left", "console", "ratio", "ratios", "tracks", "subgroups", "seconds", "agreement", "runs", "searched")
    texts = ("title", "status", "licence", "artist", "words", "set")
    nothing: dict[str, Any] = {"found": {}, "before": {}, "losses": [None] * 3, "why": [], "href": None, "commands": []}
    return {"song": visible(name)} | dict.fromkeys(texts, "") | dict.fromkeys(unknown) | nothing


def _row_of_song(stated: Mapping[str, Any]) -> dict[str, Any]:
    """What songs.jsonl itself says."""
    row = _blank(_text(stated["song"]))
    for name in ("status", "licence", "artist"):
        row[name] = visible(_text(stated.get(name) or ""))
    reasons = stated.get("reasons") or []
    if not isinstance(reasons, list):
        raise ValueError(f"reasons: a list expected, got {reasons!r}")
    row["why"] = [visible(_text(reason)) for reason in reasons]
    measurements = stated.get("measurements") or {}
    row["losses"] = [None, None, _number(measurements.get("loss"))]
    row["left"], row["ratio"] = _number(measurements.get("processors")), _number(measurements.get("pruning_ratio"))
    return row


def _search(folder: Path, stated: Mapping[str, Any], page: Path) -> dict[str, Any]:
    """What the result of the best run says, and the way to its page; nothing where no run ended well."""
    search = stated.get("search")
    if not search:
        return {}
    if not isinstance(search, Mapping):
        raise ValueError(f"search: an object expected, got {search!r}")
    song, best = _text(stated["song"]), _run(search["best_run"])
    if song in ("", ".", "..") or {"/", "\\"} & set(song):
        raise ValueError(f"song: the name of a folder expected, got {song!r}")
    results = folder / "results" / song
    runs = [results / f"run_{_run(run)}" for run in search["runs"]]
    result = results / f"run_{best}"
    row = {"agreement": _number(search.get("agreement")), "runs": len(runs)} | _way(result, runs, page)
    return row | _figures(read_metrics(result), load_graph(result / "graph.json").graph)


def _figures(metrics: Metrics, graph: MixGraph) -> dict[str, Any]:
    losses = metrics.losses
    found, before = metrics.num_processors_by_type, metrics.num_console_processors_by_type
    return {
        "title": visible(metrics.song.title or metrics.song.name),
        "losses": [losses.dry_sum.loss["full"], losses.console.loss["full"], losses.found.loss["full"]],
        "left": metrics.num_processors.found,
        "console": metrics.num_processors.console,
        "ratio": metrics.pruning_ratio,
        "ratios": None if metrics.pruning_ratio_by_type is None else dict(metrics.pruning_ratio_by_type),
        "found": dict(graph.count() if found is None else found),
        "before": dict(before or {}),
        "tracks": len(metrics.tracks),
        "subgroups": len(graph.members),
        "seconds": metrics.num_samples / metrics.sample_rate,
        "words": metrics.verdict.words if metrics.verdict else "",
    }


def _way(result: Path, runs: Sequence[Path], page: Path) -> dict[str, Any]:
    """The link to a result's page where it has one, and the commands that make pages of it, from the page's folder."""
    here = os.path.dirname(os.path.realpath(page))

    def shown(path: Path) -> str:
        try:
            return shlex.quote(visible(Path(os.path.relpath(os.path.realpath(path), here)).as_posix()))
        except ValueError:  # on another drive
            return shlex.quote(visible(str(path)))

    commands = [f"{_REPORT} {shown(result)} --out {shown(result / PAGE)}"]
    if len(runs) > 1:
        commands.append(f"{_REPORT} {' '.join(map(shown, runs))} --out {shown(result.parent / 'runs.html')}")
    return {"href": page_link(result, page), "commands": commands}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"a text expected, got {value!r}")
    return value


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"a number expected, got {value!r}")
    return value


def _run(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"the number of a run expected, got {value!r}")
    return value
