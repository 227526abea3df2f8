"""The files of a loaded song once more, at their own sample rate: read piece by piece, aligned as they were loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from mixgraph.dsp.resample import resample
from mixgraph.shipped import song_path
from mixgraph.songs.decode import decode, file_rate, stream
from mixgraph.songs.layouts import collect_files
from mixgraph.songs.load import hash_files
from mixgraph.songs.manifest import Problems, SongFiles, TrackFile
from mixgraph.songs.song import Song


def own_rate(song: Song) -> int:
    """Returns the sample rate in Hz of the file of a song's mix; the song's rate where it was not read from files."""
    return song.sample_rate if song.files is None else file_rate(song.files.mix)


SongRate = int | Literal["song"]
"""A sample rate in Hz, or that of the song's mix."""


def resolve_rate(
    sample_rate: SongRate, paths: Sequence[str | Path], layout: str = "auto", mix: str | Path | None = None
) -> tuple[int, list[str]]:
    """Returns a sample rate in Hz; for `"song"` that of the songs' mixes, and a line on files that have another one.

    Reads no more than which files the songs have, and how they begin.

    Args:
        sample_rate: in Hz, or `"song"`.
        paths: folders of songs; where `mix` is given, the folder of its dry tracks.
        layout: a name in `layouts.LAYOUTS`, or `"auto"`.
        mix: the file of the mix, if it is not in the folder of the (one) song.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: files that cannot be read, or mixes of several sample rates.
    """
    if sample_rate != "song":
        return sample_rate, []
    mixes: dict[int, list[str]] = {}
    others: Counter[int] = Counter()
    for path in paths:
        mix_file, tracks = _files_of(path, layout, mix)
        mixes.setdefault(file_rate(mix_file), []).append(str(path))
        others.update(file_rate(track.path) for track in tracks)
    if len(mixes) > 1:
        found = "; ".join(f"{rate} Hz: {', '.join(names)}" for rate, names in sorted(mixes.items()))
        raise ValueError(
            f"data.sample_rate: song: mixes of one rate are needed, got {found}. HINT: search them one by one, or give "
            "a number of Hz"
        )
    (rate,) = mixes
    odd = ", ".join(f"{count} at {other} Hz" for other, count in sorted(others.items()) if other != rate)
    resampled = f"; tracks are resampled to it: {odd}" if odd else ""
    return rate, [f"Sample rate of the search: {rate} Hz, that of the mix{resampled}."]


def _files_of(path: str | Path, layout: str, mix: str | Path | None) -> tuple[Path, list[TrackFile]]:
    """Returns the mix and the tracks of a song; problems beside a missing mix are told when the song is read."""
    folder = song_path(path).resolve()
    problems = Problems(folder)
    _, draft = collect_files(folder, layout, "auto", problems, None if mix is None else song_path(mix).resolve())
    if draft.mix is None:
        raise problems.error()
    return draft.mix, draft.tracks


class OwnRateSong:
    """The tracks and the mix of a song from its files, at any sample rate, at the files' own level.

    Tracks that have this rate are read as they are needed; others are resampled once, from their files.

    Args:
        song: a song that was read from files.
        sample_rate: the rate in Hz.

    Raises:
        ValueError: the song was not read from files, or they have changed since.
        FileNotFoundError: a file is missing.
    """

    def __init__(self, song: Song, sample_rate: int) -> None:
        self.files, self.sample_rate = _unchanged_files(song), sample_rate
        mix = decode(self.files.mix, sample_rate)
        self.mix = resample(mix.samples, mix.sample_rate, sample_rate).expand(2, -1)
        self._position = 0
        self._tracks = [
            _Track(track, sample_rate, song.sample_rate, place)
            for track, place in zip(self.files.tracks, song.placements, strict=True)
        ]

    def read(self, start: int, stop: int) -> Tensor:
        """Reads the samples [start, stop) of all tracks, (tracks, 2, stop - start); each call goes on after the last.

        Raises:
            ValueError: it does not go on there.
        """
        if start != self._position:
            raise ValueError(f"start: {self._position} is next, got {start}")
        self._position = stop
        return torch.stack([track.take(stop - start) for track in self._tracks])


class _Track:
    """A track that is read from its start to its end, zeros before and after."""

    def __init__(self, track: TrackFile, sample_rate: int, loaded_at: int, placement: tuple[int, int]) -> None:
        rate, (start, self.polarity) = file_rate(track.path), placement
        if start == track.read_offset(loaded_at, rate):  # as the file states it
            start = track.read_offset(sample_rate, rate)
        else:
            start = round(start * sample_rate / loaded_at)
        self.lead, self.skip = max(0, -start), max(0, start)
        self.pieces = stream(track.path) if rate == sample_rate else _resampled(track, sample_rate)
        self.left = torch.zeros(1, 0)

    def take(self, count: int) -> Tensor:
        """Returns the next samples, (2, count)."""
        taken = torch.zeros(2, count)
        done = min(self.lead, count)
        self.lead -= done
        while done < count:
            if self.left.shape[-1] == 0:
                piece = next(self.pieces, None)
                if piece is None:
                    break
                self.left, self.skip = piece[:, self.skip :], max(0, self.skip - piece.shape[-1])
            size = min(count - done, self.left.shape[-1])
            taken[:, done : done + size] = self.left[:, :size]
            self.left, done = self.left[:, size:], done + size
        return taken * self.polarity


def _resampled(track: TrackFile, sample_rate: int) -> Iterator[Tensor]:
    audio = decode(track.path, sample_rate)
    yield resample(audio.samples, audio.sample_rate, sample_rate)


def _unchanged_files(song: Song) -> SongFiles:
    if song.files is None:
        raise ValueError(f"{song.name}: a song that was read from files is needed")
    hashes = hash_files(song.files)
    if hashes != song.file_hashes:
        names = [name for name, digest in hashes.items() if song.file_hashes.get(name) != digest]
        raise ValueError(f"{song.files.folder}: {', '.join(names)} changed since the song was read")
    return song.files
