"""The style of a mix in figures, and graphs that are moved towards a style without the song's own mix.

- `mix_statistics`: spectra, loudness and its range, crest and width of a mix, each differentiable.
- `distance`: how far two mixes are apart in them.
- `track_levels`: the level of every track in a mix, and graphs in which it stays within bounds.
- `module`: the search with that distance as its loss.
- `training_mixes`: the statistics of mixes that come with mixgraph, and their means for given instruments.
- `refine`: a graph that is moved towards statistics and pruned, without a target mix.
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
