"""What other threads, blocks and workers change of a result, within the bounds that docs/promises.md states."""

import json

import pytest

from tools.determinism import is_same_build, main
from tools.result_tables import read_table


@pytest.mark.long
def test_threads_and_blocks_change_last_digits_and_workers_nothing(run_tool, tmp_path) -> None:
    out, table = str(tmp_path / "figures.json"), tmp_path / "table.json"
    run_tool("determinism", "--out", out)
    figures = {row["change"]: row for row in json.loads((tmp_path / "figures.json").read_text())["differences"]}
    assert figures["nothing"]["same_bytes"]
    assert figures["three workers"]["same_bytes"]
    for change in ("two threads", "blocks of 8192 samples"):
        assert figures[change]["same_processors"]
        assert figures[change]["parameters"] < 1e-4
        assert figures[change]["weights"] < 1e-4
        assert figures[change]["loss"] < 1e-5
    assert main(["--out", out, "--table", str(table)]) == 0
    assert ("tiny", "nothing", "yes", "yes", "0", "0", "0") in read_table(table).rows
    assert ("dataset of three tiny songs", "three workers", "yes", "yes", "-", "-", "-") in read_table(table).rows


def test_builds_are_the_same_by_all_their_files(tmp_path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
    assert not is_same_build(one, other)  # nothing was compared
    for folder in (one, other):
        (folder / "songs.jsonl").write_text("{}\n")
        (folder / "shards").mkdir()
        (folder / "times.txt").write_text(folder.name)
    assert is_same_build(one, other)
    (other / "shards" / "more.tar").write_bytes(b"x")
    assert not is_same_build(one, other)
    assert not is_same_build(other, one)
