"""Graphs to which what was removed is added back start with the values that they say, and are compared alike."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mixgraph.graph import prune
from mixgraph.results.found_graph import load_result
from tools.bench.fidelity import added_back
from tools.bench.fidelity.added_back import Case, FoundWithConsole, main, read_case
from tools.bench.fidelity.juce import reverb_response
from tools.bench.fidelity.reverb_limits import responses, with_reverb
from tools.result_tables import read_table

ROOT = Path(__file__).parents[2]


def test_cases_are_read_and_others_refused() -> None:
    exchanged = read_case("+subgroup fx: reverb; -track pad: delay@anew .1")
    assert exchanged.add == ("subgroup fx: reverb",)
    assert exchanged.remove == ("track pad: delay",)
    assert exchanged.start == "anew 0.1"
    assert read_case("none") == Case("none")
    assert read_case("truth").exactly
    for text in ("subgroup fx: reverb", "+a: reverb @ old", "+a: reverb @ anew 3", ""):
        with pytest.raises(ValueError, match=r"labels with \+ or - in front"):
            read_case(text)


@pytest.fixture(scope="module")
def result(tiny_song, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "found"
    options = ["--data.sample_rate=8000", "--model.track_chain=egd", "--model.subgroup_chain=g", "--result.page=false"]
    options += ["--data.steps_per_stage=3", "--pruning.console_stages=2", "--pruning.rounds=1"]
    options += ["--pruning.tolerance=0.2", "--result.keep_console=true", "--data.cache_dir=null"]
    words = [sys.executable, "-m", "mixgraph", "fit", str(tiny_song), *options, f"--result.path={folder}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.long
def test_what_is_added_has_its_values_of_the_console_and_all_else_those_of_the_result(tiny_song, result) -> None:
    both, found = FoundWithConsole(tiny_song, result), load_result(result)
    labels = {found.graph.label(node) for node in found.graph.processors}
    missing = sorted(both.node_of.keys() - labels)
    assert missing
    values, added = both.start(Case("", add=(missing[0],), weight=0.25), None, None)
    assert added == {missing[0]}
    graph = values.graph
    for place, node in enumerate(graph.processors):
        label, kind = graph.label(node), graph.types[node]
        other = both.console if label in added else found
        there = next(i for i in other.graph.processors if other.graph.label(i) == label)
        for name, value in values.parameters[kind].items():
            expected = other.parameters[kind][name][other.graph.rows[there]]
            assert torch.equal(value[graph.rows[node]], expected)
        weight = 0.25 if label in added else found.weights[other.graph.processors.index(there)]
        assert float(values.weights[place]) == pytest.approx(float(weight))
    left = [node for node in graph.processors if graph.label(node) not in added]
    assert prune(graph, left)[0] == found.graph
    with pytest.raises(
        ValueError, match="a label such as 'track kick: equalizer' is needed, got 'track nobody: delay'"
    ):
        both.nodes(["track nobody: delay"])
    with pytest.raises(ValueError, match=r"true and truth need .*truth\.json"):
        both.nodes(["truth"])


@pytest.mark.long
def test_cases_are_trained_and_pruned_once(tiny_song, result, tmp_path, monkeypatch, capsys) -> None:
    graph = load_result(result).graph
    missing = min(FoundWithConsole(tiny_song, result).node_of.keys() - {graph.label(node) for node in graph.processors})
    words = [str(tiny_song), str(result), "--case", "none", "--case", f"+{missing} @ anew", "--steps", "2"]
    words += ["--out", str(tmp_path / "cases"), "--table", str(tmp_path / "table.json")]
    main(words)
    rows = read_table(tmp_path / "table.json").rows
    assert [row[1] for row in rows] == ["none", f"+{missing}"]
    assert all(math.isfinite(float(row[i])) for row in rows for i in range(3, 7))
    monkeypatch.setattr(added_back, "run_case", lambda *_: pytest.fail("a case that is done runs again"))
    capsys.readouterr()
    main(words)
    assert capsys.readouterr().out.splitlines() == [" | ".join(row) for row in rows]


def test_the_reverb_is_a_network_of_combs_and_all_passes() -> None:
    rate, samples, feedback, damping = 44100, 3000, 0.28 * 0.5 + 0.7, 0.4 * 0.25
    total = np.zeros(samples)
    for length in (1116, 1188, 1277, 1356, 1422, 1491, 1557, 1617):
        line, low = np.zeros(samples + length), 0.0
        for n in range(samples):  # line[n + length] is what leaves it `length` samples later
            low = (1 - damping) * line[n] + damping * low
            line[n + length] = (n == 0) + feedback * low
        total += line[:samples]
    for length in (556, 441, 341, 225):
        line, out = np.zeros(samples + length), np.zeros(samples)
        for n in range(samples):
            line[n + length] = total[n] + 0.5 * line[n]
            out[n] = line[n] - total[n]
        total = out
    settings = {"room_size": 0.5, "damping": 0.25, "wet_level": 0.3, "dry_level": 1.0}
    left = torch.fft.irfft(reverb_response(settings, 1 << 20, rate), 1 << 20)[0, :samples]
    assert np.allclose(left.numpy(), total * 0.015 * 3 * 0.3, atol=1e-9)
    response, other = responses(settings)
    energies = response.square().sum(), other.square().sum()
    assert float(energies[1] / energies[0]) == pytest.approx(1, rel=0.3)  # frames overlap, and other phases do not fit
    dry = torch.zeros(2, 100)
    dry[0, 10] = 1
    assert torch.allclose(with_reverb(dry, response, settings)[:, 10], 2 * dry.double()[:, 10] + response[:, 0])
