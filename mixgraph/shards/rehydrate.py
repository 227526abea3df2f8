"""Adds audio to data sets without audio: finds the tracks in the user's copy of the songs, by name and hash.

The audio is read as a search reads it: a file is decoded and resampled, two equal channels count as one, it is read
from the stored first sample on with the stored polarity, padded or cut to the mix's length, and scaled to the level of
the search. The result equals that of `songs.load_song`, bit for bit.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mixgraph.names import normal_form
from mixgraph.shards.sample import GraphSample
from mixgraph.songs import resample
from mixgraph.songs.clips import cut
from mixgraph.songs.decode import decode
from mixgraph.songs.formats import is_audio_file
from mixgraph.system.files import file_sha256

MIX_ROW = -1


@dataclass(frozen=True)
class FileAudio:
    """The audio of a sample, read from files that were found; files are decoded whole, and the last 32 are cached.

    Attributes:
        files: the files of the tracks, in order, then that of the mix.
        placements: (first sample read, polarity) of each track.
        sample_rate: the sample rate in Hz, to which files are resampled.
        level: the factor on all audio.
        excerpt_start: the start of the excerpt in the song, in samples.
        num_samples: the length of the excerpt, in samples.
        song_num_samples: the length of the song, in samples.
    """

    files: tuple[Path, ...]
    placements: tuple[tuple[int, int], ...]
    sample_rate: int
    level: float
    excerpt_start: int
    num_samples: int
    song_num_samples: int

    def tracks(self, start: int, stop: int) -> Tensor:
        first, last = max(start, 0), min(stop, self.num_samples)
        out = torch.zeros(len(self.placements), 2, stop - start)
        if last > first:
            for row, (offset, polarity) in enumerate(self.placements):
                audio = _decoded(self.files[row], self.sample_rate)
                part = cut(audio, offset + self.excerpt_start + first, last - first) * polarity
                out[row, :, first - start : last - start] = part * self.level
        return out

    def mix(self, start: int, stop: int) -> Tensor:
        audio = _decoded(self.files[MIX_ROW], self.sample_rate)
        if audio.shape[-1] != self.song_num_samples:
            raise ValueError(
                f"{self.files[MIX_ROW]}: {self.song_num_samples} samples at {self.sample_rate} Hz are needed, got "
                f"{audio.shape[-1]}"
            )
        first, last = max(start, 0), min(stop, self.num_samples)
        out = torch.zeros(2, stop - start)
        if last > first:
            out[:, first - start : last - start] = cut(audio, self.excerpt_start + first, last - first) * self.level
        return out


@lru_cache(maxsize=32)
def _decoded(path: Path, sample_rate: int) -> Tensor:
    audio = decode(path, sample_rate)
    samples = audio.samples
    if samples.shape[0] == 2 and torch.equal(samples[0], samples[1]):
        samples = samples[:1]
    return resample(samples, audio.sample_rate, sample_rate)


class SongFinder:
    """Finds audio files below folders by name and sha256; a file is hashed once, and only where its name fits.

    Args:
        roots: folders that hold the songs, at any depth. Links to folders are followed, each folder once.

    Raises:
        FileNotFoundError: a root is not a folder.
    """

    def __init__(self, roots: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> None:
        several = [roots] if isinstance(roots, str | os.PathLike) else list(roots)
        self.roots = tuple(Path(root) for root in several)
        self._by_name: dict[str, list[Path]] = {}
        self._hashes: dict[Path, str] = {}
        seen: set[str] = set()
        for root in self.roots:
            if not root.is_dir():
                raise FileNotFoundError(f"audio_root: {root} is not a folder")
            for folder, below, names in os.walk(root, followlinks=True):
                real = os.path.realpath(folder)
                if real in seen:
                    below.clear()
                    continue
                seen.add(real)
                for name in sorted(names):
                    path = Path(folder) / name
                    if is_audio_file(path):
                        self._by_name.setdefault(normal_form(name), []).append(path)

    def rehydrate(self, sample: GraphSample) -> GraphSample:
        """Returns the sample with audio; a sample that has audio is returned unchanged.

        Raises:
            FileNotFoundError: files were not found; the message lists all of them.
        """
        if sample.audio is not None:
            return sample
        files, missing = self.locate(sample.meta)
        if missing:
            raise FileNotFoundError(self.message({sample.key: missing}))
        return replace(sample, audio=file_audio(sample.meta, files))

    def locate(self, meta: Mapping[str, Any]) -> tuple[list[Path], list[str]]:
        """Returns the files of a sample's tracks and mix that were found, and a line for each missing file."""
        files: list[Path] = []
        missing: list[str] = []
        for what, entry in _needed(meta):
            if entry["file"] is None or entry["sha256"] is None:
                missing.append(f"{what}: its meta.json names no file")
                continue
            name, digest = normal_form(entry["file"]), entry["sha256"]
            candidates = self._by_name.get(name.rsplit("/", 1)[-1], [])
            likely = sorted(candidates, key=lambda path: not normal_form(path.as_posix()).endswith(f"/{name}"))
            match = next((path for path in likely if self._hash(path) == digest), None)
            if match is None:
                others = f"{len(candidates)} of that name, but with other content" if candidates else "no such name"
                missing.append(f"{name} (sha256 {digest[:12]}...): {others}")
            else:
                files.append(match)
        return files, missing

    def message(self, missing: Mapping[str, list[str]]) -> str:
        """Returns an error message about files that were not found, sample by sample."""
        roots = ", ".join(map(str, self.roots))
        lines = [f"- {key}: {line}" for key, rows in missing.items() for line in rows]
        return "\n".join([f"audio_root: {len(lines)} files were not found below {roots}", *lines])

    def _hash(self, path: Path) -> str:
        if path not in self._hashes:
            self._hashes[path] = file_sha256(path)
        return self._hashes[path]


def _needed(meta: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for track in meta["tracks"]:
        yield f"track {track['name']}", track
    yield "the mix", meta["mix"]


def file_audio(meta: Mapping[str, Any], files: Iterable[Path]) -> FileAudio:
    """Makes the audio of a sample from its files: those of the tracks in order, then that of the mix."""
    return FileAudio(
        tuple(files),
        tuple((track["start_sample"], track["polarity"]) for track in meta["tracks"]),
        meta["sample_rate"],
        meta["level"],
        meta["excerpt_start"],
        meta["num_samples"],
        meta["song_num_samples"],
    )
