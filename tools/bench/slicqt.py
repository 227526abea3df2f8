"""Times the sliced transform against that of xumx-sliCQ-V2 and against torch.stft, in one run on one machine.

    pip install --no-deps xumx-slicq-v2==1.0.0a2     (it is in the `benchmark` extra, too)
    python -m tools.bench.slicqt --out docs/results/slicqt_speed.json

Stereo at 44.1 kHz, 262 bands of the Bark scale from 32.9 Hz to half the rate. All take turns, call by call, in one
process; peak memory is that of child processes, one for each transform, above what they held before the first call.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import io
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is loaded; as `python -m mixgraph` does

import numpy as np
import torch
from torch import Tensor

from mixgraph.cli.command_parser import CommandParser
from mixgraph.dsp.slicqt import RaggedSpectrum, Raster, Scale, SliCQT, make_scale
from mixgraph.system.files import write_atomically
from mixgraph.system.memory import keep_freed_memory
from tools.bench.machine import ROOT, measured

RATE, BANDS, LOW_HZ = 44100, 262, 32.9
STFT, PEER = "torch.stft 4096/1024", "xumx-slicq-v2"
OURS: dict[str, tuple[Raster, int]] = {
    "ragged, 18060": ("ragged", 18060),  # the peer's slice; 18060 has a factor of 43, with which FFTs are slow
    "ragged, 18144": ("ragged", 18144),
    "powers of two, 16384": ("power_of_two", 16384),
}
NAMES = (STFT, PEER, *OURS)
OPERATIONS = ("forward", "inverse", "inverse and backward")
Calls = dict[str, Callable[[], Any]]


def calls_of(name: str, signal: Tensor) -> Calls:
    """The three operations of a transform on a signal, (2, samples), by name."""
    if name == STFT:
        return _stft(signal)
    return _peer(signal) if name == PEER else _ours(name, signal)


def _stft(signal: Tensor) -> Calls:
    window, samples = torch.hann_window(4096), signal.shape[-1]

    def forward() -> Tensor:
        return torch.stft(signal, 4096, 1024, window=window, return_complex=True)

    def inverse(spectrum: Tensor) -> Tensor:
        return torch.istft(spectrum, 4096, 1024, window=window, length=samples)

    spectrum = forward()
    return _calls(forward, lambda: inverse(spectrum), lambda: _backward(inverse, spectrum.clone().requires_grad_()))


def _ours(name: str, signal: Tensor) -> Calls:
    transform = bark_transform(name)
    spectrum, samples = transform(signal), signal.shape[-1]

    def inverse(flat: Tensor) -> Tensor:
        return transform.inverse(RaggedSpectrum(flat, transform.layout), samples)

    return _calls(
        lambda: transform(signal),
        lambda: inverse(spectrum.flat),
        lambda: _backward(inverse, spectrum.flat.clone().requires_grad_()),
    )


def bark_transform(name: str) -> SliCQT:
    """Ours on the peer's bands; the highest of them, at half the rate, is one that every transform of ours has."""
    raster, slice_samples = OURS[name]
    centres = make_scale("bark", BANDS, LOW_HZ, RATE / 2).centres_hz[:-1]
    return SliCQT(Scale("bark", centres), RATE, slice_samples, raster=raster)


def _peer(signal: Tensor) -> Calls:
    from xumx_slicq_v2.transforms import NSGTBase, make_filterbanks

    with contextlib.redirect_stdout(io.StringIO()):  # it prints its settings
        base = NSGTBase("bark", BANDS, LOW_HZ, fs=RATE, device="cpu")
    analysis, synthesis = make_filterbanks(base)
    batch, samples = signal[None], signal.shape[-1]
    spectrum = analysis(batch)

    def inverse_and_backward() -> None:
        coefficients = [block.clone().requires_grad_() for block in spectrum]
        synthesis(coefficients, samples).square().sum().backward()

    return _calls(lambda: analysis(batch), lambda: synthesis(list(spectrum), samples), inverse_and_backward)


def _calls(*calls: Callable[[], Any]) -> Calls:
    return dict(zip(OPERATIONS, calls, strict=True))


def _backward(inverse: Callable[[Tensor], Tensor], coefficients: Tensor) -> None:
    inverse(coefficients).square().sum().backward()


def time_in_turns(calls: Calls, turns: int) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Seconds of calls that take turns, after one of each that is not counted, and the errors of those that raise."""
    seconds: dict[str, list[float]] = {}
    errors: dict[str, str] = {}
    for turn in range(turns + 1):
        for name, call in calls.items():
            if name in errors:
                continue
            start = time.perf_counter()
            try:
                call()
            except (RuntimeError, ValueError) as error:
                errors[name] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            else:
                if turn:
                    seconds.setdefault(name, []).append(time.perf_counter() - start)
    return seconds, errors


def peak_mib(name: str, operation: str, seconds: float) -> float:
    """Measures the peak memory that one operation adds, in a separate process; NaN if it raises."""
    command = [sys.executable, "-m", "tools.bench.slicqt", "--child", name, operation, "--seconds", str(seconds)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return float(done.stdout.split()[-1]) if done.returncode == 0 else math.nan


def _child(name: str, operation: str, seconds: float) -> None:
    """Prints the MiB by which the peak of memory rises in one call.

    The spectrum that the inverse reads is made beforehand, and so that its making does not count, the peak is that of
    the process now, which Linux resets on a 5 in `clear_refs`; `ru_maxrss` cannot be reset.
    """
    calls_of(name, _noise(0.1))  # loads modules and makes tables, which is done once
    call = calls_of(name, _noise(seconds))[operation]
    before = reset_peak()
    call()
    sys.stdout.write(f"{(peak_kib() - before) / 1024}\n")


def reset_peak() -> int:
    """Makes the process's peak of memory that of now, and returns it in KiB."""
    ctypes.CDLL(None).malloc_trim(0)  # returns freed memory, whose reuse would not raise the peak
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak_kib()


def peak_kib() -> int:
    """The process's peak of memory since its last reset, in KiB."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _noise(seconds: float, channels: int = 2) -> Tensor:
    return torch.randn(channels, round(seconds * RATE), generator=torch.Generator().manual_seed(0))


def growth(name: str, lengths: Sequence[float]) -> dict[str, tuple[float, float]]:
    """(Exponent of the time by the length, seconds at the longest) of both ways, on one channel."""
    medians: dict[str, list[float]] = {"forward": [], "inverse": []}
    for seconds in lengths:
        calls = calls_of(name, _noise(seconds, 1))
        timed, _ = time_in_turns({way: calls[way] for way in medians}, 5 if seconds < 100 else 2)
        for way, values in medians.items():
            values.append(statistics.median(timed[way]))
    return {
        way: (float(np.polyfit(np.log(lengths), np.log(values), 1)[0]), values[-1]) for way, values in medians.items()
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measures all rows, in the form of docs/results."""
    names = [name for name in NAMES if name != PEER or find_spec("xumx_slicq_v2")]
    signal = _noise(options.seconds)
    calls = {name: calls_of(name, signal) for name in names}
    rows: list[list[str]] = []
    errors: dict[str, str] = {}
    for operation in OPERATIONS:
        seconds, raised = time_in_turns({name: calls[name][operation] for name in names}, options.turns)
        errors |= {f"{operation} of {name}": error for name, error in raised.items()}
        for what, of in (("median", statistics.median), ("least", min)):
            took = {name: 1000 * of(values) for name, values in seconds.items()}
            label = f"{operation}, {what} (ms)"
            rows.append([label, *_cells(took, raised), _ratios(took, PEER), _ratios(took, STFT)])
    for operation in OPERATIONS if options.memory_seconds else ():
        peaks = {name: peak_mib(name, operation, options.memory_seconds) for name in names}
        peaks = {name: peak for name, peak in peaks.items() if math.isfinite(peak)}
        raised = {name: "raises" for name in names if name not in peaks}
        label = f"peak memory, {operation}, {options.memory_seconds:g} s (MiB)"
        rows.append([label, *_cells(peaks, raised), _ratios(peaks, PEER), _ratios(peaks, STFT)])
    if options.growth:
        exponents = {name: growth(name, options.growth) for name in OURS}
        span = f"{options.growth[0]:g} s to {options.growth[-1]:g} s of one channel"
        for way in ("forward", "inverse"):
            cells = [f"{exponents[name][way][0]:.2f} ({exponents[name][way][1]:.2f} s)" for name in OURS]
            rows.append([f"growth, {way}: exponent, {span}", "", "", *cells, "", ""])
    note = " ".join(f"Raised by the {what}: `{error}`." for what, error in errors.items())
    columns = [f"{options.seconds:g} s, stereo", STFT, PEER, *(f"ours: {n}" for n in OURS)]
    return {
        "title": "Speed of the sliced transform",
        "measured": [measured("python -m tools.bench.slicqt", options.threads, PEER)],
        "columns": [*columns, "xumx-slicq-v2 over ours", "torch.stft over ours"],
        "rows": rows,
        "note": f"Of {options.turns} turns; freed memory is kept, for all alike. {note}".strip(),
    }


def _cells(values: dict[str, float], errors: dict[str, str]) -> list[str]:
    missing = {name: "raises" if name in errors else "not installed" for name in NAMES}
    return [f"{values[name]:.3g}" if name in values else missing[name] for name in NAMES]


def _ratios(values: dict[str, float], other: str) -> str:
    """Of another transform over each of ours."""
    if other not in values:
        return ""
    return ", ".join(f"{values[other] / max(values[name], 1e-9):.2g}x" for name in OURS)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="of the signal (%(default)s)")
    parser.add_argument("--turns", type=int, default=15, help="calls of each, in alternation (%(default)s)")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1), help="(%(default)s)")
    parser.add_argument("--memory-seconds", type=float, default=30.0, help="length for peak memory; 0: not measured")
    parser.add_argument("--growth", nargs="*", type=float, default=[1, 6, 30, 150, 600], help="lengths in seconds")
    parser.add_argument("--out", type=Path, help="JSON file in the form of docs/results")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    if options.child:
        name, operation = options.child
        _child(name, operation, options.seconds)
        return 0
    keep_freed_memory()  # as searches do; the children for peak memory do not
    table = measure(options)
    for row in (table["columns"], *table["rows"]):
        sys.stdout.write(" | ".join(row) + "\n")
    sys.stdout.write(table["note"] + "\n")
    if options.out:
        text = json.dumps({**table, "rows": []}, indent=1, ensure_ascii=False)
        rows = ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in table["rows"])
        write_atomically(options.out, (text.replace('"rows": []', f'"rows": [\n{rows}\n ]') + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
