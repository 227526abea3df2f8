"""A graph whose processors follow the printed paper renders, is read and is drawn the same when it is read again."""

import json

import torch

from mixgraph import load_result
from mixgraph.graph import build_console
from mixgraph.page.web_audio import console_model
from mixgraph.processors import make_processors
from mixgraph.results.found_graph import FoundGraph

OPTIONS = {
    "reverb": {"mask": "paper", "normalize": False},
    "delay": {"normalize": False, "gradient": "disk"},
    "noisegate": {"ratio": "positive", "gain": "energy"},
}


def test_a_saved_graph_renders_the_same_again(tmp_path) -> None:
    graph = build_console({"a": ["x"], "b": ["y"]}, "ndr", "")
    processors = make_processors(8000, OPTIONS)
    generator = torch.Generator().manual_seed(0)
    parameters = {t: processors[t].sample_initial_values(2, generator, 0.3) for t in ("noisegate", "delay", "reverb")}
    parameters["reverb"]["delta_log_magnitude"] = -parameters["reverb"]["delta_log_magnitude"].abs()
    weights = torch.full((6,), 0.6)
    found = FoundGraph(graph, processors, parameters, weights, 8000, 1.0, 8000, {}, OPTIONS)
    sources = torch.randn(2, 2, 8000, generator=generator) / 10
    found.save(tmp_path / "saved")
    read = load_result(tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "graph.json").read_text())["processors"] == OPTIONS
    mix = found.render(sources)
    assert torch.equal(read.render(sources), mix)
    assert [row["readings"] for row in read.settings()] == [row["readings"] for row in found.settings()]
    sounds = {p["type"]: p["sound"] for p in console_model(read)["processors"]}
    assert sounds["reverb"]["keeps_level"]
    assert sounds["delay"]["keeps_level"]
    parameters["delay"]["log_fir_magnitude"] += 1
    assert not torch.allclose(found.render(sources), mix)
    moved = read.at_sample_rate(16000)
    assert not moved.processors["reverb"].normalize
    assert not moved.processors["delay"].normalize
    assert moved.processors["noisegate"].any_ratio
