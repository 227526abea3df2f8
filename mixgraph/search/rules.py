"""Lists, for each setting of a search, whether it may change when the search resumes and when searches are compared."""

from __future__ import annotations

from typing import Any, Literal

Rule = Literal["kept", "applied", "song", "refitted", "free"]

RULES: dict[str, dict[str, Rule]] = {
    "model": {
        "track_chain": "kept",
        "subgroup_chain": "kept",
        "master_chain": "kept",
        "returns": "kept",
        "sidechains": "kept",
        "single_track_subgroups": "kept",
        "sample_rate": "kept",
        "warm_up_seconds": "applied",
        "seed": "kept",
        "initial_values": "kept",
        "estimated_checkpoint": "song",
        "processors": "kept",
        "loss": "kept",
        "regularizers": "applied",
        "optimizer": "applied",
        "rendering": "applied",
        "rendering.trial_memory_gb": "free",
    },
    "data": {
        "path": "song",
        "layout": "song",
        "sample_rate": "kept",
        "steps_per_stage": "applied",
        "warm_up_seconds": "applied",
        "scored_seconds": "applied",
        "starts": "applied",
        "seed": "kept",
        "loudness_lufs": "song",
        "apply_alignment": "song",
        "subgrouping": "song",
        "cache_dir": "free",
        "memory_limit_gb": "free",
        "mix": "song",
        "group_targets": "song",
    },
    "pruning": {
        "console_stages": "kept",
        "rounds": "applied",
        "sampler": "applied",
        "tolerance": "applied",
        "window_tolerance": "applied",
        "rule": "applied",
        "period": "applied",
        "order": "applied",
        "refresh_min_loss": "applied",
        "leave_one_out": "applied",
        "ending": "applied",
        "ending_steps": "applied",
        "seed": "kept",
        "sampler_options": "applied",
    },
    "result": {
        "path": "free",
        "overwrite": "free",
        "log_every": "free",
        "spectrograms": "free",
        "audio_rate": "free",
        "page": "free",
        "keep_console": "free",
    },
    "progress": {"refresh_every": "free"},
    "time": {"budget": "refitted"},
    "trainer": {
        "accelerator": "free",
        "default_root_dir": "free",
        "devices": "free",
        "enable_autolog_hparams": "free",
        "enable_checkpointing": "free",
        "enable_model_summary": "free",
        "enable_progress_bar": "free",
        "log_every_n_steps": "free",
        "logger": "free",
        "num_nodes": "free",
        "profiler": "free",
        "strategy": "free",
    },
    "": {"ckpt_path": "free", "weights_only": "free", "relative_to": "free"},
}
"""What a setting has acted on when a search goes on from a checkpoint, and whether it changes what a search finds.

- `"kept"`: it has acted already, so another value is refused.
- `"applied"`: what follows goes by the new value, and the change is told. So are the Trainer's settings that are not
  listed, by Lightning.
- `"song"`: what it makes of the songs is compared instead, see `mixgraph.search.resuming.song_record`.
- `"refitted"`: the schedule is fitted anew, see `TimeBudget`.
- `"free"`: it does not change what a search finds.
"""


LATER: dict[str, Any] = {
    "pruning.sampler_options": None,
    "model.loss.front_end": "mel",
    "model.loss.front_end_options": {},
    "model.single_track_subgroups": "chain",
    "model.estimated_checkpoint": None,
    "model.rendering.capture": False,
    "pruning.ending": None,
    "pruning.ending_steps": 25,
}
"""Settings that came later, with the values that searches before them had."""


def rule(name: str) -> Rule | None:
    """Returns the rule of a setting such as `data.seed`; None if it is not listed."""
    group, _, rest = name.partition(".")
    return RULES[group].get(rest) if group in RULES else RULES[""].get(name)


def is_free(name: str) -> bool:
    """Whether two searches that differ in a setting (or in a whole group of settings) still find the same graph.

    >>> is_free("progress"), is_free("trainer"), is_free("data.seed")
    (True, False, False)
    """
    return name in _FREE_GROUPS or rule(name) == "free"


_FREE_GROUPS = ("result", "progress")
