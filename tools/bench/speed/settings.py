"""The settings of a run of the benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tools.bench.cases import Case, Kind
from tools.bench.kept_searches import Searches
from tools.bench.recipe import Recipe


@dataclass(frozen=True)
class Settings:
    """The settings that all parts share.

    Attributes:
        base: the case that the parts vary.
        tracks: the numbers of tracks of the consoles in the parts that are not sweeps.
        kinds: kinds of synthetic tracks, in the parts `step`, `evaluation` and `trial`; the others take the first.
        shares: shares of the processors that are left, in the part `step`.
        repeats: the number of times that everything is measured.
        trials: number of our trials for each sampler and repeat, and of the peer's for each sampler.
        songs: folders of real songs, for the parts `step` and `search`.
        extrapolate_songs: further such folders, whose searches by the peer are extrapolated, never run.
        recipe: numbers of steps and rounds of the searches.
        whole_peer_search: run the peer's searches of `songs` instead of extrapolating them.
        seeds: seeds of the searches.
        searches: the file that keeps the results of searches.
        schedule_tracks: the numbers of tracks of the consoles in the part `schedule`.
        sweep_tracks, sweep_shares, sweep_clips, sweep_seconds: the values of each sweep.
    """

    base: Case
    tracks: Sequence[int]
    kinds: Sequence[Kind]
    shares: Sequence[float]
    repeats: int
    trials: tuple[int, int]
    songs: Sequence[str]
    extrapolate_songs: Sequence[str]
    recipe: Recipe
    whole_peer_search: bool
    seeds: Sequence[int]
    searches: Searches
    schedule_tracks: Sequence[int]
    sweep_tracks: Sequence[int]
    sweep_shares: Sequence[float]
    sweep_clips: Sequence[float]
    sweep_seconds: Sequence[float]
