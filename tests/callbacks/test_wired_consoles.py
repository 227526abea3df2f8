"""A search of a console with splitters and a sidechain, from the first step to the result folder."""

import json

import pytest

from callbacks import IterativePruning, ResultFolder
from datamodules import SongData
from mixgraph.render import render_song
from mixgraph.results.found_graph import load_result
from mixgraph.search import search
from mixgraph.search.module import ConsoleModule

pytestmark = pytest.mark.usefixtures("blank_pictures")

RATE = 8000


def test_the_trace_names_what_goes_along_with_a_send(tiny_song) -> None:
    """At this tolerance all sends go, and with the last one what worked on the bus."""
    data = SongData(str(tiny_song), sample_rate=RATE, steps_per_stage=1, scored_seconds=1.0, cache_dir=None)
    module = ConsoleModule("", "", sample_rate=RATE, returns={"room": "erg"})
    pruning = IterativePruning(console_stages=1, rounds=1, tolerance=100.0, leave_one_out=False)
    rows = []
    pruning.listeners.append(lambda song, row, remaining: rows.append(remaining))
    search(module, data, [pruning], pruning.num_stages, "cpu", enable_progress_bar=False)
    assert not module.graph.processors
    assert rows[-1] == 0
    row = pruning.trace[-1]
    assert (row["kind"], row["remaining"], len(row["removed"])) == ("round", 0, 6)


@pytest.mark.long
def test_a_search_prunes_splitters_and_sidechains(tiny_song, tmp_path) -> None:
    data = SongData(str(tiny_song), sample_rate=RATE, steps_per_stage=3, scored_seconds=1.0, cache_dir=None)
    module = ConsoleModule("eb(c,c)g", "t(e,sg)r", sample_rate=RATE, sidechains={"lead": "kick"})
    pruning = IterativePruning(console_stages=2, rounds=3, leave_one_out=False)
    results = ResultFolder(str(tmp_path / "found"))
    search(module, data, [pruning, results], pruning.num_stages, "cpu", enable_progress_bar=False)
    initial, left = module.initial_counts[0], module.graph.count()
    assert initial["band_splitter"] == 3
    assert initial["sidechain_compressor"] == 1
    assert 0 < sum(left.values()) < sum(initial.values())
    assert len(pruning.trace) > 3
    result = load_result(tmp_path / "found")
    assert result.graph == module.graph
    song = data.song
    mix = render_song(result.graph, result.processors, song.sources, result.parameters, result.weights)[0]
    again = module.target(song).score(mix).loss["full"]
    metrics = json.loads((tmp_path / "found" / "metrics.json").read_text())
    assert abs(again - metrics["losses"]["found"]["loss"]["full"]) < 1e-5
