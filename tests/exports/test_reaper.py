"""REAPER projects: read by an independent reader and played by a player of our own, they are the mix that we render."""

from __future__ import annotations

import importlib.util
import math
import resource
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rpp
import soundfile
import torch

from mixgraph.exports.reaper_project import Item, Track, project_text, quoted
from mixgraph.exports.report import REPORT
from mixgraph.exports.run import export_result
from mixgraph.exports.settings import ExportSettings
from mixgraph.graph.types import MixGraph
from mixgraph.processors import make_processors, register, registered
from mixgraph.processors.dynamics import OnePoleDynamics
from mixgraph.results.found_graph import load_result
from mixgraph.results.rendering import read_tracks

_SPEC = importlib.util.spec_from_file_location("reaper_player", Path(__file__).with_name("reaper_player.py"))
player = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(player)

SECOND = 8000
MANY = {"returns": {"hall": "er"}, "master_chain": "cg", "sidechains": {"lead": "kick"}}


def error_db(audio: np.ndarray, expected: np.ndarray) -> float:
    return 10 * math.log10(max(np.square(audio - expected).sum() / np.square(expected).sum(), 1e-30))


def export(graph, song, folder, settings=None):
    """Exports a graph; returns the project, the mix that the graph renders, and the report."""
    graph.save(folder / "result")
    exported = export_result(folder / "result", "reaper", folder / "out", song, settings)
    (path,) = (folder / "out").glob("*.RPP")
    found = load_result(folder / "result").at_sample_rate(settings.sample_rate if settings else SECOND)
    mix = found.render(read_tracks(found, song).sources).double().numpy()
    return player.Project(path), mix, exported.report.read_text()


def test_a_console_with_buses_a_master_and_a_sidechain_sounds_as_we_render_it(random_graph, tiny_song, tmp_path):
    graph = replace(random_graph(tiny_song, "ecg", "nsdr", **MANY), num_samples=SECOND)
    project, mix, report = export(graph, tiny_song, tmp_path)
    project.tracks[-1].muted = False  # the null test: the mix of `render`, inverted
    assert error_db(project.play() + mix, mix) < -110
    project.tracks[-1].muted = True
    assert "Approximated:\n  nothing\n\nLeft out:\n  nothing\n" in report
    shown = [(track.depth, track.name, track.muted) for track in project.tracks]
    assert shown == [
        *[(0, "mix", False), (1, "drums", False), (2, "kick", False), (2, "kick (printed)", True)],
        *[(2, "hat", False), (2, "hat (printed)", True), (1, "lead", False), (2, "lead", False)],
        *[(2, "lead (printed)", True), (1, "hall", False), (0, "Printed stems", True), (1, "drums (printed)", False)],
        *[(1, "lead (printed)", False), (1, "hall (printed)", False), (1, "rest (printed)", False)],
        (0, "Null test: the found mix, inverted", True),
    ]
    assert [name for _, name, _ in project.inserts(project.tracks[1])] == [
        *("noisegate", "stereo imager", "multitap delay", "reverb"),
    ]
    printed = next(track for track in project.tracks if track.name == "Printed stems")
    project.tracks[0].muted, printed.muted = True, False
    assert error_db(project.play(), mix) < -110


@pytest.mark.long
def test_printed_tracks_stand_in_for_live_ones_also_for_buses_and_keys(random_graph, tiny_song, tmp_path) -> None:
    graph = replace(random_graph(tiny_song, "er", "c", **MANY), num_samples=SECOND)
    project, mix, _ = export(graph, tiny_song, tmp_path)
    for name in ("kick", "hat"):
        project.named(name)[0].muted, project.named(f"{name} (printed)")[0].muted = True, False
    late = slice(6000, 7300)  # what equalizers ring before the first sample and behind the last one is not printed
    assert error_db(project.play()[:, late], mix[:, late]) < -100
    assert error_db(project.play(), mix) < -50
    project.named("kick (printed)")[0].muted = True
    assert error_db(project.play(), mix) > -30


@pytest.mark.long
@pytest.mark.parametrize("letter", "ecnsgdrkqfhpl")
def test_every_processor_sounds_as_we_render_it(letter, random_graph, tiny_song, tmp_path) -> None:
    graph = replace(random_graph(tiny_song, letter, letter), num_samples=SECOND)
    project, mix, _ = export(graph, tiny_song, tmp_path)
    assert error_db(project.play(), mix) < -100


@pytest.mark.long
@pytest.mark.parametrize(
    ("track_chain", "subgroup_chain", "more"),
    [
        ("ecnsgdr", "ecnsgdr", MANY),
        ("et(c,sg)r", "t(,g)", {}),
        ("eb(c,b(fc,g))", "t(b(g,c),)", {"returns": {"a": "d", "b": "c"}}),
        ("fef", "cf", {"sidechains": {"drums": "lead", "lead": "kick"}}),
        ("", "", {}),
    ],
)
def test_every_console_sounds_as_we_render_it(track_chain, subgroup_chain, more, random_graph, tiny_song, tmp_path):
    graph = replace(random_graph(tiny_song, track_chain, subgroup_chain, **more), num_samples=SECOND)
    project, mix, _ = export(graph, tiny_song, tmp_path)
    faders = [track for track in project.tracks if track.element.find("VOLENV2") is not None]
    assert error_db(project.play(), mix) < (-85 if faders else -100)


@pytest.mark.long
def test_the_convolvers_own_arithmetic_gives_the_same_mix(random_graph, tiny_song, tmp_path) -> None:
    graph = replace(random_graph(tiny_song, "egd", "er"), num_samples=SECOND)
    project, mix, _ = export(graph, tiny_song, tmp_path)
    assert error_db(project.play(interpret=True), mix) < -100


@pytest.mark.long
def test_the_mix_at_another_rate_is_that_of_the_graph_at_that_rate(random_graph, tiny_song, tmp_path) -> None:
    graph = replace(random_graph(tiny_song, "ecdr", "ng"), num_samples=SECOND)
    project, mix, _ = export(graph, tiny_song, tmp_path, ExportSettings(sample_rate=12000))
    assert (project.rate, mix.shape) == (12000, (2, 12000))
    assert error_db(project.play(), mix) < -100


def test_24_bit_files_that_would_clip_are_made_good_by_the_items(random_graph, tiny_song, tmp_path) -> None:
    song = shutil.copytree(tiny_song, tmp_path / "song")
    audio, rate = soundfile.read(song / "tracks" / "hat.wav")
    soundfile.write(song / "tracks" / "hat.wav", 9 * audio, rate, subtype="FLOAT")
    graph = replace(random_graph(song, "g", ""), num_samples=SECOND)
    project, mix, _ = export(graph, song, tmp_path, ExportSettings(sample_rate=SECOND, bits="24"))
    assert error_db(project.play(), mix) < -90
    (hat,) = project.named("hat")
    assert float(hat.element.find("ITEM").find("VOLPAN")[1]) > 2
    for track in project.tracks:
        if track.parent is None:
            track.muted = track.name != "Printed stems"
    assert error_db(project.play(), mix) < -85


def test_what_the_effects_do_nearly_is_said(random_graph, tiny_song, tmp_path) -> None:
    graph = replace(random_graph(tiny_song, "cf", ""), num_samples=SECOND)
    options = {"compressor": {"envelope": "truncated", "truncated_taps": 2000}}
    graph = replace(graph, processors=make_processors(SECOND, options), processor_options=options)
    project, mix, report = export(graph, tiny_song, tmp_path)
    assert "track kick: compressor: its envelope is cut after a time in the graph" in report
    assert "track hat: fader: the volume envelope of the track" in report
    assert error_db(project.play(), mix) < -60


def test_a_processor_that_no_effect_can_replace_is_left_out_by_name(
    random_graph, tiny_song, tmp_path, monkeypatch
) -> None:
    class Wobble(OnePoleDynamics):
        """A processor from outside: nobody knows its slope."""

        name, letter, direction = "wobble", "W", 1

        def slope(self, log_ratio):
            return -0.5 * log_ratio.exp()

    monkeypatch.setattr("mixgraph.processors.registry._REGISTRY", registered())
    register(Wobble)
    graph = replace(random_graph(tiny_song, "Wg", ""), num_samples=SECOND)
    project, mix, report = export(graph, tiny_song, tmp_path)
    assert "track kick: wobble: there is no such effect for REAPER; the printed stems have it" in report
    assert error_db(project.play(), mix) > -60
    for track in project.tracks:
        if track.parent is None:
            track.muted = track.name != "Printed stems"
    assert error_db(project.play(), mix) < -110


def test_names_are_read_as_they_are_written() -> None:
    names = ['6" tom', "it's", "`tick`", "a <b> |c|", " lead ", "-1", "", "ключ 鼓", "{x}", ">", "a\tb"]
    tracks = [Track(f"t{i}", name, items=[Item(f"Media/{i}.wav", name)]) for i, name in enumerate(names)]
    root = rpp.loads(project_text(tracks, 48000, 1.0, ["> notes", "<x", "|"]))
    assert [track.find("NAME")[1] for track in root.findall("TRACK")] == [name.replace("\t", " ") for name in names]
    assert quoted("\"'`") == "`\"''`"
    assert "\n" not in quoted("a\nb\u2028c")
    notes = root.find("NOTES")
    assert notes.children == ["|> notes", "|<x", "||"]


def test_equal_and_hostile_names_get_files_and_tracks_of_their_own(random_graph, tiny_song, tmp_path) -> None:
    song = shutil.copytree(tiny_song, tmp_path / "song")
    names = {"kick": 'kick" `1`', "hat": "..", "lead": "> $'lead'"}
    graph = replace(random_graph(song, "g", "e"), num_samples=SECOND)
    plain = graph.graph
    subgroups = {"drums": "a/b", "lead": "A:B"}
    hostile = MixGraph(
        plain.types,
        plain.edges,
        tuple(
            names.get(n, n) if t == "input" else subgroups.get(n, n)
            for n, t in zip(plain.names, plain.types, strict=True)
        ),
        tuple(subgroups[g] for g in plain.subgroups),
    )
    origins = {names[name]: origin for name, origin in graph.origins.items()}
    project, mix, _ = export(replace(graph, graph=hostile, origins=origins), song, tmp_path)
    assert error_db(project.play(), mix) < -100
    assert {names["kick"], "..", names["lead"], "a/b", "A:B"} <= {track.name for track in project.tracks}
    files = {item.find("SOURCE").find("FILE")[1] for item in project.root.iter("ITEM")}
    assert len(files) == len(project.root.findall("TRACK/ITEM"))
    assert all(".." not in file for file in files)


@pytest.mark.parametrize("count", [1, pytest.param(130, marks=pytest.mark.long)])
def test_one_track_and_130(count, random_graph, tmp_path) -> None:
    (tmp_path / "song" / "tracks").mkdir(parents=True)
    generator = np.random.default_rng(0)
    names = [f"track {i}" for i in range(count)]
    for name in names:
        soundfile.write(tmp_path / "song" / "tracks" / f"{name}.wav", 0.1 * generator.standard_normal(800), SECOND)
    groups = {f"group {i}": names[i::7] for i in range(min(7, count))}
    graph = replace(random_graph(tmp_path / "song", "eg", "c", groups), num_samples=800)
    project, mix, _ = export(graph, tmp_path / "song" / "tracks", tmp_path)
    assert len(project.tracks) == 2 * count + 2 * len(groups) + 2
    assert error_db(project.play(), mix) < -100


def test_a_full_disk_leaves_nothing_half_written(random_graph, tiny_song, tmp_path) -> None:
    replace(random_graph(tiny_song, "e", ""), num_samples=SECOND).save(tmp_path / "result")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            export_result(tmp_path / "result", "reaper", tmp_path / "out", tiny_song)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


def test_the_same_export_gives_the_same_bytes_and_the_report_says_how_to_open_it(random_graph, tiny_song, tmp_path):
    replace(random_graph(tiny_song, "g", ""), num_samples=SECOND).save(tmp_path / "result")
    for name in ("a", "b"):
        export_result(tmp_path / "result", "reaper", tmp_path / name, tiny_song)
    parts = [{p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.*")} for n in ("a", "b")]
    assert parts[0] == parts[1]
    text = (tmp_path / "a" / REPORT).read_text()
    (effects,) = (tmp_path / "a" / "Effects").iterdir()
    assert f"Copy the folder Effects/{effects.name} into the folder Effects of REAPER's resource path" in text


@pytest.mark.parametrize(
    ("types", "edges"),
    [
        # A chain beside the way to the mix, and a track that leads to another's effect.
        (("input", "gain_panning", "reverb", "output"), ((0, 1), (1, 2), (1, 3), (2, 3))),
        # A track to two sums, one of which feeds the other.
        (("input", "mix", "gain_panning", "mix", "output"), ((0, 1), (0, 3), (1, 2), (2, 3), (3, 4))),
        # A send to the mix itself, and two sends in a row to a bus.
        (
            ("input", "send", "send", "send", "mix", "reverb", "output"),
            ((0, 1), (1, 6), (0, 2), (2, 3), (3, 4), (4, 5), (5, 6)),
        ),
    ],
)
def test_graphs_that_are_no_consoles(types, edges, random_graph, tiny_song, tmp_path) -> None:
    graph = MixGraph(types, edges, ("kick", *("part" for _ in types[1:-1]), "tiny"), ("",))
    model = random_graph(tiny_song, "gr", "", {"": ["kick"]}, returns={"hall": "g"})
    generator = torch.Generator().manual_seed(1)
    parameters = {
        kind: model.processors[kind].sample_initial_values(count, generator, 0.5)
        for kind, count in graph.count().items()
    }
    weights = torch.linspace(0.3, 0.9, len(graph.processors))
    found = replace(model, graph=graph, parameters=parameters, weights=weights, num_samples=SECOND)
    project, mix, _ = export(found, tiny_song, tmp_path)
    assert error_db(project.play(), mix) < -110


def test_a_title_of_several_lines_adds_nothing_to_the_project() -> None:
    text = project_text([Track("a", "a")], SECOND, 1.0, ["title\n  >\n  <EXTENSIONS", "licence\r\n>"])
    assert not any(line.strip().startswith("<EXTENSIONS") for line in text.splitlines())
    assert "    |title\\n  >\\n  <EXTENSIONS" in text.splitlines()
    assert text.splitlines()[4] == "  >"
