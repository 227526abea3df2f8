"""What a page is made from: a found graph, its tracks and mixes, as far as they are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from mixgraph.graph import MixGraph
from mixgraph.page.remains import read_remains
from mixgraph.page.runs import other_runs
from mixgraph.results.found_graph import FoundGraph, load_result
from mixgraph.results.json_record import JsonRecord
from mixgraph.results.rendering import read_tracks
from mixgraph.songs.audio import read_audio
from mixgraph.songs.clips import check_stated_length, cut
from mixgraph.songs.song import Song
from mixgraph.songs.track_files import list_tracks, match_tracks

PROPOSED, REFERENCE = "automix.json", "reference"
NO_TARGET = (
    "There is no target: the song has no mix, or its mix was not used. What is found here is a network's proposal for "
    "the tracks, and not the graph of an engineer."
)
A_REFERENCE = (
    "There is no target: the reference is another mix, whose style is wanted, repeated where it is shorter than the "
    "song. What is found here is a network's proposal for the tracks, and not the graph of an engineer."
)
ChangedTracks = Literal["refuse", "allow"]


@dataclass(frozen=True, eq=False)
class Material:
    """A found graph with its audio and the course of its search.

    Attributes:
        found_graph: the graph; where it is missing, the plain sum of the tracks stands for it.
        sources: (inputs, 2, L), the dry tracks; None where they are not there.
        target: (2, L), the engineer's mix; None where it is not there.
        found_mix: (2, L), the mix that the graph makes; None where it is not there.
        trace: rows of trace.jsonl.
        log: rows of log.csv.
        missing: a sentence for every part that is not there.
        level: the factor that sources and mixes were multiplied by.
        config: the settings of the search; empty where they are not known.
        has_graph: whether `found_graph` is the graph of the result.
        other_runs: the graphs of further searches of the song with the same settings.
        target_is_reference: whether `target` is another mix, whose style is wanted, in place of the song's own.
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
    has_graph: bool = True
    other_runs: Sequence[MixGraph] = ()
    target_is_reference: bool = False


def read_material(result: Path, tracks: Path | None, changed_tracks: ChangedTracks = "refuse") -> Material:
    """Reads a result folder, and its tracks from a song's folder; parts that are not there are named in `missing`.

    Args:
        result: a result folder, or a graph that was saved.
        tracks: folder of the song or of its tracks; by default the one that config.yaml names.
        changed_tracks: whether tracks whose content is another than in the search are refused.

    Raises:
        FileNotFoundError: nothing of a result there, or no such folder of tracks where one was named.
        ValueError: tracks that changed since the search, or that cannot be read; or files of different results.
    """
    proposed = (result / PROPOSED).is_file()
    remains = read_remains(result, searched=not proposed)
    found_graph, missing = remains.found_graph, list(remains.missing)
    mixes: dict[str, Tensor | None] = {}
    for name in ("mix_target", "mix_found"):
        try:
            mixes[name] = read_mix(result, name, found_graph.sample_rate, found_graph.num_samples)
            reason = "it is not in the result folder"
        except ValueError as error:
            mixes[name], reason = None, str(error).replace(f"{result}/", "")
        if mixes[name] is None and not (proposed and name == "mix_target"):
            missing.append(f"The audio file {name} cannot be heard ({reason}).")
    sources = read_sources(found_graph, tracks, changed_tracks, missing) if remains.has_level else None
    found_mix = mixes["mix_found"]
    if proposed:
        if found_mix is not None or sources is not None:  # audio of the length that is stated
            mixes["mix_target"] = read_reference(result, found_graph.sample_rate, found_graph.num_samples)
        elif any(result.glob(f"{REFERENCE}.*")):
            missing.append("The reference is not heard, for nothing is there that it can be compared with.")
        missing = [NO_TARGET if mixes["mix_target"] is None else A_REFERENCE, *_about(result), *missing]
    if sources is not None and remains.has_graph:
        found_mix = found_graph.render(sources)
    return Material(
        found_graph,
        sources,
        mixes["mix_target"],
        found_mix,
        remains.trace,
        remains.log,
        tuple(missing),
        config=remains.config,
        has_graph=remains.has_graph,
        other_runs=other_runs(result) if remains.has_graph else (),
        target_is_reference=proposed and mixes["mix_target"] is not None,
    )


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


def read_mix(result: Path, name: str, sample_rate: int, num_samples: int) -> Tensor | None:
    """Reads a mix of a result folder, (2, num_samples); None where it is not there.

    Args:
        result: the folder.
        name: `mix_target` or `mix_found`.
        sample_rate: the sample rate to which it is resampled.
        num_samples: the length to which it is cut, or filled with silence.

    Raises:
        ValueError: it cannot be decoded, or is much shorter.
    """
    paths = [result / f"{name}.{suffix}" for suffix in ("flac", "wav")]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return None
    audio = read_audio(path, sample_rate)
    try:
        check_stated_length(num_samples, audio.shape[-1], sample_rate)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return cut(audio, 0, num_samples).expand(2, -1)


def _about(result: Path) -> list[str]:
    """The sentences of automix.json."""
    return JsonRecord.read(result / PROPOSED).texts("about", optional=True)


def read_reference(result: Path, sample_rate: int, num_samples: int) -> Tensor | None:
    """Reads the reference of a proposed mix, (2, num_samples), at the level of that mix; None where there is none."""
    path = next((path for path in (result / f"{REFERENCE}.flac", result / f"{REFERENCE}.wav") if path.is_file()), None)
    return None if path is None else repeated(read_audio(path, sample_rate), num_samples)


def repeated(audio: Tensor, num_samples: int) -> Tensor:
    """Repeats audio, (1 or 2, L), until it is long enough, and cuts it: (2, num_samples)."""
    times = -(-num_samples // max(1, audio.shape[-1]))
    return audio.repeat(1, times)[:, :num_samples].expand(2, -1)


def _stated_folder(found_graph: FoundGraph) -> Path | None:
    """The song's folder that config.yaml names, which holds paths relative to itself."""
    if found_graph.folder is None:
        return None
    if (found_graph.folder / PROPOSED).is_file():
        return found_graph.folder / JsonRecord.read(found_graph.folder / PROPOSED).text("tracks")
    try:
        data = found_graph.config().get("data")
    except (FileNotFoundError, ValueError):
        return None
    if isinstance(data, dict) and isinstance(data.get("init_args"), dict):
        data = data["init_args"]
    path = data.get("path") if isinstance(data, dict) else None
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
    try:
        check_stated_length(found_graph.num_samples, sources.shape[-1], found_graph.sample_rate)
    except ValueError as error:
        raise ValueError(f"tracks: {folder}: {error}. HINT: are these the tracks of this result?") from error
    return cut(sources.flatten(0, 1), 0, found_graph.num_samples).unflatten(0, (-1, 2))
