"""The part `schedule`: steps and seconds of rendering against what is left of a console (paper appendix C, Figure 9).

Ours alone: what a schedule changes is told by the same graph one node after the other and in batches, with everything
else alike. Beside them stands the slow renderer, which also lacks all else that a plan does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import torch

from mixgraph.render import schedule
from mixgraph.render.schedule import Method
from tools.bench.cases import Case, make_graph
from tools.bench.side import REFERENCE
from tools.bench.speed.pool import Device, Pool, Runner
from tools.bench.speed.settings import Settings
from tools.bench.speed.table import Row, add_row

TIMED: tuple[str, ...] = (REFERENCE, "one_by_one", "greedy", "auto")
REMARK = (
    "Schedules: steps are medians of five random prunings. Seconds are of one of them: a clip on synthetic tracks, "
    "without gradients (processor seconds of one thread, else wall seconds); reference is the slow renderer, node by "
    "node in the time domain. A GPU is measured where there is one."
)
_GRAPHS = 5  # random prunings of each share, over which steps are medians; the first one is rendered
_SONG_SECONDS = 10.0


def schedules(pool: Pool, settings: Settings) -> list[Row]:
    """Steps of every schedule, and seconds of rendering a clip, of full and pruned consoles, on CPU and GPU."""
    rows: list[Row] = []
    ours = [runner for runner in pool.runners if runner.side == "ours"][-1]
    song_seconds = min(settings.base.seconds, _SONG_SECONDS)
    for device, name in _devices():
        runner = ours._replace(device=device)
        for tracks in settings.schedule_tracks:
            for share in settings.sweep_shares:
                case = replace(settings.base, tracks=tracks, share=share, seconds=song_seconds)
                pool.log(f"schedule: {name}, {tracks} tracks, {share:.0%} of the processors")
                rows += _of_case(pool, runner, case, name, settings.repeats)
    return rows


def _of_case(pool: Pool, runner: Runner, case: Case, device: str, repeats: int) -> list[Row]:
    graphs = [make_graph(replace(case, seed=seed)) for seed in range(_GRAPHS if case.share < 1 else 1)]
    processors = len(graphs[0].processors)
    about = {"device": device, "tracks": case.tracks, "share": case.share, "processors": processors}
    rows: list[Row] = []
    for method in get_args(Method):
        steps = [float(len(schedule(graph, method))) for graph in graphs]
        rows.append(Row("schedule", about, f"steps {method}", "", {str(runner): steps}))
    requests = [{"do": "rendering", "method": method, "device": runner.device} for method in TIMED]
    for method, measured in zip(TIMED, pool.alternate(case, requests, repeats, runners=[runner]), strict=True):
        add_row(rows, "schedule", about, f"seconds {method}", measured, "total")
    return rows


def _devices() -> list[tuple[Device, str]]:
    """The devices of this machine, as torch calls them, and their names in the table."""
    gpus: list[tuple[Device, str]] = [("cuda", torch.cuda.get_device_name())] if torch.cuda.is_available() else []
    return [("cpu", "CPU"), *gpus]
