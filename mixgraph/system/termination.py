"""SIGTERM ends the process with a particular exit code; files and results stay as they are."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

TERMINATED = 128 + int(signal.SIGTERM)
"""The exit code, as a shell has it for a command that SIGTERM ended."""
INTERRUPTED = 128 + int(signal.SIGINT)
"""The exit code after Ctrl-C, likewise."""


@contextmanager
def ending_when_terminated() -> Iterator[None]:
    """Lets SIGTERM raise SystemExit with the code TERMINATED, so that what is open is closed on the way.

    While a Trainer trains, it takes note of the signal in our place, and ends between two steps (or trials, see
    `callbacks.TimeBudget`), so that a file or a checkpoint that is being written is written to its end.
    """
    before = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or before is signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> None:
    if signal.getsignal(number) is _terminate:  # else a Trainer calls it, among others
        raise SystemExit(TERMINATED)


def was_terminated(error: BaseException) -> bool:
    """Whether an exception is the end by SIGTERM: ours, or Lightning's, which has no code."""
    names = (kind.__name__ for kind in type(error).__mro__)  # by name: Lightning takes seconds to import
    return isinstance(error, SystemExit) and (error.code == TERMINATED or "SIGTERMException" in names)
