"""Songs of unusual rates, lengths and numbers of tracks are searched to finite results."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from callbacks import IterativePruning, ResultFolder
from datamodules import SongData
from mixgraph.search import search
from mixgraph.search.module import ConsoleModule

pytestmark = pytest.mark.usefixtures("blank_pictures")

CLIP = 8000  # the compared part of a clip, `scored_seconds` below


def make(folder: Path, num_samples: int, rate: int = 8000, tracks: int = 2, channels: int = 2) -> Path:
    rng = np.random.default_rng(0)
    (folder / "tracks").mkdir(parents=True)
    mix = np.zeros((num_samples, channels))
    for number in range(tracks):
        audio = 0.1 * rng.standard_normal(num_samples)
        soundfile.write(folder / "tracks" / f"t{number}.wav", audio, rate, subtype="FLOAT")
        mix += audio[:, None] * (0.5 + 0.1 * number)
    soundfile.write(folder / "mix.wav", mix, rate, subtype="FLOAT")
    return folder


@pytest.mark.long
@pytest.mark.parametrize(
    ("song", "sample_rate", "num_samples"),
    [
        ({"num_samples": 16000, "tracks": 1}, 8000, 16000),
        ({"num_samples": 16000, "channels": 1}, 8000, 16000),
        ({"num_samples": CLIP - 1}, 8000, CLIP - 1),
        ({"num_samples": CLIP}, 8000, CLIP),
        ({"num_samples": CLIP + 1}, 8000, CLIP + 1),
        ({"num_samples": 192000, "rate": 192000}, 8000, 8000),
        ({"num_samples": 96000, "rate": 192000}, 192000, 96000),
    ],
)
def test_odd_songs_are_searched(song, sample_rate, num_samples, tmp_path) -> None:
    path = make(tmp_path / "song", **song)
    data = SongData(str(path), sample_rate=sample_rate, steps_per_stage=1, scored_seconds=1.0, cache_dir=None)
    pruning = IterativePruning(1, 1, leave_one_out=False)
    module = ConsoleModule("eg", "g", sample_rate=sample_rate)
    keeper = ResultFolder(str(tmp_path / "result"), page=False)
    search(module, data, [pruning, keeper], 2, "cpu", enable_progress_bar=False)
    metrics = json.loads((tmp_path / "result" / "metrics.json").read_text())
    assert (metrics["sample_rate"], metrics["num_samples"]) == (sample_rate, num_samples)
    assert len(metrics["tracks"]) == song.get("tracks", 2)
    assert all(torch.isfinite(p).all() for p in module.parameters())
    found, rate = soundfile.read(tmp_path / "result" / "mix_found.flac")
    assert (rate, len(found)) == (song.get("rate", 8000), song["num_samples"])
    assert np.isfinite(found).all()
    assert found.any()
