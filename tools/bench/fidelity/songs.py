"""The songs of a measurement: folders, and synthetic ones that are written as folders first."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from mixgraph.graph import GraphValues
from mixgraph.songs import write_audio
from mixgraph.synthetic.song import SyntheticSong, make_synthetic_song
from mixgraph.system.files import write_atomically
from tools.bench.cases import song_name

_SYNTHETIC = re.compile(r"synthetic:(\d+):(\d+)")


@dataclass(frozen=True)
class SyntheticOptions:
    """The options of synthetic songs besides their tracks and seed.

    Attributes:
        seconds: length of the song, at least 2.
        subgroups: number of subgroups; None makes a third as many as there are tracks.
        density: share of the full console's processors that the graph starts from.
        tolerance: removing any processor of the graph raises the match loss by at least twice as much.
    """

    seconds: float = 20.0
    subgroups: int | None = None
    density: float = 0.4
    tolerance: float = 0.01


@dataclass(frozen=True, eq=False)
class MeasuredSong:
    """A song of a measurement.

    Attributes:
        name: name of the song's folder.
        folder: the folder of its tracks and its mix.
        synthetic: the song with the graph that made its mix; None for a song that is not synthetic.
    """

    name: str
    folder: Path
    synthetic: SyntheticSong | None = None

    @property
    def truth(self) -> GraphValues | None:
        """The graph that made the mix, or None if the song is not synthetic."""
        synthetic = self.synthetic
        return None if synthetic is None else GraphValues(synthetic.graph, synthetic.parameters, synthetic.weights)


_DEFAULTS = SyntheticOptions()


def measured_song(text: str, scratch: Path, options: SyntheticOptions = _DEFAULTS) -> MeasuredSong:
    """Looks up a song's folder, or makes a synthetic song.

    Args:
        text: the folder of a song, or `synthetic:TRACKS:SEED`.
        scratch: folder that synthetic songs are written to.
        options: the options of synthetic songs.

    Raises:
        FileNotFoundError: the folder does not exist.
    """
    match = _SYNTHETIC.fullmatch(text)
    if match is None:
        folder = Path(text).resolve()
        if not folder.is_dir():
            raise FileNotFoundError(f"{text}: a song's folder, or synthetic:TRACKS:SEED, is needed, got none")
        return MeasuredSong(song_name(str(folder)), folder)
    tracks, seed = map(int, match.groups())
    num_subgroups = options.subgroups or max(1, round(tracks / 3))
    synthetic = make_synthetic_song(
        seed, tracks, num_subgroups, options.seconds, tolerance=options.tolerance, density=options.density
    )
    folder = scratch / f"synthetic_{tracks}_{seed}"
    write_audio(folder / "mix.wav", synthetic.song.mix, synthetic.song.sample_rate)
    for name, track in zip(synthetic.song.tracks, synthetic.song.sources, strict=True):
        write_audio(folder / "tracks" / f"{name}.wav", track, synthetic.song.sample_rate)
    subgroups = {group: [f"{name}.wav" for name in names] for group, names in synthetic.song.subgroups.items()}
    write_atomically(folder / "song.yaml", yaml.safe_dump({"subgroups": subgroups}, sort_keys=False).encode())
    return MeasuredSong(folder.name, folder, synthetic)


def digest_of_files(folder: Path) -> str:
    """A digest of all files of a song's folder and of their names."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]
