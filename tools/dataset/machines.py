"""Where the searches of a build run: the GPUs, threads and workers that options and settings ask for."""

from __future__ import annotations

import argparse
import os
from importlib.util import find_spec
from typing import Any

from tools.dataset.outcome import Workers


def usable_devices(settings: dict[str, Any]) -> list[str]:
    """Returns the GPUs of this machine that searches may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    if settings["trainer"]["accelerator"] not in ("auto", "gpu", "cuda"):
        return []
    count = torch.cuda.device_count()
    return (os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))).split(",")[:count]


def _num_workers(options: argparse.Namespace, settings: dict[str, Any]) -> int:
    return int(options.workers or max(1, len(usable_devices(settings))))


def num_threads(options: argparse.Namespace, settings: dict[str, Any]) -> int:
    """Returns the number of threads of each search."""
    if options.ray:
        return max(1, int(options.cpus_per_song))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(options.threads or max(1, cores // _num_workers(options, settings)))


def make_workers(
    options: argparse.Namespace, settings: dict[str, Any], threads: int, lock: int, at_once: int | None = None
) -> Workers:
    """Makes workers of this machine, or of a Ray cluster.

    Args:
        options: those of `add_machine_options` in tools/options.py.
        settings: the settings of the searches.
        threads: the number of threads of each search.
        lock: the descriptor of the build's lock, which workers of this machine keep open.
        at_once: the number of searches at a time on a cluster; None for as many as it has room for.

    Raises:
        ValueError: a Ray cluster is asked for, and Ray is not installed.
    """
    if options.ray:
        if find_spec("ray") is None:
            raise ValueError("ray: Ray is not installed; pip install 'mixgraph[cluster]'")
        from tools.dataset.cluster import RayWorkers

        per_song = options.cpus_per_song, options.gpus_per_song
        return RayWorkers(options.ray, *per_song, options.retries, options.shared, at_once)
    from tools.dataset.local import LocalWorkers

    workers, devices = _num_workers(options, settings), usable_devices(settings)
    return LocalWorkers(workers, threads, devices, options.retries, keep_open=(lock,))
