"""Tensors that depend on sizes, or on constants of a module: each is made once for a device, and kept there."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar, cast

import torch

Made = TypeVar("Made", bound=Callable[..., Any])
_CACHES: list[Any] = []


def made_once(keep: int) -> Callable[[Made], Made]:
    """Keeps what a function makes, by its arguments; a tensor of host values makes a GPU wait each time it is made.

    The results are shared: they must not be changed, nor must a tensor that is an argument, which is known by its
    identity and kept along.

    Args:
        keep: the number of results that are kept, the latest ones; less for large tensors.
    """

    def decorate(function: Made) -> Made:
        # A tensor that was made in inference mode could not be used for training later.
        cached = lru_cache(maxsize=keep)(torch.inference_mode(False)(function))
        _CACHES.append(cached)
        return cast(Made, cached)

    return decorate


@made_once(keep=1024)
def constant_index(rows: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """Returns an index on the device."""
    return torch.tensor(rows, device=device)


def forget() -> None:
    """Forgets all tensors that were kept."""
    for cached in _CACHES:
        cached.cache_clear()
