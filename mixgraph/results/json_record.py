"""A JSON object whose fields are taken one by one; errors name the file and the field."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mixgraph.names import shown_value
from mixgraph.system.files import read_text

T = TypeVar("T")


@dataclass(frozen=True)
class JsonRecord:
    """An object of a JSON file.

    Attributes:
        path: the path of the file.
        values: values of the fields by name.
        prefix, suffix: text around the names of fields in messages: the prefix `losses.` for an object in a field,
            the suffix ` of kick` for an object in a list.
    """

    path: Path
    values: Mapping[str, Any]
    prefix: str = ""
    suffix: str = ""

    @classmethod
    def read(cls, path: Path) -> JsonRecord:
        """Reads a file that holds one object.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no JSON, or holds something else.
        """
        try:
            values = json.loads(read_text(path))
        except (ValueError, RecursionError) as error:  # no JSON, no text, a number of too many digits, nested too deep
            raise ValueError(f"{path}: a JSON object is needed, got none that can be read ({error!r})") from error
        if not isinstance(values, dict):
            raise ValueError(f"{path}: a JSON object is needed, got {shown_value(values)}")
        return cls(path, values)

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def has(self, name: str) -> bool:
        """Whether a field has a value other than null."""
        return self.values.get(name) is not None

    def error(self, name: str, needed: str, value: Any) -> ValueError:
        """Makes the error about the value of a field."""
        return ValueError(
            f"{self.path}: {self.prefix}{name}{self.suffix}: {needed} is needed, got {shown_value(value)}"
        )

    def value(self, name: str) -> Any:
        """The value of a field.

        Raises:
            ValueError: the field is missing.
        """
        if name not in self.values:
            raise ValueError(f"{self.path}: {self.prefix}{name}{self.suffix} is missing")
        return self.values[name]

    def text(self, name: str) -> str:
        """The text of a field."""
        return self._checked(name, "a text", isinstance(value := self.value(name), str), value)

    def flag(self, name: str) -> bool:
        """The truth value of a field."""
        return self._checked(name, "true or false", isinstance(value := self.value(name), bool), value)

    def choice(self, name: str, choices: Sequence[T]) -> T:
        """The value of a field that is one of a few."""
        value = self.value(name)
        return self._checked(name, " or ".join(map(str, choices)), type(value) is not bool and value in choices, value)

    def whole(self, name: str, least: int, most: int) -> int:
        """The whole number of a field, from `least` to `most`."""
        value = self.value(name)
        return self._checked(
            name, f"a whole number from {least} to {most}", type(value) is int and least <= value <= most, value
        )

    def number(self, name: str, least: float = -math.inf, most: float = math.inf) -> float:
        """The number of a field; null is NaN where any number is allowed, since JSON has none."""
        return self._number(name, self.value(name), least, most)

    def numbers(self, name: str) -> list[float]:
        """The numbers of a list; null is NaN."""
        return [self._number(name, value) for value in self._list(name)]

    def texts(self, name: str, optional: bool = False) -> list[str]:
        """The texts of a list; none where the field is optional and missing."""
        if optional and name not in self:
            return []
        values = self._list(name)
        return self._checked(name, "a list of texts", all(isinstance(value, str) for value in values), values)

    def record(self, name: str) -> JsonRecord:
        """The object of a field."""
        value = self._object(name)
        return JsonRecord(self.path, value, f"{self.prefix}{name}.", self.suffix)

    def records(self, name: str, label: str = "", optional: bool = False) -> list[JsonRecord]:
        """The objects of a list, called in messages by their number, or by the text of their field `label`."""
        if optional and name not in self:
            return []
        values = self._list(name)
        self._checked(name, "a list of objects", all(isinstance(value, dict) for value in values), values)
        if not label:
            return [JsonRecord(self.path, value, f"{self.prefix}{name}[{i}].") for i, value in enumerate(values)]
        names = [value.get(label) for value in values]
        called = [name if isinstance(name, str) else shown_value(name) for name in names]
        return [JsonRecord(self.path, value, suffix=f" of {name}") for value, name in zip(values, called, strict=True)]

    def numbers_by_name(self, name: str) -> dict[str, float] | None:
        """The numbers of an object by name, null as NaN; None where the field is missing or null."""
        if not self.has(name):
            return None
        record = self.record(name)
        return {key: record.number(key) for key in record.values}

    def counts_by_name(self, name: str) -> dict[str, int] | None:
        """The counts of an object by name; None where the field is missing or null."""
        if not self.has(name):
            return None
        record = self.record(name)
        return {key: record.whole(key, 0, 10**9) for key in record.values}

    def texts_by_name(self, name: str) -> dict[str, str | None]:
        """The texts, or nulls, of an object by name; none where the field is missing or null."""
        if not self.has(name):
            return {}
        record = self.record(name)
        return {key: record.text(key) if record.has(key) else None for key in record.values}

    def _checked(self, name: str, needed: str, sound: bool, value: T) -> T:
        if not sound:
            raise self.error(name, needed, value)
        return value

    def _number(self, name: str, value: Any, least: float = -math.inf, most: float = math.inf) -> float:
        bounded = not (math.isinf(least) and math.isinf(most))
        if value is None and not bounded:
            return math.nan
        needed = f"a number from {least:g} to {most:g}" if bounded else "a number"
        sound = isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
        return float(self._checked(name, needed, sound, value))

    def _list(self, name: str) -> list[Any]:
        value = self.value(name)
        return self._checked(name, "a list", isinstance(value, list), value)

    def _object(self, name: str) -> dict[str, Any]:
        value = self.value(name)
        return self._checked(name, "an object", isinstance(value, dict), value)
