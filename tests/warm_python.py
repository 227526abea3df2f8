"""Processes that begin with torch, Lightning and mixgraph imported: forks of one that has them.

A process of `python -m MODULE` takes 5 s of a core until it has imported what it needs. Tests that need a process
(which is killed, interrupted or waited for), and not the start of Python, have a fork of one that has imported it.
This works on Linux.
Apart from its start it is a process like any other, with its own environment, working folder, files, signals and end.
What Python reads when it starts (`PYTHONHASHSEED`, the locale, options) is as in the process of the tests; tests in
which that matters start Python.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import random
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import IO, NoReturn

ROOT = Path(__file__).parents[1]
PATHS = tuple(sys.path)
"""Where Python looks for modules without a script, a working folder and `PYTHONPATH`, in the process that forks."""
IMPORTED = (
    "mixgraph.cli.training", "mixgraph.cli.commands", "mixgraph.sweeps", "mixgraph.page.write", "tools.dataset.worker",
    "tools.forks", "matplotlib.backends.backend_agg", "torch.utils.data", "torch._dynamo",
)  # fmt: skip
_OF_TUPLES = ("count", "index", "n_fields", "n_sequence_fields", "n_unnamed_fields")
Descriptor = int | IO[bytes] | None


class WarmProcess:
    """A running fork, used as `subprocess.Popen` is. It is a child of the process that forks, which tells its end."""

    def __init__(self, pid: int, end: socket.socket, pipes: dict[str, int | None]) -> None:
        self.pid, self._end = pid, end
        self.returncode: int | None = None
        self.stdin = _opened(pipes["stdin"], "wb")
        self.stdout, self.stderr = (_opened(pipes[name], "r") for name in ("stdout", "stderr"))
        self._guard = threading.Lock()

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None and not select.select([self._end], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        with self._guard:  # of threads that wait for it, one is told
            if self.returncode is None:
                self.returncode = int(self._end.recv(16))
            return self.returncode

    def __del__(self) -> None:
        self._end.close()

    def communicate(self, timeout: float | None = None) -> tuple[str | None, str | None]:
        read: dict[str, str] = {}
        pipes = {name: pipe for name in ("stdout", "stderr") if (pipe := getattr(self, name)) is not None}
        threads = [
            threading.Thread(target=lambda name=name, pipe=pipe: read.update({name: pipe.read()}), daemon=True)
            for name, pipe in pipes.items()
        ]
        for thread in threads:
            thread.start()
        self.wait(timeout)
        for thread in threads:
            thread.join()
        for pipe in pipes.values():
            pipe.close()
        return read.get("stdout"), read.get("stderr")

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class WarmPython:
    """Starts forks; the process that forks is started with the first one, and ends with this one or when closed.

    Args:
        environment: that in which the process that forks imports; forks have their own.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as this
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen | None = None
        self._guard = threading.Lock()

    def start(
        self,
        module: str,
        *words: object,
        cwd: Path | str = ROOT,
        env: Mapping[str, str] | None = None,
        stdin: Descriptor = None,
        stdout: Descriptor = None,
        stderr: Descriptor = None,
        pass_fds: Sequence[int] = (),
        safe_path: bool = False,
        start_new_session: bool = False,
        blank: bool = False,
    ) -> WarmProcess:
        """Starts a fork that does what `python -m MODULE WORDS` would do.

        Args:
            module: the name of the module.
            *words: its words.
            cwd: the working folder.
            env: the environment; that of this process by default.
            stdin: nothing by default, a descriptor or file, or `subprocess.PIPE`.
            stdout: this process's by default, a descriptor or file, `subprocess.PIPE` or `subprocess.DEVNULL`.
            stderr: as `stdout`, or `subprocess.STDOUT`.
            pass_fds: further open files that the fork has, under the same numbers.
            safe_path: as by `-P`, modules are not looked for in the working folder.
            start_new_session: as of `subprocess.Popen`.
            blank: pictures of results are written, but not drawn.

        Raises:
            RuntimeError: the process that forks has ended; with its exit code and what it printed.
        """
        pipes: dict[str, int | None] = {"stdin": None, "stdout": None, "stderr": None}
        opened: list[int] = []

        def descriptor(name: str, wanted: Descriptor, default: int) -> int:
            if wanted == subprocess.PIPE:
                read, write = os.pipe()
                pipes[name], theirs = (write, read) if name == "stdin" else (read, write)
            elif wanted == subprocess.DEVNULL or (wanted is None and name == "stdin"):
                theirs = os.open(os.devnull, os.O_RDWR)
            else:
                return default if wanted is None else wanted if isinstance(wanted, int) else wanted.fileno()
            opened.append(theirs)
            return theirs

        standard = [descriptor("stdin", stdin, 0), descriptor("stdout", stdout, 1)]
        standard.append(standard[1] if stderr == subprocess.STDOUT else descriptor("stderr", stderr, 2))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = {
            "module": module, "words": [str(word) for word in words], "cwd": str(cwd), "safe_path": safe_path,
            "env": dict(os.environ if env is None else env), "session": start_new_session, "fds": list(pass_fds),
            "blank": blank,
        }  # fmt: skip
        with self._guard, contextlib.suppress(ConnectionError):
            socket.send_fds(self._server(), [json.dumps(request).encode()], [theirs.fileno(), *standard, *pass_fds])
        theirs.close()
        for number in opened:
            os.close(number)
        pid = b""
        with contextlib.suppress(ConnectionError):
            pid = ours.recv(16)
        if not pid:
            ours.close()
            for pipe in pipes.values():
                if pipe is not None:
                    os.close(pipe)
            raise RuntimeError(self._why_it_ended())
        return WarmProcess(int(pid), ours, pipes)

    def run(self, module: str, *words: object, **options) -> subprocess.CompletedProcess:
        """Runs a fork to its end, see `start`; returns what it printed."""
        process = self.start(module, *words, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options)
        stdout, stderr = process.communicate()
        assert process.returncode is not None
        return subprocess.CompletedProcess([module, *words], process.returncode, stdout, stderr)

    def close(self) -> None:
        if self._process is not None and self._socket is not None:
            self._socket.close()
            self._process.wait()
        self._errors.close()

    def _why_it_ended(self) -> str:
        assert self._process is not None
        code = self._process.wait()
        self._errors.seek(0)
        return f"the process that forks ended with {code}:\n{self._errors.read().decode(errors='replace')}"

    def _server(self) -> socket.socket:
        if self._socket is None:
            self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            environment = self._environment | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
            paths = [path for path in environment.pop("PYTHONPATH", "").split(os.pathsep) if path]
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno()), *paths, str(ROOT)],
                cwd="/",
                env=environment,
                stdin=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=[theirs.fileno()],
            )
            theirs.close()
        return self._socket


def _opened(descriptor: int | None, mode: str) -> IO | None:
    return None if descriptor is None else open(descriptor, mode)


def serve(requests: socket.socket) -> dict | None:
    """Forks at each request and tells the ends of forks. Returns the request in a fork, and None when nobody asks."""
    gc.disable()
    for module in IMPORTED:
        __import__(module)
    biquads = sys.modules["mixgraph.dsp.biquads"]
    zeros = sys.modules["numpy"].zeros
    biquads.biquad_rows(*(zeros(shape) for shape in ((1, 1), 3, 2, (1, 4))))  # what numba loads for any loop
    gc.freeze()  # collections in forks would copy the pages of all this
    wakes, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([requests, wakes], [], [])
        if wakes in ready:
            os.read(wakes, 4096)
            while running and (ended := os.waitpid(-1, os.WNOHANG))[0]:
                with running.pop(ended[0]) as told, contextlib.suppress(BrokenPipeError):
                    told.send(str(os.waitstatus_to_exitcode(ended[1])).encode())
        if requests in ready:
            message, descriptors, _, _ = socket.recv_fds(requests, 1 << 20, 64)
            if not message:
                return None
            pid = os.fork()
            told = socket.socket(fileno=descriptors[0])
            if pid == 0:
                gc.enable()
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for closed in (requests, told, *running.values()):
                    closed.close()
                os.close(wakes)
                os.close(wake)
                request = json.loads(message)
                _place(descriptors[1:], [0, 1, 2, *request["fds"]])
                return request
            told.send(str(pid).encode())
            running[pid] = told
            for descriptor in descriptors[1:]:
                os.close(descriptor)


def _place(descriptors: Sequence[int], numbers: Sequence[int]) -> None:
    """Gives open files the numbers that they are to have."""
    above = max((*descriptors, *numbers)) + 1
    moved = [os.dup2(descriptor, above + place) for place, descriptor in enumerate(descriptors)]
    for descriptor in descriptors:
        os.close(descriptor)
    for descriptor, number in zip(moved, numbers, strict=True):
        os.dup2(descriptor, number, inheritable=True)
        os.close(descriptor)


def become(request: dict) -> None:
    """Does in a fork what Python does before it runs the module."""
    if request["session"]:
        os.setsid()
    if request["blank"]:
        sys.modules["tools.forks"].leave_pictures_blank()
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    is_safe = request["safe_path"] or bool(os.environ.get("PYTHONSAFEPATH"))
    flags = {name: getattr(sys.flags, name) for name in dir(sys.flags) if name[0] != "_" and name not in _OF_TUPLES}
    sys.flags = SimpleNamespace(**flags | {"safe_path": is_safe})  # type: ignore[assignment]
    named = os.environ.get("PYTHONPATH")
    paths = [str(Path(path).absolute()) for path in named.split(os.pathsep)] if named else []
    sys.path[:] = [*([] if is_safe else [os.getcwd()]), *dict.fromkeys((*paths, *PATHS))]
    sys.argv[1:] = request["words"]
    random.seed()  # what draws without a seed draws anew in every process
    sys.modules["numpy"].random.seed()
    sys.modules["torch"].seed()


def run_and_end(request: dict) -> NoReturn:
    """Runs the module in a fork, and ends it as Python ends a process, but for threads that libraries had before."""
    code = 0
    try:
        become(request)
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = 0 if end.code is None else end.code if isinstance(end.code, int) else 1
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)  # noqa: T201 - as Python does
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code & 255)


if __name__ == "__main__":
    sys.path[:0] = sys.argv[2:]
    asked = serve(socket.socket(fileno=int(sys.argv[1])))
    if asked is not None:
        run_and_end(asked)
