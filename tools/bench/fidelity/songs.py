"""The songs of a measurement: folders, and synthetic ones that are written as folders first."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from mixgraph.graph import GraphValues
from mixgraph.songs import write_audio
from mixgraph.synthetic.song import make_synthetic_song
from mixgraph.system.files import write_atomically
from tools.bench.cases import song_name

_SYNTHETIC = re.compile(r"synthetic:(\d+):(\d+)")


@dataclass(frozen=True)
class MeasuredSong:
    """A song of a measurement; the graph that made its mix, `truth`, is known of synthetic ones."""

    name: str
    folder: Path
    truth: GraphValues | None = None


def measured_song(given: str, scratch: Path, seconds: float = 20.0) -> MeasuredSong:
    """The folder of a song, or `synthetic:TRACKS:SEED`, which is made and written to `scratch`.

    Raises:
        FileNotFoundError: no such folder.
    """
    match = _SYNTHETIC.fullmatch(given)
    if match is None:
        folder = Path(given).resolve()
        if not folder.is_dir():
            raise FileNotFoundError(f"{given}: a song's folder, or synthetic:TRACKS:SEED, is needed, got none")
        return MeasuredSong(song_name(str(folder)), folder)
    tracks, seed = map(int, match.groups())
    own = make_synthetic_song(seed, tracks, max(1, round(tracks / 3)), seconds)
    folder = scratch / f"synthetic_{tracks}_{seed}"
    write_audio(folder / "mix.wav", own.song.mix, own.song.sample_rate)
    for name, track in zip(own.song.tracks, own.song.sources, strict=True):
        write_audio(folder / "tracks" / f"{name}.wav", track, own.song.sample_rate)
    subgroups = {group: [f"{name}.wav" for name in names] for group, names in own.song.subgroups.items()}
    write_atomically(folder / "song.yaml", yaml.safe_dump({"subgroups": subgroups}, sort_keys=False).encode())
    return MeasuredSong(folder.name, folder, GraphValues(own.graph, own.parameters, own.weights))


def contents(folder: Path) -> str:
    """A digest of all files of a song's folder and of their names."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]
