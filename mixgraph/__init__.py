"""Finds the sparse audio processing graph that turns a song's dry tracks into its mix.

The names below are imported when first used, so that the parts that need no Trainer do not load one.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixgraph.found import FoundGraph, load_result
    from mixgraph.graph import MixGraph, build_console
    from mixgraph.module import ConsoleModule
    from mixgraph.render import render_song
    from mixgraph.songs import Song, load_song

_WHERE = {
    "ConsoleModule": "mixgraph.module",
    "FoundGraph": "mixgraph.found",
    "MixGraph": "mixgraph.graph",
    "Song": "mixgraph.songs",
    "build_console": "mixgraph.graph",
    "load_result": "mixgraph.found",
    "load_song": "mixgraph.songs",
    "render_song": "mixgraph.render",
}

__all__ = [
    "ConsoleModule",
    "FoundGraph",
    "MixGraph",
    "Song",
    "build_console",
    "load_result",
    "load_song",
    "render_song",
]

__version__: str
"""As pyproject.toml states it and the installation keeps it."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version(__name__)
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
