"""Spectrograms of an excerpt as PNG pictures of few bytes, with the error's colours fading to clear."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Collection, Mapping

import matplotlib
import numpy as np
import torch
from torch import Tensor

from mixgraph.report.spectrograms import by_octaves, spectrogram

_COLUMNS, _RANGE_DB, _ERROR_DB = 600, 80.0, 20.0


def pictures(
    mixes: Mapping[str, Tensor], spectra: Collection[str], errors: Mapping[str, str], sample_rate: int
) -> dict[str, str]:
    """Returns data addresses of PNGs by name, each of mid and of side: `target mid`.

    Args:
        mixes: name -> (2, L), all in one scale; errors are those against the mix `target`.
        spectra: names of the mixes whose spectrograms are drawn; those that are not there are left out.
        errors: name of a picture -> name of the mix whose error it shows; left out likewise.
        sample_rate: sample rate in Hz.
    """
    levels = {
        name: by_octaves(spectrogram(mix, sample_rate, _COLUMNS)).levels_db
        for name, mix in mixes.items()
        if mix.shape[-1]
    }
    finite = [level[level.isfinite()] for level in levels.values()]
    high = max((float(level.max()) for level in finite if level.numel()), default=0.0)
    floored = {name: level.clamp(min=high - _RANGE_DB) for name, level in levels.items()}
    drawn = {}
    for channel, side in enumerate(("mid", "side")):
        for name in filter(floored.__contains__, spectra):
            drawn[f"{name} {side}"] = _png((floored[name][channel] - high + _RANGE_DB) / _RANGE_DB, _heat())
        for name, mix in errors.items():
            if {mix, "target"} <= floored.keys():
                error = (floored[mix][channel] - floored["target"][channel]).clamp(-_ERROR_DB, _ERROR_DB)
                drawn[f"{name} {side}"] = _png((error / _ERROR_DB + 1) / 2, _fading())
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
