"""Spectrograms of a target, its matches and their errors, in mid and side (paper figure 7)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor

from mixgraph.report.drawing.draw import printable

_WINDOW_SECONDS = 0.034  # 1024 samples at 30 kHz
_RANGE_DB = 80.0  # below the loudest bin of the target
_ERROR_LIMIT_DB = 20.0
_FRAMES_AT_ONCE, _SAMPLES_AT_ONCE = 4096, 1 << 20
_LOWEST_HZ, _ROWS = 40.0, 256  # lowest frequency and number of rows of the pictures
_CHANNELS = ("mid", "side")


@dataclass(frozen=True)
class Spectrogram:
    """Levels over time and frequency.

    Attributes:
        levels_db: (2, bins, columns), mid and side; a sine of full scale in both channels has 0 dB in mid. Silence
            has -inf.
        seconds: the length of the signal.
        sample_rate: sample rate of the signal, in Hz; bins go from 0 to half of it.
    """

    levels_db: Tensor
    seconds: float
    sample_rate: int


def spectrogram(signal: Tensor, sample_rate: int, max_columns: int = 1500) -> Spectrogram:
    """Computes short-time levels of mid (l + r) / 2 and side (l - r) / 2; long signals have averaged frames.

    Memory does not grow with the number of frames: they are transformed a block at a time, and their power is
    averaged over the frames of a column.

    Args:
        signal: (2, time).
        sample_rate: sample rate of the signals, in Hz.
        max_columns: the largest number of columns that is returned.

    Raises:
        ValueError: another shape, no samples, values that are not finite, or settings below 1 (the rate: 1000 Hz).
    """
    if signal.dim() != 2 or signal.shape[0] != 2 or signal.shape[1] == 0:
        raise ValueError(f"signal: (2, time) is needed, got {tuple(signal.shape)}")
    if not all(bool(torch.isfinite(part).all()) for part in signal.split(_SAMPLES_AT_ONCE, dim=-1)):
        raise ValueError("signal: finite samples are needed, got NaN or infinity")
    if sample_rate < 1000 or max_columns < 1:
        raise ValueError(
            f"sample_rate, max_columns: at least 1000 Hz and 1 are needed, got {sample_rate} and {max_columns}"
        )
    signal = signal.detach().to("cpu", torch.float32)
    n_fft = 2 ** round(math.log2(_WINDOW_SECONDS * sample_rate))
    hop = n_fft // 2
    num_frames = 1 + signal.shape[1] // hop
    pool = math.ceil(num_frames / max_columns)
    columns = math.ceil(num_frames / pool)
    window = torch.hann_window(n_fft)
    # Frame k is centred on sample k * hop. The last column may hold fewer frames than the others.
    weight = torch.arange(columns * pool).lt(num_frames).float()
    at_once = max(1, _FRAMES_AT_ONCE // pool) * pool
    power = []
    for first in range(0, columns * pool, at_once):
        count = min(at_once, columns * pool - first)
        frames = _mid_side(signal, (first - 1) * hop, (count - 1) * hop + n_fft).unfold(-1, n_fft, hop)
        energy = torch.fft.rfft(frames * window).abs().square() * weight[first : first + count, None]
        share = weight[first : first + count].view(-1, pool).sum(dim=1)
        power.append(energy.view(2, -1, pool, n_fft // 2 + 1).sum(dim=2) / share[:, None])
    full_scale = (window.sum() / 2).square()
    levels_db = 10 * torch.log10(torch.cat(power, dim=1).transpose(1, 2) / full_scale)
    return Spectrogram(levels_db, signal.shape[1] / sample_rate, sample_rate)


def _mid_side(signal: Tensor, start: int, length: int) -> Tensor:
    """Returns mid and side of the samples from `start` on, zeros outside the signal: (2, length)."""
    left, right = signal[:, max(start, 0) : start + length]
    mid_side = torch.stack(((left + right) / 2, (left - right) / 2))
    before = max(-start, 0)
    return torch.nn.functional.pad(mid_side, (before, length - before - mid_side.shape[1]))


def check_candidates(target: Tensor, candidates: Mapping[str, Tensor]) -> None:
    """Checks that there are candidates, and that each has the shape of the target.

    Raises:
        ValueError: there are none, or one has another shape.
    """
    if not candidates:
        raise ValueError("candidates: at least one is needed, got none")
    for name, signal in candidates.items():
        if signal.shape != target.shape:
            raise ValueError(f"candidates: {name!r}: {tuple(target.shape)} is needed, got {tuple(signal.shape)}")


def spectrogram_figure(
    target: Tensor, candidates: Mapping[str, Tensor], sample_rate: int, max_columns: int = 1500
) -> Figure:
    """Draws the target in the first row, then a row for each candidate: mid, its error, side, its error.

    Frequency is logarithmic, from 40 Hz. Levels share one scale, from the target's loudest bin down by 80 dB; what is
    below counts as the lower end. The error is candidate minus target in dB, shown up to +-20 dB.

    Args:
        target: (2, time).
        candidates: name -> (2, time), of the target's length, e.g. the dry sum, the console, the pruned graph.
        sample_rate: sample rate of the signals, in Hz.
        max_columns: the largest number of columns in a picture; longer songs are averaged down to it.

    Raises:
        ValueError: no candidates, a candidate of another shape, or audio that `spectrogram` refuses.
    """
    check_candidates(target, candidates)
    goal = by_octaves(spectrogram(target, sample_rate, max_columns))
    # For a silent target 0 dB is as good an upper end as any.
    high = float(goal.levels_db.max()) if bool(torch.isfinite(goal.levels_db).any()) else 0.0
    low = high - _RANGE_DB
    goal_db = goal.levels_db.clamp(min=low)

    num_rows = 1 + len(candidates)
    figure = Figure(figsize=(15, 0.8 + 1.9 * num_rows), dpi=100, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(num_rows, 4, squeeze=False, sharex=True, sharey=True)

    def show(axes: Axes, values: Tensor, error: bool) -> AxesImage:
        image = axes.imshow(
            values.numpy(),
            cmap="RdBu_r" if error else "magma",
            vmin=-_ERROR_LIMIT_DB if error else low,
            vmax=_ERROR_LIMIT_DB if error else high,
            origin="lower",
            aspect="auto",
            interpolation="nearest",
            extent=(0, goal.seconds, math.log10(_LOWEST_HZ), math.log10(sample_rate / 2)),
        )
        axes.tick_params(labelsize=8)
        axes.set_yticks([2, 3, 4], ["0.1", "1", "10"])
        axes.set_ylim(math.log10(_LOWEST_HZ), math.log10(sample_rate / 2))
        return image

    _label(grid, ["target", *candidates])
    for channel in range(2):
        level_image = show(grid[0, 2 * channel], goal_db[channel], error=False)
        grid[0, 2 * channel + 1].set_axis_off()
    for row, signal in enumerate(candidates.values(), start=1):
        levels_db = by_octaves(spectrogram(signal, sample_rate, max_columns)).levels_db.clamp(min=low)
        for channel in range(2):
            show(grid[row, 2 * channel], levels_db[channel], error=False)
            error_image = show(grid[row, 2 * channel + 1], levels_db[channel] - goal_db[channel], error=True)
    figure.colorbar(level_image, ax=grid[:, -1], label="level (dB)", location="right", pad=0.01, aspect=30)
    limit = f"error (dB), limited to ±{_ERROR_LIMIT_DB:g}\nred: louder than the target"
    figure.colorbar(error_image, ax=grid[:, -1], label=limit, location="right", pad=0.01, aspect=30)
    return figure


def by_octaves(spectrogram: Spectrogram) -> Spectrogram:
    """Resamples a spectrogram to rows that are evenly spaced in octaves, by the mean power of each row's bins."""
    bins = spectrogram.levels_db.shape[1]
    width = spectrogram.sample_rate / (2 * (bins - 1))
    edges = torch.logspace(
        math.log10(_LOWEST_HZ), math.log10(spectrogram.sample_rate / 2), _ROWS + 1, dtype=torch.float64
    )
    low, high = edges[:-1, None] / width, edges[1:, None] / width
    number = torch.arange(bins, dtype=torch.float64)
    share = (torch.minimum(high, number + 0.5) - torch.maximum(low, number - 0.5)).clamp(min=0)
    means = (share / share.sum(dim=1, keepdim=True)).float()
    power = means @ (10 ** (spectrogram.levels_db / 10))
    return replace(spectrogram, levels_db=10 * torch.log10(power))


def _label(grid: np.ndarray, names: list[str]) -> None:
    for column, title in enumerate(f"{channel}{kind}" for channel in _CHANNELS for kind in ("", " error")):
        grid[0 if column % 2 == 0 else 1, column].set_title(title, fontsize=10)
        grid[-1, column].set_xlabel("time (s)", fontsize=9)
    for row, name in enumerate(names):
        text = "\n".join([*map(printable, name.split("\n")), "frequency (kHz)"])
        grid[row, 0].set_ylabel(text, fontsize=9, parse_math=False)
