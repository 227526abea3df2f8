"""Result folders: what a search leaves of a song, written, read and published in one place.

contents     which files a result folder has, and how one is recognised
publish      folders that are complete or absent: locked, checked, renamed, tidied after kills
outcome      what a search, or a prediction, leaves of a song in memory
measure      from an outcome to its metrics
metrics      the typed figures of metrics.json, written and read back
json_record  an object of a JSON file, checked field by field
log          rows of log.csv
write        the files of a result: data, audio, settings, pictures
summary      the few figures that matter, for a person
found_graph  a result folder, read: graph, values, metrics, trace, log, timings, settings
listening    tracks that are heard alone or muted, processors that are switched off
rendering    rendering of a found graph on tracks that are read again
"""

from mixgraph.results.contents import (
    CHECKPOINT,
    CONFIG,
    FOUND_AUDIO,
    RESULT,
    RESULT_FILES,
    SEARCH_LOG,
    TIMINGS,
    is_complete,
    is_config,
    is_unfinished,
)
from mixgraph.results.publish import FolderKind, HeldPlace, Place, publish_folder

__all__ = [
    "CHECKPOINT",
    "CONFIG",
    "FOUND_AUDIO",
    "RESULT",
    "RESULT_FILES",
    "SEARCH_LOG",
    "TIMINGS",
    "FolderKind",
    "HeldPlace",
    "Place",
    "is_complete",
    "is_config",
    "is_unfinished",
    "publish_folder",
]
