"""JSON files that a reader never sees half of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mixgraph.system.files import json_lines, json_text, write_atomically


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON value; NaN and infinity are null."""
    write_atomically(path, (json_text(value, indent=1) + "\n").encode())


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes a JSON object a line; NaN and infinity are null."""
    lines = (json_text(row) + "\n" for row in rows)
    write_atomically(path, "".join(lines).encode())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines, none where there is no such file."""
    return json_lines(path.read_text(encoding="utf-8")) if path.exists() else []
