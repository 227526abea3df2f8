"""Lightning datamodules over `mixgraph.songs`, `mixgraph.blind`, `mixgraph.shards` and `mixgraph.demixing`."""

from .blind import BlindData
from .shards import GraphShards
from .song import SongData
from .stems import StemData
from .synthetic import SyntheticSongData

__all__ = ["BlindData", "GraphShards", "SongData", "StemData", "SyntheticSongData"]
