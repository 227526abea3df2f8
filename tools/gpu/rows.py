"""Measured values, kept one JSON line each as they come."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mixgraph.system.files import json_text

Status = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        section: that measured it.
        name: what was measured.
        value: None where there is none.
        unit: unit of the value.
        goal: the bound that the value is held to, or the goal that it is compared with.
        status: `"failed"` where a bound is not held, or something went wrong; a goal that is missed is no failure.
        reason: why there is no value, or what else is to be said.
        details: more of it, for the JSON file only.
    """

    section: str
    name: str
    value: float | None = None
    unit: str = ""
    goal: str = ""
    status: Status = "ok"
    reason: str = ""
    details: Any = None


class RowFile:
    """A file of rows, to which a section appends and which outlives it.

    Args:
        path: the file, which is made when the first row comes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, row: Row) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json_text(asdict(row)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[Row]:
        """All complete rows; the last line of a section that was killed while it wrote is left out."""
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").split("\n")[:-1]  # what follows the last newline is torn
        return [Row(**json.loads(line)) for line in lines]
