"""Lightning datamodules over `mixgraph.songs`."""

from datamodules.song import SongData

__all__ = ["SongData"]
