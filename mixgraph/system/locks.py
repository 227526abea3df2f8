"""Locks between processes: one process works at a place, and others learn which one."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mixgraph.system.files import naming, parse_json

_POLL_SECONDS = 0.05
_SETTLE_SECONDS = 0.5  # within which the holder of a lock has written who it is


@contextmanager
def locked(path: Path, busy: Callable[[str], str], wait_seconds: float = 0.0) -> Iterator[int]:
    """Holds a lock file; yields its descriptor, and removes the file at the end.

    The operating system gives the lock back when this process ends, however it does. Processes that inherit the
    descriptor hold the lock as long as they live. The file says who holds the lock.

    Args:
        path: path of the lock file.
        busy: makes the error message from the holder's name; the message says what is in use, and what to do.
        wait_seconds: the longest wait for a lock that another process holds.

    Raises:
        ValueError: another process holds the lock, or a file that is no lock is in its place.
        OSError: the file cannot be written, or its file system knows no locks.
    """
    descriptor = _acquire(path, busy, time.monotonic() + wait_seconds)
    try:
        yield descriptor
    finally:
        path.unlink(missing_ok=True)  # who waits for it sees that it is gone, and makes another
        os.close(descriptor)


def _acquire(path: Path, busy: Callable[[str], str], end: float) -> int:
    while True:
        with naming(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        try:
            if _lock(descriptor, path):
                if _is_at(descriptor, path):
                    _check_holder(descriptor, path)
                    with naming(path):
                        _write_holder(descriptor)
                    return descriptor
            elif time.monotonic() >= end:
                raise ValueError(busy(_holder(descriptor)))
            else:
                time.sleep(_POLL_SECONDS)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        reason = f"cannot be locked ({error.strerror}); name a place on another disk"
        raise OSError(error.errno, reason, str(path)) from error
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the file still has its name: its holder may have removed it between opening and locking."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _write_holder(descriptor: int) -> None:
    started = time.strftime("%Y-%m-%d %H:%M:%S")
    record = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "started": started})
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, record.encode(), 0)


def _read(descriptor: int) -> dict[str, str] | None:
    """Reads the holder's name from a lock file; None where the file is empty or not of this package."""
    try:
        record = parse_json(os.pread(descriptor, 1000, 0))
    except ValueError:
        return None
    return record if isinstance(record, dict) and set(record) == {"pid", "host", "started"} else None


def _check_holder(descriptor: int, path: Path) -> None:
    if os.fstat(descriptor).st_size and _read(descriptor) is None:
        raise ValueError(f"{path}: is no lock of this program, and is kept; remove it, or name another place")


def _holder(descriptor: int) -> str:
    end = time.monotonic() + _SETTLE_SECONDS
    while (record := _read(descriptor)) is None and time.monotonic() < end:
        time.sleep(_POLL_SECONDS)
    if record is None:
        return "another process"
    return f"process {record['pid']} on {record['host']} (since {record['started']})"
