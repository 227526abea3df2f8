"""The device, rows and time of a section, and what becomes of its failures."""

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

_ENDING_SECONDS = 5.0  # of a section, kept for its last rows


class Unavailable(Exception):
    """Something cannot be measured here; the text says why."""


class Context:
    """Of one section.

    Args:
        section: name of the section.
        device: `"cuda"`, of which the first is taken, or `"cpu"`.
        quick: everything small: does it run?
        rows: where they go.
        seconds: that the section has.
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
        """Seconds that are left of the section."""
        return max(0.0, self._end - time.monotonic())

    def add(self, name: str, value: float, unit: str, goal: str = "", reason: str = "", details: Any = None) -> None:
        """Keeps a measured value; `goal` is what it may be compared with."""
        self._append(name, float(value), unit, goal, "ok", reason, details)

    def bounded(self, name: str, value: float, bound: float, unit: str = "relative", details: Any = None) -> None:
        """Keeps a value that may not be above a bound; what is no number is above every bound."""
        status: Status = "ok" if value <= bound else "failed"
        reason = "" if status == "ok" else "above its bound"
        self._append(name, float(value), unit, f"at most {bound:g}", status, reason, details)

    def skip(self, name: str, reason: str) -> None:
        self._append(name, None, "", "", "skipped", reason, None)

    def fail(self, name: str, reason: str, details: Any = None) -> None:
        self._append(name, None, "", "", "failed", reason, details)

    def time(self, name: str, call: Callable[[], Any], repeats: int = 10, warm_up: int = 3) -> float:
        """Keeps the median milliseconds of a call on the device; returns the seconds."""
        samples = device_seconds(call, self.device, 2 if self.quick else repeats, 1 if self.quick else warm_up)
        self.add_times(name, samples)
        return statistics.median(samples)

    def add_times(self, name: str, samples: Sequence[float]) -> None:
        """Keeps the median of some seconds, in milliseconds."""
        milliseconds = [1000 * seconds for seconds in samples]
        spread = {"min": min(milliseconds), "max": max(milliseconds), "count": len(milliseconds)}
        self.add(name, statistics.median(milliseconds), "ms", details=spread)

    def card_only(self) -> None:
        """Raises `Unavailable` on the CPU."""
        if not self.on_card:
            raise Unavailable("on a GPU only")

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Makes a row of whatever goes wrong inside, so that what follows runs; then frees the memory.

        Too little memory, and what is not available, count as skipped.
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
    """Type and first line of an error, and the last line of the library that it went through.

    Where one error led to another (a capture that fails, and then cannot be ended), the first of them comes first.
    """
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    place = place_of(error)
    reason = f"{type(error).__name__}: {first[:300]}" + (f" ({place})" if place else "")
    before = error.__context__
    reason = without_folders(reason)
    return reason if before is None else f"{reason_of(before)}; then {reason}"


def without_folders(text: str) -> str:
    """The text with the folders of this machine left out: the results are sent to others."""
    for folder, instead in ((f"{ROOT}/", ""), (f"{sys.prefix}/", ""), (str(Path.home()), "~")):
        text = text.replace(folder, instead)
    return text


def place_of(error: BaseException) -> str:
    """The last line of the repository, outside of this package, that an error went through, or ""."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = frame.filename.removeprefix(f"{ROOT}/")
        if path.startswith(("mixgraph/", "callbacks/", "datamodules/", "tools/bench/peer/")):
            return f"{path}:{frame.lineno}"
    return ""
