"""The songs that a dataset is built from, and the hashes of their files."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mixgraph.dataset.files import write_json
from mixgraph.dataset.reasons import readable, reason
from mixgraph.songs import SongFiles, song_files
from mixgraph.songs.decode import audio_seconds
from mixgraph.songs.layouts import look_for_songs
from mixgraph.songs.manifest import slug
from mixgraph.system.files import file_sha256, json_text, parse_json, read_text


@dataclass(frozen=True)
class SongSource:
    """A song to build a dataset from, with the current state of its files.

    Attributes:
        name: the name of the song, and of the folder of its results.
        folder: the folder of the song.
        licence: the licence as the song's files state it.
        artist: the artist; None if the layout does not state one.
        seconds: the length of the mix.
        num_tracks: the number of dry tracks.
        file_hashes: path of a file relative to the folder -> sha256.
        arrangement: other facts from its files that a search depends on: offsets, polarities, subgroups.
    """

    name: str
    folder: Path
    licence: str
    artist: str | None
    seconds: float
    num_tracks: int
    file_hashes: dict[str, str]
    arrangement: dict[str, Any]


class FileHashes:
    """Computes and caches the sha256 of files; a file is read again when its size or modification time changes.

    Args:
        path: the JSON file of the cache; it may be missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, list[Any]] = _known_hashes(path)

    def __call__(self, file: Path) -> str:
        state = file.stat()
        key, stamp = str(file.resolve()), [state.st_size, state.st_mtime_ns]
        if self.known.get(key, [])[:2] != stamp:
            self.known[key] = [*stamp, file_sha256(file)]
        return str(self.known[key][2])

    def save(self) -> None:
        write_json(self.path, self.known)


def _known_hashes(path: Path) -> dict[str, list[Any]]:
    """The entries of a cache of hashes; what is damaged is left out, so that those files are read again."""
    try:
        known = parse_json(read_text(path))
    except (FileNotFoundError, ValueError):
        return {}
    entries = known.items() if isinstance(known, dict) else ()
    return {name: entry for name, entry in entries if isinstance(entry, list) and len(entry) == 3}


def find_sources(
    roots: Iterable[str | Path],
    hashes: FileHashes,
    layout: str = "auto",
    subgrouping: str = "auto",
    names: Sequence[str] = (),
    songs: str = ":",
) -> tuple[list[SongSource], dict[str, str]]:
    """Finds songs in folders of any layout and reads their facts from their files.

    Audio is decoded only if the header of a mix does not state its length. A song that cannot be read is returned with
    the reason, and the other songs are read all the same.

    Args:
        roots: folders of songs, or of many songs.
        hashes: the cache of file hashes; missing hashes are computed.
        layout: the data layout, see `look_for_songs`.
        subgrouping: the rule for subgroups, see `song_files`.
        names: shell patterns; only songs whose name matches one of them are taken. Empty: all songs.
        songs: a range such as `0:100` of the matching songs, in order of names.

    Returns:
        The songs in order of names; and name -> reason of songs that cannot be read, or that share their name.

    Raises:
        FileNotFoundError: the only root does not exist.
        ValueError: the layout is unknown, nothing may be a song, or the range is invalid.
    """
    folders, odd = _candidates([Path(root) for root in roots], layout)
    chosen = select(sorted(folders.keys() | odd.keys()), names, songs)
    sources: list[SongSource] = []
    unreadable: dict[str, str] = {}
    for name in chosen:
        if name in odd:
            unreadable[name] = odd[name]
            continue
        try:
            sources.append(_read(song_files(folders[name], layout, subgrouping), hashes))
        except Exception as error:  # damaged files of one song may raise anything
            unreadable[name] = reason(error)
    return sources, unreadable


def _candidates(roots: Sequence[Path], layout: str) -> tuple[dict[str, Path], dict[str, str]]:
    """Returns the folders that may be songs by name, and the problems of others by name."""
    places: dict[str, dict[Path, str]] = {}  # name -> folder -> its problem, or ""
    for root in roots:
        try:
            songs, odd = look_for_songs(_real(root), layout)
        except FileNotFoundError as error:
            if len(roots) == 1:
                raise
            songs, odd = [], {root: reason(error)}
        if not songs and not odd:
            odd = {root: f"at least one song of layout {layout!r} expected, got none"}
        for song in (_real(folder) for folder in songs):  # a link to a song is that song
            places.setdefault(slug(song.name), {}).setdefault(song, "")
        for folder, why in odd.items():
            places.setdefault(slug(folder.name), {}).setdefault(folder, readable(f"{folder}: {why}"))
    song_folders: dict[str, Path] = {}
    wrong: dict[str, str] = {}
    for name, folders in places.items():
        (folder, why), *others = folders.items()
        if others:
            all_of_them = readable(" and ".join(map(str, folders)))
            wrong[name] = f"{all_of_them} are all named {name}; rename all but one, or leave them out"
        elif why:
            wrong[name] = why
        else:
            song_folders[name] = folder
    return song_folders, wrong


def _real(path: Path) -> Path:
    """Resolves a path as `Path.resolve` does, but without its RuntimeError on circular links."""
    return Path(os.path.realpath(path))


def select(names: Sequence[str], patterns: Sequence[str], songs: str) -> list[str]:
    """Selects names that match one of the patterns (all if there are none), and of these a range such as `0:100`.

    Raises:
        ValueError: no name is left, or the range is invalid.
    """
    fitting = [name for name in names if not patterns or any(fnmatch.fnmatchcase(name, p) for p in patterns)]
    first, colon, last = songs.partition(":")
    try:
        start, stop = int(first or 0), int(last or len(fitting))
    except ValueError:
        start = stop = -1
    if not colon or start < 0 or stop < start:
        raise ValueError(f"songs: a range such as 0:100, 50: or :50 expected, got {songs!r}")
    if not fitting[start:stop]:
        raise ValueError(f"songs {songs}, match {list(patterns) or 'all'}: leaves none of {len(names)} songs")
    return fitting[start:stop]


def _read(files: SongFiles, hashes: FileHashes) -> SongSource:
    def local(path: Path) -> str:
        return path.relative_to(files.folder).as_posix()

    for path in (files.folder, files.mix, *(track.path for track in files.tracks)):
        if readable(str(path)) != str(path):
            raise ValueError(f"{path}: a file name of text (UTF-8) is needed. HINT: rename it")
    source = SongSource(
        name=files.name,
        folder=files.folder,
        licence=files.licence,
        artist=files.artist,
        seconds=audio_seconds(files.mix),
        num_tracks=len(files.tracks),
        file_hashes={local(path): hashes(path) for path in (files.mix, *(t.path for t in files.tracks))},
        arrangement={
            "layout": files.layout,
            "mix": local(files.mix),
            "subgroups": [
                {
                    "name": group,
                    "tracks": [
                        {
                            "name": track.name,
                            "file": local(track.path),
                            "offset_seconds": track.offset_seconds,
                            "offset_samples": track.offset_samples,
                            "polarity": track.polarity,
                        }
                        for track in members
                    ],
                }
                for group, members in files.subgroups.items()
            ],
        },
    )
    text = json_text(asdict(source) | {"folder": ""})
    if readable(text) != text:
        raise ValueError(f"{files.folder}: texts of characters are needed, got half of one, such as \\ud800")
    return source
