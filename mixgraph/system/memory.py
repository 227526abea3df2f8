"""A setting of the C library that keeps freed memory; what is said where there is too little."""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # glibc's names: M_TRIM_THRESHOLD, ...
_KEPT_BYTES = 1 << 30


_TOO_LITTLE = ("can't allocate memory", "out of memory", "not enough memory")  # as PyTorch says it


def too_little_memory(error: MemoryError | RuntimeError) -> str | None:
    """Returns a line on an error that says that there is too little memory; None for another error.

    >>> too_little_memory(MemoryError())
    'there is too little memory. HINT: shorter songs or fewer of them at a time; or end other programs'
    """
    lines = str(error).strip().splitlines()
    if not isinstance(error, MemoryError) and not any(words in str(error) for words in _TOO_LITTLE):
        return None
    reason = f" ({lines[0]})" if lines else ""
    return f"there is too little memory{reason}. HINT: shorter songs or fewer of them at a time; or end other programs"


def give_freed_memory_back() -> None:
    """Gives freed memory back to the system, where glibc keeps it: after work that took much and is over."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def keep_freed_memory() -> bool:
    """Tells glibc's malloc to keep freed memory for the next step instead of giving it back.

    A training step frees and takes the same large buffers; when each is mapped anew, faulting its pages in costs
    about a third of the backward pass. Memory of the process then stays near its peak, see `give_freed_memory_back`.

    Returns:
        Whether the C library knows the setting (on others nothing changes).
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(
        mallopt(name, value) == 1
        for name, value in ((_MMAP_THRESHOLD, _KEPT_BYTES), (_TRIM_THRESHOLD, _KEPT_BYTES), (_TOP_PAD, 1 << 26))
    )
