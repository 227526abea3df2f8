"""Writes JSON files atomically, so that no reader sees a part of one, and reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mixgraph.system.files import json_lines, json_text, read_text, write_atomically


def write_json(path: Path, value: Any) -> None:
    """Writes a value as JSON; NaN and infinity become null."""
    write_atomically(path, (json_text(value, indent=1) + "\n").encode())


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes JSON lines, one object each; NaN and infinity become null."""
    lines = (json_text(row) + "\n" for row in rows)
    write_atomically(path, "".join(lines).encode())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Reads the objects of a file of JSON lines; returns an empty list if there is no file.

    Raises:
        ValueError: a line is no JSON object; the message names the file.
    """
    try:
        rows = json_lines(read_text(path)) if path.exists() else []
    except ValueError as error:
        raise ValueError(f"{path}: JSON lines are needed ({error}). HINT: remove the file") from error
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path}: a JSON object a line is needed. HINT: remove the file")
    return rows
