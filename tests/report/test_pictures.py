import math

import matplotlib.colors
import pytest
import torch

from mixgraph.report.drawing.palette import type_colour
from mixgraph.report.figures import save_figure
from mixgraph.report.progress import progress_figure
from mixgraph.report.spectrograms import spectrogram, spectrogram_figure

RATE = 30000
RECORDS = [
    {"step": 0, "stage": "console", "match/full": None, "weight/reverb": 0.5, "weight/equalizer": 0.5},
    {"step": 100, "stage": "console", "match/full": 0.8, "weight/reverb": 0.4, "weight/equalizer": 0.6},
    {
        "step": 150,
        "stage": "prune",
        "match/full": 0.7,
        "ratio/reverb": 0.5,
        "ratio/equalizer": 0.0,
        "weight/equalizer": 0.0,
        "note": "any",
    },
    {"step": 200, "stage": "prune", "match/full": 0.6, "ratio/reverb": 0.75, "weight/reverb": None},
]


def noise(samples=40_000, seed=0):
    return 0.1 * torch.randn(2, samples, generator=torch.Generator().manual_seed(seed))


def tone(left, right, samples=60_000, bin_number=64):
    """A sine on the middle of a bin of 1024 samples: 1875 Hz."""
    time = torch.arange(samples, dtype=torch.float64)
    wave = torch.sin(2 * math.pi * bin_number / 1024 * time)
    return torch.stack((left * wave, right * wave)).float()


def panels(figure):
    """The image arrays of the visible panels, by title of the column: without colour bars."""
    return [axes.images[0] for axes in figure.axes if axes.images]


@pytest.mark.parametrize(
    ("left", "right", "mid_db", "side_db"), [(1, 1, 0, None), (0.5, -0.5, None, -6.02), (1, 0, -6.02, -6.02)]
)
def test_a_sine_has_its_level_at_its_frequency(left, right, mid_db, side_db):
    levels_db = spectrogram(tone(left, right), RATE).levels_db[:, :, 2:-4]
    for channel, expected in zip(levels_db, (mid_db, side_db), strict=True):
        if expected is None:
            assert channel.max() < -150  # float32 leaves exactly nothing, or rounding
        else:
            assert channel.argmax(dim=0).unique().tolist() == [64]
            # float32 rounding of the FFT: about 1e-6
            assert channel[64] == pytest.approx(expected, abs=1e-2)
            assert channel[70:].max() < expected - 80  # side lobes of the Hann window, on a bin's middle


def test_averaging_keeps_the_power_and_the_place_in_time():
    signal = noise(200_000)
    signal[:, 100_000:] *= 10
    fine, coarse = spectrogram(signal, RATE, 10_000).levels_db, spectrogram(signal, RATE, 20).levels_db
    frames, pool = 1 + 200_000 // 512, 20
    assert fine.shape == (2, 513, frames)
    assert coarse.shape == (2, 513, 20)
    expected = torch.stack([(10 ** (part / 10)).mean(dim=2) for part in fine.split(pool, dim=2)], dim=2)
    assert torch.allclose(10 ** (coarse / 10), expected, rtol=1e-4)  # float32, through decibels
    assert (coarse[..., 11:] - coarse[..., :9]).mean() == pytest.approx(20, abs=0.5)


def test_blocks_of_frames_change_nothing(monkeypatch):
    whole = spectrogram(noise(), RATE, 30).levels_db
    monkeypatch.setattr("mixgraph.report.spectrograms._FRAMES_AT_ONCE", 7)
    assert torch.allclose(spectrogram(noise(), RATE, 30).levels_db, whole, atol=1e-4)


@pytest.mark.parametrize("samples", [1, 511, 512, 513, 1024, 40_001])
def test_any_length_is_shown_to_its_end(samples):
    signal = noise(samples)
    signal[:, :-1] = 0
    levels = spectrogram(signal, RATE)
    assert levels.seconds == samples / RATE
    assert levels.levels_db.shape == (2, 513, 1 + samples // 512)
    assert bool(torch.isfinite(levels.levels_db[0]).any(dim=0)[-1])


def test_identical_signals_have_no_error_and_a_gain_has_its_decibels():
    target = noise()
    figure = spectrogram_figure(target, {"same": target, "half": target / 2, "silent": target * 0}, RATE)
    images = panels(figure)
    assert len(images) == 2 + 3 * 4
    target_mid, target_side, *rest = images
    same, half, silent = rest[:4], rest[4:8], rest[8:]
    for k, goal in ((0, target_mid), (2, target_side)):
        assert (same[k].get_array() == goal.get_array()).all()
        assert (same[k + 1].get_array() == 0).all()
        assert half[k + 1].get_array().mean() == pytest.approx(-6.02, abs=0.01)
        assert (silent[k].get_array() == silent[k].norm.vmin).all()
        assert (silent[k + 1].get_array() <= 0).all()
    levels, errors = [target_mid, target_side, *rest[::2]], rest[1::2]
    assert len({image.get_clim() for image in levels}) == 1
    assert levels[0].norm.vmax == max(target_mid.get_array().max(), target_side.get_array().max())
    assert levels[0].norm.vmin == pytest.approx(levels[0].norm.vmax - 80)
    assert {image.get_clim() for image in errors} == {(-20, 20)}
    assert {tuple(image.get_extent()) for image in images} == {(0, 40_000 / RATE, math.log10(40), math.log10(15_000))}
    low, high = images[0].axes.get_ylim()
    rows = images[0].get_array().shape[0]
    assert (low, high, rows) == (math.log10(40), math.log10(15_000), 256)


@pytest.mark.parametrize("bin_number", [8, 64, 400])
def test_a_sine_is_shown_at_its_frequency_with_the_power_of_its_bins(bin_number):
    sine = tone(1, 1, bin_number=bin_number)
    image = panels(spectrogram_figure(sine, {"same": sine}, RATE))[0]
    low, high = image.axes.get_ylim()
    levels = image.get_array()[:, 10]
    shown_hz = 10 ** (low + (levels.argmax() + 0.5) / len(levels) * (high - low))
    assert shown_hz == pytest.approx(bin_number * RATE / 1024, abs=RATE / 1024, rel=0.012)  # a bin, or half a row
    # A row is at most as loud as the bin; high rows are means over several bins.
    assert -10 < levels.max() < 0.01


def test_a_candidate_louder_than_the_target_shows_its_whole_error():
    target = noise()
    error = panels(spectrogram_figure(target, {"loud": target * 4}, RATE))[3].get_array()
    assert error.mean() == pytest.approx(12.04, abs=0.01)


def test_rows_and_columns_are_labelled():
    figure = spectrogram_figure(noise(), {"dry sum": noise(seed=1), "found $x_": noise(seed=2)}, RATE)
    labels = [axes.get_ylabel().split("\n")[0] for axes in figure.axes]
    assert [label for label in labels if label] == [
        "target", "dry sum", "found $x_", "level (dB)", "error (dB), limited to ±20"
    ]  # fmt: skip
    assert [axes.get_title() for axes in figure.axes if axes.get_title()] == ["mid", "side", "mid error", "side error"]
    assert {axes.get_xlabel() for axes in figure.axes if axes.images} == {"", "time (s)"}


def test_a_silent_target_can_be_shown(tmp_path):
    save_figure(spectrogram_figure(torch.zeros(2, 3000), {"found": noise(3000)}, RATE), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


def test_spectrogram_errors_name_the_cause():
    with pytest.raises(ValueError, match=r"signal: \(2, time\) is needed, got \(1, 5\)"):
        spectrogram(torch.ones(1, 5), RATE)
    with pytest.raises(ValueError, match="signal: finite samples are needed"):
        spectrogram(torch.full((2, 5), math.nan), RATE)
    with pytest.raises(ValueError, match="at least 1000 Hz and 1 are needed, got 30000 and 0"):
        spectrogram(torch.ones(2, 5), RATE, 0)
    with pytest.raises(ValueError, match="candidates: at least one is needed"):
        spectrogram_figure(noise(), {}, RATE)
    with pytest.raises(ValueError, match=r"candidates: 'dry': \(2, 40000\) is needed, got \(2, 5\)"):
        spectrogram_figure(noise(), {"dry": noise(5)}, RATE)


def test_progress_shows_the_known_values_in_the_colours_of_the_types():
    ratios, weights, loss = progress_figure(RECORDS).axes
    lines = {line.get_label(): line for line in ratios.lines}
    assert list(lines) == ["e: equalizer", "r: reverb"]
    assert lines["r: reverb"].get_xydata().tolist() == [[150, 0.5], [200, 0.75]]
    assert lines["e: equalizer"].get_xydata().tolist() == [[150, 0.0]]
    assert lines["r: reverb"].get_color() == type_colour("reverb")
    assert [line.get_ydata().tolist() for line in weights.lines] == [[0.5, 0.6], [0.5, 0.4]]
    assert loss.lines[0].get_xydata().tolist() == [[100, 0.8], [150, 0.7], [200, 0.6]]
    assert [axes.get_ylabel() for axes in (ratios, weights, loss)] == [
        "processors left (share)", "mean dry/wet weight", "match loss of a clip"
    ]  # fmt: skip


def test_the_pruning_phase_is_shaded():
    for axes in progress_figure(RECORDS).axes:
        (shade,) = axes.patches
        assert (shade.get_x(), shade.get_x() + shade.get_width()) == (100, 200)
        assert shade.get_facecolor() == matplotlib.colors.to_rgba("#FFF3C4")
    assert not progress_figure(RECORDS[:2]).axes[0].patches


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"stage": "prune"}, r"records\[1\]: step: a number that does not fall is needed, got None after 7"),
        ({"step": 5, "stage": "prune"}, "step: a number that does not fall is needed, got 5 after 7"),
        ({"step": 8, "stage": "rest"}, "stage: console or prune is needed, got 'rest'"),
        ({"step": 8, "stage": "prune", "match/full": "low"}, "match/full: a number or None is needed, got 'low'"),
        ({"step": 8, "stage": "prune", "ratio/phaser": 0.5}, "unknown processor type 'phaser'"),
    ],
)
def test_bad_records_are_named(record, message):
    with pytest.raises(ValueError, match=message):
        progress_figure([{"step": 7, "stage": "console"}, record])


def test_progress_needs_records():
    with pytest.raises(ValueError, match="records: at least one is needed"):
        progress_figure([])


@pytest.mark.parametrize("suffix", ["png", pytest.param("svg", marks=pytest.mark.long)])
def test_two_runs_give_the_same_bytes(tmp_path, suffix):
    target = noise(5000)
    for k in range(2):
        save_figure(progress_figure(RECORDS), tmp_path / f"progress{k}.{suffix}")
        save_figure(spectrogram_figure(target, {"found": target / 2}, RATE), tmp_path / f"spectrograms{k}.{suffix}")
    for name in ("progress", "spectrograms"):
        first, second = ((tmp_path / f"{name}{k}.{suffix}").read_bytes() for k in range(2))
        assert first == second
        assert b"Software" not in first
        assert b"dc:date" not in first
    assert len(list(tmp_path.iterdir())) == 4


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a.pdf: suffix .svg or .png is needed, got '.pdf'"):
        save_figure(progress_figure(RECORDS), tmp_path / "a.pdf")
