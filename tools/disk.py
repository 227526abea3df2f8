"""A small file system of this process, which can be full or read-only."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000  # CLONE_NEWNS, CLONE_NEWUSER
_READ_ONLY, _REMOUNT, _REC, _PRIVATE = 1, 32, 16384, 1 << 18  # MS_RDONLY, MS_REMOUNT, MS_REC, MS_PRIVATE
_DETACH = 2  # MNT_DETACH
_MEGABYTES = 96


class Disk:
    """A small file system of this process, or, where none can be mounted, a folder.

    Attributes:
        folder: its folder.
        mounted: whether it is a file system of its own.
    """

    def __init__(self, folder: Path, megabytes: int = _MEGABYTES) -> None:
        self.folder = folder
        folder.mkdir()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.mounted = self._unshare() and self._mount(b"tmpfs", 0, f"size={megabytes}m".encode()) == 0
        self._ballast = folder / "ballast"

    def _unshare(self) -> bool:
        user, group = os.geteuid(), os.getegid()
        flags = _NEW_MOUNTS | (_NEW_USER if user else 0)
        if self._libc.unshare(flags) != 0:
            return False
        if user:  # who mounts in a name space of users of its own
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"0 {user} 1")
            Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        return self._libc.mount(b"none", b"/", None, _REC | _PRIVATE, None) == 0

    def _mount(self, kind: bytes, flags: int, data: bytes | None = None) -> int:
        return int(self._libc.mount(b"tmpfs", os.fsencode(self.folder), kind, flags, data))

    def fill(self, left: int) -> None:
        """Fills the disk, but for some bytes."""
        with self._ballast.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(1 << 20))
        with self._ballast.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        os.truncate(self._ballast, self._ballast.stat().st_size - left)

    def free(self) -> None:
        """Gives the room back."""
        self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        """Takes the file system away."""
        if self.mounted:
            self._libc.umount2(os.fsencode(self.folder), _DETACH)

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Nothing can be written on the disk."""
        if self._mount(b"tmpfs", _REMOUNT | _READ_ONLY) != 0:
            raise OSError(ctypes.get_errno(), "cannot be made read-only", str(self.folder))
        try:
            yield
        finally:
            self._mount(b"tmpfs", _REMOUNT)
