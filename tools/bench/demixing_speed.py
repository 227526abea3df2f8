"""Times the separation of a mix against xumx-sliCQ-V2's own code, with random weights, and measures peak memory.

    pip install --target PEER --no-deps xumx-slicq-v2==1.0.0a2     (or without --target, where no --peer is needed)
    python -m tools.bench.demixing_speed --peer PEER --out docs/results/demixing_speed.json

Both take apart the same stereo noise at 44.1 kHz, each in a process of its own on the same number of threads, and the
processes take turns. A process makes the demixer, separates two seconds that do not count, and then all; its peak
memory is what this call adds to what it held before. The peer's settings are those of its release: 262 Bark bands from
32.9 Hz, 50 and 51 channels, pieces of 59 s; offline with Wiener-EM, real time with the phase of the mix. Of both, there
is a row with Wiener-EM and one with the phase of the mix, which is our default.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is loaded; as `python -m mixgraph` does

import torch
from torch import Tensor

from mixgraph.cli.command_parser import CommandParser
from mixgraph.demixing import Demixer
from mixgraph.system.files import write_atomically
from tools.bench.demixer import PUBLISHED
from tools.bench.machine import ROOT, measured
from tools.bench.slicqt import BANDS, LOW_HZ, RATE, peak_kib, reset_peak

PEER = "xumx-slicq-v2"
OURS: dict[str, dict[str, Any]] = {
    "ours": {},
    "ours, Wiener-EM": {"wiener": "always"},
    "its layout in ours, Wiener-EM": PUBLISHED,
}
PEERS = {f"{PEER}, phase of the mix": True, f"{PEER}, Wiener-EM": False}
"""Name -> whether it is its variant for real time."""
AGAINST = dict(zip(OURS, (*PEERS, f"{PEER}, Wiener-EM"), strict=True))
NAMES = (*PEERS, *OURS)
_WARM_UP_SECONDS = 2.0


def demixer_of(name: str) -> tuple[Callable[[Tensor], Any], int]:
    """Makes a demixer; returns what takes a mix, (2, samples), apart, and the number of its parameters."""
    torch.manual_seed(0)
    if name in PEERS:
        return _peer(PEERS[name])
    demixer = Demixer(**OURS[name]).eval()
    return demixer.separate, sum(parameter.numel() for parameter in demixer.network.parameters())


def _peer(realtime: bool) -> tuple[Callable[[Tensor], Any], int]:
    from xumx_slicq_v2.model import Unmix
    from xumx_slicq_v2.separator import Separator
    from xumx_slicq_v2.transforms import ComplexNorm, NSGTBase, make_filterbanks

    with contextlib.redirect_stdout(io.StringIO()):  # it prints its settings
        base = NSGTBase("bark", BANDS, LOW_HZ, fs=RATE, device="cpu")
        analysis, synthesis = make_filterbanks(base)
        norm = ComplexNorm()
        sample, _ = base.predict_input_size(1, 2, 2.0)
        network = Unmix(norm(sample), realtime=realtime)
        separator = Separator(network, (analysis, synthesis, norm), quiet=True)
        separator.freeze()
    count = sum(parameter.numel() for parameter in network.parameters())
    return lambda mix: separator(mix.unsqueeze(0)), count


def child(name: str, seconds: float) -> None:
    """Prints the seconds of one separation, the MiB that it adds to the process's memory, and the parameters."""
    separate, count = demixer_of(name)
    generator = torch.Generator().manual_seed(0)
    mix = 0.1 * torch.randn(2, round(seconds * RATE), generator=generator)
    with torch.inference_mode():
        separate(mix[:, : round(_WARM_UP_SECONDS * RATE)])
        before = reset_peak()
        start = time.perf_counter()
        stems = separate(mix)
        took = time.perf_counter() - start
    if tuple(stems.shape[-2:]) != (2, mix.shape[-1]) or not bool(stems.isfinite().all()):
        raise RuntimeError(f"{name}: finite stems of the mix's shape are needed, got {tuple(stems.shape)}")
    sys.stdout.write(f"{json.dumps([took, (peak_kib() - before) / 1024, count])}\n")


def turn(name: str, options: argparse.Namespace) -> tuple[float, float, int]:
    """Measures one separation in a process of its own: seconds, MiB, parameters.

    Raises:
        RuntimeError: it fails; the message is the process's last line.
    """
    environment = dict(os.environ)
    if name in PEERS and options.peer is not None:
        environment["PYTHONPATH"] = os.pathsep.join(
            filter(None, (str(options.peer.resolve()), environment.get("PYTHONPATH")))
        )
    command = [sys.executable, "-m", "tools.bench.demixing_speed", "--child", name]
    command += ["--seconds", str(options.seconds), "--threads", str(options.threads)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{name}: {(done.stderr.strip() or 'failed').splitlines()[-1]}")
    seconds, mebibytes, count = json.loads(done.stdout.splitlines()[-1])
    return seconds, mebibytes, count


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measures all rows, in the form of docs/results."""
    turns: dict[str, list[tuple[float, float, int]]] = {name: [] for name in NAMES}
    for number in range(options.turns):
        for name, values in turns.items():
            values.append(turn(name, options))
            seconds, mebibytes, _ = values[-1]
            sys.stdout.write(f"turn {number + 1}, {name}: {seconds:.2f} s, {mebibytes:.0f} MiB\n")
            sys.stdout.flush()
    rows = []
    for name, values in turns.items():
        seconds, mebibytes = (statistics.median(value[part] for value in values) for part in (0, 1))
        cells = [name, f"{values[0][2] / 1e6:.2f}", f"{seconds:.2f}", f"{options.seconds / seconds:.1f}"]
        if name in AGAINST:
            pairs = list(zip(turns[AGAINST[name]], values, strict=True))
            faster = statistics.median(theirs[0] / ours[0] for theirs, ours in pairs)
            memory = statistics.median(ours[1] / theirs[1] for theirs, ours in pairs)
            cells += [f"{mebibytes:.0f}", f"{faster:.2f}x", f"{100 * memory:.0f} %"]
        else:
            cells += [f"{mebibytes:.0f}", "", ""]
        rows.append(cells)
    about = measured("python -m tools.bench.demixing_speed", options.threads)
    about["machine"] += f", {PEER} {_peer_version(options.peer)}"
    return {
        "title": "Separation against xumx-sliCQ-V2's own code",
        "measured": [about],
        "columns": [
            *("demixer", "parameters (M)", "time (s)", "times real time", "peak memory (MiB)"),
            *("faster than it", "of its memory"),
        ],
        "rows": rows,
        "note": f"{options.seconds:g} s of stereo at 44.1 kHz, {options.turns} turns, medians; ratios are the medians "
        "of the turns'. Random weights. Those with Wiener-EM against it with Wiener-EM, the other one against it with "
        "the phase of the mix. Peak memory is what the separation adds.",
    }


def _peer_version(folder: Path | None) -> str:
    path = sys.path if folder is None else [str(folder)]
    return next((part.version for part in distributions(name=PEER, path=path)), "not installed")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of the mix (%(default)s)")
    parser.add_argument("--turns", type=int, default=3, help="separations of each, in alternation (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="(%(default)s)")
    parser.add_argument("--peer", type=Path, metavar="FOLDER", help="the folder in which the peer is installed")
    parser.add_argument("--out", type=Path, help="JSON file in the form of docs/results")
    parser.add_argument("--child", choices=NAMES, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if min(options.turns, options.threads) < 1 or not options.seconds >= _WARM_UP_SECONDS:
        parser.error(f"--turns, --threads: at least 1; --seconds: at least {_WARM_UP_SECONDS:g}")
    torch.set_num_threads(options.threads)
    if options.child:
        child(options.child, options.seconds)
        return 0
    table = measure(options)
    if options.out is not None:
        write_atomically(options.out, (json.dumps(table, indent=1, ensure_ascii=False) + "\n").encode())
    for cells in (table["columns"], *table["rows"]):
        sys.stdout.write(" | ".join(cells) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
