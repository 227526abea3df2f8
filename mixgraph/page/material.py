"""What a page is made from: a found graph, its tracks and mixes, as far as they are there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from torch import Tensor

from mixgraph.results.found_graph import FoundGraph, load_result
from mixgraph.results.rendering import read_tracks
from mixgraph.songs.audio import read_audio
from mixgraph.songs.clips import cut
from mixgraph.songs.song import Song
from mixgraph.songs.track_files import list_tracks, match_tracks

T = TypeVar("T")
ChangedTracks = Literal["refuse", "allow"]


@dataclass(frozen=True, eq=False)
class Material:
    """A found graph with its audio and the course of its search.

    Attributes:
        found_graph: the graph.
        sources: (inputs, 2, L), the dry tracks; None where they are not there.
        target: (2, L), the engineer's mix; None where it is not there.
        found_mix: (2, L), the mix that the graph makes; None where it is not there.
        trace: rows of trace.jsonl.
        log: rows of log.csv.
        missing: a sentence for every part that is not there.
        level: the factor that sources and mixes were multiplied by.
        config: the settings of the search; empty where they are not known.
    """

    found_graph: FoundGraph
    sources: Tensor | None
    target: Tensor | None
    found_mix: Tensor | None
    trace: Sequence[dict[str, Any]]
    log: Sequence[dict[str, Any]]
    missing: tuple[str, ...]
    level: float = 1.0
    config: Mapping[str, Any] = field(default_factory=dict)


def read_material(result: Path, tracks: Path | None, changed_tracks: ChangedTracks = "refuse") -> Material:
    """Reads a result folder, and its tracks from a song's folder; parts that are not there are named in `missing`.

    Args:
        result: a result folder, or a graph that was saved.
        tracks: folder of the song or of its tracks; by default the one that config.yaml names.
        changed_tracks: whether tracks whose content is another than in the search are refused.

    Raises:
        FileNotFoundError: no graph there, or no such folder of tracks where one was named.
        ValueError: tracks that changed since the search; or files that cannot be read.
    """
    found_graph = load_result(result)
    missing: list[str] = []
    target, found_mix = (
        read_mix(result, name, found_graph.sample_rate, found_graph.num_samples) for name in ("mix_target", "mix_found")
    )
    for name, mix in (("mix_target", target), ("mix_found", found_mix)):
        if mix is None:
            missing.append(f"The audio file {name} is not in the result folder.")
    sources = read_sources(found_graph, tracks, changed_tracks, missing)
    config = _read_part(found_graph.config, "the settings of the search (config.yaml)", missing) or {}
    if sources is not None:
        found_mix = found_graph.render(sources)
    trace = _read_part(found_graph.trace, "the trials of the search (trace.jsonl)", missing)
    log = _read_part(found_graph.log, "the course of the search (log.csv)", missing)
    if found_graph.metrics is None:
        missing.append("The figures of a search: this graph was saved without them.")
    audio = sources, target, found_mix
    return Material(found_graph, *audio, trace or [], log or [], tuple(missing), config=config)


def searched_material(result: Path, song: Song, found_mix: Tensor) -> Material:
    """Takes a result folder of a search that has just been written, and the audio that the search has in memory.

    Args:
        result: the folder, complete but for its times.
        song: the song that was searched.
        found_mix: (2, L), the mix that the graph makes, at the level of the search.
    """
    found_graph = load_result(result)
    rows = found_graph.trace(), found_graph.log()
    return Material(found_graph, song.sources, song.mix, found_mix, *rows, (), song.level, found_graph.config())


def _read_part(read: Callable[[], T], what: str, missing: list[str]) -> T | None:
    try:
        return read()
    except (FileNotFoundError, ValueError):
        missing.append(f"{what[0].upper()}{what[1:]} cannot be read from the result folder.")
        return None


def read_mix(result: Path, name: str, sample_rate: int, num_samples: int) -> Tensor | None:
    """Reads a mix of a result folder, (2, num_samples); None where it is not there.

    Args:
        result: the folder.
        name: `mix_target` or `mix_found`.
        sample_rate: the sample rate to which it is resampled.
        num_samples: the length to which it is cut, or filled with silence.

    Raises:
        ValueError: it cannot be decoded.
    """
    paths = [result / f"{name}.{suffix}" for suffix in ("flac", "wav")]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return None
    return cut(read_audio(path, sample_rate), 0, num_samples).expand(2, -1)


def _stated_folder(found_graph: FoundGraph) -> Path | None:
    """The song's folder that config.yaml names, which holds paths relative to itself."""
    if found_graph.folder is None:
        return None
    try:
        data = found_graph.config().get("data") or {}
    except (FileNotFoundError, ValueError):
        return None
    path = (data.get("init_args") or data).get("path")
    return found_graph.folder / path if isinstance(path, str) else None


def read_sources(
    found_graph: FoundGraph, tracks: Path | None, changed_tracks: ChangedTracks, missing: list[str]
) -> Tensor | None:
    """Reads the dry tracks of a graph, (inputs, 2, L), at their own level; None, and a sentence, where there are none.

    Args:
        found_graph: the graph.
        tracks: folder of the song or of its tracks; by default the one that config.yaml names.
        changed_tracks: whether tracks whose content is another than in the search are refused.
        missing: takes the sentence.

    Raises:
        FileNotFoundError: no such folder where one was named.
        ValueError: tracks that changed since the search, or that cannot be read.
    """
    folder = tracks or _stated_folder(found_graph)
    if folder is None or (tracks is None and not folder.is_dir()):
        missing.append("The dry tracks: their folder is not where it was in the search. HINT: --tracks FOLDER")
        return None
    if changed_tracks == "refuse" and found_graph.origins:
        names = [found_graph.graph.names[i] for i in found_graph.graph.inputs]
        matches = match_tracks(names, found_graph.origins, list_tracks(folder), folder)
        changed = [match.track for match in matches if not match.is_original]
        if changed:
            raise ValueError(
                f"tracks: the audio of the search expected in {folder}, got another content of {', '.join(changed)}. "
                "HINT: --changed-tracks allow, where that is meant"
            )
    sources = read_tracks(found_graph, folder).sources
    return cut(sources.flatten(0, 1), 0, found_graph.num_samples).unflatten(0, (-1, 2))
