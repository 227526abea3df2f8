"""A search from a kept console finds what a search from the start finds."""

import json

import pytest

from callbacks import IterativePruning, ResultFolder
from datamodules import SongData
from mixgraph.results import CHECKPOINT, CONSOLE
from mixgraph.search.module import ConsoleModule
from mixgraph.search.run import search
from mixgraph.search.settings import OptimizerSettings

pytestmark = pytest.mark.usefixtures("blank_pictures")


def find(song, folder, sampler, tolerance, checkpoint=None, keep_moments=True, keep_console=False):
    data = SongData(str(song), sample_rate=8000, steps_per_stage=3, scored_seconds=1.0, cache_dir=None)
    module = ConsoleModule("eg", "g", sample_rate=8000, optimizer=OptimizerSettings(keep_moments=keep_moments))
    pruning = IterativePruning(2, 2, sampler=sampler, tolerance=tolerance, order="random", leave_one_out=False)
    result = ResultFolder(str(folder), page=False, keep_console=keep_console)
    search(module, data, [pruning, result], 4, "cpu", checkpoint, enable_progress_bar=False)
    return folder


@pytest.mark.long
@pytest.mark.parametrize("keep_moments", [True, False])
def test_other_samplers_from_a_kept_console_are_as_from_the_start(tiny_song, tmp_path, keep_moments) -> None:
    kept = find(tiny_song, tmp_path / "kept", "hybrid", 0.01, keep_moments=keep_moments, keep_console=True)
    assert (kept / CONSOLE).is_file()
    assert not (kept / CHECKPOINT).exists()
    start = find(tiny_song, tmp_path / "start", "dry_wet", 0.1, keep_moments=keep_moments)
    assert not (start / CONSOLE).exists()
    joined = find(tiny_song, tmp_path / "joined", "dry_wet", 0.1, str(kept / CONSOLE), keep_moments)
    for name in ("graph.json", "parameters.safetensors", "metrics.json", "trace.jsonl", "log.csv", "mix_found.flac"):
        assert (joined / name).read_bytes() == (start / name).read_bytes(), name
    assert "goes on after stage 2" in (joined / "search.log").read_text().splitlines()[0]
    rounds = [
        row for row in map(json.loads, (joined / "trace.jsonl").read_text().splitlines()) if row["kind"] == "round"
    ]
    assert len(rounds) == 2
