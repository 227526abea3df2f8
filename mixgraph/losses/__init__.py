"""Losses: match loss, whole-song scores, gain staging, sparsity."""

from mixgraph.losses.match import Denominator, Features, MatchLoss, MatchTerms
from mixgraph.losses.regularizers import gain_staging, sparsity, sparsity_ramp
from mixgraph.losses.whole_song import SongScore, SongTarget, clip_score

__all__ = [
    "Denominator",
    "Features",
    "MatchLoss",
    "MatchTerms",
    "SongScore",
    "SongTarget",
    "clip_score",
    "gain_staging",
    "sparsity",
    "sparsity_ramp",
]
