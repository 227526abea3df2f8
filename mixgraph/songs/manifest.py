"""What a layout says about a song, before any audio is read: its files, their order and subgroups."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mixgraph.songs.subgroup_rule import subgroups_by_rule

SUBGROUPINGS = ("auto", "rule", "one_per_track")


@dataclass(frozen=True)
class TrackFile:
    """One dry track: its file, and where and how it is read.

    Mix sample n is `polarity` times the track at n + offset: a positive offset belongs to a track that is late.
    """

    path: Path
    name: str
    offset_seconds: float = 0.0
    offset_samples: int = 0  # counted at the file's own sample rate
    polarity: int = 1

    def read_offset(self, sample_rate: int, file_rate: int) -> int:
        """The offset in samples at `sample_rate`, for a file that was recorded at `file_rate`."""
        return round((self.offset_seconds + self.offset_samples / file_rate) * sample_rate)


@dataclass(frozen=True)
class SongFiles:
    """The files of one song. The tracks of `subgroups`, in their order, are the rows of the song's sources."""

    folder: Path
    name: str
    layout: str
    title: str
    licence: str
    mix: Path
    subgroups: dict[str, tuple[TrackFile, ...]]
    warnings: tuple[str, ...] = ()
    artist: str | None = None

    @property
    def tracks(self) -> tuple[TrackFile, ...]:
        """All tracks, in the order of the song's sources."""
        return tuple(track for members in self.subgroups.values() for track in members)


class Problems:
    """Everything that is wrong with a song, so that it can be said at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[str] = []

    def add(self, line: str) -> None:
        """Notes one problem: the file or setting, what is allowed, what was found."""
        if line not in self.lines:
            self.lines.append(line)

    def error(self) -> ValueError:
        """One error with a line for every problem."""
        count = f"{len(self.lines)} problem{'s' if len(self.lines) > 1 else ''}"
        return ValueError("\n".join([f"{self.folder}: {count}", *(f"- {line}" for line in self.lines)]))

    def raise_if_any(self) -> None:
        """Raises `error()` if a problem was noted."""
        if self.lines:
            raise self.error()


@dataclass
class SongDraft:
    """What a layout's reader found; checked and completed by `complete`. Subgroups hold file names."""

    title: str
    licence: str
    mix: Path | None
    tracks: list[TrackFile]
    subgroups: dict[str, list[str]] | None
    warnings: list[str] = field(default_factory=list)
    artist: str | None = None


def complete(draft: SongDraft, folder: Path, layout: str, subgrouping: str, problems: Problems) -> SongFiles | None:
    """Checks a draft and puts its tracks into subgroups; None, with the problems noted, if that cannot be done.

    `subgrouping` "auto" takes the song's own subgroups and, where it has none, the rule on track names of
    `subgroup_rule`; "rule" always takes the rule; "one_per_track" gives every track a subgroup of its own.
    """
    if subgrouping not in SUBGROUPINGS:
        problems.add(f"subgrouping: one of {', '.join(SUBGROUPINGS)} expected, got {subgrouping!r}")
    names = [track.name for track in draft.tracks]
    for name in sorted({name for name in names if names.count(name) > 1}):
        files = ", ".join(track.path.name for track in draft.tracks if track.name == name)
        problems.add(f"track {name}: one file expected, got {files}. HINT: rename one, or name it in song.yaml")
    if draft.subgroups is not None:
        _check_subgroups(draft.subgroups, [track.path.name for track in draft.tracks], problems)
    if problems.lines or draft.mix is None:
        return None

    groups: dict[str, tuple[TrackFile, ...]]
    if subgrouping == "one_per_track":
        groups = {track.name: (track,) for track in _in_order(draft)}
    elif subgrouping == "rule" or draft.subgroups is None:
        by_name = {track.name: track for track in draft.tracks}
        groups = {
            group: tuple(by_name[name] for name in members)
            for group, members in subgroups_by_rule(list(by_name)).items()
        }
    else:
        by_file = {track.path.name: track for track in draft.tracks}
        groups = {group: tuple(by_file[file] for file in files) for group, files in draft.subgroups.items()}
    return SongFiles(
        folder,
        slug(folder.name),
        layout,
        draft.title,
        draft.licence,
        draft.mix,
        groups,
        tuple(draft.warnings),
        draft.artist,
    )


def _in_order(draft: SongDraft) -> list[TrackFile]:
    if draft.subgroups is None:
        return draft.tracks
    by_file = {track.path.name: track for track in draft.tracks}
    return [by_file[file] for files in draft.subgroups.values() for file in files]


def _check_subgroups(subgroups: dict[str, list[str]], files: Sequence[str], problems: Problems) -> None:
    member_of: dict[str, list[str]] = {}
    for group, members in subgroups.items():
        if not members:
            problems.add(f"subgroup {group}: at least one track expected, got none")
        for member in members:
            member_of.setdefault(member, []).append(group)
            if member not in files:
                problems.add(
                    f"subgroup {group}: {member} matches no track; the tracks are {', '.join(files) or 'none'}"
                    f"{closest(member, files)}"
                )
    for member, groups in member_of.items():
        if len(groups) > 1:
            problems.add(f"track {member}: one subgroup expected, got {len(groups)}: {', '.join(groups)}")
    for file in files:
        if file not in member_of:
            problems.add(f"track {file}: one subgroup expected, got none. HINT: list it in a subgroup")


def closest(got: str, allowed: Iterable[str]) -> str:
    """A hint that names the closest allowed word, or nothing."""
    matches = difflib.get_close_matches(got, list(allowed), n=1)
    return f". HINT: did you mean {matches[0]}?" if matches else ""


def slug(name: str) -> str:
    """A name of letters (without accents), digits, - and _ only: a dot would start the extension in a shard's key."""
    plain = (c for c in unicodedata.normalize("NFKD", name.replace("ß", "ss")) if not unicodedata.combining(c))
    return re.sub(r"[^A-Za-z0-9_-]+", "_", "".join(plain)).strip("_") or "song"


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML's safe loader, which silently keeps the last of two equal keys, made to refuse them."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"key {key!r}: given once expected, got {keys.count(key)} times")
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path) -> Any:
    """Reads a YAML file of plain values.

    Raises:
        ValueError: if it is not YAML, not UTF-8, or gives one key twice.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{path}: readable YAML expected, got an error: {error}") from error
