from collections import Counter

import networkx as nx
import pytest
import torch
from torch_geometric.data import Batch, Data

from mixgraph.graph import MixGraph, batch, build_console, prune, relabel
from mixgraph.graph.convert import (
    from_networkx,
    from_pyg,
    parameters_from_pyg,
    to_networkx,
    to_pyg,
    type_vocabulary,
)
from mixgraph.processors import make_processors, registered


@pytest.fixture(scope="module")
def processors():
    return make_processors(30000)


def console(letters="eg", tracks=("kick", "snare"), name="one"):
    return build_console({"drums": list(tracks), "bass": ["DI"]}, letters, "r", name=name)


def shuffled(graph, seed=0):
    return relabel(graph, torch.randperm(len(graph), generator=torch.Generator().manual_seed(seed)).tolist())


def draw(graph, processors, seed):
    generator = torch.Generator().manual_seed(seed)
    return {t: processors[t].sample_initial_values(count, generator, spread=0.5) for t, count in graph.count().items()}


def test_type_ids_are_those_that_were_given_once():
    types = (
        *("input", "mix", "output", "compressor", "delay", "equalizer", "gain_panning", "noisegate", "reverb"),
        *("stereo_imager", "attack_release_compressor", "attack_release_gate", "band_splitter", "fader"),
        *("late_reverb", "mid_side_splitter", "parametric_equalizer", "saturator", "send", "sidechain_compressor"),
    )
    ids = type_vocabulary()
    assert {name: ids[name] for name in types} == {name: i for i, name in enumerate(types)}
    assert all(kind.type_id == ids.get(name) for name, kind in registered().items())


@pytest.mark.parametrize(
    "graph",
    [console(), shuffled(console()), batch([shuffled(console()), console("")])],
    ids=["console", "any", "songs"],
)
def test_conversions_give_the_graph_back(graph):
    assert from_networkx(to_networkx(graph)) == graph
    assert from_pyg(to_pyg(graph)) == graph


def test_networkx_attributes_say_what_the_nodes_are():
    graph = build_console({"drums": ["kick"]}, "g", "", name="one")
    converted = to_networkx(graph, torch.tensor([0.25]))
    assert dict(converted.nodes(data=True)) == {
        0: {"type": "input", "name": "kick", "subgroup": "drums", "song": 0},
        1: {"type": "gain_panning", "name": "kick", "subgroup": "", "song": 0, "weight": 0.25},
        2: {"type": "mix", "name": "drums", "subgroup": "", "song": 0},
        3: {"type": "output", "name": "one", "subgroup": "", "song": 0},
    }
    assert nx.dag_longest_path(converted) == [0, 1, 2, 3]


def test_a_networkx_graph_made_elsewhere_converts():
    source = nx.DiGraph()
    source.add_node("voice", type="input")
    source.add_node("out", type="output", name="song")
    source.add_edge("voice", "out")
    assert from_networkx(source) == MixGraph(("input", "output"), ((0, 1),), ("", "song"), ("",))


def test_networkx_errors_name_the_cause():
    with pytest.raises(TypeError, match=r"a networkx.DiGraph or MultiDiGraph is needed, got Graph"):
        from_networkx(nx.Graph())
    source = to_networkx(console())
    del source.nodes[4]["type"]
    with pytest.raises(ValueError, match=r"node 4 has no attribute 'type'; it has \['name', 'song', 'subgroup'\]"):
        from_networkx(source)
    with pytest.raises(ValueError, match=r"weights: \(8,\) is needed, one a processor, got \(2,\)"):
        to_networkx(console(), torch.zeros(2))


def test_pyg_data_has_the_graph_as_tensors():
    data = to_pyg(build_console({"drums": ["kick"]}, "g", "e"), weights=torch.tensor([0.25, 0.5]))
    assert data.x.tolist() == [0, 6, 1, 5, 2]
    assert data.edge_index.tolist() == [[0, 1, 2, 3], [1, 2, 3, 4]]
    assert data.source_index.tolist() == [0]
    assert data.processor_index.tolist() == [1, 3]
    assert data.weight.tolist() == [0.25, 0.5]
    assert data.name == ["kick", "kick", "drums", "drums", ""]
    assert data.subgroup == ["drums"]
    data.validate()


def test_a_batch_keeps_tracks_nodes_and_edges_together(processors):
    graphs = [shuffled(console("eg", ("kick", "snare", "hat"))), shuffled(console("gd", name="two"), seed=1)]
    weights = [torch.rand(len(g.processors), generator=torch.Generator().manual_seed(i)) for i, g in enumerate(graphs)]
    parameters = [draw(g, processors, i) for i, g in enumerate(graphs)]
    items = [to_pyg(g, p, w, -w, processors) for g, p, w in zip(graphs, parameters, weights, strict=True)]
    joined = Batch.from_data_list(items, follow_batch=["source_index"])
    whole = batch(graphs)
    assert joined.edge_index.T.tolist() == [list(edge) for edge in whole.edges]
    assert joined.source_index.tolist() == list(whole.inputs)
    assert joined.source_index_batch.tolist() == [0] * 4 + [1] * 3
    assert joined.processor_index.tolist() == list(whole.processors)
    assert joined.weight.tolist() == torch.cat(weights).tolist()
    assert joined.loss_increase.tolist() == (-torch.cat(weights)).tolist()
    assert from_pyg(joined) == whole
    assert [from_pyg(item) for item in joined.to_data_list()] == graphs
    # Row r of a type's parameters is still the r-th node with its id: first one graph's rows, then the other's.
    converted = parameters_from_pyg(joined, processors)
    assert converted.keys() == {"equalizer", "gain_panning", "delay", "reverb"}
    assert torch.equal(
        converted["gain_panning"]["log_gain"], torch.cat([p["gain_panning"]["log_gain"] for p in parameters])
    )
    assert torch.equal(converted["delay"]["delay_z"], parameters[1]["delay"]["delay_z"])
    assert joined.param_equalizer.shape == (4, 1024)
    assert joined.param_noisegate.shape == (0, 4)


def test_parameters_come_back_exactly(processors):
    graph = prune(console("ecnsgdr"), console("ecnsgdr").processors[::2])[0]
    parameters = draw(graph, processors, 0)
    converted = parameters_from_pyg(to_pyg(graph, parameters, processors=processors), processors)
    assert converted.keys() == parameters.keys()
    for node_type, type_parameters in parameters.items():
        assert converted[node_type].keys() == type_parameters.keys()
        assert all(torch.equal(converted[node_type][name], value) for name, value in type_parameters.items())


def test_pyg_errors_name_the_cause(processors):
    graph = console()
    with pytest.raises(ValueError, match="processors: needed with parameters"):
        to_pyg(graph, {})
    with pytest.raises(ValueError, match=r"parameters: equalizer.log_magnitude: \(3, 1024\) is needed, got none"):
        to_pyg(graph, {}, processors=processors)
    wrong = {"equalizer": {"log_magnitude": torch.zeros(3, 5)}}
    with pytest.raises(ValueError, match=r"equalizer.log_magnitude: \(3, 1024\) is needed, got \(3, 5\)"):
        to_pyg(graph, wrong, processors=processors)
    with pytest.raises(ValueError, match=r"loss_increases: \(8,\) is needed"):
        to_pyg(graph, loss_increases=torch.zeros(1))
    with pytest.raises(ValueError, match="unknown type 'phaser'; known are input, mix"):
        to_pyg(MixGraph(("input", "phaser", "output"), ((0, 1), (1, 2)), ("", "", ""), ("",)))
    with pytest.raises(ValueError, match=r"data.x: type ids 0, 1, .*, 19.* are known, got 99"):
        from_pyg(Data(x=torch.tensor([99])))
    with pytest.raises(ValueError, match="data: param_equalizer is missing"):
        parameters_from_pyg(to_pyg(graph), processors)
    data = to_pyg(graph, draw(graph, processors, 0), processors=processors)
    data.param_equalizer = data.param_equalizer[:, 1:]
    with pytest.raises(ValueError, match="param_equalizer: 1024 columns are needed, got 1023"):
        parameters_from_pyg(data, processors)


def test_ports_go_through_networkx_and_pyg():
    graph = build_console({"a": ["x", "y"], "b": ["z"]}, "t(,)e", "b(c,g)", sidechains={"b": "a", "x": "y"})
    assert graph.has_ports
    assert max(Counter(graph.edges).values()) == 2  # mid and side meet again
    assert from_networkx(to_networkx(graph)) == graph
    assert from_pyg(to_pyg(graph)) == graph
    for graphs in ([graph, console()], [console(), graph]):
        assert from_pyg(Batch.from_data_list(list(map(to_pyg, graphs)))) == batch(graphs)
