"""YAML and JSON files of songs: bounded before they are taken apart, every text in one Unicode form.

In YAML every scalar is text, as it stands in the file: `title: 1999`, `artist: Yes`, `no`, `1e-3` and dates are what
was written, and tags are not obeyed. Where a number is meant, `to_number` and `to_whole_number` read it. `null`, `~`
and nothing mean that a value is not stated (None); in quotes they are text, and so are they as keys.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from mixgraph.names import normal_form
from mixgraph.system.bounded_yaml import MAX_BYTES, Bounded
from mixgraph.system.files import read_at_most

_NOTHING = ("", "~", "null", "Null", "NULL")


class _TextLoader(Bounded, yaml.BaseLoader):
    """YAML with texts only, no key twice, and as many and as deeply nested values as the limits allow."""

    def construct_scalar(self, node: yaml.ScalarNode) -> Any:
        value = super().construct_scalar(node)
        return None if node.style is None and value in _NOTHING else normal_form(value)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise ValueError("a key that is a list or a mapping")
            key = normal_form(key_node.value)
            if key in mapping:
                raise ValueError(f"key {key!r}: given once expected, got it again")
            mapping[key] = self.construct_object(value_node, deep=True)
        return mapping


def read_yaml(path: Path) -> Any:
    """Reads a YAML file: dicts, lists, texts in composed form (NFC), and None.

    Raises:
        ValueError: if it is not YAML, not UTF-8, gives one key twice, or passes MAX_BYTES, MAX_VALUES or MAX_DEPTH.
    """
    text = _text(path, "YAML")
    try:
        return yaml.load(text, Loader=_TextLoader)
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{path}: readable YAML expected, got {error}") from error


def check_extent(path: Path) -> None:
    """Checks that a YAML file has no more values than allowed; what else is wrong with it, its reader tells.

    Raises:
        ValueError: it passes MAX_BYTES, MAX_VALUES or MAX_DEPTH, or is not UTF-8.
    """
    text = _text(path, "YAML")
    try:
        yaml.compose(text, Loader=_TextLoader)
    except yaml.YAMLError:
        return
    except ValueError as error:
        raise ValueError(f"{path}: readable YAML expected, got {error}") from error


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        ValueError: if it is not JSON, not UTF-8, gives one key twice, is nested too deeply, or passes MAX_BYTES.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        mapping = dict(pairs)
        if len(mapping) < len(pairs):
            raise ValueError("a key that is given twice")
        return mapping

    text = _text(path, "JSON")
    try:
        return json.loads(text, object_pairs_hook=unique)
    except RecursionError as error:
        raise ValueError(f"{path}: readable JSON expected, got values nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"{path}: readable JSON expected, got {error}") from error


def to_number(value: Any, limit: float) -> float | None:
    """Reads a number from a file's value; None if the value is no number between -limit and limit."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and abs(number) <= limit else None


def to_whole_number(value: Any, limit: float) -> int | None:
    """Reads a whole number from a file's value; None if the value is no whole number between -limit and limit."""
    if to_number(value, limit) is None or isinstance(value, float):
        return None
    try:
        return int(value)
    except ValueError:
        return None


def _text(path: Path, language: str) -> str:
    data = read_at_most(path, MAX_BYTES)
    try:
        return data.decode("utf-8-sig")  # with a byte-order mark or without
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: readable {language} expected, got {error}") from error
