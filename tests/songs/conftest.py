"""Small songs on disk, made for each test."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

RATE = 8000


def noise(frames: int, channels: int = 1, seed: int = 0, level: float = 0.1) -> np.ndarray:
    """Seeded noise of shape (frames, channels)."""
    return level * np.random.default_rng(seed).standard_normal((frames, channels))


def save(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str | None = "FLOAT") -> Path:
    """Writes audio of shape (frames, channels), as float WAV unless told otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(str(path), samples, rate, subtype=subtype)
    return path


class Maker:
    """Writes songs of one second at 8 kHz below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    noise = staticmethod(noise)
    save = staticmethod(save)
    rate = RATE

    def folder(self, name: str = "song", settings: dict | None = None, tracks: int = 2, seed: int = 0) -> Path:
        """The plain layout: tracks named a_kick, b_bass, ..., whose sum is the stereo mix."""
        names = ["a_kick", "b_bass", "c_vox", "d_pad"][:tracks]
        parts = [noise(RATE, 1, seed + index) for index in range(tracks)]
        for name_, part in zip(names, parts, strict=True):
            save(self.root / name / "tracks" / f"{name_}.wav", part)
        save(self.root / name / "mix.wav", np.repeat(sum(parts), 2, axis=1))
        if settings is not None:
            (self.root / name / "song.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
        return self.root / name

    def medleydb(self, name: str = "Artist_Song") -> Path:
        """Two stems, of two and one raw recordings."""
        folder = self.root / name
        for index, file in enumerate(("01_01", "01_02", "02_01")):
            save(folder / f"{name}_RAW" / f"{name}_RAW_{file}.wav", noise(RATE, 1, index))
        save(folder / f"{name}_STEMS" / f"{name}_STEM_01.wav", noise(RATE, 2, 5))
        save(folder / f"{name}_MIX.wav", noise(RATE, 2, 6))
        metadata = {
            "artist": "Artist",
            "title": "Song",
            "mix_filename": f"{name}_MIX.wav",
            "raw_dir": f"{name}_RAW",
            "stem_dir": f"{name}_STEMS",
            "stems": {
                "S02": {
                    "filename": f"{name}_STEM_02.wav",
                    "instrument": "electric bass",
                    "raw": {"R01": {"filename": f"{name}_RAW_02_01.wav", "instrument": "electric bass"}},
                },
                "S01": {
                    "filename": f"{name}_STEM_01.wav",
                    "instrument": "drum set",
                    "raw": {
                        "R01": {"filename": f"{name}_RAW_01_01.wav", "instrument": "kick drum"},
                        "R02": {"filename": f"{name}_RAW_01_02.wav", "instrument": ["snare", "hat"]},
                    },
                },
            },
        }
        (folder / f"{name}_METADATA.yaml").write_text(yaml.safe_dump(metadata))
        return folder

    def mixing_secrets(self, name: str = "ArtistSong", offset: float = 0.0) -> Path:
        """Dry tracks that start `offset` seconds before the mix does."""
        folder = self.root / name
        late = round(abs(offset) * RATE)
        for index, file in enumerate(("01_Kick.wav", "02_Vox.wav")):
            save(folder / "Dry_Tracks" / file, noise(RATE + late, 1, index))
        save(folder / "mix.wav", noise(RATE, 2, 6))
        (folder / "correspondence.yaml").write_text("Drum: [01_Kick.wav]\nLV: [02_Vox.wav]\n")
        (folder / "alignment.json").write_text(f'{{"mix.wav": {offset}, "rough_mix.wav": 0.0}}')
        return folder

    def musdb(self, name: str = "Artist - Song", stems: tuple[str, ...] = ("vocals", "other", "bass", "drums")) -> Path:
        """Stereo stems beside the mixture."""
        for index, stem in enumerate((*stems, "mixture")):
            save(self.root / name / f"{stem}.wav", noise(RATE, 2, index))
        return self.root / name


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    """A maker of songs below the test's own folder."""
    return Maker(tmp_path)


@pytest.fixture
def edit_yaml() -> Callable[[Path, Callable[[dict], object]], None]:
    """Changes a YAML file in place."""

    def edit(path: Path, change: Callable[[dict], object]) -> None:
        content = yaml.safe_load(path.read_text())
        change(content)
        path.write_text(yaml.safe_dump(content))

    return edit
