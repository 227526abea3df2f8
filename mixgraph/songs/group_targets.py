"""Groups of a song's subgroups, and how each of them sounds in the mix: stems that a demixer made of it.

A stem goes with the tracks that the rule of the demixer puts to it (`stem_rule`). Where a subgroup has tracks of
several stems, these stems are one group, with their sum as its target. Subgroups with tracks of no stem are in no
group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from mixgraph.songs.formats import AUDIO_SUFFIXES, is_audio_file
from mixgraph.songs.read_like import read_like
from mixgraph.songs.song import Song, SongGroup
from mixgraph.songs.song_warning import SongWarning
from mixgraph.songs.stem_rule import target_of

NOT_STEMS = ("mixture", "mix", "master", "remix")
"""Names of files beside stems that are a mix."""


@dataclass
class _Group:
    stems: set[str]
    subgroups: set[str]


def with_group_targets(song: Song, folder: Path) -> Song:
    """Returns a song with groups whose targets are the stems in a folder, at the level of the song.

    Args:
        song: the song.
        folder: stems of the song's mix, whoever wrote them: vocals.wav, drums.wav, ...

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it has no stems, several of one name, one that is no audio, none that goes with tracks of this song,
            or such that all of its subgroups are one group.
    """
    stems = _stem_files(folder)
    groups, notes = _groups(song, list(stems))
    made = []
    for group in groups:
        target = torch.zeros_like(song.mix)
        for name in sorted(group.stems):
            audio, more = read_like(stems[name], song.sample_rate, song.num_samples, tell_higher_rate=False)
            notes += more
            target += audio
        name = "+".join(sorted(group.stems))
        if not bool(target.any()):
            notes.append(f"stem {name}: silent, so that it is no target")
            continue
        in_order = tuple(subgroup for subgroup in song.subgroups if subgroup in group.subgroups)
        made.append(SongGroup(name, in_order, target * song.level))
    if not made or len(made[0].subgroups) == len(song.subgroups):
        got = f"{made[0].name} of all of them" if made else "none"
        raise ValueError(
            f"data.group_targets: {folder}: stems of some of this song's subgroups ({', '.join(song.subgroups)}) are "
            f"needed, got {got}. HINT: stems are matched with names of subgroups and tracks; song.yaml names subgroups"
        )
    warnings = tuple(SongWarning("group_target", f"data.group_targets: {note}") for note in notes)
    return replace(song, groups=tuple(made), warnings=(*song.warnings, *warnings))


def _stem_files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        got = "a file" if folder.exists() else "none"
        raise FileNotFoundError(f"data.group_targets: {folder}: a folder of stems is needed, got {got}")
    paths = [path for path in sorted(folder.iterdir()) if is_audio_file(path)]
    paths = [path for path in paths if path.stem.casefold() not in NOT_STEMS]
    if not paths:
        raise ValueError(
            f"data.group_targets: {folder}: files such as vocals.wav and drums.wav ({', '.join(AUDIO_SUFFIXES)}) are "
            "needed, got none"
        )
    refuse_two_of_one_name(paths, f"data.group_targets: {folder}")
    return {path.stem: path for path in paths}


def refuse_two_of_one_name(paths: Sequence[Path], where: str) -> None:
    """Refuses files of stems whose names differ in their suffix or in capitals alone.

    Raises:
        ValueError: two files have one name; the message begins with `where`.
    """
    names: dict[str, str] = {}
    for path in paths:
        other = names.setdefault(path.stem.casefold(), path.name)
        if other != path.name:
            raise ValueError(f"{where}: one file a stem is needed, got {other} and {path.name}")


def _groups(song: Song, stems: Sequence[str]) -> tuple[list[_Group], list[str]]:
    """Returns the groups in the order of the stems, and sentences on what is in none."""
    notes: list[str] = []
    groups: list[_Group] = []
    spoiled: set[str] = set()  # stems with a part in a subgroup that is no group's
    for subgroup, tracks in song.subgroups.items():
        targets = {target_of(subgroup, track, stems) for track in tracks}
        known = {target for target in targets if target is not None}
        if len(known) < len(targets):
            notes.append(f"subgroup {subgroup}: has tracks of no stem, so that it has no target")
            spoiled |= known
            continue
        joined = [group for group in groups if group.stems & known]
        groups = [group for group in groups if group not in joined]
        whole = _Group(known, {subgroup})
        for group in joined:
            whole = _Group(whole.stems | group.stems, whole.subgroups | group.subgroups)
        groups.append(whole)
    left_out = ["+".join(sorted(group.stems)) for group in groups if group.stems & spoiled]
    notes += [f"stem {name}: has tracks in a subgroup without a target, so that it is no target" for name in left_out]
    groups = [group for group in groups if not group.stems & spoiled]
    used = {stem for group in groups for stem in group.stems} | spoiled
    notes += [f"stem {stem}: no track goes with it" for stem in stems if stem not in used]
    return sorted(groups, key=lambda group: min(map(stems.index, group.stems))), notes
