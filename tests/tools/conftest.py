"""Tools as processes of their own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run_tool() -> Callable[..., None]:
    """Runs `python -m tools.NAME` with words, and fails with what it printed where it does not end with 0."""

    def run(name: str, *words: str) -> None:
        line = [sys.executable, "-m", f"tools.{name}", *words]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return run
