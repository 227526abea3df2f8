"""Mixing graphs as values: consoles, edits, batches, files, conversions, drawings."""

from mixgraph.graph.chains import read_chain
from mixgraph.graph.console import build_console
from mixgraph.graph.edit import PruneIndex, batch, keep_by_type, prune, relabel, song_nodes, take_song, unbatch
from mixgraph.graph.types import AUXILIARY, INPUT, MIX, OUTPUT, MixGraph
from mixgraph.graph.values import GraphValues, batch_values, prune_values, song_values

__all__ = [
    "AUXILIARY",
    "INPUT",
    "MIX",
    "OUTPUT",
    "GraphValues",
    "MixGraph",
    "PruneIndex",
    "batch",
    "batch_values",
    "build_console",
    "keep_by_type",
    "prune",
    "prune_values",
    "read_chain",
    "relabel",
    "song_nodes",
    "song_values",
    "take_song",
    "unbatch",
]
