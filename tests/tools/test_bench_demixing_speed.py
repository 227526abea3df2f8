"""The bench of separations: turns become medians and ratios against the peer with the same filter."""

import json
import sys
from pathlib import Path

import pytest

from tools.bench import demixing_speed
from tools.result_tables import read_table


def test_ratios_are_those_of_turns_against_the_peer_with_the_same_filter(tmp_path: Path, monkeypatch) -> None:
    seconds = {
        "xumx-slicq-v2, phase of the mix": [6.0, 8.0, 20.0],
        "xumx-slicq-v2, Wiener-EM": [12.0, 12.0, 12.0],
        "ours": [2.0, 2.0, 4.0],
        "ours, Wiener-EM": [3.0, 4.0, 6.0],
        "its layout in ours, Wiener-EM": [6.0, 6.0, 6.0],
    }
    left = {name: iter(values) for name, values in seconds.items()}
    monkeypatch.setattr(
        demixing_speed,
        "turn",
        lambda name, options: (next(left[name]), 400.0 if "slicq" in name else 100.0, 1_500_000),
    )
    assert demixing_speed.main(["--seconds=12", f"--out={tmp_path / 'table.json'}"]) == 0
    table = read_table(tmp_path / "table.json")
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["ours"] == ("1.50", "2.00", "6.0", "100", "4.00x", "25 %")
    assert rows["ours, Wiener-EM"][-2:] == ("3.00x", "25 %")
    assert rows["xumx-slicq-v2, Wiener-EM"] == ("1.50", "12.00", "1.0", "400", "", "")


@pytest.mark.long
def test_a_process_measures_one_separation(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["demixing_speed"])
    assert demixing_speed.main(["--child", "ours", "--seconds", "2"]) == 0
    seconds, mebibytes, parameters = json.loads(capsys.readouterr().out)
    assert seconds > 0
    assert 5 < mebibytes < 1000
    assert parameters == 1_408_325


def test_a_mix_that_is_too_short_is_refused(capsys) -> None:
    with pytest.raises(SystemExit):
        demixing_speed.main(["--seconds=1"])
    assert "--seconds: at least 2" in capsys.readouterr().err
