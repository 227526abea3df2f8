"""Mixing graphs as values: consoles, edits, batches, files, conversions, drawings."""

from mixgraph.graph.console import build_console
from mixgraph.graph.edit import PruneIndex, batch, keep_by_type, prune, relabel, unbatch
from mixgraph.graph.types import AUXILIARY, INPUT, MIX, OUTPUT, MixGraph

__all__ = [
    "AUXILIARY",
    "INPUT",
    "MIX",
    "OUTPUT",
    "MixGraph",
    "PruneIndex",
    "batch",
    "build_console",
    "keep_by_type",
    "prune",
    "relabel",
    "unbatch",
]
