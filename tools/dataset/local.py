"""Runs searches on this machine: each in a new process, several at a time."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import BinaryIO

from mixgraph.dataset.reasons import reason
from mixgraph.system.termination import TERMINATED
from tools.dataset.outcome import Outcome, Task
from tools.dataset.worker import ERROR, LOG

_GRACE_SECONDS = 10.0  # seconds that a worker has to end

ROOT = Path(__file__).resolve().parent.parent.parent


class LocalWorkers:
    """Workers that are processes of this machine.

    Args:
        workers: the number of processes at a time.
        threads: the number of threads of each process.
        devices: the GPUs that they share, as CUDA_VISIBLE_DEVICES names them; empty for the CPU.
        retries: the number of times that a search is tried again if its process was killed; after an error it is not.
        keep_open: descriptors of files that workers keep open until they end.
    """

    def __init__(
        self, workers: int, threads: int, devices: Sequence[str] = (), retries: int = 2, keep_open: Sequence[int] = ()
    ) -> None:
        self.workers, self.threads, self.retries, self.keep_open = workers, threads, retries, tuple(keep_open)
        self._devices: queue.SimpleQueue[str] = queue.SimpleQueue()
        for worker in range(workers):
            self._devices.put(devices[worker % len(devices)] if devices else "")
        self._running: set[subprocess.Popen[bytes]] = set()
        self._guard = threading.Lock()
        self._stopped = False

    def run(self, tasks: Iterable[Task]) -> Generator[Outcome, None, None]:
        pool, waiting, running = ThreadPoolExecutor(self.workers), iter(tasks), set[Future[Outcome]]()
        try:
            while True:
                while len(running) < self.workers and (task := next(waiting, None)) is not None:
                    running.add(pool.submit(self._search, task))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:  # also reached by Ctrl-C or SIGTERM: running searches are stopped, and the next build resumes them
            self._stop()
            pool.shutdown(cancel_futures=True)

    def _stop(self) -> None:
        """Lets the workers finish writing, and kills those that take too long."""
        with self._guard:
            self._stopped = True
            running = list(self._running)
        for process in running:
            process.terminate()
        end = time.monotonic() + _GRACE_SECONDS
        for process in running:
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()

    def _search(self, task: Task) -> Outcome:
        device = self._devices.get()
        try:
            task.request.save(task.folder)
            for attempt in range(1, self.retries + 2):
                code = self._process(task.request.program, task.folder, device)
                if code == 0:
                    return Outcome(task, task.folder / "result", attempts=attempt)
                error = task.folder / ERROR
                if error.is_file():
                    return Outcome(task, None, **json.loads(error.read_text(encoding="utf-8")), attempts=attempt)
            return Outcome(task, None, _describe_end(code, attempt), attempts=attempt, resumable=True)
        except Exception as error:  # an error in one search does not stop the others
            return Outcome(task, None, reason(error))
        finally:
            self._devices.put(device)

    @staticmethod
    def start(
        program: str, folder: Path, environment: dict[str, str], log: BinaryIO, keep_open: Sequence[int]
    ) -> subprocess.Popen[bytes]:
        """Starts the process of a worker, which ends when its standard input is closed: when this process ends."""
        return subprocess.Popen(
            # -P: packages in the user's working folder must not shadow installed ones.
            [sys.executable, "-P", "-m", program, str(folder)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=keep_open,
            start_new_session=True,  # keeps Ctrl-C from the worker, whose search would stop early
        )

    def _process(self, program: str, folder: Path, device: str) -> int:
        threads = str(self.threads)
        environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # see mixgraph.system.threads
        environment["CUDA_VISIBLE_DEVICES"] = device
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        with (folder / LOG).open("ab") as log:
            with self._guard:
                if self._stopped:
                    return -1
                process = self.start(program, folder, environment, log, self.keep_open)
                self._running.add(process)
            code = process.wait()
        with self._guard:
            self._running.discard(process)
        if process.stdin is not None:
            process.stdin.close()
        return code


def _describe_end(code: int, attempts: int) -> str:
    if code in (TERMINATED, -signal.SIGTERM):
        return f"its process was terminated, {attempts} times"
    ended = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
    return f"its process {ended}, {attempts} times (too little memory, or a full disk?)"
