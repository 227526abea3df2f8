"""One build at a time in a folder."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_WAIT_SECONDS = 20.0


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Holds a lock file, and yields its descriptor; processes that inherit it hold the lock as long as they live.

    Waits a little: the workers of a build that was killed end a moment after it.

    Raises:
        ValueError: another build holds it.
    """
    with path.open("a") as stream:
        end = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise ValueError(f"out: another build runs in {path.parent}; wait until it has ended") from None
                time.sleep(0.1)
        yield stream.fileno()
