"""The plain layout, one folder a song.

    my_song/
        tracks/kick.wav  tracks/vox.flac ...   the dry tracks
        mix.wav                                the finished mix, exactly one
        song.yaml                              optional, see KEYS

`subgroups` of song.yaml maps each subgroup to the file names of its tracks, every track once. `tracks` maps a file
name to settings of that track (TRACK_KEYS): a shorter `name`, `polarity` -1 for a flipped track, and
`offset_seconds` or `offset_samples` (at the file's own rate), positive where the track is late against the mix.
`window_seconds` and the texts describe where the audio comes from; they change nothing but the split of a data set
that a song is in: songs of one `artist` are in one split.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from mixgraph.songs.audio import AUDIO_SUFFIXES, is_audio_file
from mixgraph.songs.manifest import Problems, SongDraft, TrackFile, closest, read_yaml

TEXT_KEYS = ("title", "artist", "licence", "source", "mix", "note", "notes", "how", "determinism")
KEYS = (*TEXT_KEYS, "window_seconds", "subgroups", "tracks")
TRACK_KEYS = ("name", "offset_samples", "offset_seconds", "polarity")
NO_LICENCE = "not stated"


def read_folder(folder: Path, problems: Problems) -> SongDraft:
    """Reads the plain layout; what is wrong goes to `problems`."""
    settings = _settings(folder / "song.yaml", problems)
    warnings: list[str] = []
    files = _track_files(folder / "tracks", problems, warnings)
    return SongDraft(
        title=settings.get("title") or folder.name,
        licence=settings.get("licence") or NO_LICENCE,
        mix=find_mix(folder, "mix", problems),
        tracks=_tracks(files, settings.get("tracks", {}), problems),
        subgroups=settings.get("subgroups"),
        warnings=warnings,
        artist=settings.get("artist") or None,
    )


def find_mix(folder: Path, stem: str, problems: Problems) -> Path | None:
    """The one audio file of this stem (`mix` finds mix.wav) in a folder, or None with the problem noted."""
    found = sorted(path for path in folder.iterdir() if path.stem.lower() == stem and is_audio_file(path))
    if len(found) == 1:
        return found[0]
    allowed = f"{stem}.*: one file with suffix {', '.join(AUDIO_SUFFIXES)} expected"
    hint = "" if found else _mix_hint(folder, stem)
    problems.add(f"{allowed}, got {', '.join(path.name for path in found) or 'none'}{hint}")
    return None


def _mix_hint(folder: Path, stem: str) -> str:
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    for path in files:
        if path.stem.lower() == stem:
            return f". HINT: {path.name} is of a format that cannot be read; convert it to {stem}.wav"
    audio = [path for path in files if is_audio_file(path)]
    return f". HINT: is {audio[0].name} the mix? Rename it to {stem}{audio[0].suffix}" if len(audio) == 1 else ""


def list_audio(folder: Path, warnings: list[str]) -> dict[str, Path]:
    """The audio files directly in a folder, by name in sorted order; a warning for everything else that is visible."""
    visible = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    warnings.extend(
        f"{path.relative_to(folder.parent).as_posix()}: left out, since it is no audio file"
        for path in visible
        if not is_audio_file(path)
    )
    return {path.name: path for path in visible if is_audio_file(path)}


def _track_files(folder: Path, problems: Problems, warnings: list[str]) -> dict[str, Path]:
    if not folder.is_dir():
        problems.add("tracks: a folder with the dry tracks expected, got none")
        return {}
    files = list_audio(folder, warnings)
    if not files:
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "an empty folder"
        problems.add(f"tracks: files with suffix {', '.join(AUDIO_SUFFIXES)} expected, got {found}")
    return files


def _settings(path: Path, problems: Problems) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        given = read_yaml(path)
    except ValueError as error:
        problems.add(str(error))
        return {}
    if given is None:
        return {}
    if not isinstance(given, dict):
        problems.add(f"song.yaml: a mapping with keys {', '.join(KEYS)} expected, got {type(given).__name__}")
        return {}
    for key in given:
        if key not in KEYS:
            problems.add(f"song.yaml: unknown key {key}; allowed are {', '.join(KEYS)}{closest(str(key), KEYS)}")
    for key in TEXT_KEYS:
        if not isinstance(given.get(key, ""), (str, type(None))):
            problems.add(f"song.yaml: {key}: text expected, got {given[key]!r}")
    settings = {key: str(given[key]) for key in ("title", "artist", "licence") if given.get(key) is not None}
    window = given.get("window_seconds")
    if window is not None and not (isinstance(window, list) and all(_is_number(value) for value in window)):
        problems.add(f"song.yaml: window_seconds: [start, length] or null expected, got {window!r}")
    for key, check in (("subgroups", _is_subgroups), ("tracks", _is_mapping_of_mappings)):
        if given.get(key) is None:
            continue
        if check(given[key]):
            settings[key] = given[key]
        else:
            allowed = "{name: [file names]}" if key == "subgroups" else "{file name: {setting: value}}"
            problems.add(f"song.yaml: {key}: {allowed} expected, got {given[key]!r}")
    return settings


def _tracks(files: dict[str, Path], settings: dict[str, Any], problems: Problems) -> list[TrackFile]:
    for file in settings:
        if file not in files:
            problems.add(
                f"song.yaml: tracks: {file} matches no file; the files are {', '.join(files) or 'none'}"
                f"{closest(file, files)}"
            )
    return [_track(path, settings.get(file, {}), problems) for file, path in files.items()]


def _track(path: Path, given: dict[Any, Any], problems: Problems) -> TrackFile:
    where = f"song.yaml: tracks: {path.name}"
    for key in given:
        if key not in TRACK_KEYS:
            problems.add(
                f"{where}: unknown key {key}; allowed are {', '.join(TRACK_KEYS)}{closest(str(key), TRACK_KEYS)}"
            )
    name = given.get("name", path.stem)
    if not isinstance(name, str) or not name:
        problems.add(f"{where}: name: text expected, got {name!r}")
    samples, seconds = given.get("offset_samples", 0), given.get("offset_seconds", 0.0)
    if "offset_samples" in given and "offset_seconds" in given:
        problems.add(f"{where}: offset_samples or offset_seconds expected, got both")
    if not isinstance(samples, int) or isinstance(samples, bool):
        problems.add(f"{where}: offset_samples: a whole number expected, got {samples!r}")
        samples = 0
    if not _is_number(seconds):
        problems.add(f"{where}: offset_seconds: a number expected, got {seconds!r}")
        seconds = 0.0
    polarity = given.get("polarity", 1)
    if polarity not in (1, -1):
        problems.add(f"{where}: polarity: 1 or -1 expected, got {polarity!r}")
    return TrackFile(path, str(name), float(seconds), samples, int(polarity == 1) * 2 - 1)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_subgroups(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) > 0
        and all(isinstance(name, str) and name and is_names(files) for name, files in value.items())
    )


def is_names(value: Any) -> bool:
    """Whether a value from a YAML file is a list of texts."""
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_mapping_of_mappings(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(file, str) and isinstance(settings, dict) for file, settings in value.items()
    )
