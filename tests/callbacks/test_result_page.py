"""The page that a search writes into its result."""

import base64
import io
import json
import re

import pytest
import soundfile
import torch

from callbacks import IterativePruning, ResultFolder
from callbacks.result_page import add_page
from datamodules import SongData
from mixgraph.page.material import read_material
from mixgraph.page.stages import measured_console, points, search_stages
from mixgraph.page.write import write_page
from mixgraph.results.changes import processor_labels
from mixgraph.results.found_graph import load_result
from mixgraph.search import search
from mixgraph.search.module import ConsoleModule

pytestmark = pytest.mark.usefixtures("blank_pictures")

RATE = 8000


def searched(path, folder, **options):
    data = SongData(str(path), sample_rate=RATE, steps_per_stage=1, scored_seconds=1.0, cache_dir=None)
    module, pruning = ConsoleModule("eg", "r", sample_rate=RATE), IterativePruning(1, 1, leave_one_out=False)
    search(module, data, [pruning, ResultFolder(str(folder), **options)], 2, "cpu", enable_progress_bar=False)
    return data.song


def content(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


def heard(audio):
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(audio["flac"])), dtype="float32", always_2d=True)
    assert rate == RATE
    return torch.from_numpy(samples.T * audio["scale"])


@pytest.mark.long
def test_the_page_of_a_search_is_the_one_that_is_made_of_its_result(tiny_song, tmp_path) -> None:
    folder = tmp_path / "r"
    song = searched(tiny_song, folder)
    assert re.search(r"report\.html was made in \d+\.\d s \(0\.\d MB\)\n", (folder / "search.log").read_text())
    write_page(tmp_path / "later.html", read_material(folder, tiny_song))
    first, later = content(folder / "report.html"), content(tmp_path / "later.html")
    excerpts = first.pop("excerpts")[0], later.pop("excerpts")[0]
    assert first == later
    assert excerpts[0]["gains"] == pytest.approx(excerpts[1]["gains"], rel=1e-3)
    assert excerpts[0]["audio"].keys() == excerpts[1]["audio"].keys()
    for name, audio in excerpts[0]["audio"].items():
        other = excerpts[1]["audio"][name]
        assert (heard(audio) - heard(other)).abs().max() < 1e-3, name
    mix = heard(excerpts[0]["audio"]["target"])
    assert (mix - song.mix[:, : mix.shape[1]] / song.level).abs().max() < 1e-4


@pytest.mark.long
def test_the_trace_tells_processors_of_one_type_in_a_chain_apart(tiny_song, tmp_path) -> None:
    data = SongData(str(tiny_song), sample_rate=RATE, steps_per_stage=1, scored_seconds=1.0, cache_dir=None)
    module, pruning = ConsoleModule("ege", "gg", sample_rate=RATE), IterativePruning(1, 3, tolerance=0.3)
    callbacks = [pruning, ResultFolder(str(tmp_path / "r"), page=False)]
    search(module, data, callbacks, pruning.num_stages, "cpu", enable_progress_bar=False)
    found, trace = load_result(tmp_path / "r").graph, pruning.trace
    rounds = [row for row in trace if row["kind"] == "round"]
    assert sum(len(row["removed"]) for row in rounds) > 3
    stages = search_stages(found, {"model": module.settings}, rounds)
    assert stages.graphs[-1] == found
    measured = [label for label, _, _ in measured_console(trace)]
    assert measured == processor_labels(stages.console)
    assert [point["label"] for point in points(stages, trace)] == measured
    assert {point["name"] for point in points(stages, trace)} == {"equalizer", "gain/panning"}


@pytest.mark.long
def test_a_search_without_a_page_and_a_page_that_cannot_be_written(tiny_song, tmp_path) -> None:
    folder = tmp_path / "r"
    song = searched(tiny_song, folder, page=False)
    assert not (folder / "report.html").exists()
    assert "report.html" not in (folder / "search.log").read_text()
    (folder / "report.html").mkdir()  # in the way
    names = {path.name for path in folder.iterdir()}
    line = add_page(folder, song, song.mix)
    assert line.startswith(f"report.html could not be made ({folder / 'report.html'}: Is a directory). HINT: python -m")
    (folder / "report.html").rmdir()
    assert re.fullmatch(r"report\.html was made in .* MB, without audio, which has no room in 0\.2 MB\)", add_page(
        folder, song, song.mix, 0.2
    ))  # fmt: skip
    assert "audio" not in content(folder / "report.html")["excerpts"][0]
    (folder / "report.html").unlink()
    assert "megabytes: " in add_page(folder, song, song.mix, 0.01)
    names.remove("report.html")
    (folder / "metrics.json").write_text("{")
    assert "metrics.json" in add_page(folder, song, song.mix)
    assert {path.name for path in folder.iterdir()} == names
