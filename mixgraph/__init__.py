"""Finds the sparse audio processing graph that turns a song's dry tracks into its mix.

The names below are imported when first used, so that the parts that need no Trainer do not load one. Those of the
packages `callbacks` and `datamodules`, which stand beside this one, are had from here even where packages of your own
have these names.
"""

# Nothing else is imported here: `python -m mixgraph` comes by before it has the working folder off Python's path.
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from callbacks import IterativePruning, ResultFolder, SearchProgress, TimeBudget
    from datamodules import BlindData, GraphShards, SongData
    from datamodules.synthetic import SyntheticSongData
    from mixgraph.graph import MixGraph, build_console
    from mixgraph.render import render_song
    from mixgraph.results.found_graph import FoundGraph, load_result
    from mixgraph.search.module import ConsoleModule
    from mixgraph.shards import read_shards
    from mixgraph.songs import Song, load_song

_WHERE = {
    "ConsoleModule": "mixgraph.search.module",
    "FoundGraph": "mixgraph.results.found_graph",
    "MixGraph": "mixgraph.graph",
    "Song": "mixgraph.songs",
    "build_console": "mixgraph.graph",
    "load_result": "mixgraph.results.found_graph",
    "load_song": "mixgraph.songs",
    "read_shards": "mixgraph.shards",
    "render_song": "mixgraph.render",
}
_BESIDE = {
    "BlindData": "datamodules",
    "GraphShards": "datamodules",
    "IterativePruning": "callbacks",
    "ResultFolder": "callbacks",
    "SearchProgress": "callbacks",
    "SongData": "datamodules",
    "SyntheticSongData": "datamodules",
    "TimeBudget": "callbacks",
}

__all__ = [
    "BlindData",
    "ConsoleModule",
    "FoundGraph",
    "GraphShards",
    "IterativePruning",
    "MixGraph",
    "ResultFolder",
    "SearchProgress",
    "Song",
    "SongData",
    "SyntheticSongData",
    "TimeBudget",
    "build_console",
    "load_result",
    "load_song",
    "read_shards",
    "render_song",
]

__version__: str
"""As pyproject.toml states it and the installation keeps it."""


def __getattr__(name: str) -> object:
    if name == "__version__":
        return import_module("importlib.metadata").version(__name__)
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    if name in _BESIDE:
        return getattr(import_module("mixgraph.shipped").neighbour(_BESIDE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
