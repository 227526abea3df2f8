"""Result folders that lack something: the page is made with what is there, and names what is missing."""

import json
import re
import shutil

import pytest

from callbacks import IterativePruning, ResultFolder
from datamodules import SongData
from mixgraph.page.material import read_material
from mixgraph.page.remains import read_remains
from mixgraph.page.write import write_page
from mixgraph.results.found_graph import load_result
from mixgraph.results.rendering import read_tracks
from mixgraph.search import search
from mixgraph.search.module import ConsoleModule

RATE = 8000


@pytest.fixture(scope="module")
def whole(tiny_song, blank, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "r"
    data = SongData(str(tiny_song), sample_rate=RATE, steps_per_stage=1, scored_seconds=1.0, cache_dir=None)
    module, results = ConsoleModule("eg", "r", sample_rate=RATE), ResultFolder(str(folder), page=False)
    callbacks = [IterativePruning(1, 1, leave_one_out=False), results]
    with blank():
        search(module, data, callbacks, 2, "cpu", enable_progress_bar=False)
    return folder


@pytest.fixture
def result(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "r")


def shown(result, tiny_song, path):
    write_page(path, read_material(result, tiny_song))
    return json.loads(re.search(r'id="data">(.*?)</script>', path.read_text(encoding="utf-8"), re.DOTALL)[1])


@pytest.fixture(scope="module")
def whole_page(whole, tiny_song, tmp_path_factory):
    return shown(whole, tiny_song, tmp_path_factory.mktemp("whole_page") / "page.html")


MISSING = {
    "trace.jsonl": "The trials of the search cannot be read (trace.jsonl: ",
    "log.csv": "The course of the search cannot be read (log.csv: ",
    "config.yaml": "The settings of the search cannot be read (config.yaml: ",
    "mix_target.flac": "The audio file mix_target cannot be heard (",
    "mix_found.flac": "The audio file mix_found cannot be heard (",
    "metrics.json": "The figures of the search cannot be read (metrics.json: ",
    "graph.json": "The graph cannot be read (graph.json: ",
    "parameters.safetensors": "The graph cannot be read (parameters.safetensors: ",
}
DAMAGE = {"gone": None, "empty": b"", "half": b'{"kind": "round", "round'}


@pytest.mark.long
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", MISSING)
def test_a_part_that_is_missing_or_damaged_is_named(result, whole_page, tiny_song, tmp_path, name, damage) -> None:
    (result / name).unlink() if damage == "gone" else (result / name).write_bytes(DAMAGE[damage])
    page = shown(result, tiny_song, tmp_path / "page.html")
    new = [sentence for sentence in page["missing"] if sentence not in whole_page["missing"]]
    if damage == "empty" and name in ("trace.jsonl", "config.yaml"):
        assert new == []  # as of a search without rounds, or from Python
        return
    assert new[0].startswith(MISSING[name])
    assert str(result) not in json.dumps(page["missing"])
    has_graph = name not in ("graph.json", "parameters.safetensors")
    assert page["hasGraph"] is has_graph
    assert bool(page["nodes"]) is bool(page["chains"]) is has_graph
    assert (page["verdict"] is not None) is (name != "metrics.json")
    assert (page["console"] is not None) is (has_graph and name != "metrics.json")
    assert bool(page["course"]["step"]) is (name != "log.csv")
    assert bool(page["rounds"]) is (name != "trace.jsonl")
    heard = {"target", "found", "dry", "difference", "track 0", "track 1", "track 2"}
    if name == "metrics.json":
        heard = {"target", "found", "difference"}
        assert new[1] == "The level of the search is not known: nothing can be rendered, and thresholds may be off."
    elif name == "mix_target.flac":
        heard -= {"target", "difference"}
    assert set(page["excerpts"][0]["audio"]) == heard


@pytest.mark.long
def test_without_graph_and_figures_there_is_a_page_of_what_can_be_heard(result, tiny_song, open_page, tmp_path) -> None:
    for name in ("graph.json", "metrics.json"):
        (result / name).unlink()
    write_page(tmp_path / "page.html", read_material(result, tiny_song))
    page = open_page(tmp_path / "page.html")
    assert page.locator("#h-graph").count() == 0
    assert "The graph cannot be read (graph.json: the file is missing)." in page.locator("#notes").inner_text()
    assert page.locator(".spectrum").count() == 3
    assert page.get_by_text("Loss while searching").count() == 1
    assert page.get_by_role("button", name="Found mix", exact=True).count() == 1


def test_a_length_that_its_audio_does_not_have_is_not_made_of_silence(result, tiny_song) -> None:
    metrics = json.loads((result / "metrics.json").read_text())
    (result / "metrics.json").write_text(json.dumps(metrics | {"num_samples": 6 * 10**8}))
    with pytest.raises(ValueError, match=r"a length near that of the audio, 9 s, is needed, got 75,000 s"):
        read_material(result, tiny_song)
    with pytest.raises(ValueError, match=r"a length near that of the audio, 9 s, is needed, got 75,000 s"):
        read_tracks(load_result(result), tiny_song)
    (result / "metrics.json").unlink()
    with (result / "mix_target.flac").open("r+b") as file:
        file.seek(22)
        file.write(b"\xff" * 4)  # the length that its header states
    material = read_material(result, None)
    assert material.target is None
    assert material.found_mix is None
    assert any("mix_found.flac: a length near that of the audio, 3 s" in line for line in material.missing)


@pytest.mark.long
def test_rows_of_a_trace_that_are_none(result) -> None:
    (result / "trace.jsonl").write_text('[1]\n{"kind": "round"}\n')
    assert any("trace.jsonl: line 1: a JSON object is needed" in line for line in read_remains(result).missing)
    (result / "trace.jsonl").write_text('{"kind": "round", "round": 0, "removed": 3}\n')
    assert any("line 1: removed: list is needed, got 3" in line for line in read_remains(result).missing)


def test_a_folder_with_nothing_of_a_result_is_refused(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"graph\.json is missing; a result folder of a finished search is"):
        read_material(tmp_path, None)
    (tmp_path / "timings.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"graph\.json is missing"):
        read_material(tmp_path, None)


@pytest.mark.long
def test_files_of_different_results_are_refused(result) -> None:
    metrics = json.loads((result / "metrics.json").read_text()) | {"sample_rate": 12000}
    (result / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(ValueError, match=r"sample_rate: 8000 is needed, as in graph\.json, got 12000"):
        read_material(result, None)


@pytest.mark.parametrize(
    ("config", "trace"),
    [
        ({"model": [1]}, {}),
        ({"model": {"track_chain": 5, "subgroup_chain": [1], "master_chain": {}}}, {}),
        ({"model": {"track_chain": "e" * 10**6, "subgroup_chain": "", "master_chain": ""}}, {}),
        ({"model": {"track_chain": "", "subgroup_chain": "", "master_chain": "", "sidechains": {1: 2}}}, {}),
        ({"data": [1]}, {}),
        ({"data": {"init_args": "x"}}, {}),
        ({}, {"removed": [["x"]]}),
        ({}, {"kind": "leave_one_out", "when": "console", "candidates": [5], "weight": 1.0, "loss": 1.0}),
        ({}, {"kind": "leave_one_out", "when": "console", "candidates": [], "weight": 1.0, "loss": 1.0}),
        ({}, {"kind": "leave_one_out", "when": "console", "candidates": ["a"], "weight": 1.0, "loss": 1.0}),
    ],
)
def test_settings_and_trials_of_other_kinds_do_not_keep_a_page_from_being_made(result, tmp_path, config, trace) -> None:
    (result / "config.yaml").write_text(json.dumps(config))
    (result / "trace.jsonl").write_text(json.dumps({"kind": "round", "round": 0, "removed": []} | trace) + "\n")
    page = shown(result, None, tmp_path / "page.html")
    assert any("cannot be read" in line or "cannot be drawn" in line for line in page["missing"])
