"""A second opinion on a match: the loss by a front end that the search did not use.

A search lowers one loss, and with it errors that only this loss measures. A match that fools one spectrogram shows in
another one with other bands and other windows.
"""

from __future__ import annotations

from torch import Tensor

from mixgraph.losses.match import MatchLoss
from mixgraph.losses.settings import LossSettings, make_match_loss
from mixgraph.losses.whole_song import SongTarget

_SECOND = {"mel": "nsgt"}
_OF_OTHERS = "mel"


def second_front_end(front_end: str) -> str:
    """Returns the front end for the second opinion on a search that used `front_end`.

    >>> second_front_end("mel"), second_front_end("nsgt")
    ('nsgt', 'mel')
    """
    return _SECOND.get(front_end, _OF_OTHERS)


def second_target(first: SongTarget) -> SongTarget:
    """Makes the target of the same mix by the second front end, on the CPU, with the same denominator and floor.

    Its features are made anew at every score: it is scored a few times in a search.
    """
    match: MatchLoss = first.match
    settings = LossSettings(denominator=match.denominator, front_end=second_front_end(match.front_end.name))
    mix: Tensor = first.mix.cpu()
    return SongTarget(make_match_loss(match.sample_rate, settings), mix, first.loudest is not None, max_bytes=0)
