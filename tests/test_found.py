"""Result folders that are read: what is refused, and how."""

import json
import shutil

import pytest
import torch

from callbacks import IterativePruning, ResultFolder
from datamodules import SongData
from mixgraph import load_result
from mixgraph.found import read_tracks, render_result
from mixgraph.module import ConsoleModule
from mixgraph.search import search


@pytest.fixture(scope="module")
def result(tiny_song, tmp_path_factory):
    folder = tmp_path_factory.mktemp("found") / "r"
    data = SongData(str(tiny_song), sample_rate=8000, steps_per_stage=2, scored_seconds=1.0)
    pruning = IterativePruning(1, 1)
    module = ConsoleModule("cg", "d", sample_rate=8000)
    search(module, data, [pruning, ResultFolder(str(folder))], 2, "cpu", enable_progress_bar=False)
    return folder


@pytest.fixture
def copy(result, tmp_path):
    return shutil.copytree(result, tmp_path / "copy")


def test_a_moved_folder_renders_the_same(result, copy, tiny_song) -> None:
    first, moved = load_result(result), load_result(copy)
    sources = read_tracks(first, tiny_song / "tracks")
    assert torch.equal(first.render(sources), moved.render(sources))
    assert (first.render(sources, 999) - first.render(sources)).abs().max() < 1e-6  # float32 rounding


def test_missing_files_are_named(copy) -> None:
    (copy / "metrics.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"metrics.json is missing; a result folder of a finished search"):
        load_result(copy)


def test_missing_and_double_tracks_are_named(result, tiny_song, tmp_path) -> None:
    tracks = tmp_path / "tracks"
    tracks.mkdir()
    with pytest.raises(FileNotFoundError, match=r"lacks kick, hat, lead \(any audio format\)"):
        render_result(result, tracks, tmp_path / "out.flac")
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        render_result(result, tmp_path / "nowhere", tmp_path / "out.flac")
    for name in ("kick", "hat", "lead"):
        shutil.copy(tiny_song / "tracks" / f"{name}.wav", tracks)
    (tracks / "lead.wav").rename(tracks / "take 3.wav")
    with pytest.raises(FileNotFoundError, match=r"lacks lead \(.*\)\. HINT: is it one of take 3.wav\? Rename that"):
        render_result(result, tracks, tmp_path / "out.flac")
    (tracks / "take 3.wav").rename(tracks / "lead.wav")
    shutil.copy(tracks / "hat.wav", tracks / "hat.flac")
    with pytest.raises(ValueError, match=r"hat has more than one file in .*: hat.flac, hat.wav"):
        render_result(result, tracks, tmp_path / "out.flac")
    with pytest.raises(ValueError, match="block: at least 1 sample, got 0"):
        render_result(result, tracks, tmp_path / "out.flac", 0)


def test_damaged_metrics_and_newer_graphs_are_refused(copy) -> None:
    metrics = json.loads((copy / "metrics.json").read_text())
    (copy / "metrics.json").write_text(json.dumps({k: v for k, v in metrics.items() if k != "level"}))
    with pytest.raises(
        ValueError, match=r"metrics.json: level, num_samples and tracks are needed \(KeyError\('level'\)\)"
    ):
        load_result(copy)
    graph = json.loads((copy / "graph.json").read_text())
    (copy / "graph.json").write_text(json.dumps(graph | {"schema_version": 99}))
    with pytest.raises(ValueError, match=r"graph.json.*newer"):
        load_result(copy)


def test_a_rendering_replaces_no_file_unless_asked(result, tiny_song, tmp_path) -> None:
    tracks, out = shutil.copytree(tiny_song / "tracks", tmp_path / "tracks"), tmp_path / "out.wav"
    before = (tracks / "kick.wav").read_bytes()
    for overwrite in (False, True):
        with pytest.raises(ValueError, match=r"out: .*kick.wav would be among the tracks; choose another folder"):
            render_result(result, tracks, tracks / "kick.wav", overwrite=overwrite)
    assert (tracks / "kick.wav").read_bytes() == before
    first = render_result(result, tracks, out).path.read_bytes()
    out.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=r"out: .*out.wav exists and is kept; .*--overwrite"):
        render_result(result, tracks, tmp_path / "out.flac")  # a mix that clips in FLAC would be written to out.wav
    assert out.read_bytes() == b"mine"
    assert render_result(result, tracks, out, overwrite=True).path.read_bytes() == first
