"""Section 6: measures songs a minute with several songs on one GPU: as one disconnected graph, and as processes."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Any

from mixgraph.pruning.schedule import seconds as expected_seconds
from tools.bench.cases import Case
from tools.bench.machine import ROOT
from tools.gpu.context import Context, Unavailable
from tools.gpu.timed_search import trial_seconds
from tools.gpu.timing import device_seconds
from tools.gpu.workloads import DEMO_SCHEDULE, QUICK, costs_of, joint_training, made_song

COUNTS = (1, 4, 16)
_MEASURE_SECONDS = 4.0  # the time for steps, and that for trials, in every process


def run(context: Context) -> None:
    counts = (2,) if context.quick else COUNTS
    for count in counts:
        with context.part(f"{count} songs as one graph"):
            _joint(context, count)
    for count in counts:
        with context.part(f"{count} songs as processes"):
            _processes(context, count)


def song_case(quick: bool) -> Case:
    """Returns the case of a song like the demo: 12 s and 6 tracks, which are never silent."""
    return QUICK if quick else Case(tracks=6, seconds=12.0)


def _joint(context: Context, count: int) -> None:
    case = song_case(context.quick)
    songs = [made_song(case, seed) for seed in range(count)]
    training = joint_training(songs, case, context.device)
    samples = device_seconds(training.step, context.device, 2 if context.quick else 10, 3)
    context.add_times(f"{count} as one graph: step of all", samples)
    trial = statistics.median(trial_seconds(training.module, songs[0], 3 if context.quick else 8))
    step = statistics.median(samples)
    details = {"step": step, "trial": trial}
    total = expected_seconds(DEMO_SCHEDULE, costs_of(training.module, count, step, trial))
    context.add(f"{count} as one graph: songs a minute", 60 * count / total, "songs/min", details=details)
    training_only = expected_seconds(DEMO_SCHEDULE, costs_of(training.module, count, step, 0.0))
    context.add(f"{count} as one graph: songs a minute, training alone", 60 * count / training_only, "songs/min")


def _processes(context: Context, count: int) -> None:
    """Measures several processes at the same time, which share the GPU as the driver schedules them."""
    if context.left < 20 and not context.quick:
        raise Unavailable("no time left")
    seconds = 0.3 if context.quick else _MEASURE_SECONDS
    command = [
        sys.executable,
        "-m",
        "tools.gpu.song_worker",
        str(context.device),
        str(seconds),
        str(int(context.quick)),
    ]
    workers = [
        subprocess.Popen(
            [*command, str(seed)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        for seed in range(count)
    ]
    try:
        answers = _answers(workers)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            for pipe in (worker.stdin, worker.stdout):
                if pipe is not None:
                    pipe.close()
    rate = sum(60 / answer["search"] for answer in answers)
    context.add(f"{count} as processes: songs a minute", rate, "songs/min", details=answers)
    context.add(
        f"{count} as processes: songs a minute, training alone",
        sum(60 / answer["training"] for answer in answers),
        "songs/min",
    )
    context.add(f"{count} as processes: steps a second, all", sum(1 / answer["step"] for answer in answers), "1/s")


def _answers(workers: list[subprocess.Popen[str]]) -> list[dict[str, Any]]:
    """Waits until all workers are ready, starts them together, and collects their measurements."""
    for worker in workers:
        _line(worker)
    for message in ("steps", "trials"):
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write(message + "\n")
            worker.stdin.flush()
        lines = [_line(worker) for worker in workers]
    return [json.loads(line) for line in lines]


def _line(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    line = worker.stdout.readline()
    if not line:
        raise RuntimeError(f"the process of a song ended with {worker.wait()}, see log.txt")
    return line
