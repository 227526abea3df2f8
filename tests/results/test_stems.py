"""Stems: they sum to what they are parts of, and are written whole or not at all."""

import errno
import json
from dataclasses import replace

import pytest
import soundfile
import torch

from mixgraph.graph import GraphValues, MixGraph, build_console
from mixgraph.names import file_names
from mixgraph.render import render_oracle
from mixgraph.render.plan import latencies
from mixgraph.results import rendering as rendering_module
from mixgraph.results.listening import Listening
from mixgraph.results.rendering import render_result
from mixgraph.results.stems import render_stems, stem_places


def assert_null(actual, expected):
    """Within -100 dB of the peak: what float32 rounding leaves is below -110 dB."""
    assert expected.abs().max() > 1e-3
    assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max()


def inputs_of_sums(found_graph, sources):
    """The sum that enters each mix node, by name, from the oracle, (2, L) at the tracks' level."""
    graph, level = found_graph.graph, found_graph.level
    entering = {}
    latency = latencies(graph, found_graph.processors)

    def watch(node, signal):
        if graph.types[node] == "mix":
            first = latency[node]
            entering[graph.names[node]] = signal[0, :, first : first + sources.shape[-1]] / level

    values = GraphValues(graph, found_graph.parameters, found_graph.weights)
    render_oracle(values, found_graph.processors, sources * level, watch=watch)
    return entering


def test_stems_of_every_console_sum_to_what_they_are_parts_of(every_console) -> None:
    found_graph, sources = every_console
    mix = found_graph.render(sources)
    stems = list(render_stems(found_graph, sources))
    by_name = {(stem.place.level, stem.place.name): stem for stem in stems}
    assert [(s.place.level, s.place.name, s.place.into) for s in stems] == [
        *(("track", "kick", "drums"), ("track", "hat", "drums"), ("track", "lead", "voices")),
        *(("subgroup", "drums", ""), ("subgroup", "voices", ""), ("return", "room", ""), ("return", "echo", "")),
        ("rest", "rest", ""),
    ]
    entering = inputs_of_sums(found_graph, sources)
    drums = by_name["track", "kick"].audio + by_name["track", "hat"].audio
    assert_null(drums, entering["drums"])
    assert_null(by_name["track", "lead"].audio, entering["voices"])
    top = [stem.audio for stem in stems if stem.place.into == ""]
    assert_null(sum(top[:-1]), entering["mix"])
    assert_null(sum(top), mix)
    assert float((mix - sum(top[:-1])).abs().max()) > 0.01  # the chain on the mix does something


def test_without_a_chain_on_the_mix_there_is_no_rest(found) -> None:
    graph = build_console({"a": ["x", "y"], "b": ["z"]}, "ec", "gr")
    found_graph = found(graph, 2000)
    sources = torch.rand(3, 2, 3000) - 0.5
    stems = list(render_stems(found_graph, sources))
    assert {stem.place.level for stem in stems} == {"track", "subgroup"}
    assert_null(sum(stem.audio for stem in stems if stem.place.into == ""), found_graph.render(sources))


def test_a_stem_of_a_track_without_processors_is_the_track(found) -> None:
    found_graph = found(build_console({"a": ["x", "y"]}, "", ""), 2000)
    sources = torch.rand(2, 2, 1000) - 0.5
    x, y, both = (stem.audio for stem in render_stems(found_graph, sources))
    assert_null(x, sources[0])
    assert_null(y, sources[1])
    assert_null(both, sources.sum(0))


def test_a_track_that_skips_the_subgroups_is_a_part_of_the_mix(found) -> None:
    types = ("input", "input", "compressor", "mix", "gain_panning", "output")
    edges = ((0, 3), (1, 2), (2, 5), (3, 4), (4, 5))
    graph = MixGraph(types, edges, ("kick", "voice", "voice", "drums", "drums", "song"), ("drums", ""))
    assert [(p.level, p.name, p.into, p.ends) for p in stem_places(graph)] == [
        ("track", "kick", "drums", ((0, 0),)),
        ("track", "voice", "", ((2, 0),)),
        ("subgroup", "drums", "", ((4, 0),)),
    ]
    found_graph, sources = found(graph, 2000), torch.rand(2, 2, 1000) - 0.5
    stems = list(render_stems(found_graph, sources))
    assert len(stems) == 3
    assert_null(stems[1].audio + stems[2].audio, found_graph.render(sources))


@pytest.fixture
def on_disk(every_console, tmp_path):
    """A saved graph whose tracks have awkward names, and its tracks."""
    found_graph, sources = every_console
    names = {"kick": "vox/1", "hat": "VOX:1", "drums": "con"}
    graph = found_graph.graph
    renamed = replace(
        graph,
        names=tuple(names.get(name, name) for name in graph.names),
        subgroups=tuple(names.get(name, name) for name in graph.subgroups),
    )
    found_graph = replace(found_graph, graph=renamed)
    found_graph.save(tmp_path / "saved")
    (tmp_path / "song" / "tracks").mkdir(parents=True)
    files = ["1", "2", "lead"]
    song = "tracks:\n  1.wav: {name: vox/1}\n  2.wav: {name: 'VOX:1'}\n"
    for name, audio in zip(files, sources, strict=True):
        soundfile.write(tmp_path / "song" / "tracks" / f"{name}.wav", audio.T.numpy(), 2000, subtype="FLOAT")
    soundfile.write(tmp_path / "song" / "mix.wav", sources.sum(0).T.numpy(), 2000, subtype="FLOAT")
    (tmp_path / "song" / "song.yaml").write_text(song)
    return tmp_path


def test_a_folder_of_stems_has_their_list_and_names_that_any_system_takes(on_disk) -> None:
    place = on_disk
    rendering = render_result(place / "saved", place / "song", place / "m.wav", stems=place / "stems")
    content = json.loads((place / "stems" / "stems.json").read_text())
    assert [row["file"] for row in content["stems"]] == [
        *("tracks/vox_1.wav", "tracks/VOX_1 2.wav", "tracks/lead.wav"),
        *("subgroups/con_.wav", "subgroups/voices.wav", "returns/room.wav", "returns/echo.wav", "rest.wav"),
    ]
    assert [row["into"] for row in content["stems"]] == ["con", "con", "voices", "", "", "", "", ""]
    top = [row["file"] for row in content["stems"] if row["into"] == ""]
    audio = [torch.tensor(soundfile.read(place / "stems" / file, dtype="float32")[0].T) for file in top]
    mix = torch.tensor(soundfile.read(place / "m.wav", dtype="float32")[0].T)
    assert_null(sum(audio), mix)
    assert soundfile.info(place / "stems" / "rest.wav").samplerate == content["sample_rate"] == 2000
    assert rendering.notes[-2].startswith("Stems: 3 tracks, 2 subgroups, 2 returns. Tracks sum to")
    render_result(
        place / "saved", place / "song", None, overwrite=True, stems=place / "stems", listening=Listening(["lead"])
    )
    kick = soundfile.read(place / "stems" / "tracks" / "vox_1.wav")[0]
    assert abs(kick).max() == 0


def test_stems_go_to_no_folder_of_tracks_and_replace_nothing_else(on_disk) -> None:
    place = on_disk
    for folder in ("song/tracks", "song/tracks/stems", "song", "."):
        with pytest.raises(ValueError, match=r"stems: .* would be among the tracks; choose another folder"):
            render_result(place / "saved", place / "song" / "tracks", None, stems=place / folder)
    (place / "mine").mkdir()
    (place / "mine" / "letter.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"mine exists and is kept; .* give --overwrite"):
        render_result(place / "saved", place / "song", None, stems=place / "mine")
    with pytest.raises(FileExistsError, match=r"it is no folder of stems \(it holds letter.txt\)"):
        render_result(place / "saved", place / "song", None, stems=place / "mine", overwrite=True)
    (place / "dry" / "tracks").mkdir(parents=True)  # a song without a mix is no folder of stems
    (place / "dry" / "tracks" / "vox.wav").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=r"it is no folder of stems \(it holds tracks\)"):
        render_result(place / "saved", place / "song", None, stems=place / "dry", overwrite=True)
    (place / "dry" / "stems.json").write_text('{"stems": [{"file": "tracks/kick.wav"}]}')
    with pytest.raises(FileExistsError, match=r"\(it holds tracks/vox\.wav\)"):
        render_result(place / "saved", place / "song", None, stems=place / "dry", overwrite=True)
    with pytest.raises(ValueError, match=r"out: .*m.wav would be in the folder of stems"):
        render_result(place / "saved", place / "song", place / "s" / "m.wav", stems=place / "s")
    with pytest.raises(ValueError, match="out: a file for the mix, or a folder for stems, is needed, got neither"):
        render_result(place / "saved", place / "song", None)


def test_a_full_disk_leaves_no_half_of_the_stems(on_disk, monkeypatch) -> None:
    place = on_disk
    real = rendering_module.write_stems

    def full(folder, stems, rate):
        real(folder, stems, rate)
        raise OSError(errno.ENOSPC, "No space left on device", str(folder))

    monkeypatch.setattr(rendering_module, "write_stems", full)
    before = sorted(path.name for path in place.iterdir())
    with pytest.raises(OSError, match="No space left"):
        render_result(place / "saved", place / "song", None, stems=place / "stems")
    assert sorted(path.name for path in place.iterdir() if not path.name.endswith(".lock")) == before


def test_names_of_files_differ_and_fit_any_system() -> None:
    assert file_names(["a/b", "A:b", "a_b", ".", " x. ", "Com1.wav", "\u00e9" * 200]) == [
        *("a_b", "A_b 2", "a_b 3", "_", "x", "Com1.wav_"),
        "\u00e9" * 75,
    ]
