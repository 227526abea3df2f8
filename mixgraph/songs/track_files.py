"""Which file is which track of a found graph: by content, by the track's name, or by the file's name."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixgraph.names import did_you_mean, normal_form, shown_name
from mixgraph.songs.formats import is_audio_file
from mixgraph.songs.layouts import candidate_tracks
from mixgraph.songs.manifest import TrackFile
from mixgraph.system.files import file_sha256

_CONTENT, _NAME, _FILE = "content", "track name", "file name"
_SIMILAR, _MAP = "similar name", "map"
ANOTHER_SONG = (_SIMILAR, _MAP)
"""Rules that find recordings of another song, which are read as their own folder states, not as in the search."""


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
        how: the rule that found the file: `content`, `track name`, `file name`, `similar name` (the same but for case,
            numbers before it, spaces and signs, and no other is) or `map`.
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
    tracks: Sequence[str],
    origins: Mapping[str, TrackOrigin],
    candidates: Sequence[TrackFile],
    folder: Path,
    maps: Mapping[str, str] | None = None,
) -> list[MatchedTrack]:
    """Finds the file of each track: the one that agrees in content, track name and file name, as far as any does.

    A file name agrees without its suffix, too: tracks may have been converted.

    Args:
        tracks: names of the tracks in the graph.
        origins: origins of the tracks by name, where they are known.
        candidates: the files to choose from.
        folder: folder of the candidates, for messages.
        maps: track -> name of its file, with or without suffix, before any rule; None where users cannot say.

    Raises:
        FileNotFoundError: tracks without a file; all of them are named, and so are the files that are no track.
        ValueError: a track for which content and names point to different files, or to several; or a file that is
            two tracks.
    """
    mapped = {track: _named_file(track, name, candidates, folder) for track, name in (maps or {}).items()}
    hashes = {file.path: file_sha256(file.path) for file in candidates} if origins else {}
    chosen: dict[str, MatchedTrack] = {}
    missing = []
    for track in tracks:
        if track in mapped:
            chosen[track] = MatchedTrack(track, mapped[track], _MAP, False)
            continue
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
    for track, similar in _similar(missing, candidates, {match.file.path for match in chosen.values()}).items():
        chosen[track] = MatchedTrack(track, similar, _SIMILAR, False)
        missing.remove(track)
    if missing:
        taken = {match.file.path for match in chosen.values()}
        others = [file.path.name for file in candidates if file.path not in taken]
        hint = f". HINT: is it one of {', '.join(others)}? Rename that" if others else ""
        if maps is not None:  # in `render`, the one command that maps
            example = others[0] if others else "FILE"
            hint += f', or say which: --map "{missing[0]}={example}"; --map "{missing[0]}=" leaves the track silent'
        raise FileNotFoundError(f"tracks: {folder} lacks {', '.join(missing)} (any audio format){hint}")
    in_order = [chosen[track] for track in tracks]
    _check_used_once(in_order, folder)
    return in_order


def describe_leftovers(matches: Sequence[MatchedTrack], candidates: Sequence[TrackFile]) -> list[str]:
    """Writes a line that names the files that are no track of the graph, if there are any."""
    taken = {match.file.path for match in matches}
    others = [file.path.name for file in candidates if file.path not in taken]
    return [f"Files that are no track of the graph, and are not heard: {', '.join(others)}."] if others else []


def _named_file(track: str, name: str, candidates: Sequence[TrackFile], folder: Path) -> TrackFile:
    """Returns the file that a map names."""
    wanted = normal_form(name)
    files = [file for file in candidates if wanted in map(normal_form, (file.path.name, file.path.stem, file.name))]
    if len(files) == 1:
        return files[0]
    names = [normal_form(file.path.name) for file in candidates]
    raise ValueError(
        f"map: {track}: one of the files of {folder} is needed ({', '.join(names)}), got {name!r}"
        f"{', which are several' if files else ''}.{did_you_mean(wanted, names)}"
    )


def _similar(tracks: Sequence[str], candidates: Sequence[TrackFile], taken: Collection[Path]) -> dict[str, TrackFile]:
    """Returns the file of each track whose name is like that of one file that is left, and of no other track."""
    files: dict[str, list[TrackFile]] = {}
    for file in candidates:
        if file.path not in taken:
            files.setdefault(_plain(file.path.stem), []).append(file)
    plain = [_plain(track) for track in tracks]
    return {
        track: files[name][0]
        for track, name in zip(tracks, plain, strict=True)
        if name and plain.count(name) == 1 and len(files.get(name, ())) == 1
    }


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", re.sub(r"^[\d\W_]+", "", normal_form(name))).casefold()


def describe_matches(matches: Sequence[MatchedTrack]) -> list[str]:
    """Writes a line for each rule, the track's name apart, by which tracks were found; none if names found all."""
    lines = []
    another = any(match.how in ANOTHER_SONG for match in matches)  # then all matches are listed
    for how in (*((_NAME,) if another else ()), _CONTENT, _FILE, _SIMILAR, _MAP):
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
