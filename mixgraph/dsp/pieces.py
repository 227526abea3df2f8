"""Whether work is cut into pieces that fit a CPU's cache.

A CPU is bound by its memory: it computes a few nodes or frequencies at a time, and again rather than keeping them. On
other devices each operation has a price of its own, so that all is done at once, and what was computed is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

_cut = True


def in_pieces(tensor: Tensor) -> bool:
    """Returns whether work on a tensor is cut into pieces."""
    return _cut and tensor.is_cpu


@contextmanager
def uncut() -> Iterator[None]:
    """Within it a CPU computes as other devices do, for tests of what they compute."""
    global _cut
    before, _cut = _cut, False
    try:
        yield
    finally:
        _cut = before
