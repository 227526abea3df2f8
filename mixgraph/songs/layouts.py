"""The layouts that songs come in, which of them a folder has, and the songs of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from mixgraph.songs import medleydb, mixing_secrets
from mixgraph.songs.folder import read_folder, read_tracks_and_mix
from mixgraph.songs.formats import is_audio_file
from mixgraph.songs.manifest import Problems, SongDraft, SongFiles, TrackFile, closest, complete, slug
from mixgraph.songs.musdb import read_musdb

MAX_DEPTH = 3  # data sets nest their songs, as in MUSDB18/train/SONG


@dataclass(frozen=True)
class Layout:
    """A layout of song folders: the files that mark it, its reader, and the songs that are left out by default."""

    mark: str
    fits: Callable[[Path], bool]
    read: Callable[[Path, Problems], SongDraft]
    default_skip: tuple[str, ...] = ()


def _has_mixture(folder: Path) -> bool:
    return any(path.stem.lower() == "mixture" and is_audio_file(path) for path in folder.iterdir())


LAYOUTS: dict[str, Layout] = {
    "folder": Layout(
        "tracks/ or song.yaml",
        lambda folder: (folder / "tracks").is_dir() or (folder / "song.yaml").is_file(),
        read_folder,
    ),
    "medleydb": Layout(
        "*_METADATA.yaml",
        lambda folder: bool(medleydb.metadata_files(folder)),
        medleydb.read_medleydb,
        medleydb.DEFAULT_SKIP,
    ),
    "mixing_secrets": Layout(
        "correspondence.yaml",
        lambda folder: (folder / "correspondence.yaml").is_file(),
        mixing_secrets.read_mixing_secrets,
        mixing_secrets.DEFAULT_SKIP,
    ),
    "musdb": Layout("mixture.wav", _has_mixture, read_musdb),
}


def detect_layout(folder: Path) -> str:
    """The name of the one layout whose mark is in the folder.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if no layout fits, or more than one.
    """
    _check_folder(folder)
    fitting = fitting_layouts(folder)
    if len(fitting) == 1:
        return fitting[0]
    marks = "; ".join(f"{name}: {layout.mark}" for name, layout in LAYOUTS.items())
    if fitting:
        raise ValueError(
            f"{folder}: one layout expected, got {', '.join(fitting)} (marks are {marks}). "
            "HINT: name the one that is meant with layout="
        )
    content = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "an empty folder"
    loose = any(is_audio_file(path) for path in folder.iterdir())
    hint = (
        "put the dry tracks into a folder tracks/, and the finished mix beside it as mix.wav"
        if loose
        else "for other folders, --mix FILE --tracks FOLDER name the mix and the folder of the dry tracks"
    )
    raise ValueError(f"{folder}: the mark of a layout expected ({marks}), got {content}. HINT: {hint}")


def song_files(path: str | Path, layout: str = "auto", subgrouping: str = "auto") -> SongFiles:
    """Reads which files a song consists of, without reading audio.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if the layout is unknown or does not fit, or with everything that is wrong with the song's files.
    """
    folder = Path(path).resolve()
    problems = Problems(folder)
    files, _ = collect_files(folder, layout, subgrouping, problems)
    if files is None:
        raise problems.error()
    return files


def collect_files(
    folder: Path, layout: str, subgrouping: str, problems: Problems, mix: Path | None = None
) -> tuple[SongFiles | None, SongDraft]:
    """`song_files` that notes what is wrong instead of raising; the draft holds the audio that was found anyway.

    Where a mix is given, the folder holds tracks alone, and has no layout.
    """
    _check_folder(folder)
    _check_layout(layout)
    if mix is not None:
        draft = read_tracks_and_mix(folder, mix, problems)
        return complete(draft, folder, "tracks", subgrouping, problems), draft
    name = detect_layout(folder) if layout == "auto" else layout
    draft = LAYOUTS[name].read(folder, problems)
    return complete(draft, folder, name, subgrouping, problems), draft


def candidate_tracks(folder: Path) -> list[TrackFile] | None:
    """The tracks of a song's folder, of whatever layout, with their stated offsets; None where no layout fits.

    Raises:
        ValueError: with everything that is wrong with the song's files, but for its subgroups.
    """
    fitting = fitting_layouts(folder)
    if not fitting:
        return None
    problems = Problems(folder)
    by_path: dict[Path, TrackFile] = {}
    for name in fitting:
        draft = (
            read_folder(folder, problems, needs_mix=False) if name == "folder" else LAYOUTS[name].read(folder, problems)
        )
        for track in draft.tracks:
            by_path.setdefault(track.path, track)
    problems.raise_if_any()
    return list(by_path.values())


def find_songs(root: str | Path, layout: str = "auto", skip: Iterable[str] | None = None) -> list[Path]:
    """Finds the song folders of a data set, sorted by path: the root itself, or folders up to three levels below.

    Args:
        root: the folder of the data set.
        layout: a name in LAYOUTS, or "auto" to detect it for every folder.
        skip: names of song folders to leave out. None leaves out the default list of each song's layout, which
            MedleyDB and MixingSecrets have; an empty one leaves out nothing.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if the layout is unknown, no song is found, two songs have one name, or a folder holds audio but
            fits no layout (a broken song must not vanish from a data set).
    """
    root = Path(root).resolve()
    songs, odd = look_for_songs(root, layout, skip)
    problems = Problems(root)
    for folder, why in odd.items():
        problems.add(f"{folder.relative_to(root).as_posix()}: {why}")
    by_name: dict[str, list[Path]] = {}
    for song in songs:
        by_name.setdefault(slug(song.name), []).append(song)
    for name, paths in by_name.items():
        if len(paths) > 1:
            where = ", ".join(path.relative_to(root).as_posix() for path in paths)
            problems.add(f"song {name}: one folder expected, got {where}. HINT: rename or skip one")
    problems.raise_if_any()
    if not songs:
        raise ValueError(f"{root}: at least one song of layout {layout!r} expected, got none")
    return songs


def look_for_songs(
    root: Path, layout: str = "auto", skip: Iterable[str] | None = None
) -> tuple[list[Path], dict[Path, str]]:
    """Finds songs as `find_songs` does, but returns problems, by folder, instead of raising on them.

    Two songs may have one name, and there may be no song.
    """
    _check_folder(root)
    _check_layout(layout)
    if isinstance(skip, str):
        raise ValueError(f"skip: a list of folder names expected, got the text {skip!r}")
    odd: dict[Path, str] = {}
    return _search(root, layout, None if skip is None else frozenset(skip), MAX_DEPTH, odd), odd


def _search(folder: Path, layout: str, skip: frozenset[str] | None, depth: int, odd: dict[Path, str]) -> list[Path]:
    try:
        return _search_readable(folder, layout, skip, depth, odd)
    except OSError as error:  # no permission, a link in a circle, or it has just been removed
        odd[folder] = f"cannot be read ({error.strerror})"
        return []


def _search_readable(
    folder: Path, layout: str, skip: frozenset[str] | None, depth: int, odd: dict[Path, str]
) -> list[Path]:
    if skip is not None and folder.name in skip:
        return []
    fitting = fitting_layouts(folder)
    if layout in fitting or (layout == "auto" and fitting):
        default = LAYOUTS[fitting[0] if layout == "auto" else layout].default_skip
        return [] if skip is None and folder.name in default else [folder]
    children = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    if any(is_audio_file(path) for path in children):
        marks = "; ".join(f"{name}: {LAYOUTS[name].mark}" for name in LAYOUTS if layout in ("auto", name))
        odd[folder] = (
            f"holds audio, but no mark of a layout ({marks}). "
            "HINT: repair the song or put the folder's name on the skip list"
        )
        return []
    if depth == 0:
        return []
    odd |= {child: "a link that leads nowhere" for child in children if child.is_symlink() and not child.exists()}
    return [song for child in children if child.is_dir() for song in _search(child, layout, skip, depth - 1, odd)]


def fitting_layouts(folder: Path) -> list[str]:
    """The names of the layouts whose marks are in a folder."""
    return [name for name, layout in LAYOUTS.items() if layout.fits(folder)]


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        beside = [path.name for path in folder.parent.iterdir() if path.is_dir()] if folder.parent.is_dir() else []
        hint = closest(folder.name, [] if folder.exists() else beside)
        raise FileNotFoundError(f"{folder}: folder expected, got {'a file' if folder.exists() else 'none'}{hint}")


def _check_layout(layout: str) -> None:
    if layout != "auto" and layout not in LAYOUTS:
        hint = closest(layout, LAYOUTS)
        raise ValueError(f"layout: auto or one of {', '.join(LAYOUTS)} expected, got {layout!r}{hint}")
