"""Whether the licence of a song allows its audio to be passed on."""

from __future__ import annotations

import re

_FREE = re.compile(
    r"(cc0|cc[ -]0|public domain|cc[ -]by([ -]sa)?|creative commons (zero|attribution([ -]sharealike)?))"
    r"([ -]?v?\d\.\d)?( international| unported| universal)?"
)


def may_share_audio(licence: str) -> bool:
    """Whether a licence is known to allow copies of the audio: CC0, CC BY, CC BY-SA or the public domain.

    Conservative: what follows in parentheses is ignored, and anything else that is not one of these names (NC, ND, two
    licences at once, nothing at all) is a no.
    """
    plain = re.sub(r"\([^()]*\)", "", licence).strip().lower()
    return _FREE.fullmatch(re.sub(r"\s+", " ", plain)) is not None
