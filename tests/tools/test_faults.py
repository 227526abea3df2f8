"""A machine that fails while commands write and while datasets are built; and how the tools that try it judge."""

import json
from pathlib import Path

import pytest

from tools import faults, many_songs
from tools.fault_cases import Case
from tools.faults import Tally, Trial, problems_of_two, tree
from tools.forks import Run
from tools.result_tables import read_table

FULL = "mixgraph: new: No space left on device"
RUN = {"command": "python -m tools.faults --out a.json", "commit": "1234567", "machine": "x", "date": "2026-11-30"}


@pytest.mark.long
def test_a_machine_that_fails_leaves_nothing_half_written(run_tool, tmp_path) -> None:
    run_tool("faults", "--out", str(tmp_path / "faults.json"), "--only=render", "--operations=2")
    tallies = json.loads((tmp_path / "faults.json").read_text())["tallies"]
    stopped = {tally["fault"]: tally["stopped"] for tally in tallies}
    assert stopped["limit of file size"] >= 1
    assert stopped["two at once"] >= 1


@pytest.mark.long
def test_no_song_of_a_build_on_a_machine_that_fails_is_lost(run_tool, tmp_path) -> None:
    run_tool("many_songs", "--out", str(tmp_path / "songs.json"), "--songs=9", "--corrupt=8", "--compared=1")
    figures = json.loads((tmp_path / "songs.json").read_text())
    once = {"build interrupted": 1, "second build": 1}
    always = {"worker killed": 2, "build killed": 3, "build terminated": 2, **once}
    assert figures["events"] | {"disk full": 2} == always | {"disk full": 2}  # where a file system can be mounted
    assert figures["events_left"] == 0
    assert figures["songs"] >= 9
    assert figures["compared"] == 1


def a_trial(folder: Path, *words: str) -> Trial:
    """A trial of a command that was to write `new` where `old` is."""
    trial = Trial.__new__(Trial)
    trial.case, trial.folder = Case("write", words), folder
    trial.before, trial.whole = {"old": digest(folder, b"before")}, {"old": digest(folder, b"before")}
    trial.whole["new"] = digest(folder, b"whole")
    trial.stable = trial.whole
    return trial


def judged(trial: Trial, ended: Run) -> list[str]:
    """What is wrong with how a command ended, as the tool tells it."""
    tally = Tally("a fault", "write")
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
    for name, content in files.items():
        (folder / name).write_bytes(content)
    trial = a_trial(folder, "write", "new")
    trial._go_on = lambda run: iter(())  # type: ignore[method-assign]
    told = judged(trial, Run(1, text, (), 0.0))
    assert (told == []) == (wrong == "")
    assert wrong in " ".join(told)


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (("write", "new"), "it does not go on"),  # there is no such command
        (("--version",), "after going on new differs, .new.12.partial is left"),
    ],
)
def test_a_command_that_does_not_go_on_is_found(words, wrong, tmp_path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    for name in ("old", ".new.12.partial"):
        (folder / name).write_bytes(b"before")
    (told,) = judged(a_trial(folder, *words), Run(1, FULL, (), 0.0))
    assert told.startswith(f"here: {wrong}")


@pytest.mark.parametrize(
    ("codes", "exclusive", "wrong"),
    [
        ((0, 1), True, ""),
        ((0, 0), False, ""),
        ((0, 0), True, "both did it"),
        ((1, 1), True, "none did it"),
        ((1, 1), False, "none did it"),
        ((0,), True, "the first ended before a second could start"),
    ],
)
def test_two_processes_at_one_place(codes, exclusive, wrong) -> None:
    case = Case("write", ("write",), exclusive)
    told = list(problems_of_two(case, [Run(code, "refused", (), 0.0) for code in codes]))
    assert " ".join(told).startswith(wrong)
    assert bool(told) == bool(wrong)


def test_a_folder_that_changes_can_be_read(tmp_path, monkeypatch) -> None:
    (tmp_path / "stays").write_bytes(b"x")
    (tmp_path / "goes").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    is_file = Path.is_file

    def gone(path: Path) -> bool:
        answer = is_file(path)
        if path.name == "goes":
            path.unlink()
        return answer

    monkeypatch.setattr(Path, "is_file", gone)
    assert set(tree(tmp_path)) == {"link", "stays"}
    assert tree(tmp_path)["link"] == "folder"


def test_tables_of_faults_and_builds(tmp_path) -> None:
    def out(name: str, content: dict) -> tuple[str, str]:
        (tmp_path / name).write_text(json.dumps({"measured": [RUN]} | content))
        return "--out", str(tmp_path / name)

    def tally(fault: str, case: str, wrong: list[str]) -> dict:
        return {"fault": fault, "case": case, "tries": 4, "stopped": 3, "wrong": wrong}

    first = out("a.json", {"tallies": [tally("full disk", "render", []), tally("read-only", "render", [])]})
    other = out("b.json", {"tallies": [tally("full disk", "fit", ["here: it does not go on"])]})
    table = ("--table", str(tmp_path / "table.json"))
    assert faults.main([*first, *other, *table]) == 0
    written = read_table(tmp_path / "table.json")
    assert written.rows == (("full disk", "render, fit", "8", "6", "1"), ("read-only", "render", "4", "3", "0"))
    assert written.note == "Not as promised: fit, full disk, here: it does not go on."
    with pytest.raises(ValueError, match="full disk in render, read-only in render: is in several of these files"):
        faults.main([*first, *first, *table])
    figures = {"songs": 9, "corrupt": 8, "runs": 3, "cpu_minutes": 0.5, "minutes": 1.0, "compared": 1, "problems": []}
    few = out("few.json", figures | {"events": {"disk full": 2}})
    more = out("more.json", figures | {"songs": 20, "events": {"worker killed": 3}, "problems": ["song_1: is lost"]})
    assert many_songs.main([*few, *more, *table]) == 0
    written = read_table(tmp_path / "table.json")
    assert written.columns == ("what", "build 1", "build 2")
    assert ("songs that can be used", "9", "20") in written.rows
    assert ("worker killed", "0", "3") in written.rows
    assert written.rows[-1] == ("not as promised", "0", "1")
    assert written.note == "Not as promised: song_1: is lost."
