"""Lightning datamodules over `mixgraph.songs` and `mixgraph.shards`."""

from datamodules.shards import GraphShards
from datamodules.song import SongData

__all__ = ["GraphShards", "SongData"]
