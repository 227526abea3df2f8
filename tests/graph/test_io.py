import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mixgraph.graph import MixGraph, build_console, prune
from mixgraph.graph.io import (
    graph_file_from_json,
    graph_from_dict,
    graph_from_json,
    graph_to_dict,
    graph_to_json,
    load_graph,
    load_parameters,
    save_graph,
    save_parameters,
)
from mixgraph.processors import Processors, make_processors, registered
from mixgraph.system.files import write_atomically


@pytest.fixture(scope="module")
def processors():
    return make_processors(30000)


@pytest.fixture
def graph():
    console = build_console({"drums": ["kick", 'a "b" \N{SNOWMAN}\ud800'], "bass": ["DI"]}, "eg", "r", name="song")
    return prune(console, [i for i in console.processors if i not in (5, 7)])[0]


@pytest.fixture
def weights(graph):
    return torch.linspace(0, 1, len(graph.processors)) ** 2


def draw(graph, processors, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {t: processors[t].sample_initial_values(count, generator, spread=0.5) for t, count in graph.count().items()}


@pytest.fixture
def saved(tmp_path, graph, weights):
    path = tmp_path / "graph.json"
    save_graph(path, graph, weights, sample_rate=30000)
    return path


def test_a_graph_file_is_read_back_exactly(tmp_path, graph, weights):
    path = tmp_path / "graph.json"
    increases = torch.randn(len(graph.processors), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    options = {"reverb": {"mask": "paper"}, "delay": {"truncate": True, "radius_weight": 0.1}}
    save_graph(path, graph, weights, sample_rate=48000, loss_increases=increases, processor_options=options)
    file = load_graph(path)
    assert file.graph == graph
    assert file.sample_rate == 48000
    assert file.weights.dtype == torch.float32
    assert file.weights.tolist() == weights.tolist()
    assert file.loss_increases.tolist() == increases.tolist()
    assert file.processor_options == options
    assert [entry.name for entry in tmp_path.iterdir()] == ["graph.json"]  # no temporary file is left


def test_unknown_values_stay_unknown(tmp_path, graph):
    save_graph(tmp_path / "graph.json", graph, sample_rate=30000)
    file = load_graph(tmp_path / "graph.json")
    assert file.weights is None
    assert file.loss_increases is None
    assert file.processor_options == {}


def test_a_graph_without_processors_has_no_weights_but_knows_them(tmp_path):
    save_graph(tmp_path / "graph.json", build_console({"": ["a"]}, "", ""), torch.zeros(0), sample_rate=30000)
    assert load_graph(tmp_path / "graph.json").weights.shape == (0,)


def test_records_are_uniform_and_readable(saved, graph, weights):
    record = json.loads(saved.read_text())
    assert list(record) == ["schema_version", "sample_rate", "processors", "nodes", "edges"]
    assert {tuple(node) for node in record["nodes"]} == {
        ("id", "type", "letter", "name", "subgroup", "song", "row", "weight", "loss_increase")
    }
    assert {tuple(edge) for edge in record["edges"]} == {("source", "destination", "outlet", "inlet")}
    assert record["schema_version"] == 2
    assert "".join(node["letter"] for node in record["nodes"]) == "iii" + "eggg" + "m" + "r" + "m" + "r" + "o"
    assert [node["subgroup"] for node in record["nodes"][:3]] == ["drums", "drums", "bass"]
    assert [node["row"] for node in record["nodes"]] == list(graph.rows)
    assert [node["weight"] for node in record["nodes"] if node["weight"] is not None] == weights.tolist()


@pytest.mark.long
def test_the_same_graph_gives_the_same_bytes_whatever_the_hash_seed(tmp_path, graph, weights, processors, saved):
    parameters = draw(graph, processors)
    save_parameters(tmp_path / "a.safetensors", parameters, weights)
    reordered = {t: dict(reversed(parameters[t].items())) for t in reversed(parameters)}
    save_parameters(tmp_path / "b.safetensors", reordered, weights)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    code = (
        "from mixgraph.graph import build_console; import hashlib\n"
        "from mixgraph.graph.io import graph_to_json\n"
        "from mixgraph.report.drawing.draw import draw_svg\n"
        "g = build_console({'a': ['b', 'c'], 'd': ['e']}, 'ecg', 'r')\n"
        "import sys; sys.stdout.write(hashlib.sha256((graph_to_json(g) + draw_svg(g)).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=Path(__file__).parents[2],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_dict_and_json_are_inverses(graph):
    assert graph_from_dict(graph_to_dict(graph)) == graph
    assert graph_from_json(graph_to_json(graph)) == graph
    assert "\n" not in graph_to_json(graph)


def change(record, path, value):
    *parents, last = path
    for key in parents:
        record = record[key]
    if value is KeyError:
        del record[last]
    else:
        record[last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["schema_version"], 3, "made by a newer mixgraph: schema 3, this one reads up to 2; upgrade"),
        (["schema_version"], 1, r"edges\[0\]: unknown: inlet, outlet"),
        (["schema_version"], "1", "schema_version: a whole number from 1 is needed, got '1'"),
        (["schema_version"], KeyError, "schema_version: a whole number from 1 is needed, got None"),
        (["sample_rate"], KeyError, "missing: sample_rate"),
        (["sample_rate"], 0, "sample_rate: a positive number of Hz"),
        (["sample_rate"], True, "sample_rate: a whole number is needed, got True"),
        (["colour"], "red", "unknown: colour"),
        (["nodes"], {}, "nodes: a list is needed, got {}"),
        (["nodes"], [], "nodes: at least one is needed"),
        (["nodes", 3], "e", r"nodes\[3\]: an object is needed, got 'e'"),
        (["nodes", 3, "row"], KeyError, r"nodes\[3\]: missing: row"),
        (["nodes", 3, "gain"], 1, r"nodes\[3\]: unknown: gain"),
        (["nodes", 3, "id"], 4, r"nodes\[3\]: id: 3 is needed \(nodes in order\), got 4"),
        (["nodes", 3, "type"], "phaser", r"nodes\[3\]: type: unknown processor type 'phaser'"),
        (["nodes", 3, "letter"], "g", r"nodes\[3\]: letter: 'e' is needed for equalizer, got 'g'"),
        (["nodes", 3, "name"], None, r"nodes\[3\]: name: a text is needed, got None"),
        (["nodes", 3, "subgroup"], "drums", r"nodes\[3\]: subgroup: '' is needed"),
        (["nodes", 3, "song"], -1, r"nodes\[3\]: song: a number from 0"),
        (["nodes", 4, "row"], 7, r"nodes\[4\]: row: 0 is needed \(its rank in its type\), got 7"),
        (["nodes", 3, "weight"], 1.5, r"nodes\[3\]: weight: 0 to 1 is needed, got 1.5"),
        (["nodes", 3, "weight"], 10**400, r"nodes\[3\]: weight: 0 to 1 is needed, got 1000"),
        (["nodes", 3, "weight"], "half", r"nodes\[3\]: weight: a number or null is needed, got 'half'"),
        (["nodes", 3, "weight"], None, r"nodes\[3\]: weight: all processors have one, or none"),
        (["nodes", 0, "weight"], 0.5, r"nodes\[0\]: weight: all processors have one, or none"),
        (["nodes", 3, "loss_increase"], 0.5, r"nodes\[4\]: loss_increase: all processors have one, or none"),
        (["edges", 0, "source"], 1.0, r"edges\[0\]: source: a whole number is needed, got 1.0"),
        (["edges", 0, "source"], 99, "edge 99 -> 3: node numbers go from 0"),
        (["edges", 0, "source"], 3, "the graph has a cycle: 3 -> 3"),
        (["processors"], {"phaser": {}}, "processors: unknown processor type 'phaser'"),
        (["processors"], {"reverb": 1}, "processors: reverb: an object is needed, got 1"),
        (["processors"], {"reverb": {"mask": [[1]]}}, r"reverb.mask: a text, .* is needed, got \[\[1\]\]"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(saved, path, value, message):
    record = json.loads(saved.read_text())
    change(record, path, value)
    saved.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=message) as caught:
        load_graph(saved)
    assert str(caught.value).startswith(str(saved))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "not JSON: Expecting property name"),
        (b'{"a": NaN}', "not JSON: NaN is not a number of JSON"),
        (b"\xff", "not JSON: 'utf-8' codec"),
        (b"[1]", r"an object is needed, got \[1\]"),
        (b"[" * 100_000, "not JSON: "),
    ],
)
def test_what_is_not_a_graph_is_refused(tmp_path, text, message):
    (tmp_path / "graph.json").write_bytes(text)
    with pytest.raises(ValueError, match=message):
        load_graph(tmp_path / "graph.json")


def test_infinite_numbers_are_refused(saved):
    saved.write_text(saved.read_text().replace('"weight": 0.0', '"weight": 1e999'))
    with pytest.raises(ValueError, match=r"nodes\[3\]: weight: 0 to 1 is needed, got inf"):
        load_graph(saved)


def test_missing_files_are_named(tmp_path, graph, processors):
    with pytest.raises(FileNotFoundError, match=r"graph.json: a graph file"):
        load_graph(tmp_path / "graph.json")
    with pytest.raises(FileNotFoundError, match=r"p.safetensors: a parameter file"):
        load_parameters(tmp_path / "p.safetensors", graph, processors)


def test_what_does_not_fit_is_not_saved(tmp_path, graph, weights):
    path = tmp_path / "graph.json"
    with pytest.raises(ValueError, match=r"weights: \(6,\) is needed, one a processor, got \(5,\)"):
        save_graph(path, graph, weights[1:], sample_rate=30000)
    with pytest.raises(ValueError, match=r"weights: 0 to 1 is needed, got 1\.28 at subgroup drums: reverb"):
        save_graph(path, graph, weights * 2, sample_rate=30000)
    with pytest.raises(ValueError, match=r"loss_increases: .* is needed, got nan at track"):
        save_graph(path, graph, weights, sample_rate=30000, loss_increases=weights * float("nan"))
    with pytest.raises(ValueError, match=r"sample_rate: a positive whole number of Hz is needed, got 0\.5"):
        save_graph(path, graph, weights, sample_rate=0.5)
    with pytest.raises(ValueError, match=r"processor_options: reverb.mask: a text, finite number, bool or null"):
        save_graph(path, graph, weights, sample_rate=30000, processor_options={"reverb": {"mask": float("inf")}})
    with pytest.raises(
        ValueError, match=r"processor_options: reverb.mask: .* a list of these, is needed, got \[1, {}\]"
    ):
        save_graph(path, graph, weights, sample_rate=30000, processor_options={"reverb": {"mask": [1, {}]}})
    strange = MixGraph(("input", "phaser", "output"), ((0, 1), (1, 2)), ("a", "a", ""), ("",))
    with pytest.raises(ValueError, match="unknown processor type 'phaser'"):
        save_graph(path, strange, sample_rate=30000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [None, 0.5, 3, True, "mid", [20.0, 200.0], []])
def test_an_option_of_any_kind_comes_back(tmp_path, graph, weights, value):
    options = {"compressor": {"start_ms": value}}
    save_graph(tmp_path / "graph.json", graph, weights, sample_rate=30000, processor_options=options)
    assert load_graph(tmp_path / "graph.json").processor_options == options


def test_a_failed_write_leaves_the_old_file(tmp_path):
    (tmp_path / "directory").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomically(tmp_path / "directory", b"new")
    write_atomically(tmp_path / "file", b"old")
    write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["directory", "file"]


def test_graph_files_name_their_source():
    with pytest.raises(ValueError, match=r"shard 3, song 5: not JSON"):
        graph_file_from_json("", "shard 3, song 5")


def test_parameters_of_every_type_survive_a_save_and_load(tmp_path, processors):
    plain = [kind for kind in registered().values() if not kind.cuts and kind.inlets == kind.outlets == 1]
    letters = "".join(kind.letter for kind in plain) + "b(,e)t(g,)"
    graph = build_console({"a": ["b", "c"]}, letters, letters, "", "", {"room": "r"}, {"b": "c"})
    parameters, weights = draw(graph, processors), torch.rand(len(graph.processors))
    save_parameters(tmp_path / "p.safetensors", parameters, weights)
    loaded, loaded_weights = load_parameters(tmp_path / "p.safetensors", graph, processors)
    assert torch.equal(loaded_weights, weights)
    assert loaded.keys() == parameters.keys() == registered().keys()
    for node_type, type_parameters in parameters.items():
        assert loaded[node_type].keys() == type_parameters.keys()
        assert all(torch.equal(loaded[node_type][name], value) for name, value in type_parameters.items())


def test_ports_survive(graph):
    wired = build_console({"a": ["x"], "b": ["y"]}, "t(c,)", "b(,b(e,))", sidechains={"a": "b"})
    record = json.loads(graph_to_json(wired))
    assert record["edges"][1] == {"source": 2, "destination": 3, "outlet": 0, "inlet": 0}
    assert record["edges"][-1]["inlet"] == 1
    assert graph_from_json(graph_to_json(wired)) == wired
    record["edges"][0]["inlet"] = 2
    with pytest.raises(ValueError, match=r"port \(0, 2\): outlets count from 0, inlets are 0 and 1"):
        graph_from_json(json.dumps(record))


def test_files_of_the_first_version_are_read(graph):
    record = json.loads(graph_to_json(graph))
    record["schema_version"] = 1
    record["edges"] = [{key: edge[key] for key in ("source", "destination")} for edge in record["edges"]]
    assert graph_from_json(json.dumps(record)) == graph


def test_types_without_nodes_are_left_out(tmp_path, graph, weights, processors):
    parameters = draw(graph, processors)
    save_parameters(
        tmp_path / "p.safetensors", {**parameters, "delay": processors["delay"].sample_initial_values(0)}, weights
    )
    assert list(load_parameters(tmp_path / "p.safetensors", graph, processors)[0]) == list(graph.count())


def tensors_of(graph, processors, weights):
    tensors = {f"{t}.{name}": v for t, values in draw(graph, processors).items() for name, v in values.items()}
    return {**tensors, "dry_wet_weight": weights}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("gain_panning.log_gain", None, "missing: gain_panning.log_gain"),
        ("phaser.depth", torch.zeros(1), "unknown: phaser.depth"),
        ("gain_panning.log_gain", torch.zeros(2, 2), r"log_gain: shape \(3, 2\) is needed .* got \(2, 2\)"),
        ("gain_panning.log_gain", torch.zeros(3, 2).long(), "gain_panning.log_gain: floating-point values are needed"),
        ("gain_panning.log_gain", torch.full((3, 2), float("nan")), "log_gain: finite values are needed, got 6 others"),
        ("dry_wet_weight", torch.zeros(5), r"dry_wet_weight: shape \(6,\) is needed"),
        ("dry_wet_weight", torch.full((6,), 2.0), "dry_wet_weight: 0 to 1 is needed, got 2 to 2"),
    ],
)
def test_parameters_that_do_not_fit_are_named(tmp_path, graph, weights, processors, key, value, message):
    path = tmp_path / "p.safetensors"
    tensors = tensors_of(graph, processors, weights)
    tensors[key] = value
    save_file({k: v for k, v in tensors.items() if v is not None}, path, {"schema_version": "1"})
    with pytest.raises(ValueError, match=message) as caught:
        load_parameters(path, graph, processors)
    assert str(caught.value).startswith(str(path))


def test_other_files_are_no_parameters(tmp_path, graph, weights, processors):
    path = tmp_path / "p.safetensors"
    path.write_bytes(b"RIFF and more")
    with pytest.raises(ValueError, match="not a safetensors file"):
        load_parameters(path, graph, processors)
    save_file(tensors_of(graph, processors, weights), path)
    with pytest.raises(ValueError, match="schema_version is missing from the metadata"):
        load_parameters(path, graph, processors)
    save_file(tensors_of(graph, processors, weights), path, {"schema_version": "2"})
    with pytest.raises(ValueError, match="made by a newer mixgraph: schema 2"):
        load_parameters(path, graph, processors)
    save_parameters(path, draw(graph, processors), weights)
    with pytest.raises(ValueError, match="processors: 'equalizer' is needed by the graph, got reverb"):
        load_parameters(path, graph, Processors({"reverb": processors["reverb"]}))


def test_bad_parameters_are_not_saved(tmp_path, weights):
    path = tmp_path / "p.safetensors"
    with pytest.raises(ValueError, match=r"a name cannot have a dot, got 'a.b', 'c'"):
        save_parameters(path, {"a.b": {"c": torch.ones(1)}}, weights)
    with pytest.raises(ValueError, match=r"a.b: finite values are needed, got 1 others"):
        save_parameters(path, {"a": {"b": torch.tensor([1.0, float("inf")])}}, weights)
    assert not path.exists()
