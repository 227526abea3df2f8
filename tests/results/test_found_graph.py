"""Result folders that are read: what is refused, and how."""

import csv
import json
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import mixgraph
from callbacks import IterativePruning, ResultFolder
from datamodules import SongData
from mixgraph import load_result, load_song
from mixgraph.losses import SongTarget, make_match_loss
from mixgraph.results.listening import Listening
from mixgraph.results.rendering import read_tracks, render_result
from mixgraph.search import search
from mixgraph.search.module import ConsoleModule
from mixgraph.songs.track_files import TrackOrigin


@pytest.fixture(scope="module")
def result(tiny_song, blank, tmp_path_factory):
    folder = tmp_path_factory.mktemp("found") / "r"
    data = SongData(str(tiny_song), sample_rate=8000, steps_per_stage=2, scored_seconds=1.0)
    pruning = IterativePruning(1, 1)
    module = ConsoleModule("cg", "d", sample_rate=8000)
    with blank():
        search(module, data, [pruning, ResultFolder(str(folder), page=False)], 2, "cpu", enable_progress_bar=False)
    return folder


@pytest.fixture
def copy(result, tmp_path):
    return shutil.copytree(result, tmp_path / "copy")


def test_a_moved_folder_renders_the_same(result, copy, tiny_song) -> None:
    first, moved = load_result(result), load_result(copy)
    sources = read_tracks(first, tiny_song / "tracks").sources
    assert torch.equal(first.render(sources), moved.render(sources))
    assert (first.render(sources, 999) - first.render(sources)).abs().max() < 1e-6  # float32 rounding


def test_missing_files_are_named(copy) -> None:
    (copy / "metrics.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"metrics.json is missing; a result folder of a finished search"):
        load_result(copy)


@pytest.mark.parametrize(
    ("field", "text"),
    [(field, text) for field in ("level", "num_samples", "start_sample of kick") for text in ("NaN", "1e308", "-1e9")]
    + [("level", "0"), ("level", "null"), ("num_samples", "-5"), ("num_samples", "2.5"), ("num_samples", "10000000000")]
    + [("polarity of kick", "2"), ("polarity of kick", "0"), ("start_sample of kick", "true")],
)
def test_absurd_numbers_are_refused_by_file_and_field(copy, field, text) -> None:
    metrics = json.loads((copy / "metrics.json").read_text())
    holder = metrics["tracks"][0] if " of " in field else metrics
    holder[field.split()[0]] = json.loads(text)
    (copy / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(ValueError, match=rf"copy/metrics\.json: {field}: (a .*number from .*|1 or -1) is needed, got "):
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
    (tracks / "lead.wav").unlink()
    _foreign(tracks, "take 3", 1)
    with pytest.raises(FileNotFoundError, match=r"lacks lead \(.*\)\. HINT: is it one of take 3.wav\? Rename that"):
        render_result(result, tracks, tmp_path / "out.flac")
    (tracks / "take 3.wav").rename(tracks / "lead.wav")
    for number, name in enumerate(("hat.wav", "hat.flac")):
        soundfile.write(tracks / name, [0.1 * number], 8000)
    with pytest.raises(ValueError, match=r"hat has more than one file in .*: hat.flac, hat.wav"):
        render_result(result, tracks, tmp_path / "out.flac")
    with pytest.raises(ValueError, match="block: at least 512 samples, got 0; any size gives the same mix"):
        render_result(result, tracks, tmp_path / "out.flac", 0)


@pytest.mark.parametrize("value", [float("nan"), 4000.0])
def test_absurd_samples_of_tracks_are_refused_by_file_and_place(result, tiny_song, tmp_path, value) -> None:
    tracks = shutil.copytree(tiny_song / "tracks", tmp_path / "t")
    audio, rate = soundfile.read(tracks / "hat.wav")
    audio[4000] = value
    soundfile.write(tracks / "hat.wav", audio, rate, subtype="FLOAT")
    message = (
        rf"hat\.wav: finite samples expected, up to 1000 .*, got {value:g} on channel 1 at 0\.500 s \(sample 4000\)"
    )
    with pytest.raises(ValueError, match=message):
        render_result(result, tracks, tmp_path / "out.flac")
    assert not list(tmp_path.glob("out.*"))


def test_damaged_metrics_and_newer_graphs_are_refused(copy) -> None:
    metrics = json.loads((copy / "metrics.json").read_text())
    (copy / "metrics.json").write_text(json.dumps({k: v for k, v in metrics.items() if k != "level"}))
    with pytest.raises(ValueError, match=r"copy/metrics\.json: level is missing"):
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
    first = render_result(result, tracks, out).written.path.read_bytes()
    out.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=r"out: .*out.wav exists and is kept; .*--overwrite"):
        render_result(result, tracks, tmp_path / "out.flac")  # a mix that clips in FLAC would be written to out.wav
    assert out.read_bytes() == b"mine"
    assert render_result(result, tracks, out, overwrite=True).written.path.read_bytes() == first


def _foreign(tracks, name, seconds, start=0.0):
    """Another recording as a track: a click at a time."""
    audio = torch.zeros(round(seconds * 8000))
    audio[round(start * 8000)] = 0.5
    soundfile.write(tracks / f"{name}.wav", audio.numpy(), 8000, subtype="FLOAT")


def test_a_song_folder_and_its_tracks_alone_give_the_same(result, tiny_song, tmp_path) -> None:
    loaded = load_result(result)
    whole = read_tracks(loaded, tiny_song)
    assert torch.equal(whole.sources, read_tracks(loaded, tiny_song / "tracks").sources)
    assert whole.notes == ()
    out = tiny_song / "tracks" / "m.wav"
    with pytest.raises(ValueError, match=r"m\.wav would be among the tracks"):
        render_result(result, tiny_song, out)
    assert not out.exists()


def test_the_tracks_of_the_search_are_found_by_content(result, tiny_song, tmp_path) -> None:
    loaded = load_result(result)
    for number, name in enumerate(("kick", "hat", "lead")):
        shutil.copy(tiny_song / "tracks" / f"{name}.wav", tmp_path / f"{number}.wav")
    (tmp_path / "2.wav").rename(tmp_path / "lead.wav")
    read = read_tracks(loaded, tmp_path)
    assert torch.equal(read.sources, read_tracks(loaded, tiny_song).sources)
    assert read.notes == ("Tracks found by content: kick (0.wav), hat (1.wav).",)


def test_converted_tracks_are_found_by_file_name(result, tiny_song, tmp_path) -> None:
    """As in a song whose song.yaml, or data set, gives tracks other names than their files have."""
    origins = {name: TrackOrigin(f"raw/E\u0301 0{i}.wav", "-") for i, name in enumerate(("kick", "hat", "lead"))}
    loaded = replace(load_result(result), origins=origins)
    for i, name in enumerate(("kick", "hat")):
        shutil.copy(tiny_song / "tracks" / f"{name}.wav", tmp_path / f"\u00c9 0{i}.wav")
    shutil.copy(tiny_song / "tracks" / "lead.wav", tmp_path)
    read = read_tracks(loaded, tmp_path)
    assert torch.equal(read.sources, read_tracks(load_result(result), tiny_song).sources)
    assert read.notes == ("Tracks found by file name: kick (É 00.wav), hat (É 01.wav).",)
    _foreign(tmp_path, "kick", 1)
    with pytest.raises(
        ValueError, match=r"kick is not one file in .*: by file name É 00\.wav; by track name kick\.wav"
    ):
        read_tracks(loaded, tmp_path)


def test_contradictions_between_content_and_name_are_refused(result, tiny_song, tmp_path) -> None:
    shutil.copytree(tiny_song / "tracks", tmp_path / "t")
    (tmp_path / "t" / "kick.wav").rename(tmp_path / "t" / "x.wav")
    (tmp_path / "t" / "hat.wav").rename(tmp_path / "t" / "kick.wav")
    (tmp_path / "t" / "x.wav").rename(tmp_path / "t" / "hat.wav")
    with pytest.raises(
        ValueError, match=r"kick is not one file in .*: by content hat\.wav; by file name kick\.wav; by tr"
    ):
        read_tracks(load_result(result), tmp_path / "t")


def test_a_file_is_one_track(result, tmp_path) -> None:
    origins = {"kick": TrackOrigin("hat.wav", "-")}
    for name in ("hat", "lead"):
        _foreign(tmp_path, name, 1)
    with pytest.raises(
        ValueError, match=r"one track a file expected, got hat\.wav in .* for kick \(by file name\) and"
    ):
        read_tracks(replace(load_result(result), origins=origins), tmp_path)


def test_names_meet_in_any_unicode_form(result, tmp_path) -> None:
    loaded = load_result(result)
    names = tuple("E\u0301" if name == "kick" else name for name in loaded.graph.names)
    loaded = replace(loaded, graph=replace(loaded.graph, names=names), origins={})
    for name in ("\u00c9", "hat", "lead"):
        _foreign(tmp_path, name, 1)
    assert read_tracks(loaded, tmp_path).sources.shape == (3, 2, 8000)


def render_parts(result, song, **names) -> torch.Tensor:
    """The mix of some parts of a result; the chains of subgroups are linear, those of tracks apart."""
    found_graph = load_result(result)
    sources = song.sources / song.level
    changed, heard, _ = Listening(**names).apply(found_graph, sources)
    return changed.render(heard)


def test_tracks_that_are_heard_alone_add_up_to_the_mix(result, tiny_song) -> None:
    song = load_song(tiny_song, 8000)
    whole = render_parts(result, song)
    kick, hat, lead = (render_parts(result, song, solo=[name]) for name in ("kick", "hat", "lead"))
    assert torch.allclose(kick + hat + lead, whole, atol=1e-5)
    assert torch.allclose(render_parts(result, song, solo=["drums"]), kick + hat, atol=1e-5)
    assert torch.allclose(render_parts(result, song, mute=["lead"]), kick + hat, atol=1e-5)
    assert torch.equal(render_parts(result, song, solo=["drums"], mute=["hat"]), kick)
    assert float(kick.abs().max()) > 0


def test_a_bypassed_processor_has_no_weight(result, tiny_song) -> None:
    found_graph, song = load_result(result), load_song(tiny_song, 8000)
    graph = found_graph.graph
    for place, node in enumerate(graph.processors):
        label = graph.label(node)
        changed, _, notes = Listening(bypass=[label]).apply(found_graph, song.sources)
        assert changed.weights.tolist() == [0 if i == place else w for i, w in enumerate(found_graph.weights.tolist())]
        assert notes == [f"Bypassed: {label}."]
    every = sorted({graph.types[node] for node in graph.processors})
    assert every
    dry = render_parts(result, song, bypass=every)
    assert torch.allclose(dry, song.sources.sum(0) / song.level, atol=1e-5)
    chain = graph.label(graph.processors[0]).rpartition(": ")[0]
    changed, _, _ = Listening(bypass=[chain]).apply(found_graph, song.sources)
    assert [w == 0 for w in changed.weights.tolist()] == [graph.label(n).startswith(chain) for n in graph.processors]


def test_a_part_that_is_not_there_is_told_with_those_that_are(result, tiny_song) -> None:
    song = load_song(tiny_song, 8000)
    with pytest.raises(ValueError, match=r"solo: one of the tracks and subgroups .*kick.* got 'kik'. HINT: did"):
        render_parts(result, song, solo=["kik"])
    with pytest.raises(ValueError, match=r"mute: one of the tracks and subgroups .* got 'vocals'"):
        render_parts(result, song, mute=["vocals"])
    with pytest.raises(ValueError, match=r"bypass: a type of processor, a chain or a processor .* got 'phaser'"):
        render_parts(result, song, bypass=["phaser"])


def test_the_command_says_what_is_not_heard(result, tiny_song, tmp_path) -> None:
    out = tmp_path / "kick.wav"
    rendering = render_result(result, tiny_song, out, listening=Listening(solo=["kick"]))
    assert rendering.notes[-1] == "Muted: hat, lead."
    expected = render_parts(result, load_song(tiny_song, 8000), solo=["kick"])
    assert torch.allclose(torch.tensor(soundfile.read(out, dtype="float32")[0].T), expected, atol=1e-4)


def test_other_tracks_set_the_length(result, tiny_song, tmp_path) -> None:
    """The song has 3 s; its own tracks keep that, whatever they have."""
    for name, seconds in (("kick", 5), ("hat", 1), ("lead", 2)):
        _foreign(tmp_path, name, seconds, seconds - 0.5)
    loaded = load_result(result)
    read = read_tracks(loaded, tmp_path)
    assert read.sources.shape == (3, 2, 40000)
    assert read.notes == ("The longest track has 5.00 s, the song of the search 3.00 s: all is rendered.",)
    assert [track[0].nonzero().tolist() for track in read.sources] == [[[36000]], [[4000]], [[12000]]]
    mix = loaded.render(read.sources)
    assert mix.shape == (2, 40000)
    assert mix[:, 35000:].abs().max() > 1e-3  # the click at 4.5 s, past the song of the search
    beginning = loaded.render(read.sources[..., :30000])
    assert torch.allclose(mix[:, :25000], beginning[:, :25000], atol=1e-6)
    shorter = replace(loaded, num_samples=20000)
    assert read_tracks(shorter, tiny_song).sources.shape == (3, 2, 20000)


def test_a_changed_track_of_the_song_is_named_and_keeps_its_length(result, tiny_song, tmp_path) -> None:
    tracks = shutil.copytree(tiny_song / "tracks", tmp_path / "tracks")
    audio, rate = soundfile.read(tracks / "kick.wav")
    soundfile.write(tracks / "kick.wav", np.concatenate((0.5 * audio, np.zeros(4000))), rate, subtype="FLOAT")
    loaded = load_result(result)
    read, original = read_tracks(loaded, tracks), read_tracks(loaded, tiny_song / "tracks")
    assert read.notes == ("Tracks whose audio is not that of the search: kick.",)
    assert torch.allclose(read.sources, original.sources * torch.tensor([0.5, 1, 1])[:, None, None])


def test_tracks_that_end_before_the_song_are_refused(result, tmp_path) -> None:
    for name in ("kick", "hat", "lead"):
        _foreign(tmp_path, name, 0.1)
    loaded = replace(load_result(result), placements=dict.fromkeys(("kick", "hat", "lead"), (900, 1)))
    with pytest.raises(
        ValueError, match=r"audio after the song's beginning expected in .*, got tracks that end before"
    ):
        read_tracks(loaded, tmp_path)


def test_offsets_of_the_search_hold_for_plain_files_and_those_of_a_song_for_its_own(result, tmp_path) -> None:
    loaded = replace(load_result(result), placements=dict.fromkeys(("kick", "hat", "lead"), (80, -1)))
    (tmp_path / "tracks").mkdir()
    for name in ("kick", "hat", "lead"):
        _foreign(tmp_path / "tracks", name, 1, 0.5)
    _foreign(tmp_path, "mix", 1)
    (tmp_path / "song.yaml").write_text("tracks: {hat.wav: {offset_samples: 100}}")
    for folder, hat in ((tmp_path / "tracks", (3920, -0.5)), (tmp_path, (3900, 0.5))):
        sources = read_tracks(loaded, folder).sources[:, 0]
        clicks = [(int(track.nonzero()[0, 0]), float(track.sum())) for track in sources]
        assert clicks == [(3920, -0.5), hat, (3920, -0.5)]


def test_a_song_folder_that_cannot_be_read_says_why(result, tmp_path) -> None:
    (tmp_path / "song.yaml").write_text("tracks: {x.wav: {}}")
    with pytest.raises(ValueError, match=r"2 problems\n(.|\n)*x\.wav matches no file"):
        read_tracks(load_result(result), tmp_path)


def test_file_hashes_that_do_not_fit_the_tracks_are_no_origins(copy) -> None:
    metrics = json.loads((copy / "metrics.json").read_text())
    assert [origin.file for origin in load_result(copy).origins.values()] == [
        "tracks/kick.wav",
        "tracks/hat.wav",
        "tracks/lead.wav",
    ]
    metrics["file_hashes"].popitem()
    (copy / "metrics.json").write_text(json.dumps(metrics))
    assert load_result(copy).origins == {}
    (copy / "metrics.json").write_text(json.dumps(metrics | {"num_samples": "x"}))
    with pytest.raises(ValueError, match=r"metrics\.json: num_samples: a whole number from 1 to "):
        load_result(copy)


def test_the_reported_loss_is_reproduced_in_four_lines(result, tiny_song) -> None:
    loaded = load_result(result)
    song = load_song(tiny_song, loaded.sample_rate)
    mix = song.level * loaded.render(song.sources / song.level)
    loss = SongTarget(make_match_loss(loaded.sample_rate), song.mix).score(mix).loss["full"]

    reported = json.loads((result / "metrics.json").read_text())["losses"]["found"]["loss"]["full"]
    assert loss == pytest.approx(reported, abs=1e-6)  # the level goes in and out in float32


def test_a_result_gives_all_that_the_search_left(result, tiny_song) -> None:
    loaded = load_result(result)
    assert loaded.folder == result
    assert loaded.metrics.to_dict() == json.loads((result / "metrics.json").read_text())
    assert (loaded.metrics.song.name, loaded.metrics.steps, loaded.metrics.planned_steps) == ("tiny", 4, 4)
    assert loaded.trace() == [json.loads(line) for line in (result / "trace.jsonl").read_text().splitlines()]
    assert {row["kind"] for row in loaded.trace()} >= {"trial", "round"}
    log = loaded.log()
    with (result / "log.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert [{name: str(value) for name, value in row.items()} for row in log] == [
        {name: cell for name, cell in row.items() if cell} for row in cells
    ]
    assert [(row["step"], row["stage"]) for row in log] == [(2, "console"), (4, "prune")]
    assert isinstance(log[0]["match/full"], float)
    assert loaded.timings() == json.loads((result / "timings.json").read_text())
    assert loaded.timings()["steps"] == 4
    assert loaded.config() == {}  # it was started from Python


def test_what_stands_alone_has_no_search(result, copy, tmp_path) -> None:
    loaded = load_result(copy)
    loaded.save(tmp_path / "saved")
    for alone in (load_result(tmp_path / "saved"), loaded.with_parameters(weights=loaded.weights)):
        assert alone.metrics is None
        for read in (alone.trace, alone.log, alone.timings, alone.config):
            with pytest.raises(ValueError, match=r"the result folder of a search is needed, got FoundGraph\(tiny: "):
                read()
    for name, read in (("trace.jsonl", loaded.trace), ("timings.json", loaded.timings), ("config.yaml", loaded.config)):
        (copy / name).write_text("{")
        with pytest.raises(ValueError, match=rf"copy/{name}: "):
            read()
        (copy / name).unlink()
        with pytest.raises(FileNotFoundError, match=rf"copy: {name} is missing"):
            read()
    (copy / "log.csv").write_text("step,stage,match/full\n1,console,loud\n")
    with pytest.raises(ValueError, match=r"copy/log\.csv: line 2: numbers are needed"):
        loaded.log()
    (copy / "log.csv").write_text("step,stage\n1,console,0.5\n")
    with pytest.raises(ValueError, match=r"copy/log\.csv: line 2: as many cells as columns are needed, got more"):
        loaded.log()
    metrics = json.loads((copy / "metrics.json").read_text())
    (copy / "metrics.json").write_text(json.dumps(metrics | {"sample_rate": 9000}))
    with pytest.raises(ValueError, match=r"metrics\.json: sample_rate: 8000 is needed, as in graph\.json, got 9000"):
        load_result(copy)


def test_a_saved_graph_is_loaded_bit_for_bit(result, tiny_song, tmp_path) -> None:
    loaded = load_result(result)
    loaded.save(tmp_path / "a" / "saved")
    again = load_result(tmp_path / "a" / "saved")
    for name in ("graph.json", "parameters.safetensors"):
        assert (tmp_path / "a" / "saved" / name).read_bytes() == (result / name).read_bytes()
    for name in ("graph", "sample_rate", "level", "num_samples", "placements", "processor_options", "origins"):
        assert getattr(again, name) == getattr(loaded, name)
    sources = load_song(tiny_song, loaded.sample_rate).sources
    assert torch.equal(again.render(sources), loaded.render(sources))
    with pytest.raises(FileExistsError, match=r"path: .*saved exists and is kept; .*overwrite=True"):
        loaded.save(tmp_path / "a" / "saved")
    louder = loaded.with_parameters(weights=loaded.weights * 0.5)
    louder.save(str(tmp_path / "a" / "saved"), overwrite=True)
    assert torch.equal(load_result(tmp_path / "a" / "saved").weights, loaded.weights * 0.5)
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["saved"]


def test_a_copy_has_other_values_and_the_rest_stays(result, tiny_song) -> None:
    loaded = load_result(result)
    (node_type, values), *_ = loaded.parameters.items()
    name, old = next(iter(values.items()))
    changed = loaded.with_parameters({node_type: {name: old + 0.1}})
    assert torch.equal(changed.parameters[node_type][name], old + 0.1)
    assert torch.equal(loaded.parameters[node_type][name], old)
    assert changed.weights is loaded.weights
    assert changed.loss_increases is None  # of other values
    assert changed.level == loaded.level
    with pytest.raises(ValueError, match=r"parameters: one of .* is needed, got 'phaser'"):
        loaded.with_parameters({"phaser": {}})
    with pytest.raises(ValueError, match=rf"parameters: {node_type}.{name}: shape .* is needed"):
        loaded.with_parameters({node_type: {name: old[..., :0]}})
    with pytest.raises(ValueError, match=r"parameters: dry_wet_weight: 0 to 1 is needed, got 1.5"):
        loaded.with_parameters(weights=torch.full_like(loaded.weights, 1.5))


def test_gradients_reach_sources_parameters_and_weights(result, tiny_song) -> None:
    loaded = load_result(result)
    song = load_song(tiny_song, loaded.sample_rate)
    sources = (song.sources / song.level).requires_grad_()
    values = {
        t: {n: v.clone().requires_grad_() for n, v in by_name.items()} for t, by_name in loaded.parameters.items()
    }
    weights = loaded.weights.clone().requires_grad_()
    trained = loaded.with_parameters(values, weights)
    mix = trained.render_with_gradients(sources)
    assert torch.allclose(mix, loaded.render(sources), atol=1e-6)  # at once and in blocks
    (mix - song.mix / song.level).square().mean().backward()
    leaves = [sources, weights, *(v for by_name in values.values() for v in by_name.values())]
    assert all(leaf.grad is not None and bool(leaf.grad.isfinite().all()) for leaf in leaves)
    assert all(bool(leaf.grad.any()) for leaf in (sources, weights))
    assert not loaded.render(sources).requires_grad


def test_settings_are_numbers_in_units(result) -> None:
    loaded = load_result(result)
    rows = loaded.settings()
    assert sorted(row["node"] for row in rows) == sorted(loaded.graph.processors)
    assert {row["type"] for row in rows} == set(loaded.graph.count())
    table = loaded.settings_table()
    for row in rows:
        assert row["text"] in table
        assert loaded.graph.label(row["node"]) == f"{row['place']}: {row['type']}"
        assert json.loads(json.dumps(row)) == row
    weights = dict(zip(loaded.graph.processors, loaded.weights.tolist(), strict=True))
    assert {row["node"]: row["weight"] for row in rows} == weights
    gains = [row for row in rows if row["type"] == "gain_panning"]
    assert all(
        row["text"] == "left {left_db:+.1f} dB, right {right_db:+.1f} dB".format(**row["readings"]) for row in gains
    )
    compressors = [row["readings"] for row in rows if row["type"] == "compressor"]
    assert all(list(numbers) == ["threshold_db", "ratio", "knee_db", "time_constant_ms"] for numbers in compressors)


def test_a_found_graph_shows_itself(result) -> None:
    loaded = load_result(result)
    count = len(loaded.graph.processors)
    assert repr(loaded) == f"FoundGraph(tiny: 3 tracks, {count} processors, 3.0 s at 8000 Hz)"
    svg = loaded._repr_svg_()
    assert svg.startswith("<svg")
    assert svg.count('<g class="node"') == len(loaded.graph)


def test_the_package_lists_its_names_and_its_version() -> None:
    assert {*mixgraph.__all__, "__version__"} <= set(dir(mixgraph))
    stated = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["version"]
    assert mixgraph.__version__ == stated
    program = (
        "import sys, mixgraph.__main__ as m; sys.argv = ['', '--version']; m.main(); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == f"mixgraph {stated}\n"
    with pytest.raises(AttributeError, match="has no attribute 'nothing'; it has BlindData, ConsoleModule, "):
        _ = mixgraph.nothing
