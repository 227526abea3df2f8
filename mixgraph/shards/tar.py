"""Tar files of the plainest kind (ustar, regular files, no paths): written with fixed headers, read with care.

Python's own reader follows whatever a tar says: links, devices, folders, long names, sparse files, sizes without
bound. A shard needs none of that, so that the reader here knows regular files only and refuses everything else by
name. It reads headers, never content; what is in a file is read by those who know how large it may be.
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
        name: as it stands there.
        header: offset of its header in bytes.
        offset: of its content.
        size: of its content in bytes.
    """

    name: str
    header: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        """Where the next header starts."""
        return self.offset + padded(self.size)


def padded(size: int) -> int:
    """The next multiple of a tar's block."""
    return -(-size // BLOCK) * BLOCK


def file_header(name: str, size: int) -> bytes:
    """The header of a regular file: no owner, time 0, a fixed mode.

    Raises:
        ValueError: a name above 100 characters, or a size above 8 GiB.
    """
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, _MODE, 0
    header = info.tobuf(format=tarfile.USTAR_FORMAT)
    if len(header) != BLOCK or header[345:500].strip(b"\0"):
        raise ValueError(f"{name}: a name of at most 100 characters is needed")
    return header


def tail(position: int) -> bytes:
    """What ends a tar that has `position` bytes: two empty blocks, filled up to a whole record."""
    end = position + 2 * BLOCK
    return bytes(-(-end // _RECORD) * _RECORD - position)


def read_entries(stream: BinaryIO, where: str) -> Iterator[TarEntry]:
    """The files of a tar, in order, without reading their content.

    Args:
        stream: can be read and positioned; its position may be moved between two entries.
        where: names the tar in messages.

    Raises:
        ValueError: a damaged header, content that is cut short, anything but a regular file, a path instead of a
            plain name, or something after the end.
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
    """A part of a file as a file of its own, opened when first read.

    Args:
        path: of the file.
        offset: where the part starts.
        size: its bytes.
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
