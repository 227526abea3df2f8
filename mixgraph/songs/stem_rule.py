"""Which of a demixer's targets a track belongs to: vocals, drums, bass, other, or any other list of names.

What a song.yaml states under `stems:` decides. Else the name of the subgroup does, and where it says nothing, that of
the track: a name is a target where it is that target's name, or where the rule on names of `subgroup_rule` puts it into
a subgroup that is (or stands for, see STANDS_FOR) a target. All else is `other`.
"""

from __future__ import annotations

from collections.abc import Sequence

from mixgraph.songs.subgroup_rule import OTHER, subgroup_of

STANDS_FOR = {"lead_vocals": "vocals", "backing_vocals": "vocals"}
"""Subgroups of the rule on names -> the targets that they are, where they are none themselves."""


def target_of(subgroup: str, track: str, targets: Sequence[str]) -> str | None:
    """Returns the target that a track belongs to, or None where that would be `other` and there is no such target.

    Args:
        subgroup: name of the track's subgroup.
        track: name of the track.
        targets: names of the targets.

    >>> target_of("drums", "03_Room", ("vocals", "drums", "bass", "other"))
    'drums'
    >>> target_of("synths", "pad_bass", ("vocals", "drums", "bass", "other"))
    'other'
    >>> target_of("music", "bass", ("vocals", "drums", "bass", "other"))
    'bass'
    """
    by_name = {target.casefold(): target for target in targets if target != OTHER}
    for name in (subgroup, track):
        if name.casefold() in by_name:
            return by_name[name.casefold()]
        group = subgroup_of(name)
        if group == OTHER:
            continue
        for known in (group, STANDS_FOR.get(group, group)):
            if known in by_name:
                return by_name[known]
        break  # it is known, and of no target
    return OTHER if OTHER in targets else None
