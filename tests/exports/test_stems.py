"""Printed stems: they sum, are equally long, and the cue sheet says how."""

from __future__ import annotations

import csv
import shutil

import pytest
import soundfile
import torch

from mixgraph.exports.run import export_result
from mixgraph.exports.settings import ExportSettings
from mixgraph.exports.wav import read_wav, write_wav
from mixgraph.results.found_graph import load_result
from mixgraph.results.rendering import read_tracks

BELOW = 1e-5  # -100 dB of the mix


def decoded(folder):
    rows = list(csv.DictReader((folder / "cue_sheet.csv").read_text().splitlines()))
    gain = 10 ** (float(rows[0]["fader_db"]) / 20)
    return rows, {row["file"]: gain * read_wav(folder / row["file"]) for row in rows}


@pytest.mark.parametrize("bits", ["float", "24"])
def test_stems_sum_to_the_mix_that_the_graph_renders(bits, full_result, tiny_song, tmp_path) -> None:
    out = tmp_path / "stems"
    export_result(full_result, "stems", out, tiny_song, ExportSettings(bits=bits))
    rows, audio = decoded(out)
    assert [row["file"] for row in rows] == [
        *("1_tracks/01_kick.wav", "1_tracks/02_hat.wav", "1_tracks/03_lead.wav"),
        *("2_subgroups/01_drums.wav", "2_subgroups/02_lead.wav", "mix.wav"),
    ]
    found = load_result(full_result)
    mix = found.render(read_tracks(found, tiny_song).sources)
    scale = mix.abs().max()
    assert all(x.shape == mix.shape for x in audio.values())
    assert all(soundfile.info(out / file).subtype == {"float": "FLOAT", "24": "PCM_24"}[bits] for file in audio)
    assert (audio["mix.wav"] - mix).abs().max() < BELOW * scale
    total = sum(audio[row["file"]] for row in rows if row["sums_to"] == "mix")
    assert (total - mix).abs().max() < BELOW * scale


def test_24_bit_files_that_would_clip_are_scaled_by_one_factor_that_is_said(random_graph, tiny_song, tmp_path) -> None:
    graph = random_graph(tiny_song, "g", "")
    graph.parameters["gain_panning"]["log_gain"] += 2.0
    graph.save(tmp_path / "loud")
    exported = export_result(tmp_path / "loud", "stems", tmp_path / "a", tiny_song, ExportSettings(bits="24"))
    assert any("quieter, so that none clips" in line for line in exported.lines)
    rows, audio = decoded(tmp_path / "a")
    assert max(float(row["peak_db"]) for row in rows) == pytest.approx(0, abs=0.01)
    assert len({row["fader_db"] for row in rows}) == 1
    total = sum(audio[row["file"]] for row in rows if row["sums_to"] == "mix")
    assert (total - audio["mix.wav"]).abs().max() < BELOW * total.abs().max()
    exported = export_result(tmp_path / "loud", "stems", tmp_path / "b", tiny_song)
    assert any("Peaks above full scale, which float files keep" in line for line in exported.lines)
    assert read_wav(tmp_path / "b" / "mix.wav").abs().max() > 1


def test_another_rate_is_that_of_all_files(full_result, tiny_song, tmp_path) -> None:
    export_result(full_result, "stems", tmp_path / "a", tiny_song, ExportSettings(sample_rate=12000))
    about = [soundfile.info(path) for path in (tmp_path / "a").rglob("*.wav")]
    assert {(info.samplerate, info.frames) for info in about} == {(12000, 36000)}
    rows, audio = decoded(tmp_path / "a")
    total = sum(audio[row["file"]] for row in rows if row["sums_to"] == "mix")
    assert (total - audio["mix.wav"]).abs().max() < BELOW * total.abs().max()


def test_names_that_no_disk_takes_and_equal_names_have_files_of_their_own(random_graph, tiny_song, tmp_path) -> None:
    song = shutil.copytree(tiny_song, tmp_path / "song")
    graph = random_graph(song, "g", "e", {"a/b": ["kick"], "A:B": ["hat"], "lead": ["lead"]})
    graph.save(tmp_path / "r")
    export_result(tmp_path / "r", "stems", tmp_path / "out", song / "tracks")
    names = [path.name for path in sorted((tmp_path / "out" / "2_subgroups").iterdir())]
    assert names == ["01_a_b.wav", "02_A_B 2.wav", "03_lead.wav"]


def test_fixed_point_files_refuse_what_would_clip(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"samples up to 1 expected in 24 bits, got 1\.500"):
        write_wav(tmp_path / "a.wav", torch.tensor([[1.5, 0.0]]), 8000, "24")
    with pytest.raises(ValueError, match="finite samples expected"):
        write_wav(tmp_path / "a.wav", torch.tensor([[float("nan")]]), 8000)
