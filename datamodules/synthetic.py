"""A data module for a synthetic song with a known graph."""

from __future__ import annotations

from functools import cached_property

from mixgraph.songs import Song
from mixgraph.songs.training_clips import StartRange
from mixgraph.synthetic.song import SyntheticSong, make_synthetic_song

from .song import SongData


class SyntheticSongData(SongData):
    """Random clips of a synthetic song, mixed by this library's processors; its graph is in `truth`.

    Args:
        song_seed: seeds the song and its graph.
        num_tracks: the number of tracks, at least two for each subgroup.
        num_subgroups: the number of subgroups, which are of about equal size.
        seconds: the length of the song.
        tolerance: removing any processor of the truth raises the match loss by at least twice as much.
        density: share of the full console's processors that the truth starts from.
        sample_rate: the sample rate in Hz.
        steps_per_stage: the number of clips of a stage (an epoch).
        warm_up_seconds: the start of each clip, which is rendered but not compared with the mix.
        scored_seconds: the length of the rest of each clip, which is compared with the mix.
        starts: the rule for the random starts of training clips, see `ClipReader`.
        seed: seeds the random starts of training clips.
    """

    def __init__(
        self,
        song_seed: int = 0,
        num_tracks: int = 6,
        num_subgroups: int = 2,
        seconds: float = 20.0,
        tolerance: float = 0.01,
        density: float = 0.4,
        sample_rate: int = 30000,
        steps_per_stage: int = 500,
        warm_up_seconds: float = 1.0,
        scored_seconds: float = 2.8,
        starts: StartRange = "even",
        seed: int = 42,
    ) -> None:
        super().__init__(
            path=f"synthetic_{song_seed}",  # names the song in messages; nothing is read from it
            sample_rate=sample_rate,
            steps_per_stage=steps_per_stage,
            warm_up_seconds=warm_up_seconds,
            scored_seconds=scored_seconds,
            starts=starts,
            seed=seed,
        )
        self.song_seed, self.num_tracks, self.num_subgroups = song_seed, num_tracks, num_subgroups
        self.seconds, self.tolerance, self.density = seconds, tolerance, density

    @cached_property
    def truth(self) -> SyntheticSong:
        """The song with the graph that made it, made on first use."""
        return make_synthetic_song(
            self.song_seed,
            self.num_tracks,
            self.num_subgroups,
            self.seconds,
            self.sample_rate,
            self.tolerance,
            self.density,
        )

    def read(self) -> tuple[Song, ...]:
        return (self.truth.song,)
