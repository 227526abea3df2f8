"""Paths in the configuration of a search: saved relative to its file, so that it runs again from any folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from mixgraph.names import uninterpolated
from mixgraph.shipped import song_path

KEY, FROM_FILE = "relative_to", "this_file"
"""A configuration with `relative_to: this_file` has its paths relative to its own folder, others to the working one."""

_PATHS = (
    ("data", "path"),
    ("data", "mix"),
    ("data", "cache_dir"),
    ("start",),
    ("result", "path"),
    ("ckpt_path",),
    ("trainer", "default_root_dir"),
)
_NAMES = frozenset({"save_dir", "dirpath", "dir", "root_dir"})  # of what the Trainer is given: loggers, callbacks


def saved_config(config: Mapping[str, Any], folder: Path) -> str:
    """The text (YAML) of a configuration to be saved in a folder, which need not exist."""
    base = _real(folder)

    def relative(path: str) -> str:
        return os.path.relpath(_real(song_path(path)), base)

    def hide(text: str) -> str:  # a path of this machine, in what is not known to be one
        return relative(text) if os.path.isabs(text) else text

    return yaml.safe_dump(
        {**uninterpolated(_map_strings(_map(config, relative), hide)), KEY: FROM_FILE}, sort_keys=False
    )


def read_saved_config(file: Path) -> dict[str, Any] | None:
    """A configuration whose paths are relative to its file, with paths that hold here; None where they are not.

    Raises:
        ValueError: paths relative to something else.
    """
    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError):
        return None  # which the parser says better
    if not isinstance(config, dict) or KEY not in config:
        return None
    if (base_name := config.pop(KEY)) != FROM_FILE:
        raise ValueError(f"{file}: {KEY} is {FROM_FILE} or left out, got {base_name!r}")
    base = uninterpolated(os.path.relpath(os.path.realpath(file.parent)))
    return _map(config, lambda path: os.path.normpath(os.path.join(base, path)))


def _real(path: Path) -> str:
    """A path without links on the way to it, which may be one itself or not exist."""
    absolute_path = os.path.abspath(path)
    return os.path.join(os.path.realpath(os.path.dirname(absolute_path)), os.path.basename(absolute_path))


def _map(config: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """A copy with all settings changed that are known to be paths."""

    def walk(value: Any, place: tuple[str, ...]) -> Any:
        if isinstance(value, Mapping):
            # The arguments of a class that is named stand one level deeper than a setting's own.
            inner = {key: place if key == "init_args" else (*place, str(key)) for key in value}
            return {key: walk(item, inner[key]) for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item, place) for item in value]
        is_path = place in _PATHS or (place[:1] == ("trainer",) and place[-1] in _NAMES)
        return change(value) if is_path and isinstance(value, str) else value

    return {key: walk(item, (str(key),)) for key, item in config.items()}


def _map_strings(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _map_strings(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_map_strings(item, change) for item in value]
    return change(value) if isinstance(value, str) else value
