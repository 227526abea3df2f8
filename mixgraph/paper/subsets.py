"""Which songs of a data set are taken: all, some by a seeded rule, or those of the published code's lists.

The paper evaluates on 24 songs of each data set, which it does not name. The published code has lists of 24 songs of
MedleyDB and of MixingSecrets (`valid.yaml`), which are very probably these; `evaluation_songs.yaml` here holds their
names. Of other data sets, and for other numbers, songs are taken by a rule: those whose names have the lowest sha256
behind the seed. The choice of a song does not depend on which others are there, so that a larger number adds songs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from mixgraph.names import did_you_mean
from mixgraph.songs.manifest import slug
from mixgraph.songs.text_files import read_yaml

PUBLISHED = "published"
SONGS = 24
"""Songs of each data set in the paper's evaluations."""
_LISTS = Path(__file__).parent / "evaluation_songs.yaml"


def published_songs() -> dict[str, tuple[str, ...]]:
    """Returns data set -> the names of its evaluation songs in the published code."""
    return {name: tuple(songs) for name, songs in read_yaml(_LISTS).items()}


def by_rule(songs: Sequence[str], count: int, seed: int) -> list[str]:
    """Takes `count` songs whose names have the lowest sha256 of `SEED:NAME`, all where there are fewer; sorted.

    >>> by_rule(["a", "b", "c"], 1, 0), by_rule(["c", "b", "a", "d"], 9, 0)
    (['a'], ['a', 'b', 'c', 'd'])
    """
    order = sorted(songs, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).hexdigest())
    return sorted(order[:count])


def choose(data_sets: Mapping[str, Sequence[str]], subset: str, seed: int) -> tuple[dict[str, list[str]], list[str]]:
    """Chooses songs of each data set.

    Args:
        data_sets: data set -> names of its songs.
        subset: "all", a number, or "published": the lists of the published code, 24 by the rule where there is none.
        seed: of the rule.

    Returns:
        Data set -> names of the chosen songs; and sentences that say how they were chosen.

    Raises:
        ValueError: another `subset`, or no song of a data set is on its list.
    """
    if subset == "all":
        return {name: sorted(songs) for name, songs in data_sets.items()}, []
    if subset != PUBLISHED and not (subset.isdecimal() and int(subset)):
        hint = did_you_mean(subset, ["all", PUBLISHED])
        raise ValueError(f"subset: all, {PUBLISHED}, or a number of songs a data set is needed, got {subset!r}.{hint}")
    count, lists = SONGS if subset == PUBLISHED else int(subset), published_songs() if subset == PUBLISHED else {}
    chosen: dict[str, list[str]] = {}
    notes = []
    for name, songs in data_sets.items():
        if name not in lists:
            chosen[name] = by_rule(songs, count, seed)
            notes.append(
                f"{name}: {len(chosen[name])} of {len(songs)} songs, those with the lowest sha256 of their names "
                f"behind the seed {seed}; which songs the paper took is not known."
            )
            continue
        listed = {slug(song) for song in lists[name]}
        chosen[name] = sorted(song for song in songs if slug(song) in listed)
        if not chosen[name]:
            none = f"none of the {len(songs)} songs of {name} is on the list of the published code"
            raise ValueError(f"subset: {none}. HINT: --subset {count}, or other songs")
        notes.append(
            f"{name}: {len(chosen[name])} of the {len(listed)} evaluation songs in the published code, very probably "
            "those of the paper."
        )
    return chosen, notes
