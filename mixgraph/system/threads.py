"""The choice of the number of threads that torch computes with.

A thread that waits for its share of a core holds up all others at every operation, and where those spin while they
wait (as OpenMP's do unless OMP_WAIT_POLICY says PASSIVE) they take the very core that it waits for: with more threads
than free cores, work takes many times longer. Another number of threads rounds sums differently: the last digits of a
result depend on it.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from mixgraph.system.files import read_text

ENVIRONMENT = "OMP_NUM_THREADS"
_SAMPLE_SECONDS = 0.2
_NEARLY_FREE = 0.25  # of a core: what a desktop does on the side does not count


@dataclass(frozen=True)
class Cores:
    """The cores of this process.

    Attributes:
        usable: number of cores that the process may use, by its affinity and the quota of its control groups.
        busy: number of usable cores that other processes use now.
    """

    usable: float
    busy: float

    @property
    def threads(self) -> int:
        """The number of threads to use: the number of free cores, at least one."""
        return max(1, math.floor(self.usable - self.busy + _NEARLY_FREE))


@dataclass(frozen=True)
class ThreadChoice:
    """A number of threads, and the reason for it.

    Attributes:
        threads: the number of threads of torch.
        reason: the reason for the number, as text.
        fixed: whether the user set the number.
    """

    threads: int
    reason: str
    fixed: bool


def choose_threads() -> ThreadChoice:
    """Chooses the number of threads to compute with: OMP_NUM_THREADS where it is set, else as many as cores are free.

    The load of other processes is measured for a fifth of a second.
    """
    if os.environ.get(ENVIRONMENT):
        return ThreadChoice(torch.get_num_threads(), f"{ENVIRONMENT} is set", True)
    cores = measure_cores()
    reason = f"{cores.usable:g} core{'' if cores.usable == 1 else 's'}, {cores.busy:.1f} of them busy"
    return ThreadChoice(cores.threads, f"{reason}; {ENVIRONMENT} sets another number", False)


_chosen: ThreadChoice | None = None


def use_free_cores() -> None:
    """Computes with the number of threads of `choose_threads` from now on, as a command does that has the process."""
    global _chosen
    _chosen = choose_threads()
    torch.set_num_threads(_chosen.threads)


def chosen_threads() -> ThreadChoice | None:
    """Returns the choice of `use_free_cores`; None where it was not called, so that the caller sets the threads."""
    return _chosen


def measure_cores() -> Cores:
    """Measures the load of the cores while this process sleeps for a moment."""
    allowed = _allowed()
    before = _busy_ticks(allowed)
    time.sleep(_SAMPLE_SECONDS)
    after = _busy_ticks(allowed)
    usable = min(float(len(allowed)), cpu_quota())
    if before and after:
        busy = sum(
            (after[core][0] - before[core][0]) / total
            for core in allowed
            if core in before and core in after and (total := after[core][1] - before[core][1]) > 0
        )
    else:  # not Linux: processes that wanted to run in the last minute
        busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    # A quota is for this process and its group alone, so what others do only takes from the cores beyond it.
    free = min(usable, max(0.0, len(allowed) - busy))
    return Cores(usable, usable - free)


def cpu_quota(root: Path = Path("/sys/fs/cgroup"), groups: Path = Path("/proc/self/cgroup")) -> float:
    """Returns the number of cores that the control groups allow this process; infinite without a limit.

    Args:
        root: folder where control groups are mounted.
        groups: file that lists the groups of this process, one a line: `0::/path` (version 2) or
            `4:cpu,cpuacct:/path` (version 1).
    """
    quota = math.inf
    for line in _text(groups).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / "cpu" if controllers else root
        # In a container the path is often that of the host, and what is mounted is the group itself.
        for folder in {base, *(base / parent for parent in _parents(path))}:
            if controllers:
                values = [_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")]
            else:
                values = _text(folder / "cpu.max").split()
            if len(values) == 2 and all(value.strip().isdigit() for value in values) and int(values[1]):
                quota = min(quota, int(values[0]) / int(values[1]))
    return quota


def _parents(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part not in ("", "..")]
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except OSError:  # another system, or a group that is not mounted here
        return ""


def _allowed() -> frozenset[int]:
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def _busy_ticks(allowed: frozenset[int]) -> dict[int, tuple[int, int]]:
    """Returns, by core, the busy ticks and all ticks since the machine started; empty where they are not known."""
    ticks: dict[int, tuple[int, int]] = {}
    for line in _text(Path("/proc/stat")).splitlines():
        name, *values = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in allowed:
            counts = [int(value) for value in values[:8]]  # what follows is counted among these already
            idle = counts[3] + counts[4]
            ticks[int(name[3:])] = sum(counts) - idle, sum(counts)
    return ticks


@contextmanager
def one_thread() -> Iterator[None]:
    """Computes with one thread of torch, as worker processes do: with another number, sums are rounded otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
