"""Lightning datamodules over `mixgraph.songs` and `mixgraph.shards`."""

from .shards import GraphShards
from .song import SongData
from .synthetic import SyntheticSongData

__all__ = ["GraphShards", "SongData", "SyntheticSongData"]
