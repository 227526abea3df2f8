"""Selects the settings that change the result of a search, hashes them, and lists differences."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mixgraph.search.rules import LATER, is_free
from mixgraph.system.files import file_sha256

_OF_THE_JOB = ("seed_everything", "data.path")  # a job sets its own seed, and identifies the audio by its hash


def essential(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a search that change its result, as `{"data": {"sample_rate": ...}, ...}`.

    Settings that came later are left out where they are as searches before them were, so that their results stand.
    """
    return _without_free(config, "")


def recorded(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings that change a result as records hold them: the sha256 of an estimator, not its path.

    Raises:
        FileNotFoundError: the estimator's file does not exist.
    """
    settings = essential(config)
    if path := settings.get("model", {}).get("estimated_checkpoint"):
        settings["model"]["estimated_checkpoint"] = f"sha256 {file_sha256(Path(path))}"
    return settings


def _without_free(config: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    essentials = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if name in _OF_THE_JOB or is_free(name) or (name in LATER and value == LATER[name]):
            continue
        essentials[key] = _without_free(value, f"{name}.") if isinstance(value, Mapping) else value
    return essentials


def digest(value: Any) -> str:
    """Returns the sha256 of a JSON value; the order of keys has no effect."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Lists the differences of two nested mappings as `data.sample_rate: 30000 -> 44100`, in order of names."""
    before, after = dict(_flat(old)), dict(_flat(new))
    return [
        f"{name}: {_text(before, name)} -> {_text(after, name)}"
        for name in sorted(before.keys() | after.keys())
        if _text(before, name) != _text(after, name)
    ]


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from _flat(item, f"{prefix}{key}.")
        else:
            yield prefix + str(key), item


def _text(values: Mapping[str, Any], name: str) -> str:
    return json.dumps(values[name], ensure_ascii=False) if name in values else "none"
