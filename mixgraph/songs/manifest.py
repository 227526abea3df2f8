"""The files of a song, their order and subgroups, as its layout states them, before any audio is read."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mixgraph.names import did_you_mean, normal_form, shown_name, visible
from mixgraph.songs.song_warning import SongWarning
from mixgraph.songs.subgroup_rule import subgroups_by_rule

SUBGROUPINGS = ("auto", "rule", "one_per_track")
MAX_PROBLEMS = 100
MAX_TEXT, MAX_NAME = 1000, 255  # characters; pictures with longer ones cannot be made


@dataclass(frozen=True)
class TrackFile:
    """A dry track: its file, and the offset and polarity that it is read with.

    Mix sample n is `polarity` times the track at n + offset: a positive offset belongs to a track that is late.
    """

    path: Path
    name: str
    offset_seconds: float = 0.0
    offset_samples: int = 0  # counted at the file's own sample rate
    polarity: int = 1

    def read_offset(self, sample_rate: int, file_rate: int) -> int:
        """Returns the offset in samples at `sample_rate`, for a file that was recorded at `file_rate`."""
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
    warnings: tuple[SongWarning, ...] = ()
    artist: str | None = None
    stems: Mapping[str, str] = field(default_factory=dict)  # file name -> target of a demixer, where the song states it

    @property
    def tracks(self) -> tuple[TrackFile, ...]:
        """All tracks, in the order of the song's sources."""
        return tuple(track for members in self.subgroups.values() for track in members)


class Problems:
    """A list of everything that is wrong with a song, so that one error reports it all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[str] = []

    def add(self, line: str) -> None:
        """Notes one problem: the file or setting, what is allowed, what was found.

        Raises:
            ValueError: `error()`, when there are MAX_PROBLEMS.
        """
        line = visible(line)
        if line not in self.lines:
            self.lines.append(line)
        if len(self.lines) == MAX_PROBLEMS:
            raise self.error()

    def error(self) -> ValueError:
        """One error with a line for every problem."""
        more = " or more" if len(self.lines) == MAX_PROBLEMS else ""
        count = f"{len(self.lines)}{more} problem{'s' if len(self.lines) > 1 else ''}"
        return ValueError("\n".join([f"{self.folder}: {count}", *(f"- {line}" for line in self.lines)]))

    def raise_if_any(self) -> None:
        """Raises `error()` if a problem was noted."""
        if self.lines:
            raise self.error()


@dataclass
class SongDraft:
    """What a layout's reader found; checked and completed by `complete`.

    Subgroups hold file names in composed form. `grouping_problems` matter only where these subgroups are used.
    """

    title: str
    licence: str
    mix: Path | None
    tracks: list[TrackFile]
    subgroups: dict[str, list[str]] | None
    warnings: list[SongWarning] = field(default_factory=list)
    artist: str | None = None
    grouping_problems: list[str] = field(default_factory=list)
    name: str = ""  # of the song; that of its folder where empty
    stems: dict[str, str] = field(default_factory=dict)


def complete(draft: SongDraft, folder: Path, layout: str, subgrouping: str, problems: Problems) -> SongFiles | None:
    """Checks a draft and puts its tracks into subgroups; None, with the problems noted, if that cannot be done.

    `subgrouping` "auto" takes the song's own subgroups and, where it has none, the rule on track names of
    `subgroup_rule`; "rule" always takes the rule; "one_per_track" gives every track a subgroup of its own. What is
    wrong with the song's own subgroups is a problem only where they are taken, else a warning. All names are made
    text to show, see `shown_name`.
    """
    if subgrouping not in SUBGROUPINGS:
        hint = closest(subgrouping, SUBGROUPINGS)
        problems.add(f"subgrouping: one of {', '.join(SUBGROUPINGS)} expected, got {subgrouping!r}{hint}")
    _check_file_names(draft, folder, problems)
    _check_lengths(draft, problems)
    tracks = {file_name(track): replace(track, name=shown_name(track.name)) for track in draft.tracks}
    names = [track.name for track in tracks.values()]
    for name in sorted({name for name in names if names.count(name) > 1}):
        files = ", ".join(track.path.name for track in tracks.values() if track.name == name)
        problems.add(f"track {name}: one file expected, got {files}. HINT: rename one, or name it in song.yaml")
    lines = draft.grouping_problems
    if draft.subgroups is not None:
        lines = [*lines, *_subgroup_problems(draft.subgroups, list(tracks))]
    stated = subgrouping == "auto" and (draft.subgroups is not None or bool(lines))
    for line in lines if stated else ():
        problems.add(line)
    if problems.lines or draft.mix is None:
        return None

    groups: dict[str, tuple[TrackFile, ...]]
    if stated and draft.subgroups is not None:
        groups = {shown_name(name): tuple(tracks[file] for file in files) for name, files in draft.subgroups.items()}
    elif subgrouping == "one_per_track":
        in_order = [file for files in (draft.subgroups or {}).values() for file in files if file in tracks]
        groups = {tracks[file].name: (tracks[file],) for file in dict.fromkeys([*in_order, *tracks])}
    else:
        by_name = {track.name: track for track in tracks.values()}
        groups = {
            group: tuple(by_name[name] for name in members)
            for group, members in subgroups_by_rule(list(by_name)).items()
        }
    left_aside = [SongWarning("unused_subgroups", f"{line} (the subgroups are not used)") for line in lines]
    return SongFiles(
        folder,
        slug(draft.name or folder.name),
        layout,
        shown_name(draft.title),
        shown_name(draft.licence),
        draft.mix,
        groups,
        tuple(SongWarning(w.code, visible(w.text)) for w in (*draft.warnings, *left_aside)),
        shown_name(draft.artist) if draft.artist else None,
        draft.stems,
    )


def file_name(track: TrackFile) -> str:
    """The name of a track's file in composed form, as song.yaml and metadata are read."""
    return normal_form(track.path.name)


def use_once(groups: dict[str, list[str]], warnings: list[SongWarning]) -> dict[str, list[str]]:
    """The groups of a data set with every file in the first of its groups only, and without empty groups.

    A raw recording may belong to two stems, as in 15 of the 258 songs of MixingSecrets in MedleyDB's format.
    """
    group_of: dict[str, str] = {}
    for group, files in groups.items():
        for file in dict.fromkeys(files):
            first = group_of.setdefault(file, group)
            if first != group:
                text = f"{file}: belongs to {first} and {group}; it is used once, in {first}"
                warnings.append(SongWarning("several_subgroups", text))
    kept = {group: [file for file in dict.fromkeys(groups[group]) if group_of[file] == group] for group in groups}
    warnings.extend(
        SongWarning("empty_subgroup", f"subgroup {group}: left out, since it has no tracks of its own")
        for group in kept
        if not kept[group]
    )
    return {group: files for group, files in kept.items() if files}


def _check_file_names(draft: SongDraft, folder: Path, problems: Problems) -> None:
    paths = [track.path for track in draft.tracks] + ([draft.mix] if draft.mix is not None else [])
    for path in paths:
        if any("\ud800" <= c <= "\udfff" for c in path.name):
            problems.add(f"{path.name}: a file name in UTF-8 expected, got other bytes. HINT: rename the file")
    by_name: dict[str, list[str]] = {}
    for track in draft.tracks:
        by_name.setdefault(file_name(track), []).append(ascii(track.path.name))
    for name, same in by_name.items():
        if len(same) > 1:
            problems.add(f"{name}: one file expected, got {' and '.join(same)}, which read the same. HINT: rename one")


def _check_lengths(draft: SongDraft, problems: Problems) -> None:
    texts = {"title": draft.title, "licence": draft.licence, "artist": draft.artist or ""}
    names = dict.fromkeys([*(track.name for track in draft.tracks), *(draft.subgroups or ())])
    for what, text, most in (
        *((what, text, MAX_TEXT) for what, text in texts.items()),
        *(("name of a track or subgroup", name, MAX_NAME) for name in names),
    ):
        if len(text) > most:
            problems.add(f"{what}: at most {most} characters expected, got {len(text)} ({text[:20]}...)")


def _subgroup_problems(subgroups: dict[str, list[str]], files: Sequence[str]) -> list[str]:
    lines: list[str] = []
    member_of: dict[str, list[str]] = {}
    for group, members in subgroups.items():
        if not members:
            lines.append(f"subgroup {group}: at least one track expected, got none")
        for member in members:
            member_of.setdefault(member, []).append(group)
    shown = [shown_name(group) for group in subgroups]
    lines.extend(f"subgroup {name}: given once expected, got it again" for name in shown if shown.count(name) > 1)
    known = set(files)
    unknown = [member for member in member_of if member not in known][:MAX_PROBLEMS]
    lines.extend(
        f"subgroup {member_of[member][0]}: {member} matches no track; the tracks are {', '.join(files) or 'none'}"
        f"{closest(member, files)}"
        for member in unknown
    )
    for member, groups in member_of.items():
        if len(groups) > 1:
            lines.append(f"track {member}: one subgroup expected, got {len(groups)}: {', '.join(groups)}")
    lines.extend(
        f"track {file}: one subgroup expected, got none. HINT: list it in a subgroup"
        for file in files
        if file not in member_of
    )
    return lines


def closest(got: str, allowed: Iterable[str]) -> str:
    """A hint that names the closest allowed words, or nothing."""
    hint = did_you_mean(got, allowed)
    return hint and f".{hint}"


def slug(name: str) -> str:
    """A name of letters (without accents), digits, - and _ only: a dot would start the extension in a shard's key.

    Where letters of other scripts or symbols are lost, six digits of the name's sha256 keep such names apart.
    """
    plain = [c for c in unicodedata.normalize("NFKD", name.replace("ß", "ss")) if not unicodedata.combining(c)]
    kept = re.sub(r"[^A-Za-z0-9_-]+", "_", "".join(plain)).strip("_")
    lost = not kept or any(not c.isascii() and unicodedata.category(c)[0] in "LNS" for c in plain)
    digits = hashlib.sha256(normal_form(name).encode("utf-8", "surrogateescape")).hexdigest()[:6]
    return f"{kept or 'song'}_{digits}" if lost else kept
