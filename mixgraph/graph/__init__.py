"""Mixing graphs as values.

- `types`: the graph itself, a frozen value that checks itself.
- `chains`: how the chains of a console are written.
- `console`: the full graphs that a search starts from.
- `edit`: pruned, batched, split and relabelled copies.
- `values`: a graph with the parameters and weights of its processors.
- `records`: graphs as JSON text, and back.
- `io`: graph files and parameter files.
- `convert`: graphs for networkx and PyTorch Geometric.
"""

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
