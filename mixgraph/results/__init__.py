"""Result folders: the files that a search writes for a song, and their reading and publishing.

contents     the files of a result folder, by which one is recognised
publish      folders that are complete or absent: locked, checked, renamed, tidied after kills
outcome      the results of a search, or a prediction, for a song in memory
measure      from an outcome to its metrics
metrics      the typed figures of metrics.json, written and read back
json_record  an object of a JSON file, checked field by field
log          rows of log.csv
mixes        the target and the found mix at the song's own sample rate
write        the files of a result: data, audio, settings, pictures
summary      the most important figures, as text
found_graph  a result folder, read: graph, values, metrics, trace, log, timings, settings
listening    tracks that are heard alone or muted, processors that are switched off
stems        every track and subgroup behind its chain, as audio that sums to the mix
rendering    rendering of a found graph on tracks that are read again
demix_record the record of a folder of demixed stems
"""

from mixgraph.results.contents import (
    CHECKPOINT,
    CONFIG,
    CONSOLE,
    FOUND_AUDIO,
    PAGE,
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
    "CONSOLE",
    "FOUND_AUDIO",
    "PAGE",
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
