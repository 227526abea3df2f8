"""Dry tracks of several songs as one collection, each in one split, and random excerpts of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
import torchaudio.functional as AF
from torch import Tensor

from mixgraph.songs.align import TrackAlignment
from mixgraph.songs.clips import cut
from mixgraph.songs.load import load_song
from mixgraph.songs.song import Song
from mixgraph.synthetic import instruments
from mixgraph.synthetic.instruments import INSTRUMENTS, make_sheet, make_track
from mixgraph.system.files import write_atomically

SPLITS = ("train", "validation", "test")
DEFAULT_SHARES = {"train": 0.75, "validation": 0.1, "test": 0.15}
SPEEDS = ((1, 1), (9, 10), (10, 9), (8, 10), (10, 8))  # of varispeed, as new : old rate; the first is normal
INSTRUMENT_SECONDS = 30.0
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

    def together(
        self, pool: Sequence[DryTrack], count: int, num_samples: int, generator: torch.Generator
    ) -> list[tuple[DryTrack, Tensor]]:
        """Draws a place in a song, and up to `count` of the tracks of a pool that are not silent there.

        Args:
            pool: tracks of one song.
            count: the most tracks.
            num_samples: the length of the excerpt.
            generator: source of all randomness.

        Returns:
            The tracks and their excerpts, (2, num_samples); fewer than two where 12 attempts gave no more.
        """
        song = self.songs[pool[0].song]
        best: list[tuple[DryTrack, Tensor]] = []
        for _ in range(_ATTEMPTS):
            start = _below(max(1, song.num_samples - num_samples + 1), generator)
            parts = [(track, cut(song.sources[track.row], start, num_samples)) for track in pool]
            audible = [(t, part) for t, part in parts if float(part.square().mean().sqrt()) > _AUDIBLE_RMS]
            best = max(best, audible, key=len)
            if len(best) >= min(count, 2 if len(pool) < 4 else 3):
                break
        order = torch.randperm(len(best), generator=generator)[:count].tolist()
        return [best[i] for i in order]

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
    num_instrument_songs: int = 0,
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
        seed: seeds which track goes to which split, and the songs of instruments.
        num_instrument_songs: the number of songs made from formulas, see `instrument_song`, that are added.

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
    for number in range(num_instrument_songs):
        song = instrument_song(number, sample_rate, seed, cache_dir)
        if song.name in songs:
            raise ValueError(f"songs: {song.name} is the name of a song of instruments; rename the folder")
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


def instrument_song(number: int, sample_rate: int, seed: int, cache_dir: Path) -> Song:
    """A song of all instruments of `instruments`, from formulas: dry tracks of 30 seconds, whose mix is their sum.

    Args:
        number: songs of other numbers are other songs.
        sample_rate: in Hz.
        seed: seeds all random choices.
        cache_dir: the folder that keeps the audio, under a hash of the formulas' own text and of all arguments.
    """
    digest = hashlib.sha256(f"{seed}/instruments/{number}".encode()).digest()
    formulas = Path(instruments.__file__).read_bytes()
    name = hashlib.sha256(digest + formulas + str(sample_rate).encode()).hexdigest()[:20]
    file = Path(cache_dir) / f"instruments-{name}.safetensors"
    if not file.is_file():
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        sheet = make_sheet(round(INSTRUMENT_SECONDS * sample_rate), sample_rate, generator)
        tracks = {i.name: make_track(i, sheet, generator) for i in INSTRUMENTS}
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, safetensors.torch.save(tracks))
    tracks = safetensors.torch.load_file(file)
    names = tuple(instrument.name for instrument in INSTRUMENTS)
    rhythm = tuple(name for name in names if name in ("kick", "snare", "hats"))
    subgroups = {"drums": rhythm, "others": tuple(name for name in names if name not in rhythm)}
    order = [names.index(name) for members in subgroups.values() for name in members]
    sources = torch.stack([tracks[names[row]] for row in order])
    return Song(
        name=f"instruments_{number}",
        title=f"Instruments {number}",
        licence="made by mixgraph from formulas; no rights reserved",
        sample_rate=sample_rate,
        subgroups=subgroups,
        sources=sources,
        mix=sources.sum(dim=0),
        mono=tuple(not INSTRUMENTS[row].stereo for row in order),
        placements=((0, 1),) * len(order),
        level=1.0,
        alignment=tuple(TrackAlignment(0, 1, 1.0, names[row], False) for row in order),
        warnings=(),
        file_hashes={},
    )


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
