"""What other threads, blocks and workers change of a result, within the bounds that docs/promises.md states."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.long
def test_threads_and_blocks_change_last_digits_and_workers_nothing(tmp_path) -> None:
    line = [sys.executable, "-m", "tools.determinism", "--out", str(tmp_path / "figures.json")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = {row["change"]: row for row in json.loads((tmp_path / "figures.json").read_text())}
    assert figures["nothing"]["same_bytes"]
    assert figures["three workers"]["same_bytes"]
    for change in ("two threads", "blocks of 8192 samples"):
        assert figures[change]["same_processors"]
        assert figures[change]["parameters"] < 1e-4
        assert figures[change]["weights"] < 1e-4
        assert figures[change]["loss"] < 1e-5
