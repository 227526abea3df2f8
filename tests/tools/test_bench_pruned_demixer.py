"""The bench of pruned demixers: a row for every strategy beside the network as it was and trained on; a table."""

from pathlib import Path

import pytest
import torch

from mixgraph.demixing import Demixer, DemixerTransform, NetworkSettings, load_demixer, save_demixer
from tests.demixing.conftest import RATE, make_stems
from tools.bench import pruned_demixer
from tools.bench.demixer import read_lines
from tools.result_tables import read_table


@pytest.mark.long
def test_every_strategy_has_a_row_and_is_run_once(tmp_path: Path, monkeypatch, capsys) -> None:
    for number in range(2):
        make_stems(tmp_path / "songs" / f"song{number}", number)
    torch.manual_seed(0)
    transform = DemixerTransform(num_bands=14, low_hz=150.0, slice_samples=256, sample_rate=RATE)
    save_demixer(Demixer(transform=transform, network=NetworkSettings(8, 4, 1, exchange=4)), tmp_path / "whole.ckpt")
    words = ["run", f"{tmp_path / 'whole.ckpt'}", f"{tmp_path / 'songs'}", "--left-out", "song1", f"--out={tmp_path}"]
    words += ["--synthetic=0", "--batch-size=1", "--chunk-seconds=0.5", "--steps=6"]
    monkeypatch.setattr(pruned_demixer, "_KEEP_SECONDS", 0.0)
    with monkeypatch.context() as patch:  # killed in the middle of the first run
        scores_of, calls = pruned_demixer.scores_of, []

        def stops(*arguments):
            calls.append(1)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return scores_of(*arguments)

        patch.setattr(pruned_demixer, "scores_of", stops)
        with pytest.raises(KeyboardInterrupt):
            pruned_demixer.main(words)
    assert (tmp_path / "once_1_6.state").is_file()
    pruned_demixer.main(words)
    lines = read_lines(tmp_path / "pruned.jsonl")
    assert [line["strategy"] for line in lines] == [
        *("as it was", "trained on, not pruned", "once", "in_turns", "while_training")
    ]
    whole = lines[0]["parameters"]
    assert all(line["parameters"] <= whole / 2 and line["just_after"] is not None for line in lines[2:])
    smaller = load_demixer(tmp_path / "in_turns_0.5_6.ckpt")
    assert sum(parameter.numel() for parameter in smaller.network.parameters()) == lines[3]["parameters"]
    assert not list(tmp_path.glob("*.state"))
    capsys.readouterr()
    pruned_demixer.main(words)  # is done
    assert capsys.readouterr().out == ""
    pruned_demixer.main(["table", f"--out={tmp_path}", f"--to={tmp_path / 'table.json'}"])
    table = read_table(tmp_path / "table.json")
    assert [row[1] for row in table.rows][:3] == ["as it was", "trained on, not pruned", "once"]
    assert table.rows[0][6] == "+0.00"
