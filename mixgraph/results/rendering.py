"""Rendering of a found graph on tracks that are read again, from any folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from mixgraph.names import did_you_mean, normal_form
from mixgraph.processors.base import check_rate
from mixgraph.render import BLOCK, check_block
from mixgraph.results.changes import Changes, graph_hash, read_changes
from mixgraph.results.found_graph import FoundGraph, load_result
from mixgraph.results.listening import EVERYTHING, Listening
from mixgraph.results.publish import Place, publish_folder
from mixgraph.results.stems import STEMS, render_stems, write_stems
from mixgraph.songs import WrittenAudio, resample, write_audio
from mixgraph.songs.clips import check_stated_length, cut
from mixgraph.songs.decode import decode, file_rate
from mixgraph.songs.load import describe_absurd
from mixgraph.songs.track_files import (
    ANOTHER_SONG,
    MatchedTrack,
    describe_leftovers,
    describe_matches,
    list_tracks,
    match_tracks,
)

RateRule = int | Literal["file", "search"]
_SHOWN = 5  # names in a line


@dataclass(frozen=True, eq=False)
class TracksRead:
    """The tracks of a found graph, read again.

    Attributes:
        sources: (inputs, 2, L), at the tracks' own level.
        notes: lines for a person: how tracks were found, where not by name, and another length than the song's.
    """

    sources: Tensor
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Rendering:
    """Paths of what was rendered, and lines of text on it.

    Attributes:
        written: the mix; None where none was asked for.
        stems: the folder of stems; None where none were asked for.
        notes: lines on how the tracks were read and on what was changed.
        sample_rate: sample rate of what was written, in Hz.
        searched_at: sample rate of the search, in Hz.
    """

    written: WrittenAudio | None
    stems: Path | None
    notes: tuple[str, ...]
    sample_rate: int
    searched_at: int

    @property
    def rate_remark(self) -> str:
        """What is worth saying behind the sample rate, for people."""
        if self.sample_rate == self.searched_at:
            return ", at which the graph was found"
        return f"; the graph was found at {self.searched_at} Hz"


def read_tracks(found_graph: FoundGraph, folder: Path) -> TracksRead:
    """Reads the tracks of a found graph from a song's folder, of any layout, or from a folder of files.

    A track is found by the content that it had in the search, by its name and by its file's name, which may not
    contradict each other. It is read where and with the polarity that the search read it; another recording in a
    song's folder where that folder states it. If all tracks are those of the search, the length is that of its mix,
    as in the search; else it is that of the longest track.

    Raises:
        FileNotFoundError: no such folder, or tracks that are missing in it; all of them are named.
        ValueError: contradictions, two files for a track, a song's folder or files that cannot be read, or tracks
            that end before the song begins.
    """
    return _read_matched(found_graph, _find_tracks(found_graph, folder), folder)


def _find_tracks(found_graph: FoundGraph, folder: Path, maps: Mapping[str, str] | None = None) -> list[MatchedTrack]:
    """Finds the file of each track but those that maps leave silent."""
    names = [found_graph.graph.names[i] for i in found_graph.graph.inputs]
    by_form = {normal_form(name): name for name in names}
    chosen = {normal_form(track): file for track, file in (maps or {}).items()}
    for track in chosen:
        if track not in by_form:
            raise ValueError(
                f"map: one of the tracks {', '.join(names)} is needed, got {track!r}.{did_you_mean(track, names)}"
            )
    stated = {by_form[track]: file for track, file in chosen.items()}
    heard = [name for name in names if stated.get(name) != ""]
    if not heard:
        raise ValueError("map: a track that is not silent is needed, got none")
    files = {track: file for track, file in stated.items() if file}
    return match_tracks(heard, found_graph.origins, list_tracks(folder), folder, files)


def _read_matched(found_graph: FoundGraph, matches: Sequence[MatchedTrack], folder: Path) -> TracksRead:
    """Reads tracks whose files are known, at the sample rate of the graph."""
    notes = describe_matches(matches)
    names = [found_graph.graph.names[i] for i in found_graph.graph.inputs]
    silent = [name for name in names if name not in {match.track for match in matches}]
    notes += [f"Tracks that are left silent: {', '.join(silent)}."] if silent else []
    if notes or not all(match.is_original for match in matches):
        notes += describe_leftovers(matches, list_tracks(folder))
    same_song = any(match.is_original for match in matches) and not any(match.how in ANOTHER_SONG for match in matches)
    changed = [match.track for match in matches if same_song and not match.is_original]
    notes += [f"Tracks whose audio is not that of the search: {', '.join(changed)}."] if changed else []
    placed = [_read_track(found_graph, match) for match in matches]
    length = found_graph.num_samples if same_song else max(audio.shape[-1] - start for audio, start in placed)
    if length < 1:
        raise ValueError(f"tracks: audio after the song's beginning expected in {folder}, got tracks that end before")
    try:
        check_stated_length(length, sum(audio.shape[-1] for audio, _ in placed), found_graph.sample_rate)
    except ValueError as error:
        raise ValueError(f"tracks: {folder}: {error}. HINT: are these the tracks of this result?") from error
    if length != found_graph.num_samples:
        searched, got = (n / found_graph.sample_rate for n in (found_graph.num_samples, length))
        notes.append(f"The longest track has {got:.2f} s, the song of the search {searched:.2f} s: all is rendered.")
    sources = torch.zeros(len(names), 2, length)
    for match, (audio, start) in zip(matches, placed, strict=True):
        sources[names.index(match.track)] = cut(audio, start, length)
    return TracksRead(sources, tuple(notes))


def _read_track(found_graph: FoundGraph, match: MatchedTrack) -> tuple[Tensor, int]:
    """Reads a track, (1 or 2, frames), with its polarity, and the sample of it that meets the song's first."""
    audio = decode(match.file.path, found_graph.sample_rate)
    absurd = describe_absurd(match.file.path, audio.samples, audio.sample_rate)
    if absurd is not None:
        raise ValueError(absurd)
    samples = resample(audio.samples, audio.sample_rate, found_graph.sample_rate)
    start, polarity = found_graph.placements.get(match.track, (0, 1))
    stated = match.file.read_offset(found_graph.sample_rate, audio.sample_rate), match.file.polarity
    if match.how in ANOTHER_SONG or (not match.is_original and stated != (0, 1)):
        start, polarity = stated
    return samples * polarity, start


def render_result(
    result: Path,
    tracks: Path,
    out: Path | None,
    block: int = BLOCK,
    overwrite: bool = False,
    listening: Listening = EVERYTHING,
    stems: Path | None = None,
    sample_rate: RateRule = "file",
    maps: Mapping[str, str] | None = None,
    changes: Path | None = None,
) -> Rendering:
    """Renders a result folder's graph on tracks, see `read_tracks`, and writes the mix, its stems, or both.

    Args:
        result: folder of a result, or of a saved graph.
        tracks: folder of a song, or of its tracks.
        out: audio file to write the mix to; None writes none.
        block: length of a block in samples; any length gives the same mix.
        overwrite: replace an existing file, and an existing folder of stems.
        listening: tracks that are heard alone or muted, and processors that are bypassed.
        stems: folder to write stems to, see `render_stems`; None writes none.
        sample_rate: in Hz; or `"file"`, the highest one of the tracks' files, or `"search"`, that of the search. At
            another rate than that of the search the graph is taken there by `FoundGraph.at_sample_rate`.
        maps: track -> its file among the tracks, for another song's stems; `""` leaves the track silent.
        changes: file of changes that the result's page saved, see `read_changes`; `listening` comes on top of them.

    Raises:
        FileExistsError: there is such a file or folder already, and it is not to be overwritten.
        ValueError: a block that is too short, `out` or `stems` among the tracks, or neither; or what `read_tracks` and
            `write_audio` refuse.
        OSError: a file cannot be written; no half of it, and no folder with half of the stems, is left.
    """
    check_block(block)
    if out is None and stems is None:
        raise ValueError("out: a file for the mix, or a folder for stems, is needed, got neither")
    _check_places(tracks, out, stems, overwrite)
    found_graph = load_result(result)
    searched_at = found_graph.sample_rate
    moved = Changes(graph_hash(found_graph)) if changes is None else read_changes(changes)
    found_graph, change_notes = moved.change(found_graph)
    matches = _find_tracks(found_graph, tracks, maps)
    rate, rate_notes = choose_rate(sample_rate, searched_at, [match.file.path for match in matches])
    found_graph = found_graph.at_sample_rate(rate)
    tracks_read = _read_matched(found_graph, matches, tracks)
    sources, muted = moved.silence(found_graph.graph, tracks_read.sources)
    found_graph, sources, listened = listening.apply(found_graph, sources)
    mix = found_graph.render(sources, block)
    notes = [*tracks_read.notes, *rate_notes, *change_notes, *muted, *listened]
    with ExitStack() as publishing:
        if stems is not None:
            work = publishing.enter_context(publish_folder(_stems_place(stems), overwrite))
            notes += write_stems(work, render_stems(found_graph, sources, block, mix), found_graph.sample_rate)
        # Where the mix cannot be written, there are no stems, either.
        written = None if out is None else write_audio(out, mix, found_graph.sample_rate)
    return Rendering(written, stems, tuple(notes), rate, searched_at)


def render_on_files(
    found_graph: FoundGraph, tracks: Path, sample_rate: RateRule = "file", block: int = BLOCK
) -> tuple[Tensor, int, list[str]]:
    """Renders a found graph on the files of its tracks, at their own level: the mix, (2, L), its rate, and notes.

    Args:
        found_graph: the graph.
        tracks: folder of a song, or of its tracks.
        sample_rate: see `render_result`.
        block: length of a block in samples.

    Raises:
        ValueError, FileNotFoundError: as `read_tracks`, and for processors that cannot be taken to the rate.
    """
    matches = _find_tracks(found_graph, tracks)
    rate, notes = choose_rate(sample_rate, found_graph.sample_rate, [match.file.path for match in matches])
    there = found_graph.at_sample_rate(rate)
    read = _read_matched(there, matches, tracks)
    return there.render(read.sources, block), rate, [*read.notes, *notes]


def choose_rate(rule: RateRule, searched_at: int, files: Sequence[Path]) -> tuple[int, list[str]]:
    """Returns the sample rate to render at, by the rule of `render_result`, and a line on tracks of mixed rates.

    Raises:
        ValueError: a rule that is none, a rate that no processor has, or a file that cannot be read.
    """
    if rule == "search":
        return searched_at, []
    if isinstance(rule, int):
        return check_rate("sample_rate", rule), []
    if rule != "file":
        raise ValueError(f"sample_rate: file, search or a number of Hz is needed, got {rule!r}")
    files_by_rate: dict[int, list[str]] = {}
    for file in files:
        files_by_rate.setdefault(file_rate(file), []).append(file.name)
    rate = check_rate("sample_rate (that of the files)", max(files_by_rate))
    if len(files_by_rate) == 1:
        return rate, []
    others = "; ".join(f"{hertz} Hz: {_some(names)}" for hertz, names in sorted(files_by_rate.items()) if hertz != rate)
    return rate, [f"Tracks have several sample rates; all is rendered at the highest, {rate} Hz, not at {others}."]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _stems_place(stems: Path) -> Place:
    return Place(stems, STEMS, "stems", "choose another folder or give --overwrite")


def _check_places(tracks: Path, out: Path | None, stems: Path | None, overwrite: bool) -> None:
    """Checks, before anything is read, that what is to be written is no track's and replaces nothing unasked."""
    folders = {tracks.resolve(), *(file.path.resolve().parent for file in list_tracks(tracks))}
    if out is not None:
        if out.resolve().parent in folders:
            raise ValueError(f"out: {out} would be among the tracks; choose another folder")
        places = [out, out.with_suffix(".wav")] if out.suffix.lower() == ".flac" else [out]  # FLAC that clips is WAV
        if not overwrite and (existing := [str(place) for place in places if place.exists()]):
            raise FileExistsError(
                f"out: {', '.join(existing)} exists and is kept; choose another name or give --overwrite"
            )
    if stems is not None:
        place = stems.resolve()
        if any(place.is_relative_to(folder) or folder.is_relative_to(place) for folder in folders):
            raise ValueError(f"stems: {stems} would be among the tracks; choose another folder")
        if out is not None and out.resolve().is_relative_to(place):
            raise ValueError(f"out: {out} would be in the folder of stems, {stems}; choose another folder")
        _stems_place(stems).check(overwrite)
