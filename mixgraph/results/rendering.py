"""Rendering of a found graph on tracks that are read again, from any folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mixgraph.render import BLOCK, check_block
from mixgraph.results.found_graph import FoundGraph, load_result
from mixgraph.results.listening import EVERYTHING, Listening
from mixgraph.songs import WrittenAudio, write_audio
from mixgraph.songs.clips import cut
from mixgraph.songs.decode import decode
from mixgraph.songs.load import describe_absurd
from mixgraph.songs.resample import resample
from mixgraph.songs.track_files import MatchedTrack, describe_matches, list_tracks, match_tracks


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
    """The path of a written mix, and lines of text on how its tracks were read."""

    written: WrittenAudio
    notes: tuple[str, ...]


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
    names = [found_graph.graph.names[i] for i in found_graph.graph.inputs]
    matches = match_tracks(names, found_graph.origins, list_tracks(folder), folder)
    notes = describe_matches(matches)
    placed = [_read_track(found_graph, match) for match in matches]
    original = all(match.is_original for match in matches)
    length = found_graph.num_samples if original else max(audio.shape[-1] - start for audio, start in placed)
    if length < 1:
        raise ValueError(f"tracks: audio after the song's beginning expected in {folder}, got tracks that end before")
    if length != found_graph.num_samples:
        searched, got = (n / found_graph.sample_rate for n in (found_graph.num_samples, length))
        notes.append(f"The longest track has {got:.2f} s, the song of the search {searched:.2f} s: all is rendered.")
    return TracksRead(torch.stack([cut(audio, start, length).expand(2, -1) for audio, start in placed]), tuple(notes))


def _read_track(found_graph: FoundGraph, match: MatchedTrack) -> tuple[Tensor, int]:
    """Reads a track, (1 or 2, frames), with its polarity, and the sample of it that meets the song's first."""
    audio = decode(match.file.path, found_graph.sample_rate)
    absurd = describe_absurd(match.file.path, audio.samples, audio.sample_rate)
    if absurd is not None:
        raise ValueError(absurd)
    samples = resample(audio.samples, audio.sample_rate, found_graph.sample_rate)
    start, polarity = found_graph.placements.get(match.track, (0, 1))
    stated = match.file.read_offset(found_graph.sample_rate, audio.sample_rate), match.file.polarity
    if not match.is_original and stated != (0, 1):
        start, polarity = stated
    return samples * polarity, start


def render_result(
    result: Path,
    tracks: Path,
    out: Path,
    block: int = BLOCK,
    overwrite: bool = False,
    listening: Listening = EVERYTHING,
) -> Rendering:
    """Renders a result folder's graph on tracks, see `read_tracks`, and writes the mix.

    Args:
        result: folder of a result, or of a saved graph.
        tracks: folder of a song, or of its tracks.
        out: audio file to write.
        block: length of a block in samples; any length gives the same mix.
        overwrite: replace an existing file.
        listening: tracks that are heard alone or muted, and processors that are bypassed.

    Raises:
        FileExistsError: there is such a file already, and it is not to be overwritten.
        ValueError: a block that is too short, `out` among the tracks; or what `read_tracks` and `write_audio` refuse.
    """
    check_block(block)
    folders = {tracks.resolve(), *(file.path.resolve().parent for file in list_tracks(tracks))}
    if out.resolve().parent in folders:
        raise ValueError(f"out: {out} would be among the tracks; choose another folder")
    places = [out, out.with_suffix(".wav")] if out.suffix.lower() == ".flac" else [out]  # what clips in FLAC is WAV
    if not overwrite and (existing := [str(place) for place in places if place.exists()]):
        raise FileExistsError(f"out: {', '.join(existing)} exists and is kept; choose another name or give --overwrite")
    found_graph = load_result(result)
    tracks_read = read_tracks(found_graph, tracks)
    found_graph, sources, changes = listening.apply(found_graph, tracks_read.sources)
    written = write_audio(out, found_graph.render(sources, block), found_graph.sample_rate)
    return Rendering(written, (*tracks_read.notes, *changes))
