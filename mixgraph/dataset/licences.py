"""Decides whether the licence of a song allows copies of its audio."""

from __future__ import annotations

import re

_FREE = re.compile(
    r"(cc0|cc[ -]0|public domain|cc[ -]by([ -]sa)?|creative commons (zero|attribution([ -]sharealike)?))"
    r"([ -]?v?\d\.\d)?( international| unported| universal)?"
)


def may_share_audio(licence: str) -> bool:
    """Returns True if a licence is known to allow copies of the audio: CC0, CC BY, CC BY-SA or public domain.

    The check is conservative: text in parentheses is ignored, and anything but one of these names (NC, ND, two licences
    at once, no text) gives False.
    """
    plain = re.sub(r"\([^()]*\)", "", licence).strip().lower()
    return _FREE.fullmatch(re.sub(r"\s+", " ", plain)) is not None
