"""The files of a result folder, by which a folder is recognised as a result."""

from __future__ import annotations

import re
from pathlib import Path

from mixgraph.results.publish import FolderKind
from mixgraph.system.files import read_text

CHECKPOINT, CONFIG, TIMINGS = "stage.ckpt", "config.yaml", "timings.json"
CONSOLE_DRAWING = "console.svg"
"""The console above the found graph; results of earlier versions have none."""
CONSOLE = "console.ckpt"
"""The checkpoint from the end of the console's training, where `result.keep_console` is set."""
TRACE, LOG = "trace.jsonl", "log.csv"
PAGE = "report.html"
INCREASES = "loss_increases.png"
"""Weight against loss increase of the console's processors, where the search measured them."""
SEARCH_LOG = "search.log"
"""How the search went, a line for each stage with the time of day, written as it goes; estimates have none."""
RESULT_FILES = (
    "graph.json",
    "parameters.safetensors",
    "metrics.json",
    TRACE,
    CONFIG,
    LOG,
    "mix_target",
    "mix_found",
    "settings.txt",
    "settings.png",
    "graph.svg",
    "graph.png",
    "spectrograms.png",
    "progress.png",
    TIMINGS,
)
"""The files of every result, but for the suffix of its audio; `timings.json` is written last."""
FOUND_AUDIO = ("mix_found.flac", "mix_found.wav")
"""Names of the found mix: the second one where it would clip in the first."""
_AUDIO = {"mix_target", "mix_found"}
_AUDIO_NAMES = {*FOUND_AUDIO, "mix_target.flac", "mix_target.wav"}
_NAMES = {name for name in RESULT_FILES if name not in _AUDIO} | {
    f"{name}.{s}" for name in _AUDIO for s in ("flac", "wav")
}
_OTHERS = {
    CHECKPOINT,
    CONSOLE,
    SEARCH_LOG,
    PAGE,
    INCREASES,
    CONSOLE_DRAWING,
    "job.json",
}  # of a search that was stopped; of a data set's build
_PAGES = re.compile(r"settings_\d+\.png")  # after the first page, of a graph that is large
MARKS = {"graph.json", "parameters.safetensors", "metrics.json"}
_SETTINGS = {"data:", "model:", "pruning:", "result:"}  # sections of a search's config.yaml


def is_complete(folder: Path) -> bool:
    """Whether a folder has all files of a result."""
    if not folder.is_dir():
        return False
    names = {path.stem if path.stem in _AUDIO else path.name for path in folder.iterdir()}
    return names >= set(RESULT_FILES)


def is_unfinished(folder: Path) -> bool:
    """Whether a folder is the unfinished work of a search, and nothing else: by its files and its settings."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    if RESULT.foreign_names(folder) == []:
        return True
    names = {path.name for path in folder.iterdir()}
    known = not any(_is_unknown(path) for path in folder.iterdir() if not path.name.startswith("."))
    return known and (CHECKPOINT in names or (CONFIG in names and is_config(folder / CONFIG)))


def _foreign(entries: list[Path]) -> list[Path]:
    """Returns entries that a result does not have; all entries where the folder is no result.

    A folder that only `predict` wrote to counts as a result.
    """
    unknown = [path for path in entries if _is_unknown(path)]
    names = {path.name for path in entries}
    if unknown or names <= {*FOUND_AUDIO} or names >= MARKS:
        return unknown
    return entries


def _is_unknown(path: Path) -> bool:
    known = path.name in _NAMES | _OTHERS or _PAGES.fullmatch(path.name) is not None
    return not known or not path.is_file()


def is_config(path: Path) -> bool:
    """Whether a file holds the settings of a search; it is empty where the search was started from Python."""
    text = read_text(path, errors="replace")
    return not text or {line.split(" ")[0] for line in text.splitlines()} >= _SETTINGS


RESULT = FolderKind("result of a search", _foreign, is_complete, resumable=True)
