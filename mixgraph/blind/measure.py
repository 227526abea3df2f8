"""Measures a reference state from multitrack songs: the dry tracks of each instrument, summed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import torch

from mixgraph.blind.normalise import is_silent, loudness
from mixgraph.blind.reference import BANDS_HZ, InstrumentState, ReferenceSong, ReferenceState
from mixgraph.blind.spectrum import band_levels_db
from mixgraph.demixing.stem_songs import read_stem_song
from mixgraph.songs.layouts import look_for_songs, song_files

INSTRUMENTS = ("vocals", "drums", "bass", "other")
SAMPLE_RATE = 44100


def measure_reference(
    songs: Sequence[Path], cache_dir: Path, instruments: Sequence[str] = INSTRUMENTS, sample_rate: int = SAMPLE_RATE
) -> ReferenceState:
    """Measures the mean loudness and the mean spectrum of instruments over songs, each song with the same weight.

    The tracks of an instrument are found by the rule of the demixer (`songs.stem_rule`), summed as they are, and taken
    to one channel; instruments that are silent in a song are left out of it.

    Args:
        songs: folders of multitrack songs, or of stems.
        cache_dir: folder for sums of tracks.
        instruments: names of instruments.
        sample_rate: in Hz.

    Raises:
        FileNotFoundError, ValueError: a song cannot be read, or none has any of the instruments.
    """
    heard: dict[str, list[tuple[str, float, tuple[float | None, ...]]]] = {name: [] for name in instruments}
    sources = []
    for folder in songs:
        song = read_stem_song(folder, instruments, sample_rate, cache_dir)
        stems = [song.read(row, 0, song.num_samples) for row in range(len(song.sources))]
        whole = torch.stack(stems).sum(0)
        if is_silent(whole, sample_rate):
            raise ValueError(f"{folder}: a song that sounds is needed, got a silent one")
        whole_lufs = loudness(whole, sample_rate)
        for name, stem in zip(instruments, stems, strict=False):  # the last stem is of no instrument
            levels = band_levels_db(stem.mean(0), sample_rate)
            if levels is not None and not is_silent(stem, sample_rate):
                heard[name].append((song.name, loudness(stem, sample_rate) - whole_lufs, levels))
        sources.append(ReferenceSong(song.name, _licence(folder), round(song.num_samples / sample_rate, 2)))
    states = {name: _mean_state(rows) for name, rows in heard.items() if rows}
    if not states:
        raise ValueError(f"songs: some that have {', '.join(instruments)} are needed, got none")
    return ReferenceState(states, tuple(sources))


def _licence(folder: Path) -> str:
    songs, _ = look_for_songs(folder)
    return song_files(folder).licence if folder in songs else "not stated"


def _mean_state(rows: Sequence[tuple[str, float, tuple[float | None, ...]]]) -> InstrumentState:
    loudnesses = [loudness_lu for _, loudness_lu, _ in rows]
    levels: list[float | None] = []
    for band in range(len(BANDS_HZ)):
        known = [level for _, _, row in rows if (level := row[band]) is not None]
        levels.append(round(statistics.fmean(known), 2) if known else None)
    spread = round(statistics.pstdev(loudnesses), 2)
    return InstrumentState(
        round(statistics.fmean(loudnesses), 2), spread, tuple(levels), tuple(name for name, _, _ in rows)
    )
