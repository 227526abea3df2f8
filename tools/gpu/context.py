"""The device, rows, time limit and error handling of a section."""

from __future__ import annotations

import gc
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tools.bench.machine import ROOT
from tools.gpu.rows import Row, RowFile, Status
from tools.gpu.timing import device_seconds, synchronize

_ENDING_SECONDS = 5.0  # the time at the end of a section that is reserved for its last rows


class Unavailable(Exception):
    """Something cannot be measured here; the text says why."""


class Context:
    """The device and results of one section, with methods that measure and keep values.

    Args:
        section: name of the section.
        device: `"cuda"`, the first GPU, or `"cpu"`.
        quick: make everything small, which only tests that it runs.
        rows: the file to which rows are written.
        seconds: the time limit of the section.
    """

    def __init__(self, section: str, device: str, quick: bool, rows: RowFile, seconds: float) -> None:
        self.device = torch.device(device, 0) if device == "cuda" else torch.device(device)
        self.section, self.quick, self.rows = section, quick, rows
        self._end = time.monotonic() + seconds - _ENDING_SECONDS

    @property
    def on_card(self) -> bool:
        return self.device.type == "cuda"

    @property
    def left(self) -> float:
        """Returns the seconds that are left of the section's time limit."""
        return max(0.0, self._end - time.monotonic())

    def add(self, name: str, value: float, unit: str, goal: str = "", reason: str = "", details: Any = None) -> None:
        """Keeps a measured value; `goal` is a value to compare it with."""
        self._append(name, float(value), unit, goal, "ok", reason, details)

    def bounded(self, name: str, value: float, bound: float, unit: str = "relative", details: Any = None) -> None:
        """Keeps a value, which counts as failed if it is above the bound or NaN."""
        status: Status = "ok" if value <= bound else "failed"
        reason = "" if status == "ok" else "above its bound"
        self._append(name, float(value), unit, f"at most {bound:g}", status, reason, details)

    def skip(self, name: str, reason: str) -> None:
        self._append(name, None, "", "", "skipped", reason, None)

    def fail(self, name: str, reason: str, details: Any = None) -> None:
        self._append(name, None, "", "", "failed", reason, details)

    def time(self, name: str, call: Callable[[], Any], repeats: int = 10, warm_up: int = 3) -> float:
        """Measures a call on the device; keeps the median in milliseconds, and returns it in seconds."""
        samples = device_seconds(call, self.device, 2 if self.quick else repeats, 1 if self.quick else warm_up)
        self.add_times(name, samples)
        return statistics.median(samples)

    def add_times(self, name: str, samples: Sequence[float]) -> None:
        """Keeps the median of times given in seconds, in milliseconds."""
        milliseconds = [1000 * seconds for seconds in samples]
        spread = {"min": min(milliseconds), "max": max(milliseconds), "count": len(milliseconds)}
        self.add(name, statistics.median(milliseconds), "ms", details=spread)

    def card_only(self) -> None:
        """Raises `Unavailable` on the CPU."""
        if not self.on_card:
            raise Unavailable("on a GPU only")

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Turns an error inside into a row, so that the next part runs; then frees memory.

        Out-of-memory errors and `Unavailable` count as skipped.
        """
        sys.stderr.write(f"{self.section}: {name}, {self.left:.0f} s left\n")
        try:
            yield
            synchronize(self.device)  # errors of kernels come late
        except (Unavailable, torch.cuda.OutOfMemoryError) as error:
            self.skip(name, str(error) if isinstance(error, Unavailable) else reason_of(error))
        except Exception as error:
            traceback.print_exc()
            self.fail(name, reason_of(error), details=without_folders(traceback.format_exc()).splitlines()[-12:])
        gc.collect()
        if self.on_card and torch.cuda.is_initialized():
            try:
                torch.cuda.empty_cache()
            except RuntimeError as error:  # after an illegal access nothing works any more in this process
                self.fail(f"{name}: freeing memory", reason_of(error))

    def _append(
        self, name: str, value: float | None, unit: str, goal: str, status: Status, reason: str, details: Any
    ) -> None:
        self.rows.append(Row(self.section, name, value, unit, goal, status, reason, details))


def reason_of(error: BaseException) -> str:
    """Returns type and first line of an error, and the last line of this library in its traceback.

    If one error led to another (a capture that fails, and then cannot be ended), the original error comes first.
    """
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    place = place_of(error)
    reason = f"{type(error).__name__}: {first[:300]}" + (f" ({place})" if place else "")
    before = error.__context__
    reason = without_folders(reason)
    return reason if before is None else f"{reason_of(before)}; then {reason}"


def without_folders(text: str) -> str:
    """Removes the folders of this machine from a text, since the results are sent to others."""
    for folder, instead in ((f"{ROOT}/", ""), (f"{sys.prefix}/", ""), (str(Path.home()), "~")):
        text = text.replace(folder, instead)
    return text


def place_of(error: BaseException) -> str:
    """Returns the last line of the repository, outside of this package, in an error's traceback, or ""."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = frame.filename.removeprefix(f"{ROOT}/")
        if path.startswith(("mixgraph/", "callbacks/", "datamodules/", "tools/bench/peer/")):
            return f"{path}:{frame.lineno}"
    return ""
