"""Runs searches on a Ray cluster: each of them is a task with its resources and retries."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from mixgraph.dataset.reasons import reason
from mixgraph.registry import carried_modules
from mixgraph.shipped import BESIDE, FOLDER
from mixgraph.system.termination import was_terminated
from tools.dataset.outcome import Outcome, Task, WorkerRequest
from tools.dataset.worker import describe_error

PACKAGES = ("mixgraph", "callbacks", "datamodules")
_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class RemoteAnswer:
    """The answer of a task: the files of the result by path (None on shared storage), or the error."""

    files: dict[str, bytes] | None = None
    error: dict[str, Any] | None = None


class RayWorkers:
    """Tasks on a Ray cluster. Nodes read songs from where this machine reads them.

    Tasks of nodes and processes that die run again elsewhere. The code travels with them, with modules of `--import`
    that are not installed; the nodes need what it depends on.

    Args:
        address: the address of the cluster, or `auto`.
        cpus: the number of CPUs of a task, and of its threads.
        gpus: the GPUs of a task; a fraction lets several tasks share one.
        retries: the number of times that a task is tried again when its process or node died.
        shared: all nodes can access the folder of the build. Tasks work in it, and a retry resumes from the last
            stage. If false, they work in temporary folders whose files are returned as bytes.
        at_once: the number of tasks at a time; None to give the cluster all of them, which shares itself out.
    """

    def __init__(
        self,
        address: str,
        cpus: float = 1.0,
        gpus: float = 0.0,
        retries: int = 2,
        shared: bool = False,
        at_once: int | None = None,
    ) -> None:
        self.address, self.cpus, self.gpus, self.retries, self.shared = address, cpus, gpus, retries, shared
        self.at_once = at_once

    def run(self, tasks: Iterable[Task]) -> Generator[Outcome, None, None]:
        import ray

        joined = not ray.is_initialized()
        if joined:
            packages: dict[str, Any] = {"py_modules": [*map(str, _code()), *carried_modules()]}
            ray.init(address=self.address, runtime_env=packages, log_to_driver=False, logging_level=logging.WARNING)
        # A process for each task, as on one machine; Ray itself runs tasks again that were lost.
        remote = ray.remote(max_calls=1, max_retries=self.retries)(_search).options(
            num_cpus=self.cpus, num_gpus=self.gpus
        )
        left, running = iter(tasks), dict[Any, Task]()
        try:
            while True:
                while (self.at_once is None or len(running) < self.at_once) and (task := next(left, None)) is not None:
                    running[remote.remote(task.request, str(task.folder.resolve()) if self.shared else None)] = task
                if not running:
                    return
                done, _ = ray.wait(list(running), num_returns=1, timeout=_POLL_SECONDS)
                for reference in done:
                    yield _outcome(running.pop(reference), reference)
        finally:
            for reference in running:
                ray.cancel(reference, force=True)
            if joined:
                ray.shutdown()


def _code() -> list[Path]:
    """The folders of mixgraph's code, and what says which version it is, which results record."""
    installed = distribution("mixgraph")
    about = Path(str(installed.locate_file(f"mixgraph-{installed.version}.dist-info")))
    return [*(BESIDE / name for name in PACKAGES), FOLDER / "tools", *([about] if about.is_dir() else [])]


def _outcome(task: Task, reference: Any) -> Outcome:
    import ray

    try:
        answer: RemoteAnswer = ray.get(reference)
    except ray.exceptions.RayError as error:  # its node or process died in every retry
        lines = str(error).strip().splitlines() or [""]
        return Outcome(task, None, f"{type(error).__name__}: {lines[0]}", str(error), attempts=None)
    if answer.error is not None:
        return Outcome(task, None, answer.error["reason"], answer.error["details"], attempts=None)
    if answer.files is None:
        return Outcome(task, task.folder / "result", attempts=None)
    try:
        return Outcome(task, _unpack(answer.files, task.folder / "fetched"), attempts=None)
    except OSError as error:
        return Outcome(task, None, reason(error), attempts=None)


def _unpack(files: dict[str, bytes], folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def _search(request: WorkerRequest, shared: str | None) -> RemoteAnswer:
    """A task that works in its folder; errors are returned, so that Ray does not try again."""
    with tempfile.TemporaryDirectory(prefix="mixgraph_") as temporary:
        folder = Path(shared or temporary)
        try:
            request.save(folder)
            result = request.run(folder)
        except (Exception, SystemExit) as error:
            if was_terminated(error):  # its node shuts down: Ray runs the task again on another node
                raise
            return RemoteAnswer(error=describe_error(error))
        if shared:
            return RemoteAnswer()
        files = [path for path in sorted(result.rglob("*")) if path.is_file()]
        return RemoteAnswer({path.relative_to(result).as_posix(): path.read_bytes() for path in files})
