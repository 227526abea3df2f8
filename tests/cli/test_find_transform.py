"""`python -m mixgraph find-transform`: ideal masks rank transforms, a stopped run goes on, bad stems are reported."""

import json
import math

import numpy as np
import pytest
import soundfile
import torch

from mixgraph.cli import find_transform
from mixgraph.cli.commands import run
from mixgraph.dsp.slicqt.choosing import (
    PUBLISHED,
    RASTERS,
    TransformSettings,
    draw_settings,
    ideal_mask_sdr_db,
    stft_mask_sdr_db,
)

RATE = 8000
TIME = np.arange(2 * RATE) / RATE
TONE = 0.3 * np.sin(2 * math.pi * 440 * TIME)
CLICKS = np.where(np.arange(2 * RATE) % 2000 == 1000, 0.8, 0.0)


@pytest.fixture
def stems(tmp_path):
    folder = tmp_path / "stems"
    folder.mkdir()
    soundfile.write(folder / "tone.wav", TONE, RATE)
    soundfile.write(folder / "clicks.wav", np.stack((CLICKS, 0.5 * CLICKS), axis=1), RATE)
    return folder


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def without_times(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.mark.parametrize("method", find_transform.METHODS)
def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(stems, tmp_path, capsys, method) -> None:
    if method == "optuna":
        pytest.importorskip("optuna")
    command = ["find-transform", str(stems), "--method", method]
    whole, stopped = tmp_path / "whole.jsonl", tmp_path / "stopped.jsonl"
    assert run([*command, "--trials", "4", "--out", str(whole)]) == 0
    printed = capsys.readouterr().out
    assert "rank  scale" in printed
    assert printed.count(find_transform.STFT) == 2  # when it is measured, and in the table
    assert run([*command, "--trials", "2", "--out", str(stopped)]) == 0
    stopped.write_text(stopped.read_text() + '{"trial": 2, "sca')  # killed while it wrote
    assert run([*command, "--trials", "4", "--out", str(stopped)]) == 0
    header, *rows = rows_of(whole)
    assert [list(names) for names in header["stems"].values()] == [["clicks", "tone"]]
    assert [row["trial"] for row in rows] == [-1, 0, 1, 2, 3]
    assert without_times(rows_of(stopped)[1:]) == without_times(rows)
    with pytest.raises(ValueError, match=r"its trials have seed 0, now 1. HINT: choose another --out"):
        run([*command, "--seed", "1", "--out", str(stopped)])
    soundfile.write(stems / "tone.wav", 0.5 * TONE, RATE)
    with pytest.raises(ValueError, match=r"its trials have stems .*, now .*. HINT: choose another --out"):
        run([*command, "--trials", "5", "--out", str(stopped)])


def test_masks_separate_a_tone_from_clicks() -> None:
    tone, clicks = (torch.from_numpy(values).float()[None] for values in (TONE, CLICKS))
    transform = draw_settings(0, 0, RATE, 1.0).make(RATE, 1.0)
    assert min(ideal_mask_sdr_db(transform, [tone, clicks])) > 5
    assert min(stft_mask_sdr_db([tone, clicks])) > 5
    assert stft_mask_sdr_db([tone[:, :100], clicks[:, 950:1050]])[0] > 0  # shorter than its window


def test_the_published_choice_is_made_of_slices_below_a_second() -> None:
    assert PUBLISHED.make(44100, 1.0).slice_samples == 16384
    assert draw_settings(3, 7, 44100, 1.0) == draw_settings(3, 7, 44100, 1.0)
    with pytest.raises(ValueError, match=r"slices of at most 0\.1 s are allowed, got 0\.37 s"):
        PUBLISHED.make(44100, 0.1)
    with pytest.raises(ValueError, match=r"longest slice: none of \d+ settings fits into 1e-05 s at 44100 Hz"):
        draw_settings(0, 0, 44100, 0.00001)


def test_a_stem_that_is_silent_in_the_excerpt_is_left_out(stems) -> None:
    soundfile.write(stems / "late.wav", np.where(TIME > 1, 0.1, 0.0), RATE)
    assert find_transform.read_stems(stems, 0.0, 1.0).names == ["clicks", "tone"]
    assert find_transform.read_stems(stems, 0.0, 2.0).names == ["clicks", "late", "tone"]
    with pytest.raises(ValueError, match="at least two stems with sound from 9 s to 10 s are needed, got 0"):
        find_transform.read_stems(stems, 9.0, 1.0)


@pytest.mark.parametrize(
    ("name", "samples", "rate", "message"),
    [
        ("silent", 0 * TONE, RATE, "stems with sound are needed, got silence in silent"),
        (
            "short",
            TONE[:-1],
            RATE,
            "stems of one length are needed, got 16000 samples in clicks, 15999 samples in short",
        ),
        ("fast", TONE, 16000, "stems of one sample rate are needed, got 8000 Hz in clicks, 16000 Hz in fast"),
        ("nan", np.where(TIME > 1, np.nan, TONE), RATE, "finite samples are needed, got NaN or infinity in stem nan"),
    ],
)
def test_bad_stems_are_told(stems, name, samples, rate, message) -> None:
    soundfile.write(stems / f"{name}.wav", samples, rate, subtype="FLOAT")
    with pytest.raises(ValueError, match=message):
        find_transform.read_stems(stems, 0.0, 2.0)


def test_a_song_is_read_as_it_states(tmp_path) -> None:
    tracks = tmp_path / "song" / "tracks"
    tracks.mkdir(parents=True)
    late = np.concatenate((np.zeros(800), TONE))
    soundfile.write(tracks / "tone.wav", late, RATE, subtype="FLOAT")
    soundfile.write(tracks / "clicks.wav", CLICKS[:9000], RATE, subtype="FLOAT")
    soundfile.write(tracks / "nothing.wav", 0 * TONE, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "song" / "mix.wav", CLICKS - TONE, RATE, subtype="FLOAT")
    (tmp_path / "song" / "song.yaml").write_text("tracks:\n  tone.wav: {offset_seconds: 0.1, polarity: -1}\n")
    stems = find_transform.read_stems(tmp_path / "song", 0.0, 9.0)
    assert stems.names == ["clicks", "tone"]
    assert stems.note == "song: silent from 0 s to 9 s, and left out: nothing"
    np.testing.assert_allclose(stems.audio[1][0], -TONE.astype(np.float32))
    np.testing.assert_allclose(stems.audio[0][0, :9000], CLICKS[:9000].astype(np.float32))
    assert stems.audio[0].shape == (1, 2 * RATE)
    assert not stems.audio[0][0, 9000:].any()


def test_stems_of_other_rates_are_resampled_where_asked(stems) -> None:
    soundfile.write(stems / "fast.wav", np.repeat(TONE, 2), 2 * RATE)
    with pytest.raises(ValueError, match="HINT: --sample-rate 16000 resamples them"):
        find_transform.read_stems(stems, 0.0, 2.0)
    assert [part.shape for part in find_transform.read_stems(stems, 0.0, 2.0, RATE).audio] == [(2, 2 * RATE)] * 3


@pytest.mark.parametrize("raster", RASTERS)
def test_a_multi_resolution_scale_is_linear_in_pieces(raster) -> None:
    transform = TransformSettings("multi_resolution", 144, 40.0, raster=raster).make(44100, 1.0)
    centres = np.array(transform.layout.centres_hz)[1:-1]
    steps = np.unique(np.diff(centres).round(6))
    assert (len(centres), centres[0], centres[-1] < 22050) == (144, 40.0, True)
    assert len(steps) == 5  # a spacing for each piece
    signal = torch.randn(1, 44100, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(transform.inverse(transform(signal), 44100), signal)


def test_two_stems_of_one_name_are_told(stems) -> None:
    soundfile.write(stems / "tone.flac", TONE, RATE)
    with pytest.raises(ValueError, match="stems of different names are needed, got tone twice"):
        find_transform.read_stems(stems, 0.0, 2.0)


def test_one_stem_is_no_mix(tmp_path) -> None:
    soundfile.write(tmp_path / "tone.wav", TONE, RATE)
    with pytest.raises(ValueError, match="at least two stems are needed, got 1"):
        run(["find-transform", str(tmp_path)])
    with pytest.raises(FileNotFoundError):
        run(["find-transform", str(tmp_path / "missing")])
    (tmp_path / "text.jsonl").write_text("hello\n")
    soundfile.write(tmp_path / "clicks.wav", CLICKS, RATE)
    with pytest.raises(ValueError, match=r"text\.jsonl: JSON lines of find-transform are needed"):
        run(["find-transform", str(tmp_path), "--out", str(tmp_path / "text.jsonl")])


def test_folders_of_one_name_are_all_counted(tmp_path, monkeypatch) -> None:
    for number, song in enumerate(("first", "second")):
        (tmp_path / song / "stems").mkdir(parents=True)
        soundfile.write(tmp_path / song / "stems" / "tone.wav", (1 + number) * TONE, RATE)
        soundfile.write(tmp_path / song / "stems" / "clicks.wav", CLICKS, RATE)
    out, folders = tmp_path / "out.jsonl", [tmp_path / song / "stems" for song in ("first", "second")]
    assert run(["find-transform", *map(str, folders), "--trials", "1", "--out", str(out)]) == 0
    for row in rows_of(out)[1:]:
        assert list(row["sdr_db"]) == [f"{folder}/{name}" for folder in folders for name in ("clicks", "tone")]
    with pytest.raises(ValueError, match=r"folders that differ are needed, got .*first/stems twice"):
        run(["find-transform", str(folders[0]), str(folders[0])])
    monkeypatch.chdir(folders[0])
    assert run(["find-transform", ".", "--trials", "1", "--out", "../here.jsonl"]) == 0
    assert list(rows_of(tmp_path / "first" / "here.jsonl")[1]["sdr_db"]) == ["stems/clicks", "stems/tone"]


@pytest.mark.parametrize(
    ("option", "value"),
    [("seconds", "inf"), ("start", "nan"), ("start", "inf"), ("sample-rate", "0"), ("sample-rate", "-8000")],
)
def test_numbers_out_of_range_are_refused(stems, capsys, option, value) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(["find-transform", str(stems), f"--{option}={value}"])
    assert f"--{option}: a finite number" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["[1]", '{"trial": 0}', '{"trial": 0, "scale": "bark", "median_sdr_db": 1.0}'])
def test_a_line_that_is_no_trial_is_told(stems, tmp_path, line) -> None:
    out = tmp_path / "out.jsonl"
    command = ["find-transform", str(stems), "--trials", "1", "--out", str(out)]
    assert run(command) == 0
    out.write_text(out.read_text() + line + "\n")
    with pytest.raises(ValueError, match="a line for every trial is needed, got"):
        run(command)
