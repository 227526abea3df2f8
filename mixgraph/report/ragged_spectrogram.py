"""Spectrograms of bands that differ in rate: a mesh for each block of bands, on one logarithmic axis of frequency.

Where a picture of an STFT has one trade between time and frequency, these bands have the ear's: a bass note is a thin
line and a click a thin column, in one picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from torch import Tensor

from mixgraph.dsp.slicqt import SliCQT, make_scale
from mixgraph.report.drawing.draw import printable
from mixgraph.report.spectrograms import check_candidates

LOWEST_HZ, NUM_BANDS = 40.0, 120
_HIGHEST = 0.97  # of half the sample rate
_RANGE_DB, _ERROR_LIMIT_DB = 80.0, 20.0
_SECONDS_AT_ONCE = 20
_ERROR_SECONDS = 0.05  # over which errors are those of mean powers: momentary levels of noise differ by chance
_CHANNELS = ("mid", "side")
_STEM_COLUMNS = ("true", "estimate", "error")


@dataclass(frozen=True)
class RaggedLevels:
    """Levels of bands over time, block by block.

    Attributes:
        blocks: (2, bands, columns) in dB, mid and side; a sine of full scale in both channels has 0 dB in mid.
        edges_hz: the edges of the bands of each block, (bands + 1,).
        seconds: the time that the columns of a block span, from 0; at least the length of the signal.
        signal_seconds: the length of the signal.
    """

    blocks: tuple[Tensor, ...]
    edges_hz: tuple[np.ndarray, ...]
    seconds: float
    signal_seconds: float


def ragged_levels(signal: Tensor, sample_rate: int, max_columns: int = 1500) -> RaggedLevels:
    """The levels of mid (l + r) / 2 and side (l - r) / 2 in Bark bands; in a long signal neighbours are averaged.

    Args:
        signal: (2, time).
        sample_rate: sample rate of the signal, in Hz.
        max_columns: the largest number of columns in a block.

    Raises:
        ValueError: another shape, no samples, or values that are not finite.
    """
    if signal.dim() != 2 or signal.shape[0] != 2 or signal.shape[1] == 0:
        raise ValueError(f"signal: (2, time) is needed, got {tuple(signal.shape)}")
    signal = signal.detach().to("cpu", torch.float32)
    if not bool(signal.isfinite().all()):
        raise ValueError("signal: finite samples are needed, got NaN or infinity")
    left, right = signal
    mid_side = torch.stack(((left + right) / 2, (left - right) / 2))
    transform = SliCQT(make_scale("bark", NUM_BANDS, LOWEST_HZ, _HIGHEST * sample_rate / 2), sample_rate)
    hop = transform.hop_samples
    hops_at_once = max(1, round(_SECONDS_AT_ONCE * sample_rate / hop))
    num_hops = math.ceil(signal.shape[1] / hop)
    powers: list[list[Tensor]] = [[] for _ in transform.layout.blocks]
    for first in range(0, num_hops, hops_at_once):
        count = min(hops_at_once, num_hops - first)
        start, stop = first * hop, (first + count) * hop
        # The slices around the first and the last sample reach a hop beyond them.
        part = _samples(mid_side, start - hop, stop + hop)
        spectrum = transform(part)
        for powers_of_block, block, coefficients in zip(powers, transform.layout.blocks, spectrum.blocks, strict=True):
            half = block.size // 2
            energy = coefficients[:, 1 : count + 2].abs().square() * (2 * block.size / transform.slice_samples)
            # Between the centres of two slices both are heard; the squares of their windows add up to 1.
            both = energy[:, :-1, :, half:] + energy[:, 1:, :, :half]
            powers_of_block.append(both.transpose(1, 2).flatten(-2))
    centres = np.array(transform.layout.centres_hz)
    inner = np.sqrt(centres[1:-2] * centres[2:-1])
    edges = np.concatenate(([1.0, LOWEST_HZ * LOWEST_HZ / inner[0]], inner, [centres[-2], centres[-1]]))
    blocks = tuple(10 * torch.log10(_pooled(torch.cat(power, dim=-1), max_columns)) for power in powers)
    ranges = [(block.first_band, block.first_band + block.num_bands) for block in transform.layout.blocks]
    spanned, length = num_hops * hop / sample_rate, signal.shape[1] / sample_rate
    return RaggedLevels(blocks, tuple(edges[a : b + 1] for a, b in ranges), spanned, length)


def _samples(signal: Tensor, start: int, stop: int) -> Tensor:
    """Returns the samples from `start` to `stop`, zeros outside the signal."""
    inside = signal[:, max(start, 0) : stop]
    before = max(-start, 0)
    return torch.nn.functional.pad(inside, (before, stop - start - before - inside.shape[1]))


def _pooled(power: Tensor, max_columns: int) -> Tensor:
    """Averages neighbouring columns so that at most `max_columns` remain: (..., columns)."""
    columns = power.shape[-1]
    pool = math.ceil(columns / max_columns)
    if pool == 1:
        return power
    whole = math.ceil(columns / pool) * pool
    padded = torch.nn.functional.pad(power, (0, whole - columns)).unflatten(-1, (-1, pool)).sum(-1)
    real = torch.arange(whole).lt(columns).view(-1, pool).sum(-1)
    return padded / real


def _time_averaged(levels: Tensor, seconds: float) -> Tensor:
    """The levels (dB) of powers that are averaged over `_ERROR_SECONDS`, where columns are shorter: (..., columns)."""
    powers = _pooled(10 ** (levels / 10), max(1, math.ceil(seconds / _ERROR_SECONDS)))
    return 10 * torch.log10(powers)


def ragged_figure(
    target: Tensor, candidates: Mapping[str, Tensor], sample_rate: int, max_columns: int = 1500
) -> Figure:
    """Draws the target in the first row, then a row for each candidate: mid, its error, side, its error.

    As `spectrogram_figure`, whose levels, limits and arguments it shares; errors are those of powers averaged over
    50 ms, where bands have more than one coefficient in that time.

    Raises:
        ValueError: no candidates, a candidate of another shape, or audio that `ragged_levels` refuses.
    """
    check_candidates(target, candidates)
    goal = ragged_levels(target, sample_rate, max_columns)
    loudest = max(float(block.max()) for block in goal.blocks)
    high = loudest if math.isfinite(loudest) else 0.0
    low = high - _RANGE_DB
    figure = Figure(figsize=(15, 0.8 + 1.9 * (1 + len(candidates))), dpi=100, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(1 + len(candidates), 4, squeeze=False, sharex=True, sharey=True)
    for column, title in enumerate(f"{channel}{kind}" for channel in _CHANNELS for kind in ("", " error")):
        grid[0 if column % 2 == 0 else 1, column].set_title(title, fontsize=10)
        grid[-1, column].set_xlabel("time (s)", fontsize=9)
    for channel in range(2):
        level_mesh = _draw(grid[0, 2 * channel], goal, [block[channel] for block in goal.blocks], low, high)
        grid[0, 2 * channel + 1].set_axis_off()
    grid[0, 0].set_ylabel("target\nfrequency (kHz)", fontsize=9)
    for row, (name, signal) in enumerate(candidates.items(), start=1):
        levels = ragged_levels(signal, sample_rate, max_columns)
        grid[row, 0].set_ylabel(f"{printable(name)}\nfrequency (kHz)", fontsize=9, parse_math=False)
        for channel in range(2):
            _draw(grid[row, 2 * channel], goal, [block[channel] for block in levels.blocks], low, high)
            errors = _errors(levels, goal, channel, low)
            limit = _ERROR_LIMIT_DB
            error_mesh = _draw(grid[row, 2 * channel + 1], goal, errors, -limit, limit, "RdBu_r")
    figure.colorbar(level_mesh, ax=grid[:, -1], label="level (dB)", location="right", pad=0.01, aspect=30)
    label = f"error (dB), limited to ±{_ERROR_LIMIT_DB:g}\nred: louder than the target"
    figure.colorbar(error_mesh, ax=grid[:, -1], label=label, location="right", pad=0.01, aspect=30)
    return figure


def ragged_stems_figure(
    stems: Mapping[str, tuple[Tensor, Tensor]], sample_rate: int, max_columns: int = 1000
) -> Figure:
    """Draws a row for each stem: mid of the true one and of its estimate, the error, and the same of side.

    All levels have one scale, 80 dB down from the loudest of all true stems; errors are those of `ragged_figure`.

    Args:
        stems: name -> the true stem and its estimate, (2, time) each.
        sample_rate: sample rate of the stems, in Hz.
        max_columns: the largest number of columns in a block.

    Raises:
        ValueError: no stems, an estimate of another shape, or audio that `ragged_levels` refuses.
    """
    if not stems:
        raise ValueError("stems: at least one is needed, got none")
    for name, (true, estimate) in stems.items():
        check_candidates(true, {name: estimate})
    goals = {name: ragged_levels(true, sample_rate, max_columns) for name, (true, _) in stems.items()}
    loudest = max(float(block.max()) for goal in goals.values() for block in goal.blocks)
    high = loudest if math.isfinite(loudest) else 0.0
    low = high - _RANGE_DB
    figure = Figure(figsize=(22, 0.8 + 1.9 * len(stems)), dpi=100, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(stems), 6, squeeze=False, sharex=True, sharey=True)
    for column, title in enumerate(f"{channel}, {kind}" for channel in _CHANNELS for kind in _STEM_COLUMNS):
        grid[0, column].set_title(title, fontsize=10)
        grid[-1, column].set_xlabel("time (s)", fontsize=9)
    for row, (name, (_, estimate)) in enumerate(stems.items()):
        goal, levels = goals[name], ragged_levels(estimate, sample_rate, max_columns)
        grid[row, 0].set_ylabel(f"{printable(name)}\nfrequency (kHz)", fontsize=9, parse_math=False)
        for channel in range(2):
            _draw(grid[row, 3 * channel], goal, [block[channel] for block in goal.blocks], low, high)
            estimated = [block[channel] for block in levels.blocks]
            level_mesh = _draw(grid[row, 3 * channel + 1], goal, estimated, low, high)
            errors = _errors(levels, goal, channel, low)
            limit = _ERROR_LIMIT_DB
            error_mesh = _draw(grid[row, 3 * channel + 2], goal, errors, -limit, limit, "RdBu_r")
    figure.colorbar(level_mesh, ax=grid[:, -1], label="level (dB)", location="right", pad=0.01, aspect=30)
    label = f"error (dB), limited to ±{_ERROR_LIMIT_DB:g}\nred: louder than the true stem"
    figure.colorbar(error_mesh, ax=grid[:, -1], label=label, location="right", pad=0.01, aspect=30)
    return figure


def _errors(levels: RaggedLevels, goal: RaggedLevels, channel: int, low: float) -> list[Tensor]:
    """By how much levels are above others (dB), block by block."""
    return [
        _time_averaged(block[channel], levels.seconds).clamp(min=low)
        - _time_averaged(target_levels[channel], goal.seconds).clamp(min=low)
        for block, target_levels in zip(levels.blocks, goal.blocks, strict=True)
    ]


def _draw(
    axes: Axes, grid: RaggedLevels, blocks: list[Tensor], low: float, high: float, colours: str = "magma"
) -> QuadMesh:
    """A mesh for every block; returns the last one, for a colour bar."""
    for values, edges in zip(blocks, grid.edges_hz, strict=True):
        times = np.linspace(0, grid.seconds, values.shape[-1] + 1)
        clamped = values.clamp(low, high).numpy()
        mesh = axes.pcolormesh(times, edges, clamped, cmap=colours, vmin=low, vmax=high, rasterized=True)
    axes.set_xlim(0, grid.signal_seconds)
    axes.set_yscale("log")
    axes.set_ylim(LOWEST_HZ, grid.edges_hz[-1][-1])
    axes.set_yticks([100, 1000, 10000], ["0.1", "1", "10"])
    axes.minorticks_off()
    axes.tick_params(labelsize=8)
    return mesh
