"""Logic of building a dataset from many songs: searches that are due, quality rules, licences.

It works on files, without Lightning and without Ray; `tools/build_dataset.py` runs the searches. The names below are
imported when first used, since most load torch, which the help of a build does not need.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixgraph.dataset.agreement import SongRuns, read_runs
    from mixgraph.dataset.folder import BuildFolder
    from mixgraph.dataset.jobs import Job
    from mixgraph.dataset.licences import may_share_audio
    from mixgraph.dataset.quality import Measurements, QualityRules, measure
    from mixgraph.dataset.sources import FileHashes, SongSource, find_sources, select

_WHERE = {
    "BuildFolder": "mixgraph.dataset.folder",
    "FileHashes": "mixgraph.dataset.sources",
    "Job": "mixgraph.dataset.jobs",
    "Measurements": "mixgraph.dataset.quality",
    "QualityRules": "mixgraph.dataset.quality",
    "SongRuns": "mixgraph.dataset.agreement",
    "SongSource": "mixgraph.dataset.sources",
    "find_sources": "mixgraph.dataset.sources",
    "may_share_audio": "mixgraph.dataset.licences",
    "measure": "mixgraph.dataset.quality",
    "read_runs": "mixgraph.dataset.agreement",
    "select": "mixgraph.dataset.sources",
}

__all__ = [
    "BuildFolder",
    "FileHashes",
    "Job",
    "Measurements",
    "QualityRules",
    "SongRuns",
    "SongSource",
    "find_sources",
    "may_share_audio",
    "measure",
    "read_runs",
    "select",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
