"""Data sets of graph-audio pairs in WebDataset shards: written, read, checked, described. Without Lightning."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mixgraph.shards.index import Index, load_index
from mixgraph.shards.pack import Origin, pack_result, pack_sample
from mixgraph.shards.read import read_raw, read_shards, shard_paths
from mixgraph.shards.rehydrate import SongFinder
from mixgraph.shards.sample import GraphSample, RawSample, SampleAudio, decode_sample
from mixgraph.shards.splits import assign_splits
from mixgraph.shards.texts import CardTexts
from mixgraph.shards.write import write_shards

if TYPE_CHECKING:
    from mixgraph.shards.card import write_card
    from mixgraph.shards.validate import validate_shards

_LATER = {  # imported when first used, since they load slow packages such as matplotlib
    "write_card": "mixgraph.shards.card",
    "validate_shards": "mixgraph.shards.validate",
}

__all__ = [
    "CardTexts",
    "GraphSample",
    "Index",
    "Origin",
    "RawSample",
    "SampleAudio",
    "SongFinder",
    "assign_splits",
    "decode_sample",
    "load_index",
    "pack_result",
    "pack_sample",
    "read_raw",
    "read_shards",
    "shard_paths",
    "validate_shards",
    "write_card",
    "write_shards",
]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
