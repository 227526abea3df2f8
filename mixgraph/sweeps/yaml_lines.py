"""A YAML file whose values know the lines on which they stand, so that messages can name them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mixgraph.songs.text_files import check_extent
from mixgraph.system.files import read_text


@dataclass(frozen=True)
class Located:
    """A value of a YAML file.

    Attributes:
        value: the value as plain YAML gives it.
        line: the number of its line, from 1.
        entries: name -> value, of a mapping; the lines are those of the names.
        items: the values of a list.
    """

    value: Any
    line: int
    entries: dict[str, Located] | None = None
    items: tuple[Located, ...] | None = None

    @property
    def is_mapping(self) -> bool:
        return self.entries is not None

    def get(self, name: str) -> Located | None:
        """Returns the value of a name in a mapping; None if there is none."""
        return (self.entries or {}).get(name)


class Problems:
    """The problems of a file, which are reported together.

    Args:
        path: the path of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: list[tuple[int, str]] = []

    def add(self, line: int, text: str) -> None:
        if (line, text) not in self._lines:
            self._lines.append((line, text))

    def __bool__(self) -> bool:
        return bool(self._lines)

    def raise_if_any(self) -> None:
        """Raises a ValueError with a line for each problem, in the order of the file, if there are any."""
        if self._lines:
            raise ValueError("\n".join(f"{self.path}:{line}: {text}" for line, text in sorted(self._lines)))


def read_located(path: Path, problems: Problems) -> Located:
    """Reads a YAML file of one document; nulls and names that stand twice are added to the problems.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no YAML, or is empty.
    """
    check_extent(path)
    text = read_text(path)
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            raise ValueError(f"{path}:1: a sweep is needed, got an empty file")
        return _located(loader, node, "", problems)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = 1 if mark is None else mark.line + 1
        raise ValueError(f"{path}:{line}: YAML is needed ({getattr(error, 'problem', None) or error})") from error
    except (AttributeError, LookupError, TypeError, ArithmeticError) as error:  # by tags such as `!!timestamp x`
        raise ValueError(f"{path}: YAML is needed, got a value that is none of its kind ({error!r})") from error


def _located(loader: yaml.SafeLoader, node: yaml.Node, name: str, problems: Problems) -> Located:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        entries: dict[str, Located] = {}
        for key_node, value_node in node.value:
            key = str(loader.construct_object(key_node, deep=True))
            inner = f"{name}.{key}" if name else key
            value = _located(loader, value_node, inner, problems)
            key_line = key_node.start_mark.line + 1
            if key in entries:
                problems.add(key_line, f"{inner}: stands twice. HINT: leave one of them")
            entries[key] = Located(value.value, key_line, value.entries, value.items)
        return Located({key: entry.value for key, entry in entries.items()}, line, entries)
    if isinstance(node, yaml.SequenceNode):
        items = tuple(_located(loader, item, name, problems) for item in node.value)
        return Located([item.value for item in items], line, items=items)
    value = loader.construct_object(node, deep=True)
    if value is None:
        problems.add(line, f"{name}: a value is needed, got null. HINT: write it, or leave the name out")
    return Located(value, line)
