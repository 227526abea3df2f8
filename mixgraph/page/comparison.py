"""Several results of one song, read as far as they can be, for a page that shows them side by side."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mixgraph.names import visible
from mixgraph.results.contents import MARKS, PAGE
from mixgraph.results.found_graph import FoundGraph, load_result
from mixgraph.search.rules import is_free

SONGS = "songs.jsonl"
"""The file by which the folder of a dataset's build is recognised."""
_PATHS = ("data.path", "data.init_args.path")


@dataclass(frozen=True, eq=False)
class Compared:
    """One of several results.

    Attributes:
        name: the name of its folder, with those above it as far as two results share theirs.
        folder: the result folder.
        found_graph: the graph with its figures.
        settings: the settings that change what a search finds, as `pruning.tolerance` -> value.
        seconds: how long the search took; None where that is not known.
        missing: a sentence for every part that cannot be read.
    """

    name: str
    folder: Path
    found_graph: FoundGraph
    settings: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    missing: tuple[str, ...] = ()

    def is_of_the_song_of(self, other: Compared) -> bool:
        """Whether both are of the same tracks and the same mix: by content where that is known, else by name."""
        ours, theirs = self.found_graph, other.found_graph
        if sorted(_tracks(ours)) != sorted(_tracks(theirs)):
            return False
        mixes = _mix_hash(ours), _mix_hash(theirs)
        return mixes[0] == mixes[1] if all(mixes) else ours.name == theirs.name


def _tracks(graph: FoundGraph) -> list[str]:
    return [graph.graph.names[node] for node in graph.graph.inputs]


def _mix_hash(graph: FoundGraph) -> str | None:
    hashes = graph.metrics.file_hashes if graph.metrics else {}
    return next(iter(hashes.values()), None)


def sort_folders(folders: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Sorts folders into results and builds of datasets; a damaged result counts as a result.

    Raises:
        FileNotFoundError: a folder is neither.
        ValueError: a folder is named twice, or results and datasets are mixed.
    """
    results, datasets, real = [], [], set()
    for folder in folders:
        if (place := os.path.realpath(folder)) in real:
            raise ValueError(f"result: folders that differ expected, got {folder} twice")
        real.add(place)
        if (folder / SONGS).is_file():
            datasets.append(folder)
        elif any((folder / name).is_file() for name in MARKS):
            results.append(folder)
        else:
            raise FileNotFoundError(
                f"result: the folder of a result ({', '.join(sorted(MARKS))}) or of a dataset's build ({SONGS}) "
                f"expected, got {folder}"
            )
    if results and datasets:
        raise ValueError(f"result: either results or datasets expected, got {results[0]} and {datasets[0]}")
    return results, datasets


def read_results(folders: Sequence[Path]) -> tuple[list[Compared], list[str]]:
    """Reads results; returns them, and a sentence for each that cannot be read.

    Raises:
        ValueError: none can be read.
    """
    results, damaged = [], []
    for name, folder in zip(short_names(folders), folders, strict=True):
        try:
            results.append(_read(name, folder))
        except (ValueError, OSError) as error:
            damaged.append(f"The result {name} cannot be read and is not shown: {_without_folder(error, folder)}")
    if not results:
        raise ValueError("result: at least one that can be read expected, got none. " + " ".join(damaged))
    return results, damaged


def _without_folder(error: Exception, folder: Path) -> str:
    """Returns a message for a page, which may be published, without the place of the result."""
    return str(error).replace(f"{folder}{os.sep}", "")


def _read(name: str, folder: Path) -> Compared:
    graph, missing = load_result(folder), list[str]()
    settings: dict[str, Any] = {}
    seconds = None
    if graph.metrics is None:
        missing.append(f"{name} has no figures of a search: this graph was saved without them.")
    else:
        try:
            settings = dict(_flat(graph.config()))
        except (ValueError, OSError) as error:
            missing.append(f"The settings of {name} cannot be read: {_without_folder(error, folder)}")
        try:
            total = graph.timings().get("total_seconds")
            seconds = float(total) if isinstance(total, int | float) else None
        except (ValueError, OSError, AttributeError) as error:
            missing.append(f"The time that {name} took cannot be read: {_without_folder(error, folder)}")
    return Compared(name, folder, graph, settings, seconds, tuple(missing))


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        name = f"{prefix}{key}"
        if name in _PATHS or is_free(name):
            continue
        if isinstance(item, Mapping) and item:
            yield from _flat(item, f"{name}.")
        else:
            yield name, item


def differing_settings(results: Sequence[Compared]) -> dict[str, list[str]]:
    """Returns the settings in which results differ, name -> a text for each result, in order of names."""
    known = [result for result in results if result.settings]
    names = sorted({name for result in known for name in result.settings})
    texts = {name: [_setting_text(result, name) for result in results] for name in names}
    rows = [results.index(result) for result in known]
    return {visible(name): row for name, row in texts.items() if len({row[i] for i in rows}) > 1}


def _setting_text(result: Compared, name: str) -> str:
    if name not in result.settings:
        return "not stated"
    value = result.settings[name]
    return visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def short_names(folders: Sequence[Path]) -> list[str]:
    """Returns the names of folders, with as many of the folders above them as it takes to tell them apart.

    >>> short_names([Path("a/run_0"), Path("b/run_0")])
    ['a/run_0', 'b/run_0']
    """
    parts = [Path(os.path.realpath(folder)).parts for folder in folders]
    count = 1
    while len({p[-count:] for p in parts}) < len(parts) and count < max(map(len, parts)):
        count += 1
    return [visible("/".join(p[-count:])) for p in parts]


def page_link(folder: Path, page: Path) -> str | None:
    """Returns the address of a result's own page relative to another page; None where the result has no page."""
    return relative_link(folder / PAGE, page) if (folder / PAGE).is_file() else None


def relative_link(target: Path, page: Path) -> str | None:
    """Returns the address of a file relative to a page; None where there is none (another drive)."""
    try:
        path = os.path.relpath(os.path.realpath(target), os.path.dirname(os.path.realpath(page)))
    except ValueError:
        return None
    return quote(Path(path).as_posix().encode("utf-8", "surrogateescape"), safe="/")
