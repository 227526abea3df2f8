"""From many songs to a dataset: which searches are due, how good what they found is, and what may be passed on.

Pure logic over files: without Lightning and without Ray. `tools/build_dataset.py` runs the searches.
"""

from mixgraph.dataset.agreement import SongRuns, read_runs
from mixgraph.dataset.folder import BuildFolder
from mixgraph.dataset.jobs import Job
from mixgraph.dataset.licences import may_share_audio
from mixgraph.dataset.quality import Measurements, QualityRules, measure
from mixgraph.dataset.sources import FileHashes, SongSource, find_sources, select

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
