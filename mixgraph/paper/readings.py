"""What a table or a figure takes of a finished search, and what it refuses by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixgraph.dataset.settings import differences, essential
from mixgraph.results.contents import CONFIG, LOG, TIMINGS, TRACE, is_complete
from mixgraph.results.log import LogRow, log_from_csv
from mixgraph.results.metrics import Metrics, read_metrics
from mixgraph.system.files import json_lines, parse_json, parse_yaml, read_text

SongKey = tuple[str, frozenset[tuple[str, str | None]]]
"""A song's name and the sha256 of each of its audio files: songs of two data sets may have one name."""
_SHOWN = 3
_UNKNOWN = "unknown, of an earlier version"


@dataclass(frozen=True, eq=False)
class Reading:
    """A finished search of one song.

    Attributes:
        folder: its result folder.
        metrics: its figures.
        config: its settings.
        minutes: how long it took, without the measuring of loss increases, which prunes nothing.
        version: the version of mixgraph that searched.
    """

    folder: Path
    metrics: Metrics
    config: Mapping[str, Any]
    minutes: float
    version: str

    @property
    def song(self) -> str:
        return self.metrics.song.name

    @property
    def song_key(self) -> SongKey:
        """What tells the song from others, also from those of its name."""
        return self.song, frozenset(self.metrics.file_hashes.items())

    @property
    def method(self) -> tuple[str, float]:
        """The sampler and the tolerance of the search."""
        pruning = self.config["pruning"]
        return str(pruning["sampler"]), float(pruning["tolerance"])

    @property
    def is_pruned(self) -> bool:
        """Whether the search had rounds of pruning; without them it only trained a console."""
        return int(self.config["pruning"]["rounds"]) > 0

    @property
    def chain(self) -> str:
        """The letters of the console's track chain."""
        return str(self.config["model"]["track_chain"])

    def log(self) -> list[LogRow]:
        """What was logged while training, a row each, in order of time."""
        return log_from_csv(read_text(self.folder / LOG))

    def trace(self) -> list[dict[str, Any]]:
        """Every trial, round and measured loss increase, a row each, in order of time."""
        return json_lines(read_text(self.folder / TRACE))


def read_search(folder: Path) -> Reading:
    """Reads the result folder of a finished search.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the folder is no complete result, or the search was stopped or broke down.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"result: {folder}: the result folder of a search is needed, got none")
    if not is_complete(folder):
        raise ValueError(f"result: {folder}: a complete result is needed, got one that is unfinished, or none at all")
    metrics = read_metrics(folder)
    if metrics.failure:
        raise ValueError(f"result: {folder}: a finished search is needed; its training broke down: {metrics.failure}")
    if metrics.was_stopped:
        planned = f"{metrics.steps} of {metrics.planned_steps} steps"
        raise ValueError(f"result: {folder}: a finished search is needed; it was stopped after {planned}")
    return Reading(folder, metrics, _config(folder), *_minutes(folder))


def _config(folder: Path) -> dict[str, Any]:
    """The settings of a search, with those of the pruning and the console among them."""
    try:
        config = parse_yaml(read_text(folder / CONFIG))
    except ValueError as error:
        raise ValueError(f"result: {folder}: {CONFIG} is damaged ({error})") from error
    groups = [config.get(name) if isinstance(config, dict) else None for name in ("pruning", "model")]
    needed: tuple[tuple[tuple[str, type | tuple[type, ...]], ...], ...] = (
        (("sampler", str), ("tolerance", (int, float)), ("rounds", int)),
        (("track_chain", str),),
    )
    for group, kinds in zip(groups, needed, strict=True):
        if not isinstance(group, dict) or not all(isinstance(group.get(name), kind) for name, kind in kinds):
            raise ValueError(f"result: {folder}: {CONFIG} has no settings of a search. HINT: search with mixgraph fit")
    return dict(config)


def _minutes(folder: Path) -> tuple[float, str]:
    """How long a search took without measuring loss increases, and the version of mixgraph that searched."""
    timings = _timings(folder)
    seconds, less = timings.get("total_seconds"), timings.get("loss_increase_seconds", 0.0)
    if not isinstance(seconds, int | float) or not isinstance(less, int | float):
        raise ValueError(f"result: {folder}: {TIMINGS} is damaged (it states no time)")
    return (seconds - less) / 60, _version(timings)


def version_of(folder: Path) -> str:
    """The version of mixgraph that made a complete result."""
    return _version(_timings(folder))


def _timings(folder: Path) -> dict[str, Any]:
    try:
        timings = parse_json(read_text(folder / TIMINGS))
    except ValueError as error:
        raise ValueError(f"result: {folder}: {TIMINGS} is damaged ({error})") from error
    if not isinstance(timings, dict):
        raise ValueError(f"result: {folder}: {TIMINGS} is damaged (no JSON object)")
    return timings


def _version(timings: Mapping[str, Any]) -> str:
    return str(timings.get("version", _UNKNOWN))


def check_alike(readings: Sequence[Reading], may_differ: Sequence[str] = ()) -> None:
    """Refuses results of different versions, or of other settings than those that a table or figure compares.

    Args:
        readings: the results, of any songs.
        may_differ: the settings, or groups of them, in which the results may differ, such as `pruning.tolerance`.

    Raises:
        ValueError: two results differ otherwise; the message names both and what differs.
    """
    if not readings:
        raise ValueError("result: at least one is needed, got none")
    first = readings[0]
    for other in readings[1:]:
        if other.version != first.version:
            raise ValueError(
                f"result: {other.folder} is of version {other.version}, {first.folder} of {first.version}: results of "
                "one version can be compared. HINT: search again, or leave one out"
            )
        found = [line for line in _differences(first, other) if not line.startswith(tuple(may_differ))]
        if found:
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            raise ValueError(
                f"result: {other.folder} has other settings than {first.folder}: {', '.join(found[:_SHOWN])}{more}. "
                "HINT: compare results of the same settings"
            )


def _differences(first: Reading, other: Reading) -> list[str]:
    """Lists the settings that differ, but for those that a song or a seed has."""
    return differences(_compared(first.config), _compared(other.config))


def _compared(config: Mapping[str, Any]) -> dict[str, Any]:
    settings = essential(config)
    seeds = {group: {"seed": None} for group in ("data", "model", "pruning") if group in settings}
    return settings | {group: settings[group] | none for group, none in seeds.items()}


def check_one_song(readings: Sequence[Reading]) -> None:
    """Refuses results of different songs, or of different audio of one song.

    Raises:
        ValueError: two results are of different songs.
    """
    for other in readings[1:]:
        if other.metrics.file_hashes != readings[0].metrics.file_hashes:
            raise ValueError(
                f"result: {other.folder} is of {other.song}, {readings[0].folder} of {readings[0].song}, or their "
                "audio differs: results of one song are needed. HINT: --only SONG"
            )
