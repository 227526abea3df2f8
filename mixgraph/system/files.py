"""Files that no reader sees half of and that are on the disk once they have their name; JSON without NaN."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_TEMPORARY = r"\.\d+\.(part|partial|discarded)"
MOST_TEXT_BYTES = 250_000_000
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP}  # from file systems on which a folder cannot be synchronized


def write_atomically(path: Path, data: bytes) -> None:
    """Writes to a temporary name beside `path`, then renames, so that no reader sees half a file.

    The bytes are on the disk before the file gets its name, and the name is on the disk when this returns.

    Raises:
        OSError: the file cannot be written (a full disk, a folder that is read-only or missing, a name that is too
            long); the error names `path`, and an earlier file there is unchanged.
    """
    partial = temporary_path(path)
    try:
        with naming(path):
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                written = os.fstat(file.fileno()).st_size
            if written != len(data):
                raise OSError(errno.EIO, f"{len(data)} bytes were written, the file has {written}")
            os.replace(partial, path)
            sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):  # the error that matters has been raised
            partial.unlink(missing_ok=True)


def append_text(path: Path, text: str) -> None:
    """Adds text to the end of a file.

    Raises:
        OSError: the file cannot be written; the error names `path`, and a part of the text may be in it.
    """
    with naming(path), path.open("a", encoding="utf-8") as file:
        file.write(text)


def temporary_path(path: Path, ending: str = "partial") -> Path:
    """Returns the name beside `path` under which this process prepares the file; see `is_temporary`."""
    return path.with_name(f".{path.name}.{os.getpid()}.{ending}")


def is_temporary(path: Path, of: str | None = None) -> bool:
    """Whether a name was made by `temporary_path`, for any file or folder, or for the one whose name is `of`."""
    name = ".+" if of is None else re.escape(of)
    return re.fullmatch(rf"\.{name}{_TEMPORARY}", path.name, re.DOTALL) is not None


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Adds this path to errors of the operating system, many of which name none, or another one."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def error_line(error: OSError) -> str:
    """Describes an error of the operating system in a line: the file, and what is wrong with it."""
    if error.filename is None or error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}"


def sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on the disk."""
    if os.name != "posix":  # other systems open no folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Waits until all files of a folder, and their names, are on the disk."""
    for place, _, names in os.walk(folder):
        for name in names:
            with naming(Path(place, name)), Path(place, name).open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(place))


def json_text(value: Any, indent: int | None = None, separators: tuple[str, str] | None = None) -> str:
    """Writes a value as JSON; NaN and infinity become null."""
    return json.dumps(plain_json(value), indent=indent, separators=separators, ensure_ascii=False, allow_nan=False)


def read_text(path: Path, errors: str = "strict") -> str:
    """Reads a text file whole, if it is none that would fill the memory.

    Args:
        path: path of the file.
        errors: what becomes of bytes that are not UTF-8, as in `bytes.decode`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is longer than MOST_TEXT_BYTES or no regular file, with a message that names it; or not UTF-8.
    """
    data = read_at_most(path, MOST_TEXT_BYTES)
    return data.decode("utf-8", errors).replace("\r\n", "\n").replace("\r", "\n")


def file_sha256(path: Path) -> str:
    """Returns the sha256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_at_most(path: Path, most_bytes: int) -> bytes:
    """Reads a file whole, if it is not too long; devices and pipes, whose lengths nobody knows, are not opened.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is longer, or no regular file; the message names it.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ValueError(f"{path}: a file is needed, got a device or a pipe. HINT: copy what it gives to a file")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        data = b"" if size > most_bytes else file.read(most_bytes + 1)
    if size > most_bytes or len(data) > most_bytes:
        got = f"{size:,}" if size > most_bytes else "more"
        raise ValueError(f"{path}: at most {most_bytes:,} bytes of text are read, got {got}. HINT: another file")
    return data


def parse_json(text: str | bytes) -> Any:
    """Reads a JSON text, as `json.loads` does.

    Raises:
        ValueError: it is not JSON, or its values are nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("values nested too deeply") from error


def parse_yaml(text: str) -> Any:
    """Reads a text of YAML that holds values only, as `yaml.safe_load` does.

    Raises:
        ValueError: it is not YAML, a value is none of its kind, such as a date in the 13th month, or it passes the
            limits of `mixgraph.system.bounded_yaml`.
    """
    import yaml  # not before the help of the program needs it

    from mixgraph.system.bounded_yaml import ValueLoader, check_size

    check_size(text)
    try:
        return yaml.load(text, Loader=ValueLoader)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise ValueError("values nested too deeply") from error
    except (AttributeError, LookupError, TypeError, ArithmeticError) as error:  # by tags such as `!!timestamp x`
        raise ValueError(f"a value that is none of its kind ({error!r})") from error


def json_lines(text: str) -> list[Any]:
    """Reads a text of JSON lines. A line ends at `\\n` alone: within JSON, U+2028 is a letter like others."""
    return [parse_json(line) for line in text.split("\n") if line]


def plain_json(value: Any) -> Any:
    """Converts a value to what JSON gives back: NaN and infinity are None, tuples are lists."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: plain_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(item) for item in value]
    return value
