"""Measures steps, then trials, of one song in a separate process; `many_songs` signals when each starts.

python -m tools.gpu.song_worker cuda:0 4.0 0 7        device, seconds of either, whether small, seed of the song
"""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Callable
from itertools import count
from typing import Any

import torch

from callbacks.iterative_pruning import song_evaluator
from mixgraph.pruning.schedule import seconds as expected_seconds
from mixgraph.system.files import json_text
from tools.bench.speed.worker import end_with_parent
from tools.gpu.many_songs import song_case
from tools.gpu.timing import synchronize
from tools.gpu.workloads import DEMO_SCHEDULE, costs_of, joint_training, made_song

_AHEAD = 4  # calls that the host may run ahead of the device


def main() -> None:
    device, seconds, quick, seed = torch.device(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "1", int(sys.argv[4])
    warnings.filterwarnings("ignore")
    end_with_parent()
    torch.set_num_threads(1)
    case = song_case(quick)
    song = made_song(case, seed)
    training = joint_training([song], case, device)
    for _ in range(3):
        training.step()
    evaluator = song_evaluator(training.module, song)
    evaluator.evaluate(())
    synchronize(device)
    _say("ready")
    sys.stdin.readline()
    step = _mean_seconds(training.step, seconds, device)
    _say(str(step))
    sys.stdin.readline()
    processors, number = len(training.module.graph.processors), count()
    ceilings = [math.inf] * evaluator.target.num_windows  # with them no cached result of an earlier trial is used
    trial = _mean_seconds(lambda: evaluator.evaluate((next(number) % processors,), None, ceilings), seconds, device)
    total = expected_seconds(DEMO_SCHEDULE, costs_of(training.module, 1, step, trial))
    alone = expected_seconds(DEMO_SCHEDULE, costs_of(training.module, 1, step, 0.0))
    _say(json_text({"step": step, "trial": trial, "search": total, "training": alone}))


def _mean_seconds(call: Callable[[], Any], seconds: float, device: torch.device) -> float:
    """Repeats a call for some seconds, and returns the mean seconds of a call."""
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < seconds or done == 0:
        for _ in range(_AHEAD):
            call()
        synchronize(device)
        done += _AHEAD
    return (time.perf_counter() - started) / done


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
