"""Searches that are killed, really, and gone on with."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.chaos import rows

ROOT = Path(__file__).parents[2]


@pytest.mark.long
def test_killed_searches_end_with_the_same_bytes(tmp_path) -> None:
    words = ["--out", str(tmp_path / "chaos.json"), "--writes=2", "--moments=1", "--signals=1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "tools.chaos", *words]
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "chaos.json").read_text())
    counts = {kind: (searches, kills) for kind, searches, kills, _ in rows(figures)}
    assert {kind: searches for kind, (searches, _) in counts.items()} == {
        "none": 1,
        "SIGKILL before a write": 2,
        "SIGKILL after a write": 2,
        "SIGKILL at a moment": 1,
        "SIGTERM at a moment": 1,
        "SIGINT twice at a moment": 1,
    }
    killed = [numbers for kind, numbers in counts.items() if "write" in kind]
    assert all(kills >= searches for searches, kills in killed)  # each was killed once, and some twice
