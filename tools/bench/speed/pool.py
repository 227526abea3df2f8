"""Runs the worker processes: alternating measurements, time limits, and reasons for missing results."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, Literal, NamedTuple

from tools.bench.cases import Case
from tools.bench.machine import ROOT

KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(1 << 26),
}
START_SECONDS = 600.0
Device = Literal["cpu", "cuda"]


class Runner(NamedTuple):
    """The combination of a side, a setting of malloc and a device that is measured; its name is of the first two."""

    side: Literal["ours", "peer"]
    malloc: Literal["default", "tuned"]
    device: Device = "cpu"

    def __str__(self) -> str:
        return f"{self.side} {self.malloc}"


class NotRun(Exception):
    """A measurement could not be made; the text states the reason."""


@dataclass
class Measured:
    """All answers of a runner to a request, or the reason why there are none.

    Attributes:
        answers: one answer for each repeat.
        reason: why there are no answers; "" if there are.
    """

    answers: list[dict[str, Any]] = field(default_factory=list)
    reason: str = ""


class Worker:
    """One process; started by the first request, and anew after it had to be killed.

    Args:
        runner: the side and the malloc setting that it runs.
        threads: number of torch's threads.
    """

    def __init__(self, runner: Runner, threads: int) -> None:
        self.runner, self.threads = runner, threads
        self.process: subprocess.Popen[str] | None = None
        self.replies: queue.Queue[str] = queue.Queue()

    def ask(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        """The answer to a request.

        Raises:
            NotRun: the side cannot do it, it takes longer than `timeout` seconds, or the process ended.
        """
        process = self.process or self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            reply = self.replies.get(timeout=timeout)
        except queue.Empty:
            self.close()
            raise NotRun(f"over {timeout:g} s") from None
        except BrokenPipeError:
            reply = ""
        if not reply:
            code = process.wait()
            self.close()
            raise NotRun(f"the process ended with {code}")
        answer = json.loads(reply)
        if "reason" in answer:
            raise NotRun(answer["reason"])
        result: dict[str, Any] = answer["result"]
        return result

    def _start(self) -> subprocess.Popen[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
        environment |= {"OMP_NUM_THREADS": str(self.threads), "MKL_NUM_THREADS": str(self.threads)}
        if self.runner.device == "cpu":
            environment["CUDA_VISIBLE_DEVICES"] = ""
        if self.runner.malloc == "tuned":
            environment |= KEEP_MEMORY
        command = [sys.executable, "-m", "tools.bench.speed.worker", self.runner.side]
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        replies: queue.Queue[str] = queue.Queue()

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                replies.put(line)
            replies.put("")

        threading.Thread(target=read, daemon=True).start()
        self.process, self.replies = process, replies
        return process

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    pipe.close()
            self.process = None


class Pool:
    """The workers of a run.

    Args:
        runners: all of them; the first of each side is the one that serves where malloc does not matter.
        threads: number of torch's threads.
        timeout: seconds a request to the peer; ours has no limit but `START_SECONDS`.
        log: called with messages on the progress.
    """

    def __init__(self, runners: list[Runner], threads: int, timeout: float, log: Any) -> None:
        self.runners, self.threads, self.timeout, self.log = runners, threads, timeout, log
        self.workers: dict[Runner, Worker] = {}

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restart()

    def restart(self) -> None:
        """Ends all workers; the next request starts them anew."""
        for worker in self.workers.values():
            worker.close()
        self.workers = {}

    def alternate(
        self,
        case: Case,
        requests: list[dict[str, Any]],
        repeats: int,
        warm_up: dict[str, Any] | None = None,
        runners: list[Runner] | None = None,
        seconds: float | None = None,
    ) -> list[dict[Runner, Measured]]:
        """Sends requests to the runners in turn, `repeats` times over; one result a request.

        Args:
            case: the case that is set up first.
            requests: the requests to measure.
            repeats: the number of times that each request is measured.
            warm_up: a request that is sent first and not measured.
            runners: runners that are measured, all by default.
            seconds: the time limit of a request, for both sides, in place of the usual limits.
        """
        chosen = self.runners if runners is None else runners
        results: list[dict[Runner, Measured]] = [{runner: Measured() for runner in chosen} for _ in requests]
        for runner in chosen:
            reason = self._try(runner, {"do": "setup", "case": asdict(case)}, Measured(), START_SECONDS)
            if not reason and warm_up is not None:
                reason = self._try(runner, warm_up, Measured(), seconds)
            for measured in results:
                measured[runner].reason = reason
        for _ in range(repeats):
            for runner in chosen:
                for request, measured in zip(requests, results, strict=True):
                    answers = measured[runner]
                    if not answers.reason:
                        answers.reason = self._try(runner, request, answers, seconds)
                        if answers.reason and self.workers[runner].process is None:  # a new process has no case
                            for other in results:
                                other[runner].reason = other[runner].reason or answers.reason
        return results

    def _try(self, runner: Runner, request: dict[str, Any], into: Measured, seconds: float | None) -> str:
        if runner not in self.workers:
            self.workers[runner] = Worker(runner, self.threads)
        limit = seconds or (self.timeout if runner.side == "peer" else START_SECONDS)
        try:
            into.answers.append(self.workers[runner].ask(request, limit))
        except NotRun as error:
            self.log(f"  {runner}: {request['do']}: not run ({error})")
            return str(error)
        if request["do"] != "setup":
            self.log(f"  {runner}: {request['do']}: {_short(into.answers[-1])}")
        return ""


def _short(answer: dict[str, Any]) -> str:
    return ", ".join(f"{k} {v:.3g}" for k, v in answer.items() if isinstance(v, int | float))
