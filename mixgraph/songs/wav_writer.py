"""A float32 WAV file that is written piece by piece."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
from torch import Tensor

from mixgraph.songs.audio import wav_header
from mixgraph.system.files import naming


class WavWriter:
    """Writes a float32 WAV file piece by piece; its bytes are those of `write_audio` of the whole.

    Its header is right once the block ends: write to a folder that gets its name afterwards.

    Args:
        path: path of the file.
        channels: its number of channels.
        sample_rate: in Hz.

    Attributes:
        frames: samples of each channel so far.
        peak: the largest absolute sample so far.
    """

    def __init__(self, path: Path, channels: int, sample_rate: int) -> None:
        self.path, self.channels, self.sample_rate = path, channels, sample_rate
        self.frames, self.peak = 0, 0.0

    def __enter__(self) -> WavWriter:
        with naming(self.path):
            self._file = self.path.open("wb")
            self._file.write(wav_header(self.path, self.channels, 0, self.sample_rate))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with naming(self.path), self._file as file:
            if kind is None:
                file.seek(0)
                file.write(wav_header(self.path, self.channels, self.frames, self.sample_rate))

    def write(self, audio: Tensor) -> None:
        """Adds samples, (channels, frames).

        Raises:
            ValueError: samples that are not finite, another number of channels, or a file above 4 GiB.
            OSError: the disk is full, or the like.
        """
        samples = audio.detach().to("cpu").numpy()
        if samples.ndim != 2 or len(samples) != self.channels:
            raise ValueError(f"{self.path}: audio of shape ({self.channels}, frames) expected, got {samples.shape}")
        if not np.isfinite(samples).all():
            raise ValueError(f"{self.path}: finite samples expected, got NaN or infinity")
        self.frames += samples.shape[1]
        wav_header(self.path, self.channels, self.frames, self.sample_rate)  # refuses more than 4 GiB
        if samples.size:
            self.peak = max(self.peak, float(np.abs(samples).max()))
        with naming(self.path):
            self._file.write(samples.T.astype("<f4").tobytes())
