"""Spectrograms of an excerpt as PNG pictures of few bytes, with the error's colours fading to clear."""

from __future__ import annotations

import base64
import struct
import zlib

import matplotlib
import numpy as np
import torch
from torch import Tensor

from mixgraph.report.spectrograms import by_octaves, spectrogram

_COLUMNS, _RANGE_DB, _ERROR_DB = 600, 80.0, 20.0


def pictures(target: Tensor | None, found_mix: Tensor | None, sample_rate: int) -> dict[str, str]:
    """Returns data addresses of PNGs by name: target, found and error, each of mid and of side."""
    levels = {}
    for name, mix in (("target", target), ("found", found_mix)):
        if mix is not None and mix.shape[-1]:
            levels[name] = by_octaves(spectrogram(mix, sample_rate, _COLUMNS)).levels_db
    finite = [level[level.isfinite()] for level in levels.values()]
    high = max((float(level.max()) for level in finite if level.numel()), default=0.0)
    drawn = {}
    for channel, side in enumerate(("mid", "side")):
        for name, level in levels.items():
            share = (level[channel].clamp(min=high - _RANGE_DB) - high + _RANGE_DB) / _RANGE_DB
            drawn[f"{name} {side}"] = _png(share, _heat())
        if len(levels) == 2:
            floored = [levels[name][channel].clamp(min=high - _RANGE_DB) for name in ("found", "target")]
            error = (floored[0] - floored[1]).clamp(-_ERROR_DB, _ERROR_DB)
            drawn[f"error {side}"] = _png((error / _ERROR_DB + 1) / 2, _fading())
    return drawn


def _heat() -> np.ndarray:
    colours = matplotlib.colormaps["magma"](np.linspace(0, 1, 256), bytes=True)
    return np.asarray(colours)


def _fading() -> np.ndarray:
    """Blue (too quiet) to clear (right) to red (too loud), (256, 4)."""
    place = np.linspace(-1, 1, 256)
    colours = np.where(place[:, None] < 0, (72, 150, 255, 0), (255, 92, 72, 0)).astype(np.uint8)
    colours[:, 3] = np.rint(255 * np.abs(place) ** 0.8)
    return colours


def _png(share: Tensor, colours: np.ndarray) -> str:
    """Writes values in 0..1, (rows, columns), the lowest row at the bottom, in 256 colours."""
    values = torch.round(share.flip(0) * 255).to(torch.uint8).numpy()
    height, width = values.shape
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", colours[:, :3].tobytes()),
        (b"tRNS", colours[:, 3].tobytes()),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    )
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return "data:image/png;base64," + base64.b64encode(data).decode()
