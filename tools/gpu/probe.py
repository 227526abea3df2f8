"""Checks that a GPU works, and describes the machine; a separate process, since a broken driver may crash it.

python -m tools.gpu.probe cuda FILE
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mixgraph.system.files import json_text, write_atomically
from tools.bench.machine import processor_model


def probe(device: str) -> dict[str, Any]:
    """Describes the machine for the tables; `error` says why the device cannot be used, or is ""."""
    import torch

    about: dict[str, Any] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda or "none",
        "cudnn": torch.backends.cudnn.version() if torch.backends.cudnn.is_available() else None,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processor": processor_model(),
        "device": "cpu",
        "error": "",
    }
    if not device.startswith("cuda"):
        return about
    about["driver"] = _driver()
    with warnings.catch_warnings(record=True) as caught:  # torch only warns about an old driver
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    if not available:
        reasons = [str(warning.message).splitlines()[0] for warning in caught]
        try:
            torch.cuda.init()
        except (RuntimeError, AssertionError) as error:
            reasons.append(str(error).splitlines()[0])
        about["error"] = "no GPU: " + "; ".join(dict.fromkeys(reasons or ["torch.cuda.is_available() is false"]))
        return about
    try:
        card = torch.cuda.get_device_properties(device)
        free, total = torch.cuda.mem_get_info(device)
        about |= {
            "device": card.name,
            "capability": f"{card.major}.{card.minor}",
            "multiprocessors": card.multi_processor_count,
            "memory_gib": round(total / 2**30, 1),
            "free_gib": round(free / 2**30, 1),
        }
        if float(torch.arange(8.0, device=device).sum()) != 28.0:
            about["error"] = "the GPU adds wrongly: 0 + 1 + ... + 7 is not 28"
    except RuntimeError as error:  # no code for this card, a driver that is too old, a card that is in use
        about["error"] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return about


def _driver() -> str:
    command = shutil.which("nvidia-smi")
    if command is None:
        return "unknown (no nvidia-smi)"
    query = [command, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"unknown ({type(error).__name__})"
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else "unknown"


def main() -> None:
    device, path = sys.argv[1:]
    write_atomically(Path(path), json_text(probe(device)).encode())


if __name__ == "__main__":
    main()
