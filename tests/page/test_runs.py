"""Repeated runs of a song in the build of a dataset: in how many of them a processor was found."""

import json

import pytest
import torch

from mixgraph.graph import build_console, prune
from mixgraph.graph.io import save_graph
from mixgraph.page.runs import found_in, other_runs

CONSOLE = build_console({"all": ["kick", "lead"]}, "eg", "r", "Tiny")
LABELS = [CONSOLE.label(node) for node in CONSOLE.processors]


def without(*labels):
    return prune(CONSOLE, [node for node in CONSOLE.processors if CONSOLE.label(node) not in labels])[0]


def build(root, graphs, **changes):
    for number, graph in enumerate(graphs):
        folder = root / f"run_{number}"
        folder.mkdir(parents=True)
        save_graph(folder / "graph.json", graph, torch.full((len(graph.processors),), 0.5), sample_rate=8000)
        record = {"song": "tiny", "run": number, "seed": 42 + number, "settings_sha256": "a", "files": {"mix.wav": "b"}}
        (folder / "job.json").write_text(json.dumps(record | (changes if number == 1 else {})))
    return root / "run_0"


def test_a_processor_is_counted_in_the_runs_that_found_it(tmp_path) -> None:
    first = build(tmp_path, [CONSOLE, without(LABELS[0]), without(LABELS[0], LABELS[3])])
    others = other_runs(first)
    assert len(others) == 2
    counts = found_in(CONSOLE, others)
    assert {CONSOLE.label(node): k for node, (k, n) in counts.items()} == dict.fromkeys(LABELS, 3) | {
        LABELS[0]: 1,
        LABELS[3]: 2,
    }
    assert {n for _, n in counts.values()} == {3}


@pytest.mark.parametrize("changes", [{"settings_sha256": "c"}, {"files": {"mix.wav": "d"}}])
def test_runs_of_other_settings_or_audio_do_not_count(tmp_path, changes) -> None:
    assert other_runs(build(tmp_path, [CONSOLE, CONSOLE], **changes)) == []
    assert found_in(CONSOLE, []) == {}


def test_a_result_that_no_build_made_has_no_other_runs(tmp_path) -> None:
    result = build(tmp_path, [CONSOLE, CONSOLE])
    (result / "job.json").unlink()
    assert other_runs(result) == []
    (result / "job.json").write_text("[")
    assert other_runs(result) == []


def test_a_damaged_run_does_not_count(tmp_path) -> None:
    result = build(tmp_path, [CONSOLE, CONSOLE, CONSOLE])
    (tmp_path / "run_1" / "graph.json").write_text("{")
    assert len(other_runs(result)) == 1
