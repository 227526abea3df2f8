"""The timing of the sliced transform against its peer: what it measures and how it is written."""

import json

import pytest
import torch

from tools.bench import slicqt
from tools.result_tables import read_table


def test_a_table_is_written_where_the_peer_is_missing(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(slicqt, "find_spec", lambda name: None)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(slicqt, "keep_freed_memory", lambda: True)
    path = tmp_path / "speed.json"
    options = ["--seconds=0.1", "--turns=1", "--memory-seconds=0", "--growth", "0.1", "0.2", f"--out={path}"]
    assert slicqt.main(options) == 0
    assert "inverse and backward, median (ms)" in capsys.readouterr().out
    table = read_table(path)
    medians = [row for row in table.rows if "median" in row[0]]
    assert [row[0] for row in medians] == [f"{operation}, median (ms)" for operation in slicqt.OPERATIONS]
    assert {row[2] for row in medians} == {"not installed"}
    assert json.loads(path.read_text())["measured"][0]["command"] == "python -m tools.bench.slicqt"


def test_what_raises_is_told_and_not_timed() -> None:
    def broken() -> None:
        raise RuntimeError("in-place\nand more")

    seconds, errors = slicqt.time_in_turns({"works": lambda: None, "broken": broken}, 3)
    assert errors == {"broken": "RuntimeError: in-place"}
    assert len(seconds["works"]) == 3
    assert "broken" not in seconds


def test_ours_stands_on_the_peers_bands() -> None:
    for name in slicqt.OURS:
        layout = slicqt.bark_transform(name).layout
        assert layout.num_bands == slicqt.BANDS + 1  # with that at 0 Hz; the highest is the one at half the rate
        assert layout.centres_hz[1] == pytest.approx(slicqt.LOW_HZ)
        assert layout.centres_hz[-1] == 22050
