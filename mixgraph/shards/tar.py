"""Writes and safely reads the simplest kind of tar file: ustar, regular files, no paths, fixed headers.

Python's `tarfile` follows whatever a tar contains: links, devices, folders, long names, sparse files, unbounded sizes.
A shard needs none of that, so the reader here accepts regular files only and raises for everything else. It reads
headers, never content; callers read the content after they have checked its size.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

BLOCK = 512
_RECORD = 20 * BLOCK
_MODE = 0o644
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"5": "a folder",
    b"6": "a pipe",
    b"S": "a sparse file",
    b"g": "an extended header",
    b"x": "an extended header",
    b"L": "a long name",
    b"K": "a long link",
}


@dataclass(frozen=True)
class TarEntry:
    """One file in a tar.

    Attributes:
        name: the name of the file in the tar.
        header: the offset of its header in bytes.
        offset: the offset of its content in bytes.
        size: the size of its content in bytes.
    """

    name: str
    header: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        """The offset of the next header in bytes."""
        return self.offset + padded(self.size)


def padded(size: int) -> int:
    """Rounds a size up to a multiple of a tar's block."""
    return -(-size // BLOCK) * BLOCK


def file_header(name: str, size: int) -> bytes:
    """Returns the header of a regular file: no owner, time 0, a fixed mode.

    Raises:
        ValueError: the name has more than 100 characters, or the size is above 8 GiB.
    """
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, _MODE, 0
    header = info.tobuf(format=tarfile.USTAR_FORMAT)
    if len(header) != BLOCK or header[345:500].strip(b"\0"):
        raise ValueError(f"{name}: a name of at most 100 characters is needed")
    return header


def tail(position: int) -> bytes:
    """Returns the bytes that end a tar of `position` bytes: two empty blocks, padded to a whole record."""
    end = position + 2 * BLOCK
    return bytes(-(-end // _RECORD) * _RECORD - position)


def read_entries(stream: BinaryIO, where: str) -> Iterator[TarEntry]:
    """Yields the files of a tar, in order, without reading their content.

    Args:
        stream: a readable, seekable stream; the caller may seek between two entries.
        where: the tar, for error messages.

    Raises:
        ValueError: a header is damaged, content is cut short, an entry is not a regular file or has a path instead of
            a plain name, or there is data after the end.
    """
    total = stream.seek(0, os.SEEK_END)
    position = 0
    while True:
        stream.seek(position)
        header = stream.read(BLOCK)
        if len(header) < BLOCK:
            raise ValueError(f"{where}: cut short: its end is missing at byte {position}")
        if not header.strip(b"\0"):
            _check_end(stream, where)
            return
        entry = _entry(header, position, where)
        if entry.end > total:
            raise ValueError(f"{where}: {entry.name}: cut short: {entry.size:,} bytes are stated, the file ends before")
        yield entry
        position = entry.end


def _entry(header: bytes, position: int, where: str) -> TarEntry:
    at = f"{where}: byte {position}"
    if header[257:262] != b"ustar":
        raise ValueError(f"{at}: a tar header (ustar) is needed, got something else; a shard is not compressed")
    stated = _octal(header[148:156], at)
    if stated != sum(header) - sum(header[148:156]) + 8 * 32:
        raise ValueError(f"{at}: the header is damaged: its checksum does not fit")
    raw = header[:100].split(b"\0", 1)[0]
    name = raw.decode("ascii", "backslashreplace")
    kind = header[156:157]
    if kind not in (b"0", b"\0"):
        raise ValueError(f"{where}: {name}: regular files only are allowed, got {_KINDS.get(kind, f'kind {kind!r}')}")
    if header[345:500].strip(b"\0") or "/" in name or "\\" in name or name in ("", ".", ".."):
        prefix = header[345:500].split(b"\0", 1)[0].decode("ascii", "backslashreplace")
        path = f"{prefix}/{name}" if prefix else name
        raise ValueError(f"{where}: {path!r}: a plain name KEY.FIELD is needed, paths are refused")
    return TarEntry(name, position, position + BLOCK, _octal(header[124:136], at))


def _octal(field: bytes, at: str) -> int:
    digits = field.strip(b" \0")
    if not digits or digits.strip(b"01234567"):
        raise ValueError(f"{at}: the header is damaged: an octal number is needed, got {field!r}")
    return int(digits, 8)


def _check_end(stream: BinaryIO, where: str) -> None:
    rest = stream.read(_RECORD + 1)
    if len(rest) < BLOCK or len(rest) > _RECORD or rest.strip(b"\0"):
        rest_is = "none" if len(rest) < BLOCK else "more after the end"
        raise ValueError(f"{where}: an end of empty blocks is needed, got {rest_is}")


class FileSlice(io.RawIOBase):
    """Presents a part of a file as a file, which is opened at the first read.

    Args:
        path: the path of the whole file.
        offset: the start of the part in bytes.
        size: the size of the part in bytes.
    """

    def __init__(self, path: Path, offset: int, size: int) -> None:
        self._stream = path.open("rb")
        super().__init__()
        self.path, self.offset, self.size = path, offset, size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        count = max(0, min(len(buffer), self.size - self._position))
        self._stream.seek(self.offset + self._position)
        data = self._stream.read(count)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed and hasattr(self, "_stream"):
            self._stream.close()
        super().close()
