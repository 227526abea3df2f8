"""Stretches of audio files that libsndfile reads to their end, whatever their headers say.

libsndfile believes headers. What it is given here is a part of a file whose header says what really follows; `Part`
is such a stretch, and `Damaged` is raised where no such header can be made.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path

_LONGER = 20  # the highest bit rate of an MP3 over the lowest with the same sample rate


class Damaged(ValueError):
    """What is wrong with a file; the message lacks the name, which `decode` adds."""


@dataclass(frozen=True)
class Part:
    """One encoded stream, with what is known about its length.

    Attributes:
        source: a path or an open binary file that libsndfile can open.
        frames: samples of each channel that the stream is said to have; None takes what libsndfile says.
        count: whether to read on past `frames` to the end: "never", "always" (nothing is known about the length), or
            "more" (there may be more; what cannot be decoded after `frames` is no audio).
    """

    source: Path | io.RawIOBase | io.BytesIO
    frames: int | None = None
    count: str = "never"


class Patched(io.RawIOBase):
    """The bytes of a buffer with some of them replaced, as a file.

    Args:
        view: the buffer.
        start, stop: the file holds the buffer's bytes [start, stop).
        patches: the replacing bytes, by their offset in the file.
    """

    def __init__(self, view: memoryview, start: int, stop: int, patches: dict[int, bytes]) -> None:
        self._view, self._patches, self._at = view[start:stop], patches, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._at = max(0, offset + (0, self._at, len(self._view))[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        piece = self._view[self._at : self._at + len(buffer)]
        buffer[: len(piece)] = piece
        for place, patch in self._patches.items():
            first, last = max(place, self._at), min(place + len(patch), self._at + len(piece))
            if first < last:
                buffer[first - self._at : last - self._at] = patch[first - place : last - place]
        self._at += len(piece)
        return len(piece)


class SeeminglyLonger(io.BytesIO):
    """An MP3 without a stated length, whose size is overstated so that libsndfile reads it to its end.

    libsndfile reads nothing past its guess of the length, which it makes from the size and the first bit rate.
    """

    _at_end = False

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._at_end = whence == os.SEEK_END
        return super().seek(offset, whence)

    def tell(self) -> int:
        return super().tell() * (_LONGER if self._at_end else 1)
