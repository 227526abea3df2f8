"""What a terminal shows of a search, in a real one, and what a pipe gets."""

import contextlib
import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from callbacks.progress import _bars
from callbacks.stage_lines import append_line
from mixgraph.names import visible, visible_lines

ROOT = Path(__file__).parent.parent.parent
NAME = "a[/b]c\x1b]0;owned\x07\u202e"


def command(song, result):
    return [
        sys.executable, "-m", "mixgraph", "fit", f"--data.path={song}", "--data.sample_rate=8000",
        "--data.steps_per_stage=2", "--data.scored_seconds=1", "--model.track_chain=g", "--model.subgroup_chain=g",
        "--pruning.console_stages=1", "--pruning.rounds=1", f"--result.path={result}", "--trainer.accelerator=cpu",
        "--progress.refresh_every=1",
    ]  # fmt: skip


@pytest.fixture
def odd_song(tiny_song, tmp_path):
    """Its tracks have markup and escape sequences in their names."""
    song = tmp_path / NAME.replace("/", "")
    song.mkdir()
    for name in ("tracks", "mix.wav"):
        (song / name).symlink_to(tiny_song / name)
    description = yaml.safe_load((tiny_song / "song.yaml").read_text())
    description["title"] = NAME
    description["tracks"] = {f"{track}.wav": {"name": f"{track} {NAME}"} for track in ("kick", "hat", "lead")}
    description["subgroups"] = {f"{group} {NAME}": members for group, members in description["subgroups"].items()}
    (song / "song.yaml").write_text(yaml.safe_dump(description))
    return song


@pytest.mark.long
def test_names_are_text_in_a_real_terminal(odd_song, tmp_path) -> None:
    ours, theirs = pty.openpty()
    terminal_output = bytearray()
    child = subprocess.Popen(
        command(odd_song, tmp_path / "r"), stdout=theirs, stderr=theirs, stdin=theirs, cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "200", "LINES": "40"},
    )  # fmt: skip
    os.close(theirs)
    with contextlib.suppress(OSError):  # the terminal is gone when the search is
        while part := os.read(ours, 65536):
            terminal_output += part
    os.close(ours)
    text = terminal_output.decode()
    assert child.wait() == 0, text
    assert "owned\x07" not in text
    assert "\x1b]" not in text
    assert "\u202e" not in text
    assert "\\x1b]0;owned\\x07\\u202e" in text  # as an escape
    assert "trials of a" in text
    assert re.search(r"\[/b\]c.*: (gain_panning|loss)", text)
    assert re.search(r"\d:\d\d:\d\d left", text)


@pytest.mark.long
def test_a_pipe_gets_a_line_a_stage(tiny_song, tmp_path, warm_python) -> None:
    done = warm_python.run(*command(tiny_song, tmp_path / "r")[2:], blank=True)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("Stage ")]
    number, clock = r"\d\.\d{3}", r"\d:\d\d:\d\d"
    first, second = lines
    assert re.fullmatch(
        rf"Stage 1/2: 2 steps so far, match loss {number}, 5 processors, {clock} taken, {clock} left", first
    )
    assert re.fullmatch(
        rf"Stage 2/2: \d+ trials, 4 steps so far, match loss {number}, \d processors, {clock} taken", second
    )
    assert "\x1b" not in done.stderr + done.stdout
    begins, *stages, page, ends = (tmp_path / "r" / "search.log").read_text().splitlines()
    time_of_day = r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d  "
    assert re.fullmatch(rf"{time_of_day}The search begins: 2 stages, 5 processors", begins)
    assert [re.sub(rf"^{time_of_day}", "", line) for line in stages] == lines
    assert re.fullmatch(rf"{time_of_day}report\.html was made in \d+\.\d s \(\d+\.\d MB\)", page)
    assert re.fullmatch(rf"{time_of_day}The search is done: match loss of the whole song {number}, \d processors", ends)


def test_a_log_goes_on_after_a_line_that_was_cut(tmp_path) -> None:
    log = tmp_path / "search.log"
    log.write_text("2026-11-29 10:00:00  Stage 1/2: 4 st")
    append_line(log, "Stage 2/2")
    append_line(log, "Done")
    assert [line[21:] for line in log.read_text().splitlines()] == ["Stage 1/2: 4 st", "Stage 2/2", "Done"]


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("task", ["training", "trials of a_song_with_a_long_name [/b]"])
def test_bars_keep_their_numbers(width, task) -> None:
    console = Console(width=width, force_terminal=True, record=True, file=io.StringIO())
    progress = _bars(console)
    detail = "drums 01_kick: compressor [/b], drums 02: noise gate ...: loss >0.5123, removed, 123 left"
    progress.add_task(task, total=12000, completed=4711, detail=detail, left="0:59:01 left")
    console.print(progress.get_renderable())
    line = max(console.export_text().splitlines(), key=len)
    assert len(line) <= width
    assert re.search(r"4711/12000 +0:00:00 +0:59:01 left", line)
    if width >= 80:
        assert "drums" in line


def test_control_characters_are_shown_as_escapes() -> None:
    assert visible_lines("é 日本 \N{PARTY POPPER}\n") == "é 日本 \N{PARTY POPPER}\n"
    assert visible_lines("\x1b[31m\r\u202e\ud800\x9b") == "\\x1b[31m\\r\\u202e\\ud800\\x9b"
    assert visible("a\nb") == "a\\nb"
