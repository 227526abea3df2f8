"""Which files are audio, by their names, and what to do with those that cannot be read.

The suffix only decides whether a file belongs to a song. How it is decoded is decided by its content: a WAV named
kick.ogg is read as a WAV.
"""

from __future__ import annotations

import shlex
from pathlib import Path

AUDIO_SUFFIXES = (
    ".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".aifc", ".caf", ".opus", ".oga", ".wave", ".bwf", ".rf64",
    ".bw64", ".w64", ".au", ".snd", ".mp2",
)  # fmt: skip

# Audio that libsndfile does not decode.
UNSUPPORTED_SUFFIXES = (
    ".m4a", ".mp4", ".m4b", ".m4p", ".aac", ".alac", ".wma", ".wv", ".ape", ".ac3", ".eac3", ".dts", ".mka",
    ".webm", ".tta", ".tak", ".mpc", ".dsf", ".dff", ".amr", ".ra", ".spx",
)  # fmt: skip

# The first bytes of formats that libsndfile does not decode: (offset, bytes, name).
_SIGNATURES = (
    (4, b"ftyp", "MPEG-4 audio (AAC or ALAC)"),
    (0, b"wvpk", "WavPack"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, bytes.fromhex("3026b2758e66cf11"), "Windows Media Audio"),
    (0, bytes.fromhex("1a45dfa3"), "Matroska or WebM"),
    (0, b"TTA1", "True Audio"),
    (0, b"DSD ", "DSD"),
    (0, b"FRM8", "DSD"),
    (0, bytes.fromhex("0b77"), "AC-3"),
    (0, bytes.fromhex("fff1"), "AAC"),
    (0, bytes.fromhex("fff9"), "AAC"),
    (0, b"#!AMR", "AMR"),
)


def is_audio_file(path: Path) -> bool:
    """Whether the path is a visible file with the suffix of audio (hidden files, such as ._kick.wav, are not).

    Audio that cannot be read counts: it belongs to its song, which is refused with the file's name and what to do.
    """
    known = path.suffix.lower() in (*AUDIO_SUFFIXES, *UNSUPPORTED_SUFFIXES)
    return known and not path.name.startswith(".") and path.is_file()


def unsupported_message(path: Path, name: str | None = None) -> str:
    """One line that says that the format of a file cannot be read and what to do.

    Args:
        path: path of the file, which the line shows.
        name: name of the format; None takes the suffix.
    """
    if path.name.lower().endswith(".stem.mp4"):
        hint = "export its stems, e.g. with `ffmpeg -i IN.stem.mp4 -map 0:1 drums.flac` (0:0 is the mix, 0:1 to 0:4)"
    else:
        source, target = (shlex.quote(_operand(name)) for name in (path.name, f"{path.stem}.flac"))
        hint = f"convert it to FLAC or WAV, e.g. with `ffmpeg -i {source} {target}`"
    return f"{path}: unsupported format {name or path.suffix}. HINT: {hint}"


def _operand(name: str) -> str:
    """Writes the name of a file so that a command does not take it for an option."""
    return f"./{name}" if name.startswith("-") else name


def unsupported_format(head: bytes) -> str | None:
    """The name of the format that a file's first bytes show, if it is known and cannot be read."""
    return next((name for place, mark, name in _SIGNATURES if head[place : place + len(mark)] == mark), None)
