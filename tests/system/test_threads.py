"""How many threads compute: what is set, else what is free."""

import math
import subprocess
import sys

import pytest

from mixgraph.system import threads
from mixgraph.system.threads import Cores, choose_threads, cpu_quota, measure_cores


@pytest.mark.parametrize(
    ("usable", "busy", "count"),
    [(2, 0.0, 2), (2, 0.2, 2), (2, 0.5, 1), (2, 1.0, 1), (2, 2.0, 1), (16, 3.1, 13), (1.5, 0.0, 1), (0.5, 0.0, 1)],
)
def test_as_many_threads_as_cores_are_free(usable, busy, count) -> None:
    assert Cores(usable, busy).threads == count


def test_the_environment_decides_where_it_is_set(monkeypatch) -> None:
    choice = choose_threads()  # the suite sets one thread
    assert (choice.threads, choice.reason, choice.fixed) == (1, "OMP_NUM_THREADS is set", True)
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(threads, "measure_cores", lambda: Cores(4, 1.0))
    choice = choose_threads()
    assert (choice.threads, choice.fixed) == (3, False)
    assert choice.reason == "4 cores, 1.0 of them busy; OMP_NUM_THREADS sets another number"


def test_what_others_compute_is_seen(monkeypatch) -> None:
    """From what the kernel counts: of two cores of ours, one is busy for half of the time; a third is not ours."""
    reads = iter(
        [
            "cpu  0 0 0 0\ncpu0 100 0 0 100 0 0 0 0 0 0\ncpu1 0 0 0 100 0 0 0 0 0 0\ncpu2 0 0 0 0 0 0 0 0 0 0\n",
            "cpu  0 0 0 0\ncpu0 110 0 0 105 5 0 0 0 9 0\ncpu1 0 0 0 120 0 0 0 0 0 0\ncpu2 20 0 0 0 0 0 0 0 0 0\n",
        ]
    )
    monkeypatch.setattr(threads, "_text", lambda path: next(reads) if path.name == "stat" else "")
    monkeypatch.setattr(threads, "_allowed", lambda: frozenset({0, 1}))
    assert measure_cores() == Cores(2.0, 0.5)


def test_a_busy_process_takes_a_core() -> None:
    """For real: while it computes, it is seen, or the machine is full anyway."""
    before = measure_cores()
    child = subprocess.Popen([sys.executable, "-c", "print('ready', flush=True)\nwhile True: pass"], stdout=-1)
    try:
        child.stdout.readline()
        after = measure_cores()
    finally:
        child.kill()
        child.communicate()
    assert after.busy > min(before.busy + 0.3, 0.6 * after.usable)


@pytest.mark.parametrize(
    ("lines", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, math.inf),
        ("0::/a/b\n", {"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "max 100000\n"}, 0.5),
        ("0::/a/b\n", {"cpu.max": "300000 100000\n"}, 3.0),  # the host's path, of which the container sees none
        ("4:memory:/x\n3:cpu,cpuacct:/\n", {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2.0),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
        ("", {}, math.inf),
    ],
)
def test_quotas_of_control_groups_count(tmp_path, lines, files, quota) -> None:
    groups = tmp_path / "groups"
    groups.write_text(lines)
    for name, text in files.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert cpu_quota(tmp_path / "root", groups) == quota
