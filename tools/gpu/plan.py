"""The sections in order of importance, their time limits and required packages. Does not import torch."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

MINUTES = 8.0
LEAST_TORCH = (2, 11)
# Name to import -> name in the package index.
PACKAGES = {
    "torch": "torch",
    "torchaudio": "torchaudio",
    "lightning": "lightning",
    "torch_geometric": "torch_geometric",
    "auraloss": "auraloss",
    "matplotlib": "matplotlib",
    "networkx": "networkx",
    "numba": "numba",
    "numpy": "numpy",
    "orjson": "orjson",
    "rich": "rich",
    "safetensors": "safetensors",
    "scipy": "scipy",
    "soundfile": "soundfile",
    "webdataset": "webdataset",
    "yaml": "pyyaml",
}


@dataclass(frozen=True)
class Section:
    """A section of the check.

    Attributes:
        name: the name on the command line and in the tables.
        module: the name of the module in `tools.gpu` whose `run` measures the section.
        seconds: the time reserved for it in the whole check's 8 minutes; time that earlier sections leave is shared.
        title: the heading of its table.
    """

    name: str
    module: str
    seconds: float
    title: str


SECTIONS = (
    Section("equality", "equality", 115, "The card against the CPU"),
    Section("steps", "steps", 65, "Training steps"),
    Section("search", "searches", 110, "Trials, rounds and searches"),
    Section("graphs", "captured", 30, "The step as a CUDA graph"),
    Section("compiled", "compiled", 50, "torch.compile"),
    Section("songs", "many_songs", 60, "Several songs on one card"),
    Section("estimator", "networks", 35, "The estimator, and the renderer's schedules"),
    Section("peer", "peer", 15, "The peer (grafx)"),
)
NAMES = tuple(section.name for section in SECTIONS)


def missing_packages() -> list[str]:
    """Returns a line for each package that the sections need and that is missing or too old."""
    lines = []
    for name, package in PACKAGES.items():
        if importlib.util.find_spec(name) is None:
            lines.append(f"{package} is needed and is not installed. HINT: pip install {package}")
    if not any(line.startswith("torch ") for line in lines):
        try:
            installed = version("torch")
        except PackageNotFoundError:
            installed = "0 (without a version)"
        numbers = tuple(int(part) for part in installed.split("+")[0].split(".")[:2] if part.isdecimal())
        if numbers < LEAST_TORCH:
            least = ".".join(map(str, LEAST_TORCH))
            lines.append(f"torch {least} or newer is needed, got {installed}. HINT: pip install 'torch>={least}'")
    return lines
