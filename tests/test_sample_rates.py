"""A fit at 48 kHz: the rate has one source, and everything follows it."""

import json

import pytest
import torch

from callbacks import IterativePruning, ResultFolder
from datamodules import SongData
from mixgraph.search import search
from mixgraph.search.module import ConsoleModule

pytestmark = pytest.mark.usefixtures("blank_pictures")


@pytest.mark.long
def test_fit_at_48_khz(tiny_song, tmp_path) -> None:
    data = SongData(str(tiny_song), sample_rate=48000, steps_per_stage=2, scored_seconds=1.0)
    pruning = IterativePruning(1, 1, leave_one_out=False)
    module = ConsoleModule(sample_rate=48000)
    search(module, data, [pruning, ResultFolder(str(tmp_path / "r"), page=False)], 2, "cpu", enable_progress_bar=False)
    metrics = json.loads((tmp_path / "r" / "metrics.json").read_text())
    assert (metrics["sample_rate"], metrics["num_samples"]) == (48000, 3 * 48000)
    assert all(torch.isfinite(p).all() for p in module.parameters())
    assert module.processors["delay"].after == 2 * 48000 - 1
    assert module.processors["equalizer"].before == 1637  # 34 ms, as 1023 samples at 30 kHz
