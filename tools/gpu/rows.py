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
        section: the name of the section that measured the value.
        name: the name of the measured quantity.
        value: the value, or None if it could not be measured.
        unit: the unit of the value.
        goal: the bound that the value must keep, or the goal that it is compared with.
        status: `"failed"` if a bound is exceeded or an error occurred; missing a goal is no failure.
        reason: the reason why there is no value, or another remark.
        details: further values, for the JSON file only.
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
    """A file to which a section appends rows, so that they are kept even if the section is killed.

    Args:
        path: the file, which is created with the first row.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, row: Row) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json_text(asdict(row)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[Row]:
        """Reads all complete rows; an incomplete last line of a killed section is left out."""
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").split("\n")[:-1]  # text after the last newline is incomplete
        return [Row(**json.loads(line)) for line in lines]
