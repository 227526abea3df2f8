"""The YAML header of a card for Hugging Face: licence, size, splits, and the type of every field of a sample.

`datasets` infers the fields of a WebDataset from its first samples. It refuses later samples that lack a field of the
first, or that have a number where those have null. So the card declares the fields, the same for all data sets; a field
that a sample lacks (its audio, or an unknown value) is None.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mixgraph.shards.fields import DRY, GRAPH, META, MIX, PARAMETERS, TRACE
from mixgraph.shards.index import Index
from mixgraph.shards.statistics import SongFigures

# The licence as songs state it -> its name at Hugging Face; all others are "other", with the text beside it.
_LICENCES = {
    "cc0": "cc0-1.0", "cc01.0": "cc0-1.0", "cc-by-4.0": "cc-by-4.0", "ccby4.0": "cc-by-4.0",
    "ccbysa4.0": "cc-by-sa-4.0", "ccby-sa4.0": "cc-by-sa-4.0", "ccbyncsa4.0": "cc-by-nc-sa-4.0",
    "ccby-nc-sa4.0": "cc-by-nc-sa-4.0", "ccby3.0": "cc-by-3.0",
}  # fmt: skip
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))

# A string is a type of values, {name: type} an object, [type] a list: the JSON that `meta` and `graphs` describe.
_TEXT, _WHOLE, _NUMBER, _FLAG = "string", "int64", "float64", "bool"
_PARTS = dict.fromkeys(("full", "lr", "mid", "side"), _NUMBER)
_SCORE = {
    "loss": _PARTS,
    "loss_prediction": _PARTS,
    "windows": [_NUMBER],
    "windows_prediction": [_NUMBER],
    "window_samples": _WHOLE,
}
GRAPH_TYPES: dict[str, Any] = {
    "schema_version": _WHOLE,
    "sample_rate": _WHOLE,
    "processor_options": [dict.fromkeys(("type", "option", "value"), _TEXT)],
    "nodes": [
        {
            "id": _WHOLE,
            "type": _TEXT,
            "letter": _TEXT,
            "name": _TEXT,
            "subgroup": _TEXT,
            "song": _WHOLE,
            "row": _WHOLE,
            "weight": _NUMBER,
            "loss_increase": _NUMBER,
        }
    ],
    "edges": [dict.fromkeys(("source", "destination", "outlet", "inlet"), _WHOLE)],
}
TRACE_TYPES: list[dict[str, Any]] = [
    {
        "kind": _TEXT,
        "when": _TEXT,
        "round": _WHOLE,
        "step": _WHOLE,
        "candidates": [_TEXT],
        "weight": _NUMBER,
        "loss": _NUMBER,
        "loss_increase": _NUMBER,
        "stopped": _FLAG,
        "bound": _NUMBER,
        "accepted": _FLAG,
        "remaining": _WHOLE,
        "start_loss": _NUMBER,
        "min_loss": _NUMBER,
        "end_loss": _NUMBER,
        "trials": _WHOLE,
        "removed": [_TEXT],
    }
]
META_TYPES: dict[str, Any] = {
    "schema_version": _WHOLE,
    **dict.fromkeys(("key", "dataset", "song", "title", "artist", "licence"), _TEXT),
    "sample_rate": _WHOLE,
    "level": _NUMBER,
    **dict.fromkeys(("num_samples", "song_num_samples", "excerpt_start"), _WHOLE),
    "tracks": [
        {
            "name": _TEXT,
            "file": _TEXT,
            "sha256": _TEXT,
            "start_sample": _WHOLE,
            "polarity": _WHOLE,
            "mono": _FLAG,
            "scale": _NUMBER,
        }
    ],
    "mix": {"file": _TEXT, "sha256": _TEXT, "scale": _NUMBER},
    "losses": dict.fromkeys(("dry_sum", "console", "found"), _SCORE),
    "num_processors": {"console": _WHOLE, "found": _WHOLE},
    "pruning_ratio": _NUMBER,
    "types": [{"type": _TEXT, "console": _WHOLE, "found": _WHOLE, "pruning_ratio": _NUMBER}],
    "loss_increases": [_NUMBER],
    "confidence": [_NUMBER],
    **dict.fromkeys(("tool", "config_sha256", "config"), _TEXT),
}
"""Of `meta.json`, but for `extra`, whose types are those of its values."""


def front_matter(
    index: Index, name: str, songs: Sequence[SongFigures], extras: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """Returns the header of the card as plain values for YAML.

    Args:
        index: the index of the data set.
        name: the name of the data set.
        songs: the figures of its songs.
        extras: the entry `extra` of the meta.json of every sample.
    """
    known = {_LICENCES.get(re.sub(r"[\s_]+", "", song.licence.lower()), "other") for song in songs}
    licence: dict[str, object] = {"license": known.pop() if len(known) == 1 else "other"}
    if licence["license"] == "other":
        licence["license_name"] = "see-the-sources"
    size = next((label for most, label in _SIZES if len(index.samples) < most), "n>1M")
    return {
        "pretty_name": name,
        **licence,
        "task_categories": ["graph-ml", "audio-to-audio"],
        "tags": ["music", "mixing", "audio-effects", "audio-processing-graph", "webdataset"],
        "size_categories": [size],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"{split}/*.tar"} for split in index.splits],
            }
        ],
        "dataset_info": {"features": features(extras)},
    }


def features(extras: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns the fields of a sample as `datasets` declares them in YAML; safetensors and audio are bytes.

    A field declared as audio needs torchcodec even if nothing is decoded; users can cast bytes to audio.
    """
    extra: Any = None
    for values in extras:
        extra = _united(extra, _type_of(values))
    types = {GRAPH: GRAPH_TYPES, META: META_TYPES | {"extra": extra or {}}, TRACE: TRACE_TYPES}
    fields = {name: {"dtype": "binary"} for name in (DRY, MIX, PARAMETERS)}
    fields |= {name: _yaml(kind) for name, kind in types.items()}
    fields |= {name: {"dtype": _TEXT} for name in ("__key__", "__url__")}
    return [{"name": name, **fields[name]} for name in sorted(fields)]


def _yaml(kind: Any) -> dict[str, Any]:
    if isinstance(kind, dict):
        return {"struct": [{"name": name, **_yaml(value)} for name, value in kind.items()]}
    if isinstance(kind, list):
        inner = _yaml(kind[0])
        return {"list": inner.get("struct") or inner.get("dtype") or inner}
    return {"dtype": kind or "null"}


def _type_of(value: Any) -> Any:
    """Returns the type of a JSON value; None for null."""
    if isinstance(value, Mapping):
        return {str(key): _type_of(item) for key, item in value.items()}
    if isinstance(value, list):
        inner: Any = None
        for item in value:
            inner = _united(inner, _type_of(item))
        return [inner]
    if value is None:
        return None
    return {bool: _FLAG, int: _WHOLE, float: _NUMBER}.get(type(value), _TEXT)


def _united(first: Any, second: Any) -> Any:
    """Returns a type that covers both types."""
    if first is None or second is None or first == second:
        return second if first is None else first
    if isinstance(first, dict) and isinstance(second, dict):
        return {key: _united(first.get(key), second.get(key)) for key in (first | second)}
    if isinstance(first, list) and isinstance(second, list):
        return [_united(first[0], second[0])]
    if [first, second] in ([_WHOLE, _NUMBER], [_NUMBER, _WHOLE]):
        return _NUMBER
    raise ValueError(f"extra: values of one type are needed in all samples, got {first} and {second}")
