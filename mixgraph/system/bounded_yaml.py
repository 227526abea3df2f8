"""YAML that takes bounded time and memory: as many and as deeply nested values as the limits allow, no endless numbers.

A small file can stand for any number of values, by aliases of aliases and by merged mappings (`<<`), and a whole number
of many digits, or to the base of 60 (`1:1:1`), takes longer than any text.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.composer import Composer

MAX_BYTES = MAX_CHARACTERS = 1_000_000  # of a file, of a text
MAX_VALUES = 10_000  # with every alias (`*name`) written out
MAX_DEPTH = 20
_MAX_DIGITS = 1000
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")  # `!!int` takes what Python's `int` does
_NUMBER = re.compile(r"[-+]?[.0-9][-+0-9a-fA-Fx_.:]*")  # of loaders that read all as text, too


class Bounded(Composer):
    """The part of a loader that counts, before anything is made of the values; the loader stands behind it."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)  # type: ignore[call-arg]
        self._depth = self._count = 0
        self._extents: dict[yaml.Node, tuple[int, int]] = {}  # values and levels of what an alias may stand for

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        before, alias = self._count, self.check_event(yaml.AliasEvent)  # type: ignore[attr-defined]
        self._add(1, 1)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if alias:
            if node not in self._extents:
                raise ValueError("an alias inside of what it stands for")
            count, levels = self._extents[node]
            self._add(count, levels)
        elif node is not None:
            children = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
            inside = children if isinstance(node, yaml.CollectionNode) else ()
            levels = 1 + max((self._extents[child][1] for child in inside), default=0)
            self._extents[node] = self._count - before, levels
        return node

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        node = super().compose_scalar_node(anchor)
        if len(node.value) > _MAX_DIGITS and (node.tag in _NUMBERS or _NUMBER.fullmatch(node.value)):
            raise ValueError(f"a number of more than {_MAX_DIGITS} digits")
        return node

    def _add(self, count: int, levels: int) -> None:
        self._count += count
        if self._count > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES} values, with every alias written out")
        if self._depth + levels > MAX_DEPTH:
            raise ValueError(f"values nested more than {MAX_DEPTH} levels deep")


class ValueLoader(Bounded, yaml.SafeLoader):
    """The values that `yaml.safe_load` makes."""


def check_size(text: str) -> None:
    """Checks the length of a text of YAML, which is read slowly.

    Raises:
        ValueError: it is longer than MAX_CHARACTERS.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"more than {MAX_CHARACTERS} characters")
