"""Keeps the results of whole searches as they end, one JSON line for each."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

FILE = "searches.jsonl"


class Search(NamedTuple):
    """The answer of a search, and which earlier run of the benchmark measured it ("" for this one)."""

    answer: dict[str, Any]
    earlier: str


class Searches:
    """The searches of this run, and those of earlier runs that it may take instead of running them again.

    A line is written when its search is done, so a run that is killed loses the one that is running.

    Args:
        path: the file of the searches; None keeps nothing.
        run: the name of this run, which is the time of its start.
        keep: use the results of earlier runs.
        log: called with a message on lines that cannot be read.
    """

    def __init__(self, path: Path | None, run: str, keep: bool, log: Callable[[str], None]) -> None:
        self.path, self.run = path, run
        self.by_key: dict[str, Search] = {}
        if path is None or not path.exists():
            return
        text = path.read_text(encoding="utf-8")
        if text and not text.endswith("\n"):
            with path.open("a", encoding="utf-8") as file:
                file.write("\n")
        for number, line in enumerate(text.rstrip("\n").split("\n") if keep and text else [], start=1):
            try:
                record = json.loads(line)
            except json.JSONDecodeError:  # a run was killed while writing
                log(f"{path}: line {number} is torn, and is left out")
                continue
            self.by_key[_text(record["key"])] = Search(record["answer"], record["run"])

    def get(self, key: dict[str, Any]) -> Search | None:
        return self.by_key.get(_text(key))

    def add(self, key: dict[str, Any], answer: dict[str, Any]) -> Search:
        """Keeps the answer of a search that has just ended."""
        self.by_key[_text(key)] = search = Search(answer, "")
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            record = json.dumps({"key": key, "run": self.run, "answer": answer}, allow_nan=False)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(record + "\n")
                file.flush()
                os.fsync(file.fileno())
        return search


def _text(key: dict[str, Any]) -> str:
    return json.dumps(key, sort_keys=True)
