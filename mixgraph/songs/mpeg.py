"""Counting the frames of MPEG audio (MP3, MP2), which say their own length one by one.

A frame starts with four bytes: 11 set bits, version, layer, bit rate, sample rate, padding. Its length follows from
them (ISO/IEC 11172-3, 2.4.3.1): with N samples a frame it lasts N / sample_rate seconds, so that it takes
floor(N / 8 * bit_rate / sample_rate) + padding bytes; in layer I slots of four bytes are counted instead of bytes.
N is 384 in layer I, 1152 in layer II and in layer III of version 1, 576 in layer III of versions 2 and 2.5.

Encoders may put a frame without audio first, whose tag (Xing or Info, by Xing and LAME; VBRI, by Fraunhofer) says how
many frames follow, how many bytes they take, and how many samples to drop at both ends. libsndfile believes it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

from mixgraph.songs.parts import Damaged, Part, SeeminglyLonger

_V1_RATES = {
    1: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_V2_RATES = {
    1: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    3: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_VERSIONS = {3: 1, 2: 2, 0: 4}  # the bits, and by what the sample rates of version 1 are divided
_SYNC = re.compile(rb"\xff[\xe2-\xff]")
_TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN")
_SEARCHED = 1 << 16  # bytes in which the first frame must start
_COUNT, _SIZE = 1, 2  # the flags of a Xing tag for its first two fields


@dataclass(frozen=True)
class _Frame:
    start: int
    kind: tuple[int, int, int]  # version's divisor, layer, sample rate
    mono: bool
    length: int  # bytes; 0 for a free bit rate, which the header does not say
    samples: int

    @property
    def stop(self) -> int:
        return self.start + self.length


@dataclass(frozen=True)
class _Tag:
    frames: int | None  # without the tag's own frame
    size: int | None  # bytes, with the tag's own frame
    frames_at: int  # where the number of frames stands
    size_at: int


def parse_frame(data: memoryview, start: int) -> _Frame | None:
    """Reads the frame whose header is at byte `start`; None where there is no header."""
    header = int.from_bytes(data[start : start + 4], "big")
    version, layer = _VERSIONS.get(header >> 19 & 3), 4 - (header >> 17 & 3)
    rate_index, sample_rate_index = header >> 12 & 15, header >> 10 & 3
    if header >> 21 != 0x7FF or version is None or layer == 4 or rate_index == 15 or sample_rate_index == 3:
        return None
    sample_rate = (44100, 48000, 32000)[sample_rate_index] // version
    samples = 384 if layer == 1 else 576 if layer == 3 and version > 1 else 1152
    length = 0
    if rate_index:
        bits = 1000 * (_V1_RATES if version == 1 else _V2_RATES)[layer][rate_index - 1]
        padding, slot = header >> 9 & 1, 4 if layer == 1 else 1
        length = (samples // 8 // slot * bits // sample_rate + padding) * slot
    return _Frame(start, (version, layer, sample_rate), header >> 6 & 3 == 3, length, samples)


def skip_id3(data: memoryview) -> int:
    """Returns the byte after the ID3v2 tags at the start of a file; 0 where there are none."""
    start = 0
    while bytes(data[start : start + 3]) == b"ID3" and len(data) >= start + 10:
        size = data[start + 6 : start + 10]  # four bytes of seven bits
        start += 10 + sum(byte << 7 * place for place, byte in enumerate(reversed(size)))
    return min(start, len(data))


def is_mpeg(data: memoryview, within: int = _SEARCHED) -> bool:
    """Whether two frames in a row, or one that is all there is, start in the first bytes after ID3v2 tags."""
    return _find(data, skip_id3(data), within) is not None


def mpeg_parts(data: memoryview) -> list[Part]:
    """Returns the streams of a file of MPEG frames: one, or several where files were joined.

    Each holds whole frames only, and its tag says their number.

    Raises:
        Damaged: the data end inside a frame or before the last one, or hold something else between frames.
    """
    return [_part(data, frames, tag) for frames, tag in _streams(data)]


def _streams(data: memoryview) -> Iterator[tuple[list[_Frame], _Tag | None]]:
    first = _find(data, skip_id3(data), _SEARCHED)
    if first is None:
        raise Damaged("no MPEG frame found")
    frames: list[_Frame] = []
    tag: _Tag | None = None
    at = first.start
    while True:
        frame = parse_frame(data, at)
        if frame is None or frame.kind != first.kind:
            following = _find(data, at, len(data))
            if following is None:
                break
            gap = bytes(data[at : following.start])
            text = gap.lstrip(b"\0")
            if text and not text.startswith(_TAGS) and _tag(data, following) is None:
                raise Damaged(f"{len(gap)} bytes at byte {at} are no MPEG frames, but more frames follow")
            yield frames, tag
            frames, tag, at, first = [], None, following.start, following
            continue
        if frame.length == 0:
            raise Damaged("its bit rate is free, so that its frames cannot be counted. HINT: convert it to FLAC or WAV")
        if frame.stop > len(data):
            if tag is None or tag.frames != len(frames) - 1:
                raise Damaged("the file ends before its audio does. HINT: is the download complete?")
            break
        next_tag = _tag(data, frame)
        if frames and (next_tag is not None or _is_complete(frames, tag)):
            yield frames, tag
            frames, tag = [], None
        frames.append(frame)
        tag = next_tag or tag
        at = frame.stop
    yield frames, tag


def _find(data: memoryview, start: int, within: int) -> _Frame | None:
    """Finds the first frame that is followed by another one of its kind, or by the end of the data."""
    for match in _SYNC.finditer(data, start, min(start + within + 1, len(data))):
        frame = parse_frame(data, match.start())
        if frame is None:
            continue
        if frame.length == 0:
            if match.start() == start:  # elsewhere it is hardly a frame
                return frame
            continue
        if frame.stop == len(data):
            return frame
        following = parse_frame(data, frame.stop)
        if following is not None and following.kind == frame.kind:
            return frame
    return None


def _is_complete(frames: list[_Frame], tag: _Tag | None) -> bool:
    # The tag's number of frames and its number of bytes agree on where its stream ends.
    return tag is not None and tag.frames == len(frames) - 1 and tag.size == frames[-1].stop - frames[0].start


def _tag(data: memoryview, frame: _Frame) -> _Tag | None:
    """The tag in a frame; it stands where the frame's audio would (layer III only)."""
    if frame.kind[1] != 3:
        return None
    side = (17 if frame.mono else 32) if frame.kind[0] == 1 else (9 if frame.mono else 17)
    at = frame.start + 4 + side
    if bytes(data[at : at + 4]) in (b"Xing", b"Info"):
        flags = int.from_bytes(data[at + 4 : at + 8], "big")
        frames_at, size_at = at + 8, at + 8 + 4 * (flags & _COUNT)
        return _Tag(
            _number(data, frames_at) if flags & _COUNT else None,
            _number(data, size_at) if flags & _SIZE else None,
            frames_at,
            size_at,
        )
    at = frame.start + 36
    if bytes(data[at : at + 4]) == b"VBRI":
        return _Tag(_number(data, at + 14), _number(data, at + 10), at + 14, at + 10)
    return None


def _number(data: memoryview, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def _part(data: memoryview, frames: list[_Frame], tag: _Tag | None) -> Part:
    start = frames[0].start
    stream = bytearray(data[start : frames[-1].stop])
    if len(frames) < 2:  # libsndfile wants two
        raise Damaged("more than one MPEG frame expected, got a single one")
    if tag is None or tag.frames is None:
        return Part(SeeminglyLonger(stream), count="always")
    count = len(frames) - 1
    # Only the tag's size tells a file that is cut between two frames from one whose number of frames is wrong. Some
    # encoders count the tag's own frame.
    if tag.frames > count and (tag.frames > count + 1 if tag.size is None else tag.size > len(stream)):
        raise Damaged(
            f"the file ends before its audio does: its tag says {tag.frames} frames, {count} are there. "
            "HINT: is the download complete?"
        )
    if tag.frames != count:
        stream[tag.frames_at - start : tag.frames_at - start + 4] = count.to_bytes(4, "big")
        if tag.size is not None:
            stream[tag.size_at - start : tag.size_at - start + 4] = len(stream).to_bytes(4, "big")
    return Part(io.BytesIO(stream))
