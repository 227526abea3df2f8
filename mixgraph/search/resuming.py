"""Resumes a search from a checkpoint: finds its position, and checks which settings may differ from the saved ones."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from torch import Tensor

from mixgraph.graph import MixGraph
from mixgraph.graph.io import graph_to_json
from mixgraph.losses import LOSS
from mixgraph.search.rules import LATER, rule
from mixgraph.search.settings import OPTIMIZER, REGULARIZERS, RENDERING
from mixgraph.songs.song import Song


def constructor_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a constructor's arguments as values that JSON can hold, from `locals()` before anything else is set."""
    plain = {name: value for name, value in values.items() if name not in ("self", "__class__")}
    settings: dict[str, Any] = json.loads(
        json.dumps({n: asdict(v) if is_dataclass(v) and not isinstance(v, type) else v for n, v in plain.items()})
    )
    return settings


_PARTS = constructor_settings(
    {"loss": LOSS, "regularizers": REGULARIZERS, "optimizer": OPTIMIZER, "rendering": RENDERING}
)
"""The settings of a model that have parts: their defaults."""


def _completed(group: str, name: str, saved: Any) -> Any:
    """Returns a saved setting; parts that came after the checkpoint was made have their defaults."""
    return {**_PARTS[name], **saved} if group == "model" and name in _PARTS else saved


def _differences(name: str, before: Any, now: Any) -> list[tuple[str, str, str]]:
    """Returns the settings inside of a setting that differ: (name, value before, value now)."""
    if isinstance(before, dict) and isinstance(now, dict) and before.keys() == now.keys():
        differing = [key for key in now if before[key] != now[key]]
        return [item for key in differing for item in _differences(f"{name}.{key}", before[key], now[key])]
    return [(name, str(before), str(now))]


def check_settings(group: str, saved: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Compares a checkpoint's settings with those of the resumed search; returns the changes that take effect.

    Args:
        group: a group of `mixgraph.search.rules.RULES`.
        saved: the settings of the checkpoint, see `constructor_settings`; one that came later is as it was before.
        now: the settings of the resumed search.

    Raises:
        ValueError: a setting differs that must stay the same.
    """
    changes = []
    for name, value in now.items():
        setting = f"{group}.{name}"
        if rule(setting) not in ("kept", "applied") or (name not in saved and setting not in LATER):
            continue
        before = _completed(group, name, saved[name] if name in saved else LATER[setting])
        if before == value:
            continue
        if rule(setting) == "kept":
            names, olds, news = zip(*_differences(setting, before, value), strict=True)
            raise ValueError(
                f"{', '.join(names)}: the checkpoint was made with {', '.join(olds)}, got {', '.join(news)}. HINT: a "
                f"search that goes on keeps {'this setting' if len(names) == 1 else 'these settings'}; leave out what "
                "differs, or search anew without the checkpoint"
            )
        if not isinstance(value, dict) or not isinstance(before, dict):
            changes.append(f"{setting}={value} (before: {before})")
            continue
        changed = [key for key in value if value[key] != before.get(key)]
        applied = [key for key in changed if rule(f"{setting}.{key}") != "free"]
        changes += [f"{setting}.{key}={value[key]} (before: {before.get(key)})" for key in applied]
    return changes


def prepare_to_resume(
    checkpoint: dict[str, Any], saved: Mapping[str, Any], now: Mapping[str, Any], stages: int
) -> list[str]:
    """Prepares a checkpoint for the search that resumes from it; returns the changed settings that take effect.

    Args:
        checkpoint: Lightning's checkpoint, changed in place, see `align_loops`.
        saved: the checkpoint's search: origin of its graph (`origin`), the `groups` of its optimizer, `settings` by
            group of `mixgraph.search.rules.RULES`, `songs` (see `song_record`), steps of its last stage
            (`stage_steps`), and whether that was the last of all (`last_stage`).
        now: likewise for the resumed search.
        stages: the number of all stages of the search.

    Raises:
        ValueError: the search would end differently from the checkpoint's; the message says what differs.
    """
    check_position(checkpoint)
    steps = _counts(checkpoint)[1]
    if steps["current"]["processed"] >= saved["stage_steps"]:
        steps["is_last_batch"] = True  # Lightning does not know this if a budget made the stage shorter
    changes = []
    for group, settings in now["settings"].items():
        changes += check_settings(group, saved["settings"][group], settings)
    if saved["origin"] != now["origin"]:
        starts = [
            f"a given graph ({origin[:8]})" if origin else "its chains" for origin in (saved["origin"], now["origin"])
        ]
        raise ValueError(
            f"start: the checkpoint's search began with {starts[0]}, this one with {starts[1]}. HINT: start as it did"
        )
    check_songs(saved["songs"], now["songs"])
    if saved["groups"] != now["groups"]:
        raise ValueError(
            f"model.optimizer.rate_factors: the checkpoint was made with rates for {', '.join(saved['groups'])}, got "
            f"{', '.join(now['groups'])}. HINT: name the same parameters (such as delay.delay_z), with any factor"
        )
    trained = stages_trained(checkpoint)
    if trained > stages or (trained == stages and not saved["last_stage"]):
        raise ValueError(
            f"pruning.console_stages, pruning.rounds: {trained} stages of the checkpoint are trained, more are "
            f"needed to go on, got {stages} in all"
        )
    align_loops(checkpoint, trained == stages)
    return changes


# Songs.


def song_record(song: Song) -> dict[str, Any]:
    """Identifies a song as a search reads it: its audio, its subgroups, and the changes made to them while reading."""
    files = song.file_hashes or {"mix": _digest(song.mix.numpy()), "sources": _digest(song.sources.numpy())}
    return {
        "name": song.name,
        "files": dict(files),
        "subgroups": [[name, list(tracks)] for name, tracks in song.subgroups.items()],
        "placements": [list(placement) for placement in song.placements],
        "level": song.level,
        "groups": {group.name: _digest(group.target.numpy()) for group in song.groups},
    }


def check_songs(saved: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> None:
    """Refuses to resume with songs that are not read as they were for the checkpoint, see `song_record`.

    Raises:
        ValueError: a song differs; the message says which setting or files.
    """
    for before, after in zip(saved, now, strict=True):
        name, old, new = after["name"], before["files"], after["files"]
        if changed := sorted(file for file in {*old, *new} if old.get(file) != new.get(file)):
            raise ValueError(
                f"data.path: the audio of {name} is not that which the checkpoint was made with: {', '.join(changed)}. "
                "HINT: bring it back, or search anew without the checkpoint"
            )
        for setting, key in (("subgrouping", "subgroups"), ("apply_alignment", "placements")):
            if before[key] != after[key]:
                raise ValueError(
                    f"data.{setting}: the checkpoint was made with {key} {before[key]} of {name}, got {after[key]}"
                )
        if before.get("groups", {}) != after["groups"]:
            raise ValueError(
                f"data.group_targets: the checkpoint was made with {_named(before.get('groups', {}))} of {name}, got "
                f"{_named(after['groups'])}. HINT: name the stems that it was made with"
            )
    levels = [[float(song["level"]) for song in songs] for songs in (saved, now)]
    if any(not math.isclose(a, b, rel_tol=1e-6) for a, b in zip(*levels, strict=True)):
        raise ValueError(
            f"data.loudness_lufs: the checkpoint was made with songs at {levels[0]} times their level, got {levels[1]}"
        )


def _named(groups: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({digest[:8]})" for name, digest in groups.items()) or "no stems"


def graph_digest(
    graph: MixGraph, parameters: Mapping[str, Mapping[str, Tensor]] | None = None, weights: Tensor | None = None
) -> str:
    """Returns the sha256 of a graph, and of its values if they are given."""
    digest = hashlib.sha256(graph_to_json(graph).encode())
    for _, type_parameters in sorted((parameters or {}).items()):
        for _, value in sorted(type_parameters.items()):
            digest.update(value.detach().cpu().numpy().tobytes())
    if weights is not None:
        digest.update(weights.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def _digest(values: Any) -> str:
    return hashlib.sha256(values.tobytes()).hexdigest()


# Stages and steps, as Lightning's loops count them.


def stages_trained(checkpoint: Mapping[str, Any]) -> int:
    """Returns the number of stages of a checkpoint's search that were trained in full."""
    stages, steps = _counts(checkpoint)
    count = stages["current"]
    full = steps["is_last_batch"] or count["ready"] > count["started"]
    return max(0, int(count["started"]) - (not full))


def steps_into_stage(checkpoint: Mapping[str, Any]) -> int:
    """Returns the number of steps that were trained in a checkpoint's unfinished stage."""
    stages, steps = _counts(checkpoint)
    full = stages_trained(checkpoint) == stages["current"]["started"]
    return 0 if full else int(steps["current"]["processed"])


def check_position(checkpoint: Mapping[str, Any]) -> None:
    """Refuses a checkpoint from which a search cannot resume as if it had not been stopped.

    Raises:
        ValueError: it lacks what a resumed search needs, or was saved in the middle of a step.
    """
    if "loops" not in checkpoint or "optimizer_states" not in checkpoint:
        raise ValueError(
            "ckpt_path: the checkpoint holds the graph's values alone, without the optimizer's. HINT: make it with "
            "save_weights_only=false"
        )
    current = _counts(checkpoint)[1]["current"]
    if current["ready"] != current["processed"]:
        raise ValueError(
            f"ckpt_path: the checkpoint was taken in the middle of a step, the one behind step "
            f"{checkpoint['global_step']}. HINT: go on from one that was taken between steps, such as the stage.ckpt "
            "of a result folder"
        )


def align_loops(checkpoint: dict[str, Any], ends: bool) -> None:
    """Moves a checkpoint's loop counts to where the Trainer resumes as if it had never stopped.

    Lightning takes a checkpoint from after the last step of an epoch for one from its middle, and leaves out what
    happens at the start of the next epoch: pruning. So it becomes one from the epoch's end. After the very last step it
    becomes one from after the step, since a training without an epoch left would not write its result. One from
    the end of an epoch that was cut short becomes one from its last step, so that the epoch's other steps follow.

    Args:
        checkpoint: Lightning's checkpoint, changed in place.
        ends: whether the checkpoint's stage was the last one.
    """
    stages, steps = _counts(checkpoint)
    if stages["current"]["started"] == 0 or steps["current"]["processed"] == 0:
        return
    starts = stages["current"]["ready"] > stages["current"]["started"]  # the next step, which is taken again
    at_end = starts or (bool(steps["is_last_batch"]) and not ends)
    for name in ("current", "total"):
        stages[name]["ready"] = stages[name]["started"]
        stages[name]["completed"] = stages[name]["started"] - 1
        stages[name]["processed"] = stages[name]["started"] - (not at_end)
        steps[name]["completed"] = steps[name]["processed"] - (not at_end)


def _counts(checkpoint: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    loop = checkpoint["loops"]["fit_loop"]
    return loop["epoch_progress"], loop["epoch_loop.batch_progress"]
