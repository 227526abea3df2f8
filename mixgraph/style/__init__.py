"""The style of a mix in figures, and graphs that are moved towards a style without the song's own mix.

- `mix_statistics`: spectra, loudness and its range, crest and width of a mix, each differentiable.
- `distance`: how far two mixes are apart in them.
- `track_levels`: the level of every track in a mix, and graphs in which it stays within bounds.
- `module`: the search with that distance as its loss.
- `training_mixes`: the statistics of mixes that come with mixgraph, and their means for given instruments.
- `refine`: a graph that is moved towards statistics and pruned, without a target mix.
- `judging`: how far a mix is from an engineer's, in levels, panning and sound.
- `baseline_graphs`: mixes that know nothing of a song but the loudness and the instrument of its tracks.
- `evaluation`: judges baselines and answers on songs; tables and a picture.
- `listening_test`: excerpts of one loudness, anchors, and a configuration for webMUSHRA.
"""

from mixgraph.style.distance import StatisticsDistance, StatisticsWeights, statistics_distance
from mixgraph.style.mix_statistics import MixStatistics, mix_statistics

__all__ = [
    "MixStatistics",
    "StatisticsDistance",
    "StatisticsWeights",
    "mix_statistics",
    "statistics_distance",
]
