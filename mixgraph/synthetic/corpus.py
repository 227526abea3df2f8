"""Dry tracks of several songs as one collection, each in one split, and random excerpts of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torchaudio.functional as AF
from torch import Tensor

from mixgraph.songs.clips import cut
from mixgraph.songs.load import load_song
from mixgraph.songs.song import Song

SPLITS = ("train", "validation", "test")
DEFAULT_SHARES = {"train": 0.75, "validation": 0.1, "test": 0.15}
SPEEDS = ((1, 1), (9, 10), (10, 9), (8, 10), (10, 8))  # of varispeed, as new : old rate; the first is normal
_ATTEMPTS = 12
_AUDIBLE_RMS = 10 ** (-50 / 20)


@dataclass(frozen=True)
class DryTrack:
    """One dry track of a song.

    Attributes:
        song: the song's name.
        name: name of the track in its song.
        subgroup: the subgroup of the song that it belongs to.
        row: the row of the track in the song's sources.
        mono: True if both channels are equal.
        split: the only split whose samples may hold it.
    """

    song: str
    name: str
    subgroup: str
    row: int
    mono: bool
    split: str


@dataclass(frozen=True, eq=False)
class Corpus:
    """The tracks of several songs at one sample rate.

    Attributes:
        songs: the songs by name; their sources may be memory-mapped from files.
        tracks: all tracks that are not silent.
    """

    songs: Mapping[str, Song]
    tracks: tuple[DryTrack, ...]

    def of_split(self, split: str) -> tuple[DryTrack, ...]:
        return tuple(track for track in self.tracks if track.split == split)

    def excerpt(
        self, track: DryTrack, num_samples: int, generator: torch.Generator, varispeed: bool = False
    ) -> Tensor | None:
        """Draws a random excerpt of a track that is not silent, (2, num_samples); None if 12 attempts gave none.

        Args:
            track: a track of this corpus.
            num_samples: the length of the excerpt.
            generator: source of all randomness.
            varispeed: play the track at a random speed of `SPEEDS`, which moves pitch and tempo.
        """
        source = self.songs[track.song].sources[track.row]
        new, old = SPEEDS[_below(len(SPEEDS), generator)] if varispeed else SPEEDS[0]
        needed = -(-num_samples * old // new)
        for _ in range(_ATTEMPTS):
            start = _below(max(1, source.shape[-1] - needed + 1), generator)
            part = cut(source, start, needed)
            if float(part.square().mean().sqrt()) > _AUDIBLE_RMS:
                resampled = part if new == old else AF.resample(part, old, new)
                return cut(resampled, 0, num_samples)
        return None


def load_corpus(
    paths: Sequence[Path],
    sample_rate: int = 30000,
    cache_dir: Path = Path(".mixgraph_cache"),
    test_songs: Sequence[str] = (),
    shares: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Corpus:
    """Reads the songs' tracks, at the level of a search, and gives each one to a split.

    A song named in `test_songs` is held out whole; the tracks of the others are dealt out at random, in shares as exact
    as whole tracks allow. Sources are decoded once and mapped from files.

    Args:
        paths: folders of songs.
        sample_rate: the sample rate in Hz.
        cache_dir: the folder for decoded songs.
        test_songs: names of songs whose tracks are all in the test split.
        shares: split -> its share of the tracks.
        seed: seeds which track goes to which split.

    Raises:
        ValueError: a name in `test_songs` is no song, two songs have one name, or a split has no tracks.
        FileNotFoundError: no such song.
    """
    songs: dict[str, Song] = {}
    for path in paths:
        song = load_song(path, sample_rate, cache_dir=cache_dir, memory_limit_gb=0.0)
        if song.name in songs:
            raise ValueError(f"songs: two are named {song.name}; names of folders must differ")
        songs[song.name] = song
    if unknown := sorted(set(test_songs) - set(songs)):
        raise ValueError(f"test_songs: some of {', '.join(songs)} expected, got {', '.join(unknown)}")
    shares = dict(shares or DEFAULT_SHARES)
    audible = [
        (song.name, row)
        for song in songs.values()
        for row in range(len(song.tracks))
        if float(song.sources[row].abs().max()) > _AUDIBLE_RMS
    ]
    shared = [place for place in audible if place[0] not in test_songs]
    split_of = dict(zip(shared, _deal(shared, shares, seed), strict=True))
    tracks = []
    for name, row in audible:
        song = songs[name]
        group = next(g for g, members in song.subgroups.items() if song.tracks[row] in members)
        split = split_of.get((name, row), "test")
        tracks.append(DryTrack(name, song.tracks[row], group, row, song.mono[row], split))
    corpus = Corpus(songs, tuple(tracks))
    for split in SPLITS:
        if shares.get(split, 0) > 0 and not corpus.of_split(split):
            raise ValueError(f"songs: {len(tracks)} tracks leave none for the split {split!r}; give more songs")
    return corpus


def _deal(tracks: Sequence[tuple[str, int]], shares: Mapping[str, float], seed: int) -> list[str]:
    """Chooses a split for each (song, row): in random order, each goes to the split that lacks most tracks so far."""

    def luck(track: tuple[str, int]) -> tuple[str, bytes]:
        return track[0], hashlib.sha256(f"{seed}/{track[0]}/{track[1]}".encode()).digest()

    total = sum(shares.values())
    dealt: dict[tuple[str, int], str] = {}
    counts = dict.fromkeys(shares, 0)
    for number, track in enumerate(sorted(tracks, key=luck), 1):
        split = max(shares, key=lambda name: shares[name] / total * number - counts[name])
        counts[split] += 1
        dealt[track] = split
    return [dealt[track] for track in tracks]


def _below(count: int, generator: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=generator))
