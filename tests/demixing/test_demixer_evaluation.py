"""Scores of a demixer: ideal masks bound what masks reach, museval stands in a table of its own, silence is counted."""

import json
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from mixgraph import __main__ as entry
from mixgraph.demixing import Demixer, DemixerTransform, NetworkSettings
from mixgraph.demixing.evaluation import COLUMNS, evaluate_songs, summary, table
from mixgraph.demixing.ideal_masks import ideal_estimates
from mixgraph.demixing.scores import leakage_db, loudness_difference_lu, song_sdr_db
from mixgraph.demixing.stem_songs import read_stem_song
from tests.demixing.conftest import RATE, TARGETS, make_stems

TRANSFORM = DemixerTransform(num_bands=14, low_hz=150.0, slice_samples=256, sample_rate=RATE)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    module = Demixer(transform=TRANSFORM, network=NetworkSettings(4, 2, 1, exchange=2)).eval()
    content: dict = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(content)
    path = tmp_path_factory.mktemp("demixer") / "demixer.ckpt"
    torch.save(content, path)
    return path


@pytest.mark.parametrize("sliced", [True, False])
def test_the_phase_aware_mask_is_the_best_of_all_masks_from_0_to_1(sliced: bool) -> None:
    torch.manual_seed(0)
    targets = torch.randn(3, 2, 6000)
    mix = targets.sum(0)
    transform = TRANSFORM.make() if sliced else None
    found = {rule: ideal_estimates(targets, mix, rule, transform, RATE) for rule in ("ratio", "phase-aware")}
    ratios = {rule: [song_sdr_db(*pair) for pair in zip(targets, found[rule], strict=True)] for rule in found}
    assert all(a > b > 0 for a, b in zip(ratios["phase-aware"], ratios["ratio"], strict=True))
    assert float((found["ratio"].sum(0) - mix).abs().max()) < 1e-4  # masks that add up to 1
    with pytest.raises(ValueError, match="rule: one of ratio, phase-aware"):
        ideal_estimates(targets, mix, "binary", transform, RATE)


def test_leakage_and_loudness_of_a_known_sum() -> None:
    torch.manual_seed(0)
    targets = torch.randn(3, 2, RATE)
    targets[2] = 0
    estimate = 0.5 * targets[0] + 0.05 * targets[1] + 0.1 * torch.randn(2, RATE)
    assert leakage_db(targets, 0, estimate, [0, 1]) == pytest.approx(-20, abs=0.5)
    assert loudness_difference_lu(targets[0], 0.5 * targets[0], RATE) == pytest.approx(-6.02, abs=0.01)
    assert loudness_difference_lu(targets[0], targets[2], RATE) is None
    assert loudness_difference_lu(targets[0, :, :99], targets[1, :, :99], RATE) is None


def test_ideal_masks_are_local_so_that_stretches_change_little(monkeypatch) -> None:
    torch.manual_seed(0)
    targets = torch.randn(2, 1, 5 * RATE)
    whole = ideal_estimates(targets, targets.sum(0), "ratio", TRANSFORM.make(), RATE)
    monkeypatch.setattr("mixgraph.demixing.ideal_masks._STRETCH_SECONDS", 1)
    parts = ideal_estimates(targets, targets.sum(0), "ratio", TRANSFORM.make(), RATE)
    # Stretches begin at other places of the slices' grid: masks differ, what they reach does not.
    assert song_sdr_db(targets[0], parts[0]) == pytest.approx(song_sdr_db(targets[0], whole[0]), abs=0.1)


def test_the_command_writes_a_table_and_json(checkpoint, stem_root, tmp_path, monkeypatch, capsys) -> None:
    quiet = make_stems(tmp_path / "more" / "quiet", 3, mixture=False)
    (quiet / "vocals.wav").unlink()
    out = tmp_path / "scores.json"
    words = ["evaluate-demixer", str(checkpoint), str(stem_root / "test"), str(quiet.parent), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["mixgraph", *words, "--cache-dir", str(tmp_path / "cache")])
    with pytest.raises(SystemExit) as end:
        entry.main()
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert "quiet: no track is vocals; it is silent" in text
    assert "Silent and skipped: 1: quiet: vocals" in text
    report = json.loads(out.read_text())
    assert set(report["median_db"]) == set(COLUMNS)
    assert report["silent"] == ["quiet: vocals"]
    assert report["museval"] is None
    (unseen,) = [song for song in report["songs"] if song["song"] == "unseen"]
    by_column = unseen["sdr_db"]
    assert all(by_column["phase-aware mask, sliCQT"][name] > by_column["demixer"][name] for name in TARGETS)
    assert f"{report['median_db']['demixer']['all']:.2f}" in text[: text.index("Silent")].splitlines()[-1]
    assert unseen["leakage_db"]["drums"] < 20
    assert set(unseen["loudness_lu"]) == set(TARGETS)
    with pytest.raises(SystemExit, match="exists and is kept"):
        entry.main()
    monkeypatch.setattr(sys, "argv", ["mixgraph", *words[:-1], str(tmp_path / "b.json"), "--songs", "nobody"])
    with pytest.raises(SystemExit, match="songs: some of unseen, quiet, got nobody"):
        entry.main()


@pytest.mark.long
def test_the_command_draws_a_picture_of_every_song(checkpoint, stem_root, tmp_path, monkeypatch) -> None:
    words = ["evaluate-demixer", str(checkpoint), str(stem_root / "test"), "--no-ceilings"]
    words += ["--pictures", str(tmp_path / "pictures"), "--cache-dir", str(tmp_path / "cache")]
    monkeypatch.setattr(sys, "argv", ["mixgraph", *words])
    with pytest.raises(SystemExit) as end:
        entry.main()
    assert end.value.code == 0
    (drawn,) = (tmp_path / "pictures").iterdir()
    assert drawn.name == "unseen.png"
    assert drawn.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SystemExit, match=r"pictures: .*unseen.png exists and is kept; choose another folder"):
        entry.main()


@pytest.mark.skipif(find_spec("museval") is None, reason="museval is not installed")
@pytest.mark.long
def test_figures_of_museval_are_in_a_table_of_their_own(stem_root: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Demixer(transform=TRANSFORM, network=NetworkSettings(4, 2, 1, exchange=2)).eval()
    song = read_stem_song(stem_root / "test" / "unseen", TARGETS, RATE, tmp_path)
    (scores,) = evaluate_songs(module, [song], ceilings=False, museval=True)
    report = summary(TARGETS, [scores])
    lines = table(report)
    assert report["museval"]["measure"] in lines
    assert "museval" not in " ".join(lines[: lines.index(report["museval"]["measure"])])
    assert set(report["median_db"]) == {"demixer", "mix as it is"}
    assert all(value is not None for value in scores.frames_db.values())


def test_songs_without_any_target_are_refused(tmp_path: Path, stem_root: Path) -> None:
    module = Demixer(("piano", "organ"), TRANSFORM, network=NetworkSettings(4, 2, 1, exchange=2)).eval()
    song = read_stem_song(stem_root / "test" / "unseen", module.targets, RATE, tmp_path)
    with pytest.raises(ValueError, match="stems of piano, organ are needed, got none with sound"):
        list(evaluate_songs(module, [song]))
    heard = replace(song, power=torch.ones_like(song.power))
    with pytest.raises(ValueError, match="got none with sound"):  # before the song in front of it is separated
        next(evaluate_songs(module, [heard, song]))


def test_a_loudness_that_cannot_be_measured_is_not_called_silence(tmp_path: Path) -> None:
    module = Demixer(TARGETS, TRANSFORM, network=NetworkSettings(4, 2, 1, exchange=2)).eval()
    song = read_stem_song(make_stems(tmp_path / "short", 3, seconds=0.3), TARGETS, RATE, tmp_path / "cache")
    report = summary(TARGETS, list(evaluate_songs(module, [song], ceilings=False)))
    text = "\n".join(table(report))
    assert report["silent"] == []
    assert text.count("unknown") == len(TARGETS)
    assert "vocals  silent" not in text
