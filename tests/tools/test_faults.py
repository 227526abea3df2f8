"""A machine that fails while commands write and while datasets are built; and how the tools that try it judge."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.faults import Case, Tally, Trial, tree
from tools.forks import Run

ROOT = Path(__file__).parents[2]
FULL = "mixgraph: new: No space left on device"


def tool(name: str, *words: str) -> None:
    line = [sys.executable, "-m", f"tools.{name}", *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
def test_a_machine_that_fails_leaves_nothing_half_written(tmp_path) -> None:
    tool("faults", "--out", str(tmp_path / "faults.json"), "--only=render", "--operations=2")
    tallies = json.loads((tmp_path / "faults.json").read_text())
    stopped = {tally["fault"]: tally["stopped"] for tally in tallies}
    assert stopped["limit of file size"] >= 1
    assert stopped["two at once"] >= 1


@pytest.mark.long
def test_no_song_of_a_build_on_a_machine_that_fails_is_lost(tmp_path) -> None:
    tool("many_songs", "--out", str(tmp_path / "songs.json"), "--songs=9", "--corrupt=8", "--compared=1")
    figures = json.loads((tmp_path / "songs.json").read_text())
    assert sum(figures["events"].values()) >= 9
    assert figures["compared"] == 1


def judged(folder: Path, ended: Run) -> list[str]:
    """What is wrong with a command that was to write `new` where `old` is, as the tool tells it."""
    trial = Trial.__new__(Trial)
    trial.case, trial.folder = Case("write", ("write", "new")), folder
    trial.before, trial.whole = {"old": digest(folder, b"before")}, {"old": digest(folder, b"before")}
    trial.whole["new"] = digest(folder, b"whole")
    trial.stable = trial.whole
    tally = Tally("a fault", "write")
    trial._go_on = lambda run: iter(())  # type: ignore[method-assign]
    trial.judge(ended, tally, "here")
    return tally.wrong


def digest(folder: Path, content: bytes) -> str:
    (folder / "content").write_bytes(content)
    value = tree(folder)["content"]
    (folder / "content").unlink()
    return value


@pytest.mark.parametrize(
    ("files", "text", "wrong"),
    [
        ({"old": b"before"}, FULL, ""),
        ({"old": b"before", ".new.12.partial": b"wh"}, FULL, ""),
        ({"old": b"before", "new": b"whole"}, FULL, ""),
        (
            {"old": b"before", "new": b"wh"},
            FULL,
            "new is neither whole nor as before",
        ),
        ({"old": b""}, FULL, "old is neither whole nor as before"),
        ({"old": b"before", "core": b"x"}, "mixgraph: new: is full", "core is neither whole nor as before"),
        ({"old": b"before"}, "mixgraph: [Errno 28] No space left on device", "the message names no file"),
        ({"old": b"before"}, "Traceback (most recent call last):\nOSError: new", "a traceback, OSError: new"),
    ],
)
def test_what_is_not_as_promised_is_found(files, text, wrong, tmp_path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    told = []
    for name, content in files.items():
        (folder / name).write_bytes(content)
    told = judged(folder, Run(1, text, (), 0.0))
    assert (told == []) == (wrong == "")
    assert wrong in " ".join(told)
