"""MedleyDB: SONG_METADATA.yaml, SONG_RAW/, SONG_STEMS/ and SONG_MIX.wav in a folder a song.

The dry tracks are the raw recordings, and every stem of the metadata is a subgroup (S01_drum_set) of the raw
recordings it was made from. The stems' own audio is processed already and is not read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mixgraph.names import normal_form, shown_value
from mixgraph.songs.folder import list_audio
from mixgraph.songs.manifest import Problems, SongDraft, TrackFile, closest, slug, use_once
from mixgraph.songs.song_warning import SongWarning
from mixgraph.songs.text_files import read_yaml

LICENCE = "CC BY-NC-SA 4.0 (MedleyDB)"

# Songs left out of a data set by default; 196 - 8 = 188, the number of songs in the paper.
DEFAULT_SKIP = (
    "AimeeNorwich_Child",
    "EthanHein_BluesForNofi",
    "TablaBreakbeatScience_MoodyPlucks",
    "PortStWillow_StayEven",
    "FamilyBand_Again",
    "LizNelson_ImComingHome",
    "NightPanther_Fire",
    "Snowmine_Curfews",
)


def metadata_files(folder: Path) -> list[Path]:
    """The files that mark a MedleyDB song."""
    return sorted(path for path in folder.glob("*_METADATA.yaml") if not path.name.startswith("."))


def read_medleydb(folder: Path, problems: Problems) -> SongDraft:
    """Reads the MedleyDB layout; what is wrong goes to `problems`."""
    draft = SongDraft(folder.name, LICENCE, None, [], {})
    metadata_paths = metadata_files(folder)
    if len(metadata_paths) != 1:
        names = ", ".join(path.name for path in metadata_paths) or "none"
        problems.add(f"*_METADATA.yaml: one file expected, got {names}")
        return draft
    try:
        metadata = read_yaml(metadata_paths[0])
    except ValueError as error:
        problems.add(str(error))
        return draft
    stems = metadata.get("stems") if isinstance(metadata, dict) else None
    if not isinstance(stems, dict) or not stems:
        problems.add(f"{metadata_paths[0].name}: a mapping with stems expected, got {type(metadata).__name__} without")
        return draft

    song = normal_form(metadata_paths[0].name).removesuffix("_METADATA.yaml")
    draft.title = _title(metadata, folder)
    draft.artist = _text(metadata, "artist") or None
    draft.mix = _inside(folder, metadata.get("mix_filename", f"{song}_MIX.wav"), problems)
    raw_folder = _inside(folder, metadata.get("raw_dir", f"{song}_RAW"), problems)
    if raw_folder is None:
        return draft
    if not raw_folder.is_dir():
        problems.add(f"{raw_folder.name}: a folder with the raw recordings expected, got a file")
        return draft
    paths = list_audio(raw_folder, draft.warnings)
    raw_files = {normal_form(path.name): path for path in paths}
    groups: dict[str, list[str]] = {}
    for key in sorted(stems):
        _read_stem(key, stems[key], raw_files, draft, groups, problems)
    draft.subgroups = use_once(groups, draft.warnings)
    track_paths = [track.path for track in draft.tracks]
    draft.warnings.extend(
        SongWarning("not_listed", f"{raw_folder.name}/{path.name}: left out, since the metadata does not name it")
        for path in paths
        if path not in track_paths
    )
    return draft


def _title(metadata: dict[str, Any], folder: Path) -> str:
    parts = [_text(metadata, key) for key in ("artist", "title")]
    return " - ".join(part for part in parts if part) or folder.name


def _text(metadata: dict[str, Any], key: str) -> str:
    value = metadata.get(key)
    return value if isinstance(value, str) else ""


def _inside(folder: Path, name: Any, problems: Problems) -> Path | None:
    # A name in the metadata may not lead out of the song's folder, by itself or by a link.
    if not isinstance(name, str) or name in ("", ".", "..") or Path(name).name != name or "\0" in name:
        problems.add(f"metadata: a plain file name expected, got {shown_value(name)}")
        return None
    path = next((path for path in folder.iterdir() if normal_form(path.name) == name), None)
    if path is None:
        problems.add(f"{name}: expected in the song's folder, got none")
        return None
    return path if _stays_inside(folder, path, problems) else None


def _stays_inside(folder: Path, path: Path, problems: Problems) -> bool:
    inside = path.resolve().is_relative_to(folder.resolve())
    if not inside:
        problems.add(f"{path.name}: a file of the song's folder expected, got a link out of it. HINT: copy the file")
    return inside


def _read_stem(
    key: str,
    stem: Any,
    raw_files: dict[str, Path],
    draft: SongDraft,
    groups: dict[str, list[str]],
    problems: Problems,
) -> None:
    raws = stem.get("raw") if isinstance(stem, dict) else None
    if not isinstance(raws, dict) or not raws:
        problems.add(f"stem {key}: raw recordings expected, got none. HINT: put the song on the skip list")
        return
    taken = {normal_form(track.path.name) for track in draft.tracks}
    members: list[str] = []
    for raw_key in sorted(raws):
        raw = raws[raw_key]
        name = raw.get("filename") if isinstance(raw, dict) else None
        if not isinstance(name, str) or name not in raw_files:
            hint = closest(name, raw_files) if isinstance(name, str) else ""
            problems.add(f"stem {key}: {raw_key}: a file of the raw folder expected, got {shown_value(name)}{hint}")
            continue
        members.append(name)
        if name not in taken and _stays_inside(problems.folder, raw_files[name], problems):
            draft.tracks.append(TrackFile(raw_files[name], "_".join([key, raw_key, *_instrument(raw)])))
        taken.add(name)
    groups["_".join([key, *_instrument(stem)])] = members


def _instrument(entry: dict[str, Any]) -> list[str]:
    stated = entry.get("instrument")
    names = stated if isinstance(stated, list) else [stated]
    return [slug(name) for name in names if isinstance(name, str) and name]
