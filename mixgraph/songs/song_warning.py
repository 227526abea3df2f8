"""What is unusual about a song, for a person (a sentence) and for a program (a code)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SongWarning:
    """One thing that is unusual about a song.

    Attributes:
        code: the kind of warning, the same in every version: `not_audio` and `not_listed` (a file that is left out),
            `unused_subgroups`, `empty_subgroup` and `several_subgroups` (a track that belongs to more than one),
            `unusual_offset` (that the data set states), `silent_mix`, `short_mix`, `silent_track`, `cut_track` (it
            sounds before or after the mix), `common_offset` (of all tracks) and `track_offset` (or its polarity),
            `normalised_stems` (the tracks are stems of the mix in a reference state), and `group_target` (a stem that
            is no target, or was changed to be one). Songs without a mix: `mix_not_used`, and `clipped_track` (it is cut
            off at its peaks).
        text: the sentence.
    """

    code: str
    text: str

    def __str__(self) -> str:
        return self.text
