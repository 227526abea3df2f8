"""The page of many songs: a table that sorts, with statistics of all of them (paper figure 6 and table 3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixgraph.names import visible
from mixgraph.page.comparison import Compared, short_names
from mixgraph.page.comparison_content import type_rows
from mixgraph.page.document import asset, html_document
from mixgraph.page.song_rows import rows_of_dataset, rows_of_results
from mixgraph.system.files import parse_json, read_text, write_atomically

INDEX = "index.html"
"""The page of a dataset in the folder of its build."""
_STYLES = ("page.css", "tables.css", "songs.css")
_SCRIPTS = ("tools.js", "tables.js", "songs.js")
_RULES = "quality.json"


def write_dataset_page(path: Path, folders: Sequence[Path], *, megabytes: float = math.inf) -> tuple[float, list[str]]:
    """Writes the page of one dataset or of several, whole or not at all; returns its size in megabytes, and notes.

    Args:
        path: the file to write.
        folders: folders of builds.
        megabytes: the largest size.

    Raises:
        ValueError: the page is larger.
        OSError: songs.jsonl cannot be read, or the page cannot be written.
    """
    rows, rules, notes = [], list[dict[str, Any]](), list[str]()
    names = short_names(folders)
    for name, folder in zip(names, folders, strict=True):
        more, wrong = rows_of_dataset(name, folder, path)
        rows += more
        notes += wrong
        rules += _rules(name, folder, notes)
    content = {"title": ", ".join(names), "kind": "dataset", "sets": names, "rules": rules, "notes": notes}
    return _write(path, content, rows, megabytes), notes


def write_songs_page(
    path: Path, results: Sequence[Compared], damaged: Sequence[str] = (), *, megabytes: float = math.inf
) -> tuple[float, list[str]]:
    """Writes the page of results of several songs, whole or not at all; returns its size in megabytes, and notes.

    Args:
        path: the file to write.
        results: results of any songs.
        damaged: a sentence for each result that cannot be read.
        megabytes: the largest size.

    Raises:
        ValueError: the page is larger.
        OSError: the page cannot be written.
    """
    notes = [*damaged, *(sentence for result in results for sentence in result.missing)]
    title = f"{len(results)} results"
    content = {"title": title, "kind": "results", "sets": [""], "rules": [], "notes": notes}
    return _write(path, content, rows_of_results(results, path), megabytes), notes


def _write(path: Path, content: dict[str, Any], rows: list[dict[str, Any]], megabytes: float) -> float:
    types = {t for row in rows for t in (*row["before"], *row["found"])}
    styles, scripts = (list(map(asset, names)) for names in (_STYLES, _SCRIPTS))
    data = content | {"rows": rows, "types": type_rows(types)}
    page = html_document("songs.html", content["title"], styles, scripts, data)
    if len(page) > megabytes * 1e6:
        raise ValueError(f"megabytes: {len(page) / 1e6:.1f} MB are needed for {len(rows)} songs, got {megabytes:g}")
    write_atomically(path, page)
    return len(page) / 1e6


def _rules(name: str, folder: Path, notes: list[str]) -> list[dict[str, Any]]:
    """The quality rules of a build and their effect; none where the build is of an earlier version."""
    path = folder / _RULES
    if not path.is_file():
        return []
    try:
        return [
            {
                "set": name,
                "rule": visible(str(row["rule"])),
                "limit": float(row["limit"]),
                "reason": visible(str(row["reason"])),
                "rejected": int(row["rejected"]),
                "alone": int(row["rejected_by_it_alone"]),
            }
            for row in parse_json(read_text(path))
        ]
    except (ValueError, KeyError, TypeError, OverflowError, OSError) as error:
        notes.append(f"{name}: {_RULES} cannot be read: {error!r}")
        return []
