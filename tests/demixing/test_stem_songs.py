"""Stems of songs in every layout: their sums, the rule on names, what is said of odd ones."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from mixgraph.demixing.stem_songs import find_stem_songs, read_stem_song
from mixgraph.graph import build_console
from mixgraph.processors import make_processors
from mixgraph.results.found_graph import FoundGraph, load_result
from mixgraph.results.rendering import read_tracks
from mixgraph.results.stems import render_stems
from mixgraph.songs import read_audio
from mixgraph.songs.layouts import song_files
from mixgraph.songs.stem_rule import target_of
from mixgraph.songs.stretches import StretchFile, resampled_pieces
from tests.conftest import SUBGROUPS
from tests.demixing.conftest import RATE, TARGETS, make_stems, stem


def test_the_musdb_layout_is_read_from_train_alone_and_its_mixture_never(stem_root: Path, tmp_path: Path) -> None:
    folders = find_stem_songs(stem_root, TARGETS)
    assert [folder.name for folder in folders] == ["song0", "song1", "song2"]
    song = read_stem_song(folders[1], TARGETS, RATE, tmp_path)
    assert (song.name, song.num_samples, song.notes) == ("song1", 3 * RATE, ())
    for row, target in enumerate(TARGETS):
        true = torch.from_numpy(stem(target, 3.0, 1).T).float()
        assert torch.equal(song.read(row, 4000, 9000), true[:, 4000:13000])
    assert float(song.read(0, -50, 50).abs().max()) == 0
    assert song.sources[-1] is None
    assert not list(tmp_path.rglob("sources.npy"))  # files are read where they are


def test_stems_of_another_rate_of_another_length_or_missing_are_read_and_said(tmp_path: Path) -> None:
    folder = make_stems(tmp_path / "root" / "odd", mixture=False)
    (folder / "vocals.wav").unlink()
    soundfile.write(folder / "bass.wav", stem("bass", 4.0, 0)[: RATE * 7 // 2], RATE, subtype="FLOAT")
    soundfile.write(folder / "mix.wav", np.zeros((10, 2)), RATE)
    (song_folder,) = find_stem_songs(tmp_path / "root", TARGETS)
    song = read_stem_song(song_folder, TARGETS, 2 * RATE, tmp_path / "cache")
    assert song.num_samples == 7 * RATE
    assert any("got 3.000 s" in note and "3.500 s (bass.wav)" in note for note in song.notes)
    assert any("no track is vocals" in note for note in song.notes)
    expected = read_audio(folder / "drums.wav", 2 * RATE)
    assert float((song.read(1, 0, 6 * RATE) - expected).abs().max()) < 1e-6
    assert float(song.read(1, 6 * RATE, 100).abs().max()) == 0
    assert song.is_heard(2)
    assert not song.is_heard(0)


def test_a_song_has_the_name_of_its_folder(tmp_path: Path, tiny_song: Path, monkeypatch) -> None:
    folder = make_stems(tmp_path / "root" / "ü song")
    assert read_stem_song(folder, TARGETS, RATE, tmp_path / "cache").name == "ü song"
    moved = Path(shutil.copytree(tiny_song, tmp_path / "Größe 1.5"))
    song = read_stem_song(moved, TARGETS, RATE, tmp_path / "cache")
    assert song.name == "Größe 1.5"
    assert all(note.startswith("Größe 1.5: ") for note in song.notes)
    monkeypatch.chdir(moved)
    assert read_stem_song(Path(), TARGETS, RATE, tmp_path / "cache").name == "Größe 1.5"


def test_tracks_of_a_song_are_summed_by_the_rule_and_song_yaml_overrides_it(tiny_song: Path, tmp_path: Path) -> None:
    song = read_stem_song(tiny_song, TARGETS, RATE, tmp_path / "cache")
    drums = sum(read_audio(tiny_song / "tracks" / f"{name}.wav", RATE) for name in ("kick", "hat"))
    lead = read_audio(tiny_song / "tracks" / "lead.wav", RATE)
    assert float((song.read(1, 100, 5000) - drums[:, 100:5100]).abs().max()) < 1e-6  # two channels from one
    assert torch.equal(song.read(3, 0, 5000), lead[:, :5000].expand(2, -1))
    stated = tmp_path / "stated"
    stated.mkdir()
    for name in ("tracks", "mix.wav"):
        (stated / name).symlink_to(tiny_song / name)
    description = yaml.safe_load((tiny_song / "song.yaml").read_text())
    stems = {"vocals": ["lead.wav"], "bass": ["kick.wav"]}
    tracks = {"kick.wav": {"offset_samples": 30, "polarity": -1}}
    (stated / "song.yaml").write_text(yaml.safe_dump(description | {"stems": stems, "tracks": tracks}))
    song = read_stem_song(stated, TARGETS, RATE, tmp_path / "cache")
    kick = read_audio(tiny_song / "tracks" / "kick.wav", RATE)
    assert torch.equal(song.read(2, 0, 5000), -kick[:, 30:5030].expand(2, -1))
    assert torch.equal(song.read(0, 0, 5000), lead[:, :5000].expand(2, -1))
    assert song.sources[3] is None
    (stated / "song.yaml").write_text(yaml.safe_dump(description | {"stems": {"vocals": ["leed.wav"]}}))
    with pytest.raises(ValueError, match=r"song.yaml: stems: leed.wav matches no file"):
        song_files(stated)
    both = {"vocals": ["lead.wav"], "other": ["lead.wav"]}
    (stated / "song.yaml").write_text(yaml.safe_dump(description | {"stems": both}))
    with pytest.raises(ValueError, match=r"one target for lead\.wav expected, got other and vocals"):
        song_files(stated)
    (stated / "song.yaml").write_text(yaml.safe_dump(description | {"stems": ["lead.wav"]}))
    with pytest.raises(ValueError, match=r"stems: \{target: "):
        song_files(stated)


@pytest.mark.parametrize(
    ("subgroup", "track", "target"),
    [
        ("lead_vocals", "26_VOX_LEAD", "vocals"),
        ("backing_vocals", "x", "vocals"),
        ("vocals", "04_male_singer", "vocals"),
        ("drums", "bass drum", "drums"),
        ("synths", "pad_bass", "other"),
        ("music", "bass", "bass"),
        ("music", "gtr1", "other"),
        ("lead", "lead", "other"),
        ("other", "other", "other"),
    ],
)
def test_the_subgroup_decides_else_the_track(subgroup: str, track: str, target: str) -> None:
    assert target_of(subgroup, track, TARGETS) == target


def test_other_lists_of_targets() -> None:
    assert target_of("keys", "piano", ("keys", "Vocals")) == "keys"
    assert target_of("lead_vocals", "vox", ("keys", "Vocals")) == "Vocals"
    assert target_of("drums", "kick", ("keys", "Vocals")) is None
    assert target_of("accompaniment", "accompaniment", ("vocals", "accompaniment")) == "accompaniment"


@pytest.mark.parametrize(("rate", "to"), [(48000, 44100), (8000, 44100), (44100, 8000), (44099, 30000)])
def test_pieces_that_are_resampled_equal_the_whole(rate: int, to: int, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("mixgraph.songs.stretches._PIECE", 1 << 12)
    path = tmp_path / "noise.wav"
    soundfile.write(
        path,
        np.random.default_rng(0).standard_normal((160001 if rate == 44099 else 60001, 2)) * 0.1,
        rate,
        subtype="FLOAT",
    )
    pieces = list(resampled_pieces(path, to))
    whole = read_audio(path, to)
    assert len(pieces) > 1
    joined = torch.cat(pieces, dim=-1)
    assert joined.shape == whole.shape
    assert float((joined - whole).abs().max()) < 1e-6


def test_a_file_without_places_is_summed_into_the_cache(tmp_path: Path) -> None:
    folder = tmp_path / "stems"
    folder.mkdir()
    soundfile.write(folder / "bass.ogg", stem("bass", 1.0, 0), RATE)
    soundfile.write(folder / "drums.flac", stem("drums", 1.0, 0), RATE)
    assert not StretchFile(folder / "bass.ogg").is_seekable
    with pytest.raises(ValueError, match="can be read from any place"):
        StretchFile(folder / "bass.ogg").read(0, 10)
    song = read_stem_song(folder, TARGETS, RATE, tmp_path / "cache")
    assert torch.equal(song.read(2, 5, 999), read_audio(folder / "bass.ogg", RATE)[:, 5:1004])
    assert torch.equal(song.read(1, 5, 999), read_audio(folder / "drums.flac", RATE)[:, 5:1004])


def test_roots_without_songs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="songs, or folders of stems"):
        find_stem_songs(tmp_path, TARGETS)
    with pytest.raises(FileNotFoundError, match="a folder of songs is needed, got none"):
        find_stem_songs(tmp_path / "none", TARGETS)
    with pytest.raises(ValueError, match="a song, or stems"):
        read_stem_song(tmp_path, TARGETS, RATE, tmp_path)
    (tmp_path / "surround").mkdir()
    soundfile.write(tmp_path / "surround" / "bass.wav", np.zeros((100, 6)), RATE)
    with pytest.raises(ValueError, match="one or two channels are allowed, got 6"):
        read_stem_song(tmp_path / "surround", TARGETS, RATE, tmp_path)


def test_stems_of_a_found_graph_are_its_subgroups_outputs_and_sum_to_its_mix(tiny_song: Path, tmp_path: Path) -> None:
    graph = build_console(SUBGROUPS, "eg", "c", returns={"room": "r"})
    processors = make_processors(RATE)
    source = torch.Generator().manual_seed(0)
    counts = graph.count().items()
    parameters = {kind: processors[kind].sample_initial_values(count, source, 0.3) for kind, count in counts}
    weights = torch.full((len(graph.processors),), 0.5)
    FoundGraph(graph, processors, parameters, weights, RATE, 1.0, 3 * RATE, {}).save(tmp_path / "tiny")
    song = read_stem_song(tiny_song, TARGETS, RATE, tmp_path / "cache", tmp_path / "tiny")
    found = load_result(tmp_path / "tiny")
    sources = read_tracks(found, tiny_song).sources
    stems = {stem.place.name: stem.audio for stem in render_stems(found, sources)}
    assert torch.allclose(song.read(1, 0, 3 * RATE), stems["drums"], atol=1e-6)
    assert torch.allclose(song.read(3, 500, 1000), stems["lead"][:, 500:1500], atol=1e-6)
    assert song.notes[0].startswith("tiny: stems are the outputs of subgroups of")
    assert "return buses belong to no target, and are left out: room" in song.notes[1]
    dry = read_stem_song(tiny_song, TARGETS, RATE, tmp_path / "cache")
    assert not torch.allclose(song.read(1, 0, 3 * RATE), dry.read(1, 0, 3 * RATE), atol=1e-3)
