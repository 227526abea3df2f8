"""The plain layout, one folder a song.

    my_song/
        tracks/kick.wav  tracks/vox.flac ...   the dry tracks
        mix.wav                                the finished mix, exactly one
        song.yaml                              optional, see KEYS

`subgroups` of song.yaml maps each subgroup to the file names of its tracks, every track once. `tracks` maps a file
name to settings of that track (TRACK_KEYS): a shorter `name`, `polarity` -1 for a flipped track, and
`offset_seconds` or `offset_samples` (at the file's own rate), positive where the track is late against the mix.
`stems` maps a demixer's targets, such as vocals, to the file names of tracks that the rule on names (`stem_rule`) would
put elsewhere; a search takes no notice of it. `reference_state` says that the tracks are no dry ones but stems of the
mix in a reference state (`mixgraph.blind`), which all results then say. `window_seconds` and the texts describe where
the audio comes from; they change nothing but the split of a data set that a song is in: songs of one `artist` are in
one split. Texts are taken as they are written, see `text_files`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mixgraph.names import normal_form, shown_value
from mixgraph.songs.formats import AUDIO_SUFFIXES, is_audio_file
from mixgraph.songs.manifest import Problems, SongDraft, TrackFile, closest
from mixgraph.songs.song_warning import SongWarning
from mixgraph.songs.text_files import read_yaml, to_number, to_whole_number

TEXT_KEYS = (
    *("title", "artist", "licence", "source", "mix", "note", "notes", "how", "determinism"),
    "reference_state",
)
KEYS = (*TEXT_KEYS, "window_seconds", "subgroups", "tracks", "stems")
TRACK_KEYS = ("name", "offset_samples", "offset_seconds", "polarity")
NO_LICENCE = "not stated"
NORMALISED_STEMS = (
    "the tracks are stems that were taken out of this mix and brought to a reference state ({}), not dry tracks: the "
    "graph is how this mix differs from that state, instrument by instrument, and never the graph of its engineer"
)
PLAIN_FOLDER_NAMES = frozenset(
    ("tracks", "stems", "dry", "dry tracks", "raw", "raw tracks", "multitrack", "multitracks", "audio", "audio files")
)
MIX_NAMES = frozenset(("mix", "mixture", "mixdown", "master"))
MAX_OFFSET_SECONDS = 1e6
MAX_OFFSET_SAMPLES = 10**12


def read_folder(folder: Path, problems: Problems, needs_mix: bool = True) -> SongDraft:
    """Reads the plain layout; what is wrong goes to `problems`, such as a missing mix where it is needed."""
    grouping_problems: list[str] = []
    settings = _settings(folder / "song.yaml", problems, grouping_problems)
    warnings: list[SongWarning] = []
    if settings.get("reference_state"):
        warnings.append(SongWarning("normalised_stems", NORMALISED_STEMS.format(settings["reference_state"])))
    files = _track_files(folder / "tracks", problems, warnings)
    return SongDraft(
        title=settings.get("title") or folder.name,
        licence=settings.get("licence") or NO_LICENCE,
        mix=find_mix(folder, "mix", problems if needs_mix else Problems(folder)),
        tracks=_tracks(files, settings.get("tracks", {}), problems),
        subgroups=settings.get("subgroups"),
        warnings=warnings,
        artist=settings.get("artist") or None,
        grouping_problems=grouping_problems,
        stems=_stems(settings.get("stems", {}), files, problems),
    )


def read_tracks_and_mix(folder: Path, mix: Path, problems: Problems) -> SongDraft:
    """Reads a folder that holds dry tracks and nothing else of a song, and a mix that may be anywhere.

    The song is named after the folder, or after the one above it where the folder's name says only what is in it
    (`PLAIN_FOLDER_NAMES`).
    """
    warnings: list[SongWarning] = []
    if not mix.is_file():
        problems.add(f"mix: an audio file expected, got {mix}, which is {'a folder' if mix.is_dir() else 'not there'}")
    name = folder.parent.name if folder.name.lower() in PLAIN_FOLDER_NAMES else folder.name
    files = [path for path in _track_files(folder, problems, warnings) if not mix.exists() or not path.samefile(mix)]
    return SongDraft(
        title=name,
        licence=NO_LICENCE,
        mix=mix if mix.is_file() else None,
        tracks=_tracks(files, {}, problems),
        subgroups=None,
        warnings=warnings,
        name=name,
    )


def read_bare_tracks(folder: Path, problems: Problems) -> SongDraft:
    """Reads a folder that holds dry tracks and nothing else of a song; a file whose name says mix is taken for one."""
    warnings: list[SongWarning] = []
    files = _track_files(folder, problems, warnings)
    mixes = [path for path in files if path.stem.lower() in MIX_NAMES]
    name = folder.parent.name if folder.name.lower() in PLAIN_FOLDER_NAMES else folder.name
    return SongDraft(
        title=name,
        licence=NO_LICENCE,
        mix=mixes[0] if mixes else None,
        tracks=_tracks([path for path in files if path not in mixes], {}, problems),
        subgroups=None,
        warnings=warnings,
        name=name,
    )


def find_mix(folder: Path, stem: str, problems: Problems) -> Path | None:
    """Finds a folder's only audio file with this stem (`mix` finds mix.wav); else notes a problem, returns None."""
    candidates = sorted(
        path
        for path in folder.iterdir()
        if path.stem.lower() == stem and is_audio_file(path) and path.suffix.lower() in AUDIO_SUFFIXES
    )
    if len(candidates) == 1:
        return candidates[0]
    allowed = f"{stem}.*: one file with suffix {', '.join(AUDIO_SUFFIXES)} expected"
    hint = "" if candidates else _mix_hint(folder, stem)
    problems.add(f"{allowed}, got {', '.join(path.name for path in candidates) or 'none'}{hint}")
    return None


def _mix_hint(folder: Path, stem: str) -> str:
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    for path in files:
        if path.stem.lower() == stem:
            return f". HINT: {path.name} is of a format that cannot be read; convert it to {stem}.wav"
    audio = [path for path in files if is_audio_file(path)]
    return f". HINT: is {audio[0].name} the mix? Rename it to {stem}{audio[0].suffix}" if len(audio) == 1 else ""


def list_audio(folder: Path, warnings: list[SongWarning]) -> list[Path]:
    """Lists the audio files directly in a folder, sorted, and adds a warning for everything else that is visible."""
    visible = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    warnings.extend(
        SongWarning("not_audio", f"{path.relative_to(folder.parent).as_posix()}: left out, since it is no audio file")
        for path in visible
        if not is_audio_file(path)
    )
    return [path for path in visible if is_audio_file(path)]


def _track_files(folder: Path, problems: Problems, warnings: list[SongWarning]) -> list[Path]:
    if not folder.is_dir():
        problems.add("tracks: a folder with the dry tracks expected, got none")
        return []
    files = list_audio(folder, warnings)
    if not files:
        listing = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "an empty folder"
        inside = [path.name for path in sorted(folder.iterdir()) if path.is_dir() and list_audio(path, [])]
        hint = f". HINT: audio is in {', '.join(inside[:3])}; it has to lie in one folder" if inside else ""
        problems.add(f"tracks: files with suffix {', '.join(AUDIO_SUFFIXES)} expected, got {listing}{hint}")
    return files


def _settings(path: Path, problems: Problems, grouping_problems: list[str]) -> dict[str, Any]:
    if not path.is_file():
        if os.path.lexists(path):
            problems.add("song.yaml: a file expected, got a folder, a link to nothing or a special file")
        return {}
    try:
        stated = read_yaml(path)
    except ValueError as error:
        problems.add(str(error))
        return {}
    if stated is None:
        return {}
    if not isinstance(stated, dict):
        problems.add(f"song.yaml: a mapping with keys {', '.join(KEYS)} expected, got {shown_value(stated)}")
        return {}
    for key in stated:
        if key not in KEYS:
            problems.add(f"song.yaml: unknown key {key}; allowed are {', '.join(KEYS)}{closest(key, KEYS)}")
    for key in TEXT_KEYS:
        if not isinstance(stated.get(key, ""), (str, type(None))):
            problems.add(f"song.yaml: {key}: text expected, got {shown_value(stated[key])}")
    settings = {
        key: stated[key]
        for key in ("title", "artist", "licence", "reference_state")
        if isinstance(stated.get(key), str)
    }
    window = stated.get("window_seconds")
    if window is not None and not (isinstance(window, list) and all(to_number(x, 1e9) is not None for x in window)):
        problems.add(f"song.yaml: window_seconds: [start, length] or null expected, got {shown_value(window)}")
    groups, tracks = stated.get("subgroups"), stated.get("tracks")
    if groups is not None and not _is_subgroups(groups):
        allowed = "{name: [file names]}"
        grouping_problems.append(f"song.yaml: subgroups: {allowed} expected, got {shown_value(groups)}")
    elif groups is not None:
        settings["subgroups"] = groups
    if tracks is not None and not _is_mapping_of_mappings(tracks):
        allowed = "{file name: {setting: value}}"
        problems.add(f"song.yaml: tracks: {allowed} expected, got {shown_value(tracks)}")
    elif tracks is not None:
        settings["tracks"] = tracks
    stems = stated.get("stems")
    if stems is not None and not _is_subgroups(stems):
        problems.add(f"song.yaml: stems: {{target: [file names]}} expected, got {shown_value(stems)}")
    elif stems is not None:
        settings["stems"] = stems
    return settings


def _stems(stated: dict[str, list[str]], files: list[Path], problems: Problems) -> dict[str, str]:
    """File name -> target, from the mapping of targets to file names that song.yaml states."""
    names = [normal_form(path.name) for path in files]
    target_of: dict[str, str] = {}
    for target, members in stated.items():
        for file in map(normal_form, members):
            if file not in names:
                problems.add(
                    f"song.yaml: stems: {file} matches no file; the files are {', '.join(names) or 'none'}"
                    f"{closest(file, names)}"
                )
            if target_of.setdefault(file, target) != target:
                problems.add(f"song.yaml: stems: one target for {file} expected, got {target_of[file]} and {target}")
    return target_of


def _tracks(files: list[Path], settings: dict[str, Any], problems: Problems) -> list[TrackFile]:
    names = [normal_form(path.name) for path in files]
    for file in settings:
        if file not in names:
            problems.add(
                f"song.yaml: tracks: {file} matches no file; the files are {', '.join(names) or 'none'}"
                f"{closest(file, names)}"
            )
    return [_track(path, settings.get(name, {}), problems) for path, name in zip(files, names, strict=True)]


def _track(path: Path, stated: dict[str, Any], problems: Problems) -> TrackFile:
    where = f"song.yaml: tracks: {path.name}"
    for key in stated:
        if key not in TRACK_KEYS:
            problems.add(f"{where}: unknown key {key}; allowed are {', '.join(TRACK_KEYS)}{closest(key, TRACK_KEYS)}")
    name = stated.get("name", path.stem)
    if not isinstance(name, str) or not name:
        problems.add(f"{where}: name: text expected, got {shown_value(name)}")
    if "offset_samples" in stated and "offset_seconds" in stated:
        problems.add(f"{where}: offset_samples or offset_seconds expected, got both")
    samples = to_whole_number(stated.get("offset_samples", 0), MAX_OFFSET_SAMPLES)
    if samples is None:
        allowed = f"a whole number up to {MAX_OFFSET_SAMPLES:.0e}"
        problems.add(f"{where}: offset_samples: {allowed} expected, got {shown_value(stated['offset_samples'])}")
    seconds = to_number(stated.get("offset_seconds", 0.0), MAX_OFFSET_SECONDS)
    if seconds is None:
        allowed = f"a number up to {MAX_OFFSET_SECONDS:.0e}"
        problems.add(f"{where}: offset_seconds: {allowed} expected, got {shown_value(stated['offset_seconds'])}")
    polarity = to_number(stated.get("polarity", 1), 1)
    if polarity not in (1, -1):
        problems.add(f"{where}: polarity: 1 or -1 expected, got {shown_value(stated['polarity'])}")
    return TrackFile(path, str(name), seconds or 0.0, samples or 0, -1 if polarity == -1 else 1)


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
