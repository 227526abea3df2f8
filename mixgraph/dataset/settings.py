"""Which settings change what a search finds, their hash, and how two sets of them differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

WITHOUT_EFFECT = (
    "seed_everything",  # a job has its own
    "ckpt_path",
    "weights_only",
    "progress",
    "result",
    "relative_to",
    "data.path",  # the audio itself is compared, by its hash
    "data.cache_dir",
    "data.memory_limit_gb",
    "model.rendering.trial_memory_gb",
    "trainer.accelerator",
    "trainer.default_root_dir",
    "trainer.devices",
    "trainer.enable_autolog_hparams",
    "trainer.enable_checkpointing",
    "trainer.enable_model_summary",
    "trainer.enable_progress_bar",
    "trainer.log_every_n_steps",
    "trainer.logger",
    "trainer.num_nodes",
    "trainer.profiler",
    "trainer.strategy",
)
"""Settings of `python -m mixgraph fit` that may differ between two searches with the same outcome."""


def essential(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a search that have an effect on what it finds, as `{"data": {"sample_rate": ...}, ...}`."""
    return _without(config, "")


def _without(config: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {
        key: _without(value, f"{prefix}{key}.") if isinstance(value, Mapping) else value
        for key, value in config.items()
        if f"{prefix}{key}" not in WITHOUT_EFFECT
    }


def digest(value: Any) -> str:
    """The sha256 of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What changed between two nested mappings, one `data.sample_rate: 30000 -> 44100` each, in order of names."""
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
