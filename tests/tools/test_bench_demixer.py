"""The bench of demixers: runs share a file of scores, go on after a kill, and become a table."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from mixgraph.demixing import Demixer, DemixerTransform, NetworkSettings
from mixgraph.demixing.batches import StemBatch
from tests.demixing.conftest import RATE, make_stems
from tools.bench import demixer
from tools.result_tables import read_table

TINY = {
    "transform": DemixerTransform(num_bands=14, low_hz=150.0, slice_samples=256, sample_rate=RATE),
    "network": NetworkSettings(4, 2, 1, exchange=2),
}


def line(row: str, seed: int, minutes: float, median: float) -> dict:
    about = {"row": row, "seed": seed, "budget": 10.0, "parameters": 1500000}
    sdr = {"a": {"bass": median, "drums": median + 1, "other": None}}
    return about | {"minutes": minutes, "steps": 7, "median": median, "silent": 1, "sdr": sdr}


def test_runs_share_a_file_and_replace_their_own_lines(tmp_path: Path) -> None:
    scores = tmp_path / "scores.jsonl"
    for seed in (0, 1, 0):
        about = {"row": "ours", "seed": seed, "budget": 10.0, "parameters": 1500000}
        demixer.keep_lines(scores, about, [line("ours", seed, 5.0, 1.0 + seed), line("ours", seed, 10.0, 2.0)])
    assert [(each["seed"], each["minutes"]) for each in demixer.read_lines(scores)] == [
        (1, 5),
        (1, 10),
        (0, 5),
        (0, 10),
    ]
    about = {"row": "published", "seed": 0, "budget": 10.0, "parameters": 1500000}
    demixer.keep_lines(scores, about, [line("published", 0, 5.0, -1.0)])
    (tmp_path / "steps.json").write_text(json.dumps([{"row": "ours", "seconds": 0.5}]))
    (tmp_path / "run").mkdir()
    run = {"command": "python -m tools.bench.demixer train", "commit": "a" * 7, "machine": "m", "date": "2026-11-30"}
    (tmp_path / "run" / "measured.json").write_text(json.dumps(run))
    demixer.main(["table", f"--out={tmp_path}", f"--to={tmp_path / 'table.json'}"])
    table = read_table(tmp_path / "table.json")
    assert table.rows[0] == ("ours", "10", "0", "1.50", "0.50", "7", "2.00", "2.50", "1.0, 2.0")
    assert table.rows[2] == ("published", "10 (stopped at 5)", "0", "1.50", "-", "7", "-1.00", "-0.50", "-1.0")


def test_stems_of_demixers_stand_beside_ideal_masks(tmp_path: Path) -> None:
    for name, value in (("ours", 3.0), ("published", 2.0)):
        sdr = {"demixer": value, "mix as it is": -4.0, "ratio mask, sliCQT": 9.0}
        song = {
            "song": "a",
            "sdr_db": {column: {"bass": number, "drums": None} for column, number in sdr.items()},
            "loudness_lu": {"bass": -0.5, "drums": None},
            "leakage_db": {"bass": -value, "drums": None},
        }
        report = {"measure": "SDR", "targets": ["bass", "drums"], "songs": [song], "median_db": dict.fromkeys(sdr)}
        (tmp_path / f"{name}.json").write_text(json.dumps(report))
    files = [f"{name}={tmp_path / name}.json" for name in ("ours", "published")]
    demixer.main(["stems", *files, f"--to={tmp_path / 'table.json'}"])
    table = read_table(tmp_path / "table.json")
    assert table.columns[:6] == ("song", "target", "mix as it is", "ours", "published", "ratio mask, sliCQT")
    assert table.rows[0] == ("a", "bass", "-4.0", "3.0", "2.0", "9.0", "-0.5", "-3.0", "-0.5", "-2.0")
    assert table.rows[1] == ("a", "drums", *["-"] * 8)
    with pytest.raises(ValueError, match="scores: NAME=FILE is needed, got ours"):
        demixer.main(["stems", "ours", f"--to={tmp_path / 'table.json'}"])
    assert table.measured[0].command.endswith("--songs a")
    other = json.loads((tmp_path / "published.json").read_text())
    other["songs"][0]["song"] = "b"
    (tmp_path / "published.json").write_text(json.dumps(other))
    with pytest.raises(ValueError, match="as in the first report are needed, got others in published"):
        demixer.main(["stems", *files, f"--to={tmp_path / 'table.json'}"])


def test_changes_are_applied_to_a_rows_settings() -> None:
    settings = demixer.settings_of("causal", '{"network": {"width": 8}, "masks": "sigmoid"}')
    assert settings["network"] == NetworkSettings(width=8, causal=True)
    assert settings["masks"] == "sigmoid"
    assert demixer.settings_of("ours", None) == {}


@pytest.mark.parametrize("row", demixer.LADDER)
def test_every_rung_of_the_ladder_takes_a_step(row: str) -> None:
    torch.manual_seed(0)
    module = Demixer(**(demixer.ROWS[row] | {"transform": TINY["transform"]}))
    targets = 0.1 * torch.randn(1, 4, 2, RATE // 2)
    module.terms(StemBatch(targets, targets.sum(1), ()))["loss"].backward()
    assert all(bool(p.grad.isfinite().all()) for p in module.network.parameters() if p.grad is not None)


def test_every_rung_differs_from_the_one_before_in_one_setting() -> None:
    for before, after in pairwise(demixer.LADDER.values()):
        changed = [name for name in after if after[name] != before.get(name)]
        assert len(changed) == 1, changed


@pytest.mark.long
def test_a_stopped_run_goes_on_from_its_last_score(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(demixer.ROWS, "ours", TINY)
    for number in range(2):
        make_stems(tmp_path / "songs" / f"song{number}", number)
    words = ["train", "ours", f"{tmp_path / 'songs'}", "--left-out", "song1", f"--out={tmp_path}", "--synthetic=1"]
    words += ["--batch-size=1", "--chunk-seconds=0.5", "--every=0.02", "--minutes=0.06"]
    keep = demixer.TimedTraining.on_train_batch_end

    def stops(self, trainer, *rest) -> None:
        keep(self, trainer, *rest)
        if len(self.lines) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(demixer.TimedTraining, "on_train_batch_end", stops)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            demixer.main(words)
    before = demixer.read_lines(tmp_path / "scores.jsonl")
    assert len(before) == 2
    demixer.main(words)
    after = demixer.read_lines(tmp_path / "scores.jsonl")
    assert after[:2] == before
    assert len(after) == 3
    assert after[2]["steps"] > before[1]["steps"]
    demixer.main(words)  # is done
    assert demixer.read_lines(tmp_path / "scores.jsonl") == after
    assert (tmp_path / "ours_0_0.06" / "measured.json").is_file()
