"""Ragged spectrograms: a tone in its band, a click at its time, levels and meshes."""

import math

import numpy as np
import pytest
import torch
from matplotlib.collections import QuadMesh

from mixgraph.report.ragged_spectrogram import ragged_figure, ragged_levels, ragged_stems_figure

RATE = 16000


def tone(hertz: float, seconds: float = 3.0, level: float = 0.5) -> torch.Tensor:
    signal = level * torch.sin(2 * math.pi * hertz / RATE * torch.arange(round(seconds * RATE)))
    return torch.stack((signal, signal))


def times(columns: int, seconds: float) -> np.ndarray:
    return (np.arange(columns) + 0.5) * seconds / columns


@pytest.mark.parametrize("hertz", [100.0, 1000.0, 6000.0])
def test_a_tone_peaks_in_the_band_that_contains_it(hertz) -> None:
    levels = ragged_levels(tone(hertz), RATE)
    best, low, high = max(
        (float(block[0, band].median()), edges[band], edges[band + 1])
        for block, edges in zip(levels.blocks, levels.edges_hz, strict=True)
        for band in range(len(edges) - 1)
    )
    assert low <= hertz <= high
    assert best == pytest.approx(20 * math.log10(0.5), abs=3.5)  # halfway between two bands 3 dB less
    assert all(float(block[1].max()) == -math.inf for block in levels.blocks)


def test_a_click_peaks_at_its_time_in_every_band() -> None:
    signal = torch.zeros(2, 3 * RATE)
    signal[:, round(1.3 * RATE)] = 1
    levels = ragged_levels(signal, RATE)
    for block in levels.blocks[1:-1]:
        columns = block.shape[-1]
        at = times(columns, levels.seconds)[block[0].argmax(-1).numpy()]
        assert np.abs(at - 1.3).max() <= 1.5 * levels.seconds / columns


def test_long_signals_are_read_in_parts_and_averaged(monkeypatch) -> None:
    signal = 0.1 * torch.randn(2, 4 * RATE, generator=torch.Generator().manual_seed(0))
    whole = ragged_levels(signal, RATE)
    monkeypatch.setattr("mixgraph.report.ragged_spectrogram._SECONDS_AT_ONCE", 0.2)
    for in_parts, at_once in zip(ragged_levels(signal, RATE).blocks, whole.blocks, strict=True):
        assert torch.allclose(in_parts, at_once, atol=1e-3)
    coarse = ragged_levels(signal, RATE, max_columns=20)
    for few, many in zip(coarse.blocks, whole.blocks, strict=True):
        assert few.shape[-1] <= 20
        powers = [10 ** (levels / 10) for levels in (few, many)]
        assert torch.allclose(powers[0].mean(-1), powers[1].mean(-1), rtol=0.2)


def test_the_figure_has_a_mesh_for_every_block() -> None:
    target = tone(440.0)
    figure = ragged_figure(target, {"half": 0.5 * target}, RATE)
    blocks = len(ragged_levels(target, RATE).blocks)
    panels = [[part for part in axes.collections if isinstance(part, QuadMesh)] for axes in figure.axes[:8]]
    assert [len(meshes) for meshes in panels] == [blocks, 0, blocks, 0, blocks, blocks, blocks, blocks]
    errors = np.concatenate([np.asarray(mesh.get_array()).ravel() for mesh in panels[5]])
    assert errors.min() == pytest.approx(20 * math.log10(0.5), abs=1e-3)
    assert errors.max() <= 1e-3
    assert figure.axes[0].get_xlim() == (0, 3.0)
    assert figure.axes[0].get_yscale() == "log"


def test_the_figure_of_stems_has_a_row_for_each_with_its_error() -> None:
    stem, silence = tone(440.0), torch.zeros(2, 3 * RATE)
    figure = ragged_stems_figure({"bass": (stem, 0.5 * stem), "none": (silence, silence)}, RATE)
    panels = [[part for part in axes.collections if isinstance(part, QuadMesh)] for axes in figure.axes[:12]]
    assert {len(meshes) for meshes in panels} == {len(ragged_levels(stem, RATE).blocks)}
    true, estimate, error = (
        np.concatenate([np.asarray(mesh.get_array()).ravel() for mesh in meshes]) for meshes in panels[:3]
    )
    half_db = 20 * math.log10(0.5)
    assert estimate.max() - true.max() == pytest.approx(half_db, abs=1e-3)
    assert error.min() == pytest.approx(half_db, abs=1e-3)
    errors_of_silence = [np.asarray(mesh.get_array()) for panel in (8, 11) for mesh in panels[panel]]
    assert all(float(np.abs(errors).max()) == 0 for errors in errors_of_silence)
    with pytest.raises(ValueError, match="stems: at least one is needed, got none"):
        ragged_stems_figure({}, RATE)


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match=r"signal: \(2, time\) is needed, got \(2, 0\)"):
        ragged_levels(torch.zeros(2, 0), RATE)
    with pytest.raises(ValueError, match="signal: finite samples are needed, got NaN or infinity"):
        ragged_levels(torch.full((2, 100), math.nan), RATE)
    with pytest.raises(ValueError, match="candidates: at least one is needed, got none"):
        ragged_figure(tone(440.0), {}, RATE)
    with pytest.raises(ValueError, match=r"candidates: 'short': \(2, 48000\) is needed, got \(2, 4\)"):
        ragged_figure(tone(440.0), {"short": torch.zeros(2, 4)}, RATE)


def test_errors_of_noise_are_those_of_its_mean_power() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = (0.1 * torch.randn(2, 4 * RATE, generator=generator) for _ in range(2))
    figure = ragged_figure(one, {"other": other}, RATE)
    mesh = [part for part in figure.axes[5].collections if isinstance(part, QuadMesh)][-2]
    errors = np.asarray(mesh.get_array())
    widths = ragged_levels(one, RATE).blocks[-2].shape[-1] / errors.shape[-1]  # columns that are averaged
    assert widths > 10
    # A power has a spread of its own size, its logarithm 10 / ln 10 dB over sqrt(n) of a mean of n independent ones;
    # coefficients of a block are oversampled up to two times, and an error has two powers.
    bounds = [10 / math.log(10) * math.sqrt(2 / (widths * share)) for share in (1.0, 0.4)]
    assert bounds[0] < errors.std() < bounds[1]
