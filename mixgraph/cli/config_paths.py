"""Paths in the configuration of a search: saved relative to its file, so that it runs again from any folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from mixgraph.names import uninterpolated
from mixgraph.shipped import song_path
from mixgraph.system.files import parse_yaml, read_text

KEY, FROM_FILE = "relative_to", "this_file"
"""A configuration with `relative_to: this_file` has its paths relative to its own folder, others to the working one."""

_PATHS = (
    ("data", "path"),
    ("data", "mix"),
    ("data", "group_targets"),
    ("data", "cache_dir"),
    ("model", "estimated_checkpoint"),
    ("start",),
    ("result", "path"),
    ("ckpt_path",),
    ("trainer", "default_root_dir"),
)
_NAMES = frozenset({"save_dir", "dirpath", "dir", "root_dir"})  # settings of loggers and callbacks that are paths


def saved_config(config: Mapping[str, Any], folder: Path) -> str:
    """Returns the YAML text of a configuration for saving it in a folder, which need not exist."""
    base = _real(folder)

    def relative(path: str) -> str:
        return os.path.relpath(_real(song_path(path)), base)

    def hide(text: str) -> str:  # an absolute path in a setting that is not known to be a path
        return relative(text) if os.path.isabs(text) else text

    return yaml.safe_dump(
        {**uninterpolated(_map_strings(_map(config, relative), hide)), KEY: FROM_FILE}, sort_keys=False
    )


def read_saved_config(file: Path, groups: Collection[str] = ()) -> dict[str, Any] | None:
    """Reads a configuration whose paths are relative to its file and makes them valid here; None if it has none.

    Args:
        file: the configuration.
        groups: the names of groups of settings, such as `model.optimizer`, in which no file may be named.

    Raises:
        ValueError: the file is not YAML, holds no settings, names another configuration, be it for a group, or states
            that its paths are relative to another folder.
    """
    try:
        config = parse_yaml(read_text(file))
    except OSError:
        return None  # the parser's message is better
    except ValueError as error:
        raise ValueError(f"{file}: YAML is needed ({error})") from error
    if config is not None and not isinstance(config, dict):
        raise ValueError(f"{file}: settings by their names are needed, such as `model:`, got none")
    if config and "config" in config:
        raise ValueError(f"{file}: a configuration names no other one; give each of them by a --config of its own")
    for group in groups:
        if isinstance(_setting(config, group), str):
            raise ValueError(f"{file}: {group}: settings by their names are needed, got a text")
    if config is None or KEY not in config:
        return None
    if (base_name := config.pop(KEY)) != FROM_FILE:
        raise ValueError(f"{file}: {KEY} is {FROM_FILE} or left out, got {base_name!r}")
    base = uninterpolated(os.path.relpath(os.path.realpath(file.parent)))
    return _map(config, lambda path: os.path.normpath(os.path.join(base, path)))


def _setting(config: Any, name: str) -> Any:
    """The value of a setting such as `model.optimizer`; None where it is not stated."""
    for key in name.split("."):
        config = config.get(key) if isinstance(config, Mapping) else None
    return config


def _real(path: Path) -> str:
    """Resolves the links in a path's folders; the last part of the path may be a link, or not exist."""
    absolute_path = os.path.abspath(path)
    return os.path.join(os.path.realpath(os.path.dirname(absolute_path)), os.path.basename(absolute_path))


def _map(config: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """Returns a copy in which `change` was applied to all settings that are known to be paths."""

    def walk(value: Any, place: tuple[str, ...]) -> Any:
        if isinstance(value, Mapping):
            # The arguments of a class that `class_path` names are one level deeper.
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
