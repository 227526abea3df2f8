"""Describes what was measured and where: the machine, versions of packages, and a digest of our sources."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[2]
_ABSOLUTE = re.compile(r"(^|=)/(?:[^/=]+/)*(?=[^/=]+)")
_SOURCES = {
    "ours": ("mixgraph", "callbacks", "datamodules", "tools/bench"),
    "peer": ("mixgraph", "tools/bench"),
}


def machine(threads: int) -> dict[str, Any]:
    """Describes the machine; `load` is its load before the measurement."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "processor": processor(),
        "threads": threads,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "versions": versions("ours") | {"grafx": installed("grafx")},
        "python": platform.python_version(),
        "libc": " ".join(platform.libc_ver()),
    }


def measured(command: str, threads: int, *packages: str) -> dict[str, str]:
    """Returns what a table in docs/results says of its run: command, commit, machine with versions, and date.

    Args:
        command: the command line.
        threads: threads of torch.
        packages: further packages whose versions are named.
    """
    environment = {name: value for name, value in os.environ.items() if name != "GIT_DIR"}  # hidden from loggers
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    names = ["torch", *packages]
    about = ", ".join(f"{name} {installed(name)}" for name in names)
    return {
        "command": command,
        "commit": commit.stdout.strip(),
        "machine": f"{processor()}, {threads} threads, {about}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def command_line(module: str, arguments: Sequence[str] | None, files: Sequence[str] = ("--out",)) -> str:
    """Returns the command line of a tool as a table tells it.

    Args:
        module: the module that `python -m` runs.
        arguments: those that it was given; None for those of this process. Of absolute paths the last part is told.
        files: options for what the tool writes, which are left out with their values.
    """
    words, is_value = [], False
    for word in sys.argv[1:] if arguments is None else arguments:
        if is_value or word.partition("=")[0] in files:
            is_value = not is_value and "=" not in word
        else:
            words.append(_ABSOLUTE.sub(r"\1", word))
    return shlex.join(["python", "-m", module, *words])


def processor() -> str:
    """The processor's model, and how many cores there are."""
    return f"{processor_model()}, {os.cpu_count()} cores"


def processor_model() -> str:
    """The processor's name according to Linux, or else its architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(filter(None, names), platform.machine())


@cache
def versions(side: Literal["ours", "peer"]) -> dict[str, str]:
    """The versions of the packages that a side runs, with a digest of our sources."""
    digest = hashlib.sha256()
    for folder in _SOURCES[side]:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    common = {"torch": installed("torch"), "sources": digest.hexdigest()[:12]}
    if side == "peer":
        return {"grafx": installed("grafx")} | common
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {"mixgraph": project["project"]["version"]} | common


def installed(package: str) -> str:
    """The version of a package, or "not installed"."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
