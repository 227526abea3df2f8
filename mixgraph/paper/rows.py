"""The songs over which the rows of a table are means, and what all tables of searches say below."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from mixgraph.paper.published import ALL, DATA_SETS
from mixgraph.paper.readings import Reading

Row = TypeVar("Row", bound=Hashable)
_NO_PAPER = "The paper's columns are empty for data sets that it does not have."


@dataclass(frozen=True)
class SongGroups:
    """The songs that every row of a table has, by data set; the others are named in the notes.

    Attributes:
        songs: data set -> songs; `ALL` holds the songs of all of them.
        notes: sentences on songs that are left out.
    """

    songs: Mapping[str, Sequence[str]]
    notes: Sequence[str]

    def rows(self, by_data_set: bool) -> dict[str, Sequence[str]]:
        """The groups of a table: all songs together (Tables 1 and 2), or those of each data set, and together."""
        if not by_data_set:
            return {ALL: self.songs[ALL]}
        named = [name for name in self.songs if name != ALL]
        first = [name for name in DATA_SETS if name in named]
        ordered = [*first, *sorted(set(named) - set(first)), ALL]
        return {name: self.songs[name] for name in ordered}


def group_songs(
    results: Mapping[Row, Mapping[str, Reading]], data_sets: Mapping[str, str], reasons: Mapping[str, str]
) -> SongGroups:
    """Groups the songs that every row has a result of: means over different songs cannot be compared.

    Args:
        results: row -> song -> result.
        data_sets: song -> data set, of all songs that were asked for.
        reasons: song -> the reason why it lacks results, where one is known.

    Raises:
        ValueError: no song has all results.
    """
    whole = [song for song in data_sets if all(song in songs for songs in results.values())]
    left_out = [song for song in data_sets if song not in whole]
    notes = [
        f"Left out, since not every row has it: {song} ({reasons.get(song, 'not searched')})." for song in left_out
    ]
    if not whole:
        raise ValueError(f"songs: none has a result for every row of the table. {' '.join(notes)}")
    groups: dict[str, list[str]] = {}
    for song in whole:
        groups.setdefault(data_sets[song], []).append(song)
    return SongGroups({**groups, ALL: whole}, notes)


def common_notes(readings: Sequence[Reading], groups: SongGroups) -> list[str]:
    """Sentences on the songs, the schedule and the denominators, below every table of searches."""
    counts = ", ".join(f"{name}: {len(songs)}" for name, songs in groups.songs.items() if name != ALL)
    denominator = readings[0].metrics.denominator
    return [
        f"Means over {len(groups.songs[ALL])} songs ({counts}); every row is of the same songs. Losses are of whole "
        f"songs, over the norm of the prediction as in the paper, very probably, and over the norm of the target; "
        f"the searches trained on the one over the {denominator}.",
        *([_NO_PAPER] if set(groups.songs) - {*DATA_SETS, ALL} else []),
        *groups.notes,
    ]


def about(readings: Sequence[Reading], data_sets: Mapping[str, str]) -> dict[str, Any]:
    """What a table was made of, for its JSON file."""
    first = readings[0]
    return {
        "version": first.version,
        "denominator": first.metrics.denominator,
        "sample_rate": first.metrics.sample_rate,
        "songs": {song: data_sets[song] for song in sorted({reading.song for reading in readings} & set(data_sets))},
        "seconds": {reading.song: reading.metrics.num_samples / reading.metrics.sample_rate for reading in readings},
    }
