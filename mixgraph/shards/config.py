"""The configuration of a search as shards store it: the settings that decide the result, without paths of a machine."""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any

import yaml

from mixgraph.system.files import parse_yaml

# Settings that are only places of files: they differ between two builds of the same data set.
_PLACES = (
    ("data", "path"),
    ("data", "cache_dir"),
    ("result",),
    ("progress",),
    ("ckpt_path",),
    ("config",),
    ("relative_to",),
    ("weights_only",),
    ("trainer", "default_root_dir"),
    ("trainer", "logger"),
    ("trainer", "devices"),
    ("trainer", "num_nodes"),
    ("trainer", "enable_progress_bar"),
)
_PATH = re.compile(r"(/|~|\.\.?[/\\]|[A-Za-z]:[/\\]|\\\\)")


def portable_config(text: str) -> str:
    """Removes the places of files from a configuration (YAML), and all but the last part of other paths.

    Raises:
        ValueError: the text is not YAML, or not a mapping.
    """
    try:
        config = parse_yaml(text)
    except ValueError as error:
        raise ValueError(f"config: readable YAML is needed, got an error: {error}") from error
    if config is None:
        return ""
    if not isinstance(config, dict):
        raise ValueError(f"config: a mapping is needed, got {type(config).__name__}")
    for *parents, last in _PLACES:
        level: Any = config
        for name in parents:
            level = level.get(name) if isinstance(level, dict) else None
        if isinstance(level, dict):
            level.pop(last, None)
    return yaml.safe_dump(_without_paths(config), sort_keys=True, allow_unicode=True)


def config_hash(text: str) -> str:
    """Returns the sha256 of a configuration's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def _without_paths(value: Any) -> Any:
    if isinstance(value, str) and _PATH.match(value):
        return os.path.basename(value.replace("\\", "/").rstrip("/"))
    if isinstance(value, dict):
        return {key: _without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_paths(item) for item in value]
    return value
