"""Which file is which track of a found graph: by content, by the track's name, or by the file's name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixgraph.names import normal_form, shown_name
from mixgraph.songs.formats import is_audio_file
from mixgraph.songs.layouts import candidate_tracks
from mixgraph.songs.manifest import TrackFile

_CONTENT, _NAME, _FILE = "content", "track name", "file name"


@dataclass(frozen=True)
class TrackOrigin:
    """The file that a track had in the search: its name, and the sha256 of its content."""

    file: str
    sha256: str


@dataclass(frozen=True)
class MatchedTrack:
    """A track of a graph and its file.

    Attributes:
        track: name of the track in the graph.
        file: the track's file, with the offset and polarity that the song's folder states.
        how: the rule that found the file: `content`, `track name` or `file name`.
        is_original: whether the file's content is the same as in the search.
    """

    track: str
    file: TrackFile
    how: str
    is_original: bool


def list_tracks(folder: Path) -> list[TrackFile]:
    """The tracks in a song's folder, of any layout, or the audio files of a plain one.

    Raises:
        FileNotFoundError: no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"tracks: {folder} is not a folder")
    stated = candidate_tracks(folder)
    if stated is not None:
        return stated
    return [TrackFile(path, path.stem) for path in sorted(folder.iterdir()) if is_audio_file(path)]


def match_tracks(
    tracks: Sequence[str], origins: Mapping[str, TrackOrigin], candidates: Sequence[TrackFile], folder: Path
) -> list[MatchedTrack]:
    """Finds the file of each track: the one that agrees in content, track name and file name, as far as any does.

    A file name agrees without its suffix, too: tracks may have been converted.

    Args:
        tracks: names of the tracks in the graph.
        origins: origins of the tracks by name, where they are known.
        candidates: the files to choose from.
        folder: folder of the candidates, for messages.

    Raises:
        FileNotFoundError: tracks without a file; all of them are named.
        ValueError: a track for which content and names point to different files, or to several; or a file that is
            two tracks.
    """
    hashes = {file.path: _sha256(file.path) for file in candidates} if origins else {}
    chosen: dict[str, MatchedTrack] = {}
    missing = []
    for track in tracks:
        files_by_rule = _by_each_rule(track, origins.get(track), candidates, hashes)
        if not files_by_rule:
            missing.append(track)
            continue
        how, files = _narrowed(track, files_by_rule, folder)
        if len({hashes.get(file.path, str(file.path)) for file in files}) > 1:
            names = ", ".join(sorted(file.path.name for file in files))
            raise ValueError(f"tracks: {track} has more than one file in {folder}: {names}")
        file = files[0]
        origin = origins.get(track)
        is_original = origin is not None and hashes[file.path] == origin.sha256
        chosen[track] = MatchedTrack(track, file, how, is_original)
    if missing:
        taken = {match.file.path for match in chosen.values()}
        others = [file.path.name for file in candidates if file.path not in taken]
        hint = f". HINT: is it one of {', '.join(others)}? Rename that" if others else ""
        raise FileNotFoundError(f"tracks: {folder} lacks {', '.join(missing)} (any audio format){hint}")
    _check_used_once(list(chosen.values()), folder)
    return list(chosen.values())


def describe_matches(matches: Sequence[MatchedTrack]) -> list[str]:
    """Writes a line for each rule, the track's name apart, by which tracks were found; none if names found all."""
    lines = []
    for how in (_CONTENT, _FILE):
        pairs = [f"{match.track} ({match.file.path.name})" for match in matches if match.how == how]
        if pairs:
            lines.append(f"Tracks found by {how}: {', '.join(pairs)}.")
    return lines


def _by_each_rule(
    track: str, origin: TrackOrigin | None, candidates: Sequence[TrackFile], hashes: Mapping[Path, str]
) -> dict[str, list[TrackFile]]:
    """Returns the files that every rule finds, for the rules that find any."""
    name = shown_name(track)
    files_by_rule = {_NAME: [file for file in candidates if shown_name(file.name) == name]}
    if origin is not None:
        stem = normal_form(Path(origin.file).stem)
        files_by_rule[_CONTENT] = [file for file in candidates if hashes[file.path] == origin.sha256]
        files_by_rule[_FILE] = [file for file in candidates if normal_form(file.path.stem) == stem]
    return {rule: files for rule, files in files_by_rule.items() if files}


def _narrowed(track: str, files_by_rule: Mapping[str, list[TrackFile]], folder: Path) -> tuple[str, list[TrackFile]]:
    """Returns the files that all rules agree on, and the rule to report: that of names where it finds them all."""
    first, *others = files_by_rule.values()
    files = [file for file in first if all(file in other for other in others)]
    if not files:
        answers = sorted(files_by_rule.items())
        listed = "; ".join(f"by {rule} {', '.join(f.path.name for f in files)}" for rule, files in answers)
        raise ValueError(f"tracks: {track} is not one file in {folder}: {listed}. HINT: leave one of them there")
    rule = next(rule for rule in (_NAME, _CONTENT, _FILE) if rule in files_by_rule)
    return rule, files


def _check_used_once(matches: Sequence[MatchedTrack], folder: Path) -> None:
    for match in matches:
        same = [other for other in matches if other.file.path == match.file.path]
        if len(same) > 1 and not all(other.is_original for other in same):
            listed = " and ".join(f"{other.track} (by {other.how})" for other in same)
            raise ValueError(f"tracks: one track a file expected, got {match.file.path.name} in {folder} for {listed}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
