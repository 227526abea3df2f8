"""The statistics of mixes that come with mixgraph, their means for given instruments, and files of others."""

import json
from pathlib import Path

import pytest

from mixgraph.style.training_mixes import SHIPPED, read_training_mixes, write_training_mixes
from tools.measure_style import main


def test_the_mixes_that_come_with_mixgraph_may_be_given_away() -> None:
    mixes = read_training_mixes()
    assert {mix.licence for mix in mixes.mixes} <= {
        "CC0 1.0",
        "made by mixgraph from formulas; no rights reserved",
    }
    assert [mix.name for mix in mixes.mixes[:3]] == ["demo_potassium", "ev3_francium", "k8_synthetic"]
    mean = mixes.mean()
    assert float(mean.statistics.loudness_lufs) == pytest.approx(-16, abs=0.01)
    assert mean.statistics.spectrum_mid_db.shape == mean.spread.spectrum_mid_db.shape == (27,)
    assert SHIPPED.stat().st_size < 20_000


def test_mixes_of_like_instruments_count_more() -> None:
    mixes = read_training_mixes()
    voices = mixes.mean(("vocals",)).statistics.loudness_range_lu
    sung = [float(mix.statistics["loudness_range_lu"]) for mix in mixes.mixes if "vocals" in mix.instruments]
    everything = mixes.mean().statistics.loudness_range_lu
    assert abs(voices - sum(sung) / len(sung)) < abs(everything - sum(sung) / len(sung))
    left = mixes.mean(without=("demo_potassium",))
    assert "demo_potassium" not in left.names
    with pytest.raises(ValueError, match="at least one mix has to be left"):
        mixes.mean(without=[mix.name for mix in mixes.mixes])


def test_a_file_of_other_mixes_is_made_by_a_command_and_read_back(tiny_song: Path, tmp_path: Path) -> None:
    file = tmp_path / "mixes.json"
    assert main([str(tiny_song), "--out", str(file), "--cache", str(tmp_path / "cache")]) == 0
    (mix,) = read_training_mixes(file).mixes
    assert (mix.name, mix.instruments, mix.licence) == ("tiny", ("drums", "other"), "CC0")
    write_training_mixes(tmp_path / "again.json", read_training_mixes(file))
    assert (tmp_path / "again.json").read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "format"),
        ({"mixes": []}, "at least one of mixes"),
        ({"mixes": [{}]}, "mixes: 0: name, licence"),
        ({"mixes": [{"statistics": {}}]}, "spectrum_mid_db: finite numbers are needed, got None"),
    ],
)
def test_a_damaged_file_is_refused(change: dict[str, object], message: str, tmp_path: Path) -> None:
    file = tmp_path / "mixes.json"
    file.write_text(json.dumps({**json.loads(SHIPPED.read_text()), **change}))
    with pytest.raises(ValueError, match=message):
        read_training_mixes(file)
    with pytest.raises(FileNotFoundError, match="is no file"):
        read_training_mixes(tmp_path / "none.json")
