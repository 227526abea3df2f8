"""Counts the operations of a training step, by the part of the code that makes them.

    python -m tools.bench.operations
    python -m tools.bench.operations --tracks 24 --shares 0.3 --device cpu --by operation
    python -m tools.bench.operations --counts earlier.json
    python -m tools.bench.operations --before earlier.json --out docs/results/operations.json

On a GPU a step of small operations takes as long as launching them does, whatever the card. The steps here run on
torch's device `meta`, whose tensors have shapes and no values, and on which the code takes the way that it takes on a
GPU: nothing is cut into pieces for a CPU's cache. What is counted is every operation that torch dispatches, forward,
backward and in the optimizer, and those of them that would launch a kernel: neither views nor bare allocations. With
`--device cpu` it is what a CPU does, pieces and all.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.autograd import detect_anomaly
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mixgraph.cli.command_parser import CommandParser
from mixgraph.system.files import write_atomically
from tools.bench.cases import Case
from tools.bench.machine import ROOT, measured
from tools.gpu.workloads import Training, demo_case, make_training

COMMAND = "python -m tools.bench.operations"
META = torch.device("meta")
_NO_KERNEL = ("empty", "new_empty", "detach", "alias", "lift", "unsafe_view", "reshape_alias", "local_scalar_dense")
_PARTS = {
    "mixgraph/dsp/envelopes": "dynamics",
    "mixgraph/processors/dynamics.py": "dynamics",
    "mixgraph/processors/reverb.py": "reverb responses",
    "mixgraph/dsp/noise.py": "reverb responses",
    "mixgraph/processors/delay.py": "delay responses",
    "mixgraph/dsp/impulses.py": "delay responses",
    "mixgraph/dsp/fir.py": "other responses",
    "mixgraph/processors": "other responses",
    "mixgraph/render/products.py": "products of spectra",
    "mixgraph/render/linear_runs.py": "products of spectra",
    "mixgraph/render": "gathering and sums",
    "mixgraph/dsp/fourier.py": "Fourier transforms",
    "mixgraph/dsp/stft.py": "match loss",
    "mixgraph/dsp/filterbank.py": "match loss",
    "mixgraph/losses/regularizers.py": "regularizers",
    "mixgraph/losses": "match loss",
    "mixgraph/search/optimizer.py": "optimizer",
    "mixgraph/search": "regularizers",
    "torch/optim": "optimizer",
}
"""The name of the part that a file belongs to; the first prefix that fits counts."""

PARTS = tuple(dict.fromkeys([*_PARTS.values(), "other"]))


@dataclass
class Counts:
    """Operations of a step.

    Attributes:
        all: place in the code and name of the operation -> how often it was dispatched.
        launching: the same of those that launch a kernel.
    """

    all: Counter[tuple[str, str]] = field(default_factory=Counter)
    launching: Counter[tuple[str, str]] = field(default_factory=Counter)

    def by_part(self) -> dict[str, tuple[int, int]]:
        """Returns the operations of each part: dispatched, and launching."""
        counts = {part: [0, 0] for part in PARTS}
        for column, counter in enumerate((self.all, self.launching)):
            for (place, _), count in counter.items():
                counts[part_of(place)][column] += count
        return {part: (dispatched, launching) for part, (dispatched, launching) in counts.items() if dispatched}


def part_of(place: str) -> str:
    """Returns the part that a place in the code belongs to."""
    return next((part for prefix, part in _PARTS.items() if place.startswith(prefix)), "other")


class OperationCounter(TorchDispatchMode):
    """Counts what is dispatched while it is active.

    Args:
        device: the device whose operations count as launching; others work on the host.
        traced: also find the place in the code that made each operation; else all are made at `""`. The gradients of
            plain operations belong to the place where they were called, which takes anomaly detection to know.
    """

    def __init__(self, device: torch.device, traced: bool = False) -> None:
        super().__init__()
        self.device, self.traced, self.counts = device, traced, Counts()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        key = (_place() if self.traced else "", name)
        result = func(*args, **(kwargs or {}))
        self.counts.all[key] += 1
        if launches(func) and any(t.device == self.device for t in _tensors((args, kwargs, result))):
            self.counts.launching[key] += 1
        return result


def launches(func: Any) -> bool:
    """Whether an operation launches a kernel on a GPU: it is neither a view nor a bare allocation."""
    return not (func.is_view or func.overloadpacket.__name__.lstrip("_").startswith(_NO_KERNEL))


def _tensors(values: Any) -> list[torch.Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, torch.Tensor)]


def _place() -> str:
    """Returns the innermost file of ours that is being executed, or whose operation's gradient is being taken."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        place = _within(frame.f_code.co_filename)
        if place.startswith(("mixgraph", "torch/optim")):
            return f"{place}:{frame.f_code.co_qualname}"
        frame = frame.f_back
    node: Any = torch._C._current_autograd_node()
    for text in reversed(node.metadata.get("traceback_", []) if node is not None else []):
        file, _, function = text.strip().partition('", line ')
        place = _within(file.removeprefix('File "'))
        if place.startswith("mixgraph"):
            return f"{place}:{function.partition(' in ')[2].splitlines()[0]}"
    return "other"


def _within(file: str) -> str:
    """Returns the path of a file in this repository or in torch."""
    for root in (f"{ROOT}/", f"{Path(torch.__file__).parent.parent}/"):
        if file.startswith(root):
            return file.removeprefix(root)
    return ""


def count_step(training: Training, traced: bool = False) -> Counts:
    """Counts the operations of a training step, after one that makes plans, constants and the optimizer's state."""
    training.step()
    with OperationCounter(training.module.dry_wet_logits.device, traced) as counter:
        if traced:
            with detect_anomaly(check_nan=False):
                training.step()
        else:
            training.step()
    return counter.counts


def console_label(tracks: int, share: float) -> str:
    """Returns the name of a console in the tables."""
    return f"{tracks} tracks, {'all processors' if share == 1 else f'{share:.0%} left'}"


def console_training(tracks: int, share: float, device: torch.device = META) -> Training:
    """Makes the training of a console on stereo tracks; of 6 tracks, it is the demo song's."""
    if tracks == 6 and share == 1:
        return make_training(demo_case(quick=False), device)[0]
    return make_training(Case(tracks=tracks, seconds=6.0, share=share), device)[0]


def measure(tracks: Sequence[int], shares: Sequence[float], device: torch.device) -> dict[tuple[int, float], Counts]:
    """Counts the steps of consoles, with all processors or a share of them."""
    return {(n, share): count_step(console_training(n, share, device), True) for n in tracks for share in shares}


def table(counts: Counts, by: str) -> str:
    """Returns the counts of one step by part, or by place in the code, as text."""
    if by == "part":
        rows = [(part, *numbers) for part, numbers in counts.by_part().items()]
    else:
        places: dict[str, list[int]] = {}
        for column, counter in enumerate((counts.all, counts.launching)):
            for (place, name), count in counter.items():
                places.setdefault(place if by == "place" else f"{place} {name}", [0, 0])[column] += count
        rows = [(place, numbers[0], numbers[1]) for place, numbers in places.items()]
    rows.sort(key=lambda row: -row[2])
    rows.append(("all", counts.all.total(), counts.launching.total()))
    return "".join(f"{dispatched:7d} {launching:7d}  {name}\n" for name, dispatched, launching in rows)


def comparison(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Returns the table of two versions' counts, in the form of docs/results; the optimizer is left out."""
    rows = []
    for console, parts in now["counts"].items():
        earlier = before["counts"][console]
        names = sorted({*parts, *earlier} - {"optimizer"}, key=lambda part: -earlier.get(part, (0, 0))[1])
        sums = [[sum(of.get(part, (0, 0))[i] for part in names) for i in (0, 1)] for of in (earlier, parts)]
        rows.append([f"**{console}**", *(f"**{number}**" for number in (*sums[0], *sums[1]))])
        rows += [[part, *map(str, (*earlier.get(part, (0, 0)), *parts.get(part, (0, 0))))] for part in names]
    measured_in = [
        {"of": name, **{key: of[key] for key in ("command", "commit", "machine", "date")}}
        for name, of in (("before", before), ("after", now))
    ]
    return {
        "title": "Operations of a training step",
        "measured": measured_in,
        "columns": ["console, part", "dispatched before", "launching before", "dispatched after", "launching after"],
        "rows": rows,
        "note": "Forward and backward, with nothing cut into pieces for a CPU, counted on torch's device `meta`; "
        "launching are those that are neither views nor allocations. 6 tracks are the demo song's.",
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", nargs="+", type=int, default=[6, 16])
    parser.add_argument("--shares", nargs="+", type=float, default=[1.0, 0.3], help="of processors left")
    parser.add_argument("--device", choices=("meta", "cpu"), default="meta")
    parser.add_argument("--by", choices=("part", "place", "operation"), default="part")
    parser.add_argument("--counts", type=Path, help="JSON file to write the counts to")
    parser.add_argument("--before", type=Path, help="counts of an earlier version, for --out")
    parser.add_argument("--out", type=Path, help="JSON file for the table of both, in the form of docs/results")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    counts = measure(options.tracks, options.shares, torch.device(options.device))
    for (tracks, share), of_step in counts.items():
        sys.stdout.write(f"{console_label(tracks, share)}\n{table(of_step, options.by)}\n")
    now = measured(COMMAND, 1) | {
        "counts": {console_label(*console): of_step.by_part() for console, of_step in counts.items()}
    }
    if options.counts is not None:
        write_atomically(options.counts, json.dumps(now).encode())
    if options.out is not None:
        before = json.loads(options.before.read_text())
        write_atomically(options.out, (json.dumps(comparison(before, now), indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
