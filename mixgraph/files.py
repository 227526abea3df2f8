"""Files that no reader sees half of, and JSON without numbers that JSON lacks."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_atomically(path: Path, data: bytes) -> None:
    """Writes to a temporary name beside `path`, then renames, so that no reader sees half a file."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def json_text(value: Any, indent: int | None = None, separators: tuple[str, str] | None = None) -> str:
    """JSON of a value; NaN and infinity are null."""
    return json.dumps(_finite(value), indent=indent, separators=separators, ensure_ascii=False, allow_nan=False)


def json_lines(text: str) -> list[Any]:
    """The values of a text of JSON lines. A line ends at `\\n` alone: within JSON, U+2028 is a letter like others."""
    return [json.loads(line) for line in text.split("\n") if line]


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
