"""Lightning datamodules over `mixgraph.songs`, `mixgraph.shards` and `mixgraph.demixing`."""

from .shards import GraphShards
from .song import SongData
from .stems import StemData
from .synthetic import SyntheticSongData

__all__ = ["GraphShards", "SongData", "StemData", "SyntheticSongData"]
