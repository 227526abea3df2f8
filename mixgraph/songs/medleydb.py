"""MedleyDB: SONG_METADATA.yaml, SONG_RAW/, SONG_STEMS/ and SONG_MIX.wav in a folder a song.

The dry tracks are the raw recordings, and every stem of the metadata is a subgroup (S01_drum_set) of the raw
recordings it was made from. The stems' own audio is processed already and is not read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mixgraph.songs.folder import list_audio
from mixgraph.songs.manifest import Problems, SongDraft, TrackFile, closest, read_yaml, slug

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
    found = metadata_files(folder)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        problems.add(f"*_METADATA.yaml: one file expected, got {names}")
        return draft
    try:
        metadata = read_yaml(found[0])
    except ValueError as error:
        problems.add(str(error))
        return draft
    stems = metadata.get("stems") if isinstance(metadata, dict) else None
    if not isinstance(stems, dict) or not stems:
        problems.add(f"{found[0].name}: a mapping with stems expected, got {type(metadata).__name__} without")
        return draft

    song = found[0].name.removesuffix("_METADATA.yaml")
    draft.title = _title(metadata, folder)
    draft.artist = str(metadata["artist"]) if metadata.get("artist") else None
    draft.mix = _inside(folder, metadata.get("mix_filename", f"{song}_MIX.wav"), problems)
    raw_folder = _inside(folder, metadata.get("raw_dir", f"{song}_RAW"), problems)
    if raw_folder is None:
        return draft
    raw_files = list_audio(raw_folder, draft.warnings)
    for key in sorted(stems, key=str):
        _read_stem(str(key), stems[key], raw_files, draft, problems)
    named = {track.path.name for track in draft.tracks}
    draft.warnings.extend(
        f"{raw_folder.name}/{name}: left out, since the metadata does not name it"
        for name in raw_files
        if name not in named
    )
    return draft


def _title(metadata: dict[str, Any], folder: Path) -> str:
    parts = [str(metadata[key]) for key in ("artist", "title") if metadata.get(key)]
    return " - ".join(parts) or folder.name


def _inside(folder: Path, name: Any, problems: Problems) -> Path | None:
    # A name in the metadata may not lead out of the song's folder.
    if not isinstance(name, str) or Path(name).name != name:
        problems.add(f"metadata: a plain file name expected, got {name!r}")
        return None
    path = folder / name
    if not path.exists():
        problems.add(f"{name}: expected in the song's folder, got none")
        return None
    return path


def _read_stem(key: str, stem: Any, raw_files: dict[str, Path], draft: SongDraft, problems: Problems) -> None:
    raws = stem.get("raw") if isinstance(stem, dict) else None
    if not isinstance(raws, dict) or not raws:
        problems.add(f"stem {key}: raw recordings expected, got none. HINT: put the song on the skip list")
        return
    members: list[str] = []
    for raw_key in sorted(raws, key=str):
        raw = raws[raw_key]
        name = raw.get("filename") if isinstance(raw, dict) else None
        if name not in raw_files:
            problems.add(
                f"stem {key}: {raw_key}: a file of the raw folder expected, got {name!r}{closest(str(name), raw_files)}"
            )
            continue
        label = "_".join([key, str(raw_key), *_instrument(raw)])
        members.append(name)
        draft.tracks.append(TrackFile(raw_files[name], label))
    if draft.subgroups is not None and members:
        draft.subgroups["_".join([key, *_instrument(stem)])] = members


def _instrument(entry: dict[str, Any]) -> list[str]:
    given = entry.get("instrument")
    names = given if isinstance(given, list) else [given]
    return [slug(str(name)) for name in names if name]
