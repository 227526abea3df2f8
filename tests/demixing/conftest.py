"""Small folders of stems, and what is trained on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 8000
TARGETS = ("vocals", "drums", "bass", "other")


def stem(target: str, seconds: float, seed: int) -> np.ndarray:
    """A stem that is told from the others by its pitch, (samples, 2)."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    if target == "drums":
        mono = rng.standard_normal(len(t)) * np.exp(-20 * (t % 0.25))
    else:
        hertz = {"vocals": 900.0, "bass": 250.0, "other": 2200.0}[target] * 2 ** (seed / 24)
        mono = np.sin(2 * np.pi * hertz * t) * (0.6 + 0.4 * np.sin(2 * np.pi * (1 + seed % 3) * t))
    return 0.2 * np.stack([mono, mono * 0.7], axis=1)


def make_stems(folder: Path, seed: int = 0, seconds: float = 3.0, mixture: bool = True) -> Path:
    """A song in the layout of MUSDB18-HQ; its mixture is not the sum of its stems, so that a reader of it is caught."""
    folder.mkdir(parents=True)
    for target in TARGETS:
        soundfile.write(folder / f"{target}.wav", stem(target, seconds, seed), RATE, subtype="FLOAT")
    if mixture:
        noise = np.random.default_rng(9).standard_normal((round(seconds * RATE), 2)) * 0.1
        soundfile.write(folder / "mixture.wav", noise, RATE, subtype="FLOAT")
    return folder


@pytest.fixture(scope="session")
def stem_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MUSDB18-HQ in small: three songs in `train`, one in `test`."""
    root = tmp_path_factory.mktemp("musdb")
    for number in range(3):
        make_stems(root / "train" / f"song{number}", number)
    make_stems(root / "test" / "unseen", 7)
    return root
