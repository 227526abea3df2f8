"""What a search leaves.

contents    which files a result folder has, and how one is recognised
publish     a folder that is complete or absent: locked, checked, renamed, tidied after kills
"""

from mixgraph.results.contents import (
    CHECKPOINT,
    CONFIG,
    FOUND_AUDIO,
    RESULT,
    RESULT_FILES,
    TIMINGS,
    is_complete,
    is_unfinished,
)
from mixgraph.results.publish import FolderKind, HeldPlace, Place

__all__ = [
    "CHECKPOINT",
    "CONFIG",
    "FOUND_AUDIO",
    "RESULT",
    "RESULT_FILES",
    "TIMINGS",
    "FolderKind",
    "HeldPlace",
    "Place",
    "is_complete",
    "is_unfinished",
]
