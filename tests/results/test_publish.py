"""Folders are complete or absent, whenever the process is killed; nothing that is not ours is ever replaced."""

import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import pytest

from mixgraph.results import RESULT, RESULT_FILES, FolderKind, Place, is_unfinished
from mixgraph.system.files import write_atomically
from mixgraph.system.locks import locked

NAMES = [f"{name}.flac" if name.startswith("mix_") else name for name in RESULT_FILES]
CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir")

PAIR = FolderKind(
    "pair",
    lambda entries: [path for path in entries if path.name not in ("a", "b")],
    lambda folder: {path.name for path in folder.glob("*")} >= {"a", "b"},
    resumable=True,
)


def fill(folder: Path, text: str = "new", names: Sequence[str] = NAMES) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text(text)
    return folder


def place(target: Path) -> Place:
    return Place(target, RESULT, "out", "give --overwrite")


def contents(folder: Path) -> dict[str, set[str]]:
    return {path.name: {file.read_text() for file in path.iterdir()} for path in folder.iterdir()}


def killed_before(number: int, run) -> bool:
    """Runs in another process, which is killed before a change of the disk; whether it came to that."""

    def until_then() -> int:
        count = 0

        def hook(event, arguments):
            nonlocal count
            writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if event in CHANGES or writes:
                count += 1
                if count == number:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        run()
        return 0

    code = in_a_process(until_then)
    assert code in (0, -signal.SIGKILL)
    return code != 0


def in_a_process(run) -> int:
    """The exit code of a process that runs a function, which returns it."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = run()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize(
    "resumable",
    [
        pytest.param(True, id="from NAME.partial"),
        pytest.param(False, id="from a temporary folder", marks=pytest.mark.long),
    ],
)
def test_a_process_killed_at_any_moment_leaves_the_old_folder_or_the_new_one(tmp_path, resumable) -> None:
    """Before each of the changes of the disk; then the next process tidies up, and publishes what was complete."""

    def run(root: Path) -> None:
        with Place(root / "r", PAIR, "out", "").held() as lock_held:
            work = lock_held.partial if resumable else lock_held.new_work()
            if not resumable:
                for name in "ab":
                    (work / name).write_text("new")
            lock_held.publish(work, overwrite=True)

    ends, number = [], 0
    while True:
        number += 1
        root = tmp_path / str(number)
        fill(root / "r", "old", "ab")
        if resumable:
            fill(root / "r.partial", names="ab")
        if not killed_before(number, lambda root=root: run(root)):
            break
        with Place(root / "r", PAIR, "out", "").held() as lock_held:
            if PAIR.is_whole(lock_held.partial):
                lock_held.publish(lock_held.partial, overwrite=True)
        assert contents(root) in ({"r": {"old"}}, {"r": {"new"}}), number
        ends.append(contents(root)["r"] == {"new"})
    assert number > 10
    assert ends == sorted(ends)  # once it is new, it stays new
    assert ends[0] is resumable
    assert ends[-1]
    assert contents(root) == {"r": {"new"}}


def test_what_fails_to_take_its_place_puts_the_old_one_back(tmp_path, monkeypatch) -> None:
    fill(tmp_path / "r", "old")
    replace = os.replace

    def full(old, new):
        if Path(old).name.endswith(".partial"):
            raise OSError(28, "No space left on device")
        replace(old, new)

    with place(tmp_path / "r").held() as lock_held, monkeypatch.context() as patch:
        work = lock_held.new_work()
        for name in NAMES:
            (work / name).write_text("new")
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match=r"No space left on device.*/r'"):
            lock_held.publish(work, overwrite=True)
        assert {path.read_text() for path in (tmp_path / "r").iterdir()} == {"old"}
    with place(tmp_path / "s").held() as lock_held:
        work = lock_held.new_work()
        (work / "graph.json").touch()
        with pytest.raises(ValueError, match=r"a whole result of a search is needed, got graph\.json"):
            lock_held.publish(work, overwrite=True)


@pytest.mark.parametrize(
    ("files", "listed_files"),
    [
        (["thesis.txt"], "thesis.txt"),
        ([*NAMES, "thesis.txt"], "thesis.txt"),
        (["song.yaml", "mix.wav"], "mix.wav, song.yaml"),
        (["demo/graph.json", "other/graph.json"], "demo, other"),
        (["graph.json", "config.yaml"], "config.yaml, graph.json"),
        (["graph.json/mine", *NAMES[1:]], "graph.json"),
        ([f"{i}" for i in range(9)], "0, 1, 2, 3, 4 and 4 more"),
    ],
)
def test_only_a_result_is_replaced(tmp_path, files, listed_files) -> None:
    for name in files:
        (tmp_path / "r" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "r" / name).write_text("mine")
    with pytest.raises(
        FileExistsError, match=rf"is no result of a search \(it holds {listed_files}\); name another folder"
    ):
        place(tmp_path / "r").check(overwrite=True)
    with pytest.raises(FileExistsError, match="exists and is kept; give --overwrite"):
        place(tmp_path / "r").check(overwrite=False)


def test_results_empty_folders_and_predictions_are_replaced(tmp_path) -> None:
    fill(tmp_path / "a")
    (tmp_path / "a" / ".DS_Store").touch()
    (tmp_path / "a" / "stage.ckpt").touch()
    (tmp_path / "b").mkdir()
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "mix_found.wav").touch()
    for name in "abc":
        before = sorted((tmp_path / name).iterdir())
        place(tmp_path / name).check(overwrite=True)
        assert place(tmp_path / name).kind.foreign_names(tmp_path / name) == []
        assert sorted((tmp_path / name).iterdir()) == before  # checking removes nothing


def test_links_and_files_are_kept(tmp_path) -> None:
    fill(tmp_path / "real")
    (tmp_path / "r").symlink_to("real")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "file").touch()
    for name, message in (
        ("r", r"is a link \(to real\)"),
        ("dangling", r"is a link \(to nowhere\)"),
        ("file", "is a file"),
    ):
        with pytest.raises(FileExistsError, match=f"out: .*/{name} {message}"):
            place(tmp_path / name).check(overwrite=True)
    with (
        pytest.raises(FileNotFoundError, match=r"out: .*/dangling is a link to nothing \(nowhere\)"),
        place(tmp_path / "dangling" / "r").held(),
    ):
        pass


@pytest.mark.parametrize("name", [".", "..", "a.partial", "\udcff"])
def test_names_that_cannot_be_published_under_are_refused(name) -> None:
    with pytest.raises(ValueError, match=r"out: (the name of a folder|a path in UTF-8) is needed"):
        place(Path(name))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("n" * 244, "File name too long"),
        ("file/r", "Not a directory"),
        ("/proc/1/r", "(No such file|denied|permitted)"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_and_nothing_is_left(tmp_path, target, message) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=message), place(tmp_path / target).held():
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_folders_above_are_made_and_removed_again_where_nothing_came_of_it(tmp_path) -> None:
    with place(tmp_path / "a" / "b" / "r").held() as lock_held:
        assert (tmp_path / "a" / "b").is_dir()
        with pytest.raises(OSError, match=r"about 1000000000000.0 MB are needed, got .* MB of free space"):
            lock_held.check_space(10**18)
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_leftover_is_named(tmp_path) -> None:
    (tmp_path / ".r.replaced").mkdir()
    (tmp_path / ".r.replaced" / "thesis.txt").touch()
    with (
        pytest.raises(FileExistsError, match=r"\.r\.replaced exists and is kept.*thesis.txt"),
        place(tmp_path / "r").held(),
    ):
        pass
    assert (tmp_path / ".r.replaced" / "thesis.txt").exists()


@pytest.mark.parametrize(
    ("files", "unfinished"),
    [
        ({}, True),
        ({"config.yaml": ""}, True),
        ({"config.yaml": "data:\n  path: x\nmodel: {}\npruning: {}\nresult: {}\n"}, True),
        ({"config.yaml": "mine: 1\n"}, False),
        ({"stage.ckpt": "x", ".stage.ckpt.7.partial": "x"}, True),
        ({"stage.ckpt": "x", "thesis.txt": "x"}, False),
        ({"mix_target.flac": "x"}, False),
    ],
)
def test_unfinished_work_is_known_by_its_files(tmp_path, files, unfinished) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert is_unfinished(tmp_path) is unfinished


def test_a_place_in_use_names_who_uses_it(tmp_path) -> None:
    with place(tmp_path / "r").held():
        message = rf"out: .*/r is in use by process {os.getpid()} on \S+ \(since 2\d{{3}}-.*\); wait for its end"
        with pytest.raises(ValueError, match=message), place(tmp_path / "r").held():
            pass
        with place(tmp_path / "s").held():
            pass
    assert list(tmp_path.iterdir()) == []


def test_of_processes_that_start_at_once_one_wins(tmp_path) -> None:
    """And a lock is free again when its holder is killed, or has removed it while others wait for it."""
    go = tmp_path / "go"
    children = []
    for number in range(6):
        child = os.fork()
        if child == 0:
            while not go.exists():
                pass
            try:
                with locked(tmp_path / ".lock", str):
                    (tmp_path / f"won{number}").touch()
                    while go.exists():
                        pass
                    os.kill(os.getpid(), signal.SIGKILL)
            except ValueError:
                os._exit(7)
        children.append(child)
    go.touch()
    ends = [os.waitpid(child, 0)[1] for child in _losers_first(children, go)]
    assert len(list(tmp_path.glob("won*"))) == 1
    assert sorted(map(os.waitstatus_to_exitcode, ends)) == [-9, 7, 7, 7, 7, 7]
    with locked(tmp_path / ".lock", str, wait_seconds=5):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()
    assert not (tmp_path / ".lock").exists()


def _losers_first(children, go):
    """Children in the order in which they end; the winner is let go when the others have."""
    left = list(children)
    while len(left) > 1:
        for child in left:
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                left.remove(child)
                yield child
                break
    go.unlink()
    yield left[0]


def test_a_file_that_is_no_lock_is_kept(tmp_path) -> None:
    (tmp_path / ".r.lock").write_text("mine")
    with (
        pytest.raises(ValueError, match=r"\.r\.lock: is no lock of this program, and is kept"),
        place(tmp_path / "r").held(),
    ):
        pass
    assert (tmp_path / ".r.lock").read_text() == "mine"


def test_a_file_that_does_not_fit_is_an_error_and_the_old_one_is_kept(tmp_path) -> None:
    """The system's own limit on the size of files, in a process that has it."""
    path = tmp_path / "a.json"
    path.write_text("old")

    def run() -> int:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_atomically(path, bytes(1001))
        except OSError as error:
            return 7 if error.filename == str(path) and error.strerror == "File too large" else 8
        return 9

    assert in_a_process(run) == 7
    assert (path.read_text(), [p.name for p in tmp_path.iterdir()]) == ("old", ["a.json"])
