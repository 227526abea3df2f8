"""WAV files for studios: 32-bit float or 24-bit, any number of channels."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from mixgraph.exports.settings import Bits
from mixgraph.songs.audio import float_wav
from mixgraph.system.files import naming, write_atomically

FULL_SCALE_24 = 1 - 2.0**-23
"""The largest sample of a 24-bit file."""


def write_wav(path: Path, audio: Tensor, sample_rate: int, bits: Bits = "float") -> None:
    """Writes (channels, frames); 24-bit files hold samples within -1 and `FULL_SCALE_24`.

    Raises:
        ValueError: samples that are not finite or, in 24 bits, beyond full scale; a file above 4 GiB.
        OSError: the file cannot be written.
    """
    samples = audio.detach().to("cpu", torch.float32).numpy()
    if not np.isfinite(samples).all():
        raise ValueError(f"{path}: finite samples expected, got NaN or infinity")
    if bits == "float":
        data = float_wav(path, samples, sample_rate)
    else:
        if samples.size and np.abs(samples).max() > 1:
            raise ValueError(f"{path}: samples up to 1 expected in 24 bits, got {np.abs(samples).max():.3f}")
        stream = io.BytesIO()  # made in memory: libsndfile loses errors of a full disk
        soundfile.write(stream, samples.T, sample_rate, format="WAV", subtype="PCM_24")
        data = stream.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path):
        write_atomically(path, data)


def read_wav(path: Path) -> Tensor:
    """Reads a file of `write_wav` back, (channels, frames) float32."""
    samples, _ = soundfile.read(str(path), dtype="float32", always_2d=True)
    return torch.from_numpy(np.ascontiguousarray(samples.T))
