"""The parts of WAV, AIFF, W64, AU, CAF, FLAC and Ogg files, with headers that say what is there.

Sizes that a recorder never filled in are replaced by what follows; joined files are taken apart; a file that ends
before its header says so is refused. The layouts: RIFF and RF64 (EBU Tech 3306; BW64, ITU-R BS.2088, is RF64 by
another name), AIFF 1.3, Sony Wave64, Sun AU, Apple CAF, FLAC (RFC 9639) and Ogg (RFC 3533, with FLAC's mapping).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mixgraph.songs.mpeg import mpeg_parts, skip_id3
from mixgraph.songs.parts import Damaged, Part, Patched

_MPEG_IN_WAV = (0x50, 0x55)
_TRAILER = 1 << 16  # bytes after the audio that are passed over, whatever they are
_TRAILING_TAGS = (b"ID3", b"TAG", b"APETAGEX")
_STREAMINFO = re.compile(rb"fLaC[\0\x80]\0\0\x22")
_OGG_START, _OGG_END = 2, 4  # flags of the first and the last page of a stream
_CUT_SHORT = "the file ends before its audio does. HINT: is the download complete?"


@dataclass(frozen=True)
class _Samples:
    """Where a container holds its samples, and where it says how many bytes of them.

    Attributes:
        start: byte at which the samples start.
        stated_bytes: number of bytes of samples by the header; None where the header says that it is unknown.
        size_at: byte at which the header states that number.
        size_code: format of that number for `struct`.
        counted: bytes of the chunk's header that the number includes.
        wide_at: byte at which RF64 states the size in 64 bits, followed by the number of samples; None elsewhere.
        is_mpeg: whether the samples are MPEG frames.
    """

    start: int
    stated_bytes: int | None
    size_at: int
    size_code: str
    counted: int = 0
    wide_at: int | None = None
    is_mpeg: bool = False

    def patches(self, size: int) -> dict[int, bytes]:
        """Returns the bytes to replace in the header, by their offset, so that it states `size` bytes."""
        if self.wide_at is not None:  # no number of samples, which libsndfile compares with the sizes
            return {self.size_at: b"\xff" * 4, self.wide_at: struct.pack("<QQ", size, 0)}
        most = 0xFFFFFFFF if self.size_code.endswith("I") else size + self.counted
        return {self.size_at: struct.pack(self.size_code, min(size + self.counted, most))}


def container_parts(data: memoryview, path: Path) -> list[Part] | None:
    """Returns the parts of a file, or None for formats that are left to libsndfile as they are.

    Raises:
        Damaged: the file is cut short, or damaged so that its length cannot be told.
    """
    start = skip_id3(data)
    head = bytes(data[start : start + 12])
    if head[:4] == b"fLaC":
        return _flac_parts(data, start)
    if head[:4] == b"OggS":
        return _ogg_parts(data, start, path)
    for marks, find in _LAYOUTS:
        if bytes(data[:4]) in marks:
            samples = find(data)
            return None if samples is None else _sample_parts(data, path, samples, bytes(data[:4]))
    return None


def _sample_parts(data: memoryview, path: Path, samples: _Samples, mark: bytes) -> list[Part]:
    rest = len(data) - samples.start
    stated_bytes = rest if samples.stated_bytes is None else samples.stated_bytes
    never_finalised = stated_bytes == 0 and rest > 0 and not _is_chunks(data, samples.start, mark)
    if never_finalised:
        stated_bytes = rest
    if stated_bytes > rest + 1:  # a pad byte may be missing
        raise Damaged(_CUT_SHORT)
    if samples.is_mpeg:
        return mpeg_parts(data[samples.start : samples.start + stated_bytes])
    _check_trailer(data, min(samples.start + stated_bytes, len(data)), mark)
    patches: dict[int, bytes] = {}
    if never_finalised or samples.stated_bytes is None:
        patches = samples.patches(rest)
    if mark == b"BW64":
        patches[0] = b"RF64"
    return [Part(Patched(data, 0, len(data), patches) if patches else path)]


def _check_trailer(data: memoryview, stop: int, mark: bytes) -> None:
    """Refuses audio behind the audio that the header knows; chunks, tags, padding and a few bytes are no harm."""
    rest = len(data) - stop
    start = bytes(data[stop : stop + 12])
    for shift in (0, 1):  # a pad byte
        if rest > 12 and start[shift : shift + 4] == mark and mark not in (b".snd", b"caff"):
            raise Damaged(f"another file follows at byte {stop + shift}. HINT: join audio files with an audio editor")
    if rest <= _TRAILER or start.startswith(_TRAILING_TAGS) or mark in (b"riff", b"caff"):
        return
    if any(start[shift : shift + 4].isascii() and start[shift : shift + 4].decode().isprintable() for shift in (0, 1)):
        return  # a chunk
    if any(bytes(data[at : at + _TRAILER]).strip(b"\0") for at in range(stop, len(data), _TRAILER)):
        raise Damaged(
            f"{rest} bytes follow the audio that its header knows. HINT: was the recording interrupted? Write it "
            "anew with an audio editor or ffmpeg"
        )


def _is_chunks(data: memoryview, at: int, mark: bytes) -> bool:
    """Whether well-formed chunks of a RIFF or AIFF file follow up to its end."""
    order = ">" if mark in (b"RIFX", b"FORM") else "<"
    while at + 8 <= len(data):
        name, size = struct.unpack_from(f"{order}4sI", data, at)
        if not (name.isascii() and name.decode().isprintable()):
            return False
        at += 8 + size + size % 2
    return at - 1 <= len(data)


def _unknown(size: int) -> bool:
    """Whether a size of 32 bits is one that streaming writers put for "unknown"."""
    return size == 0x80000000 or size & 0x7FFFFFFF >= 0x7FFF0000


def _find_riff(data: memoryview) -> _Samples | None:
    mark = bytes(data[:4])
    order = ">" if mark == b"RIFX" else "<"
    at, wide_at, tag = 12, None, 0
    while at + 8 <= len(data):
        name, size = struct.unpack_from(f"{order}4sI", data, at)
        body = at + 8
        if name == b"ds64" and len(data) >= body + 16:
            wide_at = body + 8
        elif name == b"fmt " and len(data) >= body + 2:
            tag = struct.unpack_from(f"{order}H", data, body)[0]
        elif name == b"data":
            return _riff_samples(data, body, size, wide_at, order, tag in _MPEG_IN_WAV)
        at = body + size + size % 2
    return None


def _riff_samples(data: memoryview, body: int, size: int, wide_at: int | None, order: str, is_mpeg: bool) -> _Samples:
    stated_bytes: int | None = None if _unknown(size) else size
    if wide_at is not None and size == 0xFFFFFFFF:
        wide = struct.unpack_from("<Q", data, wide_at)[0]
        stated_bytes = None if wide >> 62 else wide
    return _Samples(body, stated_bytes, body - 4, f"{order}I", wide_at=wide_at, is_mpeg=is_mpeg)


def _find_aiff(data: memoryview) -> _Samples | None:
    if bytes(data[8:12]) not in (b"AIFF", b"AIFC"):
        return None
    at = 12
    while at + 16 <= len(data):
        name, size = struct.unpack_from(">4sI", data, at)
        if name == b"SSND":  # its size counts two numbers before the samples
            return _Samples(at + 16, None if _unknown(size) else max(size - 8, 0), at + 4, ">I", 8)
        at += 8 + size + size % 2
    return None


def _find_w64(data: memoryview) -> _Samples | None:
    at = 40
    while at + 24 <= len(data):
        size = struct.unpack_from("<Q", data, at + 16)[0]  # with the 24 bytes of its header
        if bytes(data[at : at + 4]) == b"data":
            return _Samples(at + 24, None if size >> 62 else max(size - 24, 0), at + 16, "<Q", 24)
        at += max(24, size + 7 & ~7)
    return None


def _find_au(data: memoryview) -> _Samples | None:
    if len(data) < 24:
        return None
    start, size = struct.unpack_from(">II", data, 4)
    return _Samples(start, None if _unknown(size) else size, 8, ">I")


def _find_caf(data: memoryview) -> _Samples | None:
    at = 8
    while at + 16 <= len(data):
        name, size = struct.unpack_from(">4sq", data, at)
        if name == b"data":  # its size counts a number before the samples
            return _Samples(at + 16, None if size < 0 else max(size - 4, 0), at + 4, ">q", 4)
        if size < 0:
            return None
        at += 12 + size
    return None


_LAYOUTS: tuple[tuple[tuple[bytes, ...], Callable[[memoryview], _Samples | None]], ...] = (
    ((b"RIFF", b"RIFX", b"RF64", b"BW64"), _find_riff),
    ((b"FORM",), _find_aiff),
    ((b"riff",), _find_w64),
    ((b".snd",), _find_au),
    ((b"caff",), _find_caf),
)


def _flac_parts(data: memoryview, start: int) -> list[Part]:
    """The streams of joined FLAC files, each up to the next."""
    starts = [match.start() for match in _STREAMINFO.finditer(data, start)]
    if not starts or starts[0] != start:
        raise Damaged("its first block does not describe the stream")
    return [_flac_part(data, first, last) for first, last in zip(starts, [*starts[1:], len(data)], strict=True)]


def _flac_part(data: memoryview, start: int, stop: int) -> Part:
    """A stream whose header does not say its number of samples, since libsndfile reads no more than that says."""
    at = start + 18  # 20 bits of sample rate, 3 of channels, 5 of sample size, 36 of samples (0: not known)
    if stop < at + 8:
        raise Damaged(_CUT_SHORT)
    settings = int.from_bytes(data[at : at + 8], "big")
    frames = settings & 0xFFFFFFFFF
    patch = (settings - frames).to_bytes(8, "big")
    return Part(Patched(data, start, stop, {18: patch}), frames or None, "more" if frames else "always")


@dataclass(frozen=True)
class _Page:
    start: int
    body: int
    stop: int
    flags: int
    serial: int
    is_last_packet_whole: bool


def _ogg_pages(data: memoryview, at: int) -> Iterator[_Page]:
    while True:
        if bytes(data[at : at + 4]) != b"OggS":
            match = re.compile(rb"OggS").search(data, at)
            if match is None:
                if at < len(data) and b"OggS".startswith(bytes(data[at : at + 4])):
                    raise Damaged(_CUT_SHORT)
                return
            if len(data) > match.start() + 5 and not data[match.start() + 5] & _OGG_START:
                raise Damaged(f"{match.start() - at} bytes at byte {at} are no Ogg page, but more pages follow")
            at = match.start()
        lacing = data[at + 27 : at + 27 + data[at + 26]] if len(data) >= at + 27 else None
        if lacing is None or at + 27 + len(lacing) + sum(lacing) > len(data) or len(lacing) < data[at + 26]:
            raise Damaged(_CUT_SHORT)
        body = at + 27 + len(lacing)
        serial = int.from_bytes(data[at + 14 : at + 18], "little")
        yield _Page(at, body, body + sum(lacing), data[at + 5], serial, not lacing or lacing[-1] < 255)
        at = body + sum(lacing)


def _ogg_parts(data: memoryview, start: int, path: Path) -> list[Part]:
    """The streams of a chain (joined Ogg files are one)."""
    links: list[list[_Page]] = []
    for page in _ogg_pages(data, start):
        if not links or (page.flags & _OGG_START and not links[-1][-1].flags & _OGG_START):
            links.append([])
        links[-1].append(page)
    if any(not _has_end(link) and not link[-1].is_last_packet_whole for link in links):
        raise Damaged(_CUT_SHORT)
    if len(links) == 1 and _has_end(links[0]) and not _is_ogg_flac(data, links[0]):
        return [Part(path)]
    return [_link_part(data, link) for link in links]


def _has_end(link: list[_Page]) -> bool:
    return any(page.flags & _OGG_END for page in link)


def _is_ogg_flac(data: memoryview, link: list[_Page]) -> bool:
    return bytes(data[link[0].body : link[0].body + 5]) == b"\x7fFLAC"


def _link_part(data: memoryview, link: list[_Page]) -> Part:
    if not _is_ogg_flac(data, link):
        patches = {} if _has_end(link) else {link[-1].start - link[0].start: _ending_page(data, link[-1])}
        return Part(Patched(data, link[0].start, link[-1].stop, patches))
    # libsndfile refuses FLAC in Ogg. Its packets are the blocks and frames of a FLAC file, after 9 bytes of their own.
    bodies = (data[page.body : page.stop] for page in link if page.serial == link[0].serial)
    stream = memoryview(b"".join(bodies)[9:])
    if not _STREAMINFO.match(stream):
        raise Damaged("its first block does not describe the stream")
    return _flac_part(stream, 0, len(stream))


def _ending_page(data: memoryview, page: _Page) -> bytes:
    """The page with the flag of a stream's last one, by which libsndfile knows that its last packet may be cut."""
    changed = bytearray(data[page.start : page.stop])
    changed[5] |= _OGG_END
    changed[22:26] = bytes(4)  # the checksum, made of the page without it: polynomial 0x04c11db7, from 0, not reflected
    checksum = 0
    for byte in changed:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = checksum << 1 ^ (0x104C11DB7 if checksum >> 31 else 0)
    changed[22:26] = checksum.to_bytes(4, "little")
    return bytes(changed)
