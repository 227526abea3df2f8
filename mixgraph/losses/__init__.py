"""Losses of a search.

- `match`: the match loss of two mixes (paper eq. 3-4).
- `distances`: distances of magnitudes, of all groups of bands together.
- `front_ends`: transforms of audio to magnitudes for it, by name; mel bands of STFTs.
- `nsgt_front_end`: bands of a nonstationary Gabor transform.
- `settings`: settings of the match loss, and the one place where it is made.
- `whole_song`: the match loss of a whole song, in windows; the published evaluation in clips.
- `second_opinion`: the match loss by a front end that the search did not use.
- `octaves`: levels by octave, which the match loss hardly hears at the low end.
- `regularizers`: gain staging and sparsity (paper eq. 5 and 8).
"""

from mixgraph.losses.front_ends import FRONT_ENDS, FlooredFrontEnd, FrontEnd, MelFrontEnd
from mixgraph.losses.match import Denominator, Features, MatchLoss, MatchTerms
from mixgraph.losses.nsgt_front_end import NsgtFrontEnd
from mixgraph.losses.octaves import octave_distance
from mixgraph.losses.regularizers import gain_staging, sparsity, sparsity_ramp
from mixgraph.losses.second_opinion import second_front_end, second_target
from mixgraph.losses.settings import LOSS, LossSettings, make_front_end, make_match_loss
from mixgraph.losses.whole_song import SongScore, SongTarget, clip_score

__all__ = [
    "FRONT_ENDS",
    "LOSS",
    "Denominator",
    "Features",
    "FlooredFrontEnd",
    "FrontEnd",
    "LossSettings",
    "MatchLoss",
    "MatchTerms",
    "MelFrontEnd",
    "NsgtFrontEnd",
    "SongScore",
    "SongTarget",
    "clip_score",
    "gain_staging",
    "make_front_end",
    "make_match_loss",
    "octave_distance",
    "second_front_end",
    "second_target",
    "sparsity",
    "sparsity_ramp",
]
