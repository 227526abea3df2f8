"""Runs commands of mixgraph in forks of this process, which has loaded everything: loading takes longer than they do.

The file operations of a fork below its folder are counted, and something can be done at each: the process is killed, or
the disk is full from then on.
"""

from __future__ import annotations

import gc
import json
import os
import re
import selectors
import shlex
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, NoReturn

import numpy as np
import soundfile

CHANGES = {
    "os.rename": 2,
    "os.link": 2,
    "os.symlink": 2,
    "os.remove": 1,
    "os.mkdir": 1,
    "os.rmdir": 1,
    "os.truncate": 1,
}
"""Audit event -> how many of its first arguments are paths that it changes."""
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
"""Flags of the event "open" by which a file is written."""
_GO_ON = re.compile(r"(?:To go on:|go on with|To finish the search:)\n *python -m mixgraph (fit .*)$", re.MULTILINE)
_SLOWEST = 600.0  # seconds of one command


@dataclass(frozen=True)
class Run:
    """A command that has ended.

    Attributes:
        code: the exit code, negative for the signal that ended the process.
        text: what was printed.
        operations: the file operations that were made, if the process ended by itself.
        seconds: how long it took.
    """

    code: int
    text: str
    operations: tuple[str, ...]
    seconds: float


class Operations:
    """Counts the file operations that Python makes below a folder, and calls `act` before each, with its number."""

    def __init__(self, folder: Path, act: Callable[[int], None]) -> None:
        self.folder, self.act, self.process = f"{folder}{os.sep}", act, os.getpid()
        self.made: list[str] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        opens = event == "open" and isinstance(arguments[2], int)
        writes = arguments[2] & WRITES if opens else event in CHANGES
        if not writes or os.getpid() != self.process or not isinstance(arguments[0], str | os.PathLike | bytes):
            return
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if path.startswith(self.folder):
            self.made.append(f"{event} {os.path.basename(path)}")
            self.act(len(self.made) - 1)


def command_to_go_on(text: str) -> list[str] | None:
    """Returns the words of the command that a search names to go on with, of what it printed; None if it names none."""
    named = _GO_ON.search(text)
    return None if named is None else shlex.split(named[1])


def make_song(folder: Path, seed: int = 0, seconds: float = 3.0) -> None:
    """Writes a song of two tracks in two subgroups at 8 kHz."""
    rng, t = np.random.default_rng(seed), np.arange(round(seconds * 8000)) / 8000
    tracks = {"kick": np.sin(500 * t) * np.exp(-8 * (t % 0.5)), "noise": 0.2 * rng.standard_normal(len(t))}
    (folder / "tracks").mkdir(parents=True)
    for name, audio in tracks.items():
        soundfile.write(folder / "tracks" / f"{name}.wav", 0.5 * audio, 8000, subtype="FLOAT")
    mix = 0.4 * tracks["kick"][:, None] * [0.6, 0.5] + tracks["noise"][:, None] * [0.1, 0.3]
    soundfile.write(folder / "mix.wav", mix, 8000, subtype="FLOAT")
    (folder / "song.yaml").write_text("subgroups: {drums: [kick.wav], rest: [noise.wav]}\n")


def warm_up(folder: Path, words: list[str]) -> None:
    """Runs a command in this process, so that all that it loads is there when forks run others.

    Everything is on one thread from now on, since a fork has no other.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    from mixgraph.__main__ import main

    before, printed = (os.getcwd(), sys.argv, dict(os.environ)), (os.dup(1), os.dup(2))
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        with (folder / "printed.txt").open("wb") as text:
            os.dup2(text.fileno(), 1)
            os.dup2(text.fileno(), 2)
        os.chdir(folder)
        sys.argv = ["mixgraph", *words]
        main()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os.dup2(printed[0], 1)
        os.dup2(printed[1], 2)
        os.chdir(before[0])
        sys.argv = before[1]
        os.environ.clear()
        os.environ.update(before[2])
    gc.collect()
    gc.freeze()  # the collector of a fork would visit, and so copy, all that this process has


def blank_drawing() -> list[tuple[ModuleType, str, Callable[..., Any]]]:
    """Module, name and replacement of each function that draws pictures of results: what replaces it draws nothing."""
    from matplotlib.figure import Figure

    from mixgraph.report import figures
    from mixgraph.report.drawing import draw
    from mixgraph.results import write

    def no_bytes(*_: object, **__: object) -> bytes:
        return b"\x89PNG\r\n\x1a\n" + bytes(5_000)

    def no_figure(*_: object, **__: object) -> Figure:
        return Figure()

    def no_figures(*_: object, **__: object) -> list[Figure]:
        return [Figure()]

    drawn = ("spectrogram_figure", "ragged_figure", "progress_figure", "increases_figure")
    return [
        (figures, "figure_bytes", no_bytes),
        (draw, "figure_bytes", no_bytes),
        (draw, "draw_figure", no_figure),
        *((write, name, no_figure) for name in drawn),
        (write, "settings_figures", no_figures),
    ]


def leave_pictures_blank() -> None:
    """Lets forks write pictures without drawing them, which takes half of the time of a tiny search.

    How and when they are written is as ever; only their bytes are always the same.
    """
    for module, name, blank in blank_drawing():
        setattr(module, name, blank)


def fork(become: Callable[[], None]) -> int:
    """Forks this process; the fork calls `become`, and ends with 70 where that returns."""
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which compute nothing when this is called
        process = os.fork()
    if process:
        return process
    try:
        become()
    finally:
        os._exit(70)


def run(
    folder: Path,
    words: list[str],
    act: Callable[[int], None] = lambda number: None,
    prepare: Callable[[], None] = lambda: None,
    watch: Callable[[int, float], None] = lambda process, seconds: None,
) -> Run:
    """Runs `python -m mixgraph` with words in a folder, in a fork of this process.

    Args:
        folder: the working folder, below which file operations are counted.
        words: the words of the command.
        act: called in the fork before each file operation, with its number.
        prepare: called in the fork before anything else.
        watch: called here all the time, with the number of the process and the seconds since its start.
    """
    output, printed = os.pipe()
    record, recorded = os.pipe()
    started = time.monotonic()
    process = fork(lambda: _become(folder, words, act, prepare, printed, recorded))
    os.close(printed)
    os.close(recorded)
    texts = {output: bytearray(), record: bytearray()}
    with selectors.DefaultSelector() as ready:
        for pipe in texts:
            os.set_blocking(pipe, False)
            ready.register(pipe, selectors.EVENT_READ)
        while True:
            done, status = os.waitpid(process, os.WNOHANG)
            for pipe in texts:
                _read(pipe, texts[pipe])
            if done:
                break
            passed = time.monotonic() - started
            watch(process, passed)
            if passed > _SLOWEST:
                os.kill(process, signal.SIGKILL)
            ready.select(0.002)
            time.sleep(0.002)
    for pipe in texts:
        os.close(pipe)
    made = json.loads(texts[record]) if texts[record].endswith(b"]") else []
    text = texts[output].decode(errors="replace")
    return Run(os.waitstatus_to_exitcode(status), text, tuple(made), time.monotonic() - started)


def _read(pipe: int, text: bytearray) -> None:
    with suppress(BlockingIOError):
        while data := os.read(pipe, 1 << 16):
            text += data


def _become(
    folder: Path,
    words: list[str],
    act: Callable[[int], None],
    prepare: Callable[[], None],
    printed: int,
    recorded: int,
) -> NoReturn:
    """Makes this fork a run of the program."""
    from mixgraph.__main__ import main

    os.chdir(folder)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    operations = Operations(folder, act)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a script started this in the background
    prepare()
    sys.addaudithook(operations)
    sys.argv = ["mixgraph", *words]
    code = 70
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException as error:
        sys.excepthook(*sys.exc_info())  # a traceback, as Python itself prints it
        code = 128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(recorded, json.dumps(operations.made).encode())
    os._exit(code)


def fork_workers() -> None:
    """Lets builds and sweeps of this process fork their workers in place of programs that load everything anew."""
    from tools.dataset.local import LocalWorkers

    LocalWorkers.start = staticmethod(_start_worker)  # type: ignore[assignment]


_ends: set[int] = set()  # of pipes, which workers wait to be closed


class _Worker:
    """A fork that does a worker's work; as much of `subprocess.Popen` as builds use."""

    def __init__(self, process: int, stdin: int) -> None:
        self.pid = process
        self.returncode: int | None = None
        self.stdin = self
        self._end = stdin

    def close(self) -> None:
        _ends.discard(self._end)
        os.close(self._end)

    def wait(self, timeout: float | None = None) -> int:
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            with suppress(ChildProcessError):  # another thread waits, too
                done, status = os.waitpid(self.pid, os.WNOHANG)
                if done:
                    self.returncode = os.waitstatus_to_exitcode(status)
            if self.returncode is not None:
                return self.returncode
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired("worker", timeout or 0.0)
            time.sleep(0.005)

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            if self.returncode is None:
                os.kill(self.pid, number)


def _start_worker(
    program: str, folder: Path, environment: dict[str, str], log: BinaryIO, keep_open: Sequence[int]
) -> _Worker:
    waited, end = os.pipe()
    _ends.add(end)

    def become() -> None:
        os.setsid()
        for other in _ends:
            os.close(other)
        os.dup2(waited, 0)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = [program, str(folder)]
        code: Any = 70
        try:
            import_module(program).main()
            code = 0
        except SystemExit as end:
            code = end.code
        except BaseException:
            sys.excepthook(*sys.exc_info())
            code = 1
        with suppress(OSError):  # a full disk
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))

    process = fork(become)
    os.close(waited)
    return _Worker(process, end)
