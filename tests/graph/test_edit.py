"""Prune, batch, unbatch, relabel: every row and name must follow."""

import random

import pytest

from mixgraph.graph import MixGraph, batch, build_console, keep_by_type, prune, relabel, unbatch
from mixgraph.processors import registered

SUBGROUPS = {"drums": ["kick", "snare"], "bass": ["bass"], "keys": ["piano", "organ", "pad"]}


def console(name="song"):
    return build_console(SUBGROUPS, name=name)


def tag(graph, node):
    return f"{graph.names[node]}/{graph.types[node]}/{graph.label(node)}"


def tags_by_row(graph):
    """Per type, the tag of each parameter row, in order."""
    return {t: [tag(graph, node) for node in graph.nodes_of(t)] for t in graph.count()}


def tags_of_weights(graph):
    return [tag(graph, node) for node in graph.processors]


def random_keep(graph, seed):
    rng = random.Random(seed)
    share = rng.choice([0.1, 0.3, 0.5, 0.9])
    return [node for node in graph.processors if rng.random() < share]


@pytest.mark.parametrize("seed", range(100))
def test_random_prunings_keep_what_they_should(seed):
    graph = console()
    keep = random_keep(graph, seed)
    pruned, index = prune(graph, keep)  # a MixGraph validates itself
    kept_tags = [tag(graph, node) for node in graph.processors if node in keep]
    assert tags_of_weights(pruned) == kept_tags
    # The index moves every parameter row and every weight to the node that it belonged to.
    assert [tags_of_weights(graph)[i] for i in index.processors] == kept_tags
    assert set(index.rows) == set(graph.count())
    old, new = tags_by_row(graph), tags_by_row(pruned)
    for node_type, rows in index.rows.items():
        assert [old[node_type][row] for row in rows] == new.get(node_type, [])
    assert len(pruned) == len(graph) - len(graph.processors) + len(keep)
    assert [pruned.names[i] for i in pruned.inputs] == [graph.names[i] for i in graph.inputs]
    assert pruned.subgroups == graph.subgroups
    # What is left of each chain is in its order and under its head.
    order = list(registered())
    for node in pruned.processors:
        assert pruned.types[node] in order
        assert pruned.names[pruned.chain_head(node)] == pruned.names[node]
    assert len(pruned.edges) == len(pruned) - 1


@pytest.mark.parametrize("seed", range(20))
def test_pruning_twice_is_pruning_once(seed):
    graph = console()
    first = random_keep(graph, seed)
    once, index = prune(graph, first)
    second = random_keep(once, seed + 1000)
    twice, index_2 = prune(once, second)
    old_of = [node for node in graph.processors if node in first]
    direct, whole = prune(graph, [old_of[once.processors.index(node)] for node in second])
    assert twice == direct
    assert tuple(index.processors[i] for i in index_2.processors) == whole.processors
    for node_type, rows in whole.rows.items():
        assert tuple(index.rows[node_type][row] for row in index_2.rows.get(node_type, ())) == rows


def test_pruning_everything_leaves_the_sums():
    pruned, index = prune(console(), [])
    assert pruned == build_console(SUBGROUPS, "", "", "song")
    assert index.processors == ()
    assert set(index.rows.values()) == {()}


def test_pruning_nothing_is_the_identity():
    graph = console()
    same, index = prune(graph, graph.processors)
    assert sorted(same.edges) == sorted(graph.edges)
    assert (same.types, same.names, same.subgroups, same.songs) == (
        graph.types,
        graph.names,
        graph.subgroups,
        graph.songs,
    )
    assert index.processors == tuple(range(len(graph.processors)))
    assert index.rows == {t: tuple(range(n)) for t, n in graph.count().items()}


def test_keep_by_type():
    graph = console()
    pruned, _ = prune(graph, keep_by_type(graph, ["gain_panning", "reverb"]))
    chain = [pruned.types[node] for node in pruned.processors]
    assert chain == ["gain_panning", "reverb"] * 9
    with pytest.raises(ValueError, match=r"types: \['mix'\] are not processor types"):
        keep_by_type(graph, ["mix", "reverb"])


@pytest.mark.parametrize("node", [0, 48, 72, 1000, -1])
def test_only_processors_can_be_kept(node):
    with pytest.raises(ValueError, match=f"keep: node {node} is not a processor of this graph"):
        prune(console(), [7, node])


def beside_a_bypass():
    # 0 -> 1 (gain) -> 2 (mix), and 0 -> 2 directly
    return MixGraph(
        ("input", "gain_panning", "mix", "output"), ((0, 1), (1, 2), (0, 2), (2, 3)), ("x", "x", "m", ""), ("",)
    )


def test_two_edges_between_two_nodes_are_refused():
    with pytest.raises(ValueError, match="pruning would connect two nodes twice at subgroup m; keep one"):
        prune(beside_a_bypass(), [])


def test_removed_nodes_in_a_row_and_fan_out():
    # 0 -> 1 -> 2, which feeds 3 and 4; both are summed at 5
    types = ("input", "equalizer", "reverb", "gain_panning", "delay", "mix", "output")
    graph = MixGraph(types, ((0, 1), (1, 2), (2, 3), (2, 4), (3, 5), (4, 5), (5, 6)), tuple("abcdefg"), ("",))
    pruned, index = prune(graph, [3, 4])
    assert pruned.types == ("input", "gain_panning", "delay", "mix", "output")
    assert pruned.edges == ((0, 1), (0, 2), (1, 3), (2, 3), (3, 4))
    assert pruned.names == ("a", "d", "e", "f", "g")
    assert index.processors == (2, 3)
    assert index.rows == {"equalizer": (), "reverb": (), "gain_panning": (0,), "delay": (0,)}


def test_batch_and_back():
    graphs = [
        build_console({"a": ["x", "y"], "b": ["z"]}, "eg", "r", "one"),
        prune(console("two"), [8, 50, 60])[0],
        build_console({"solo": ["s"]}, "", "", "three"),
    ]
    joined = batch(graphs)
    assert joined.num_songs == 3
    assert len(joined) == sum(map(len, graphs))
    assert unbatch(joined) == graphs
    # Rows of parameters, weights and sources follow one another.
    assert tags_of_weights(joined) == [t for graph in graphs for t in tags_of_weights(graph)]
    for node_type, tags in tags_by_row(joined).items():
        assert tags == [t for graph in graphs for t in tags_by_row(graph).get(node_type, [])]
    assert joined.subgroups == tuple(s for graph in graphs for s in graph.subgroups)
    assert [joined.names[i] for i in joined.outputs] == ["one", "two", "three"]


def test_batches_can_be_batched_and_pruned():
    a, b = console("a"), build_console({"g": ["x"]}, "eg", "", "b")
    nested = batch([batch([a, b]), a])
    assert nested == batch([a, b, a])
    keep = random_keep(nested, 3)
    pruned, _ = prune(nested, keep)
    shift = len(a)
    alone = [
        prune(a, [n for n in keep if n < shift])[0],
        prune(b, [n - shift for n in keep if shift <= n < shift + len(b)])[0],
        prune(a, [n - shift - len(b) for n in keep if n >= shift + len(b)])[0],
    ]
    assert unbatch(pruned) == alone
    with pytest.raises(ValueError, match="graphs: at least one graph is needed, got none"):
        batch([])


@pytest.mark.parametrize("seed", range(10))
def test_relabel_renames_nodes_only(seed):
    graph = batch([console("a"), build_console({"g": ["x"]}, "eg", "", "b")])
    order = list(range(len(graph)))
    random.Random(seed).shuffle(order)
    other = relabel(graph, order)
    assert [other.names[i] for i in range(len(graph))] == [graph.names[i] for i in order]
    assert [other.types[i] for i in range(len(graph))] == [graph.types[i] for i in order]
    assert {(order[s], order[d]) for s, d in other.edges} == set(graph.edges)
    group = dict(zip(graph.inputs, graph.subgroups, strict=True))
    assert list(other.subgroups) == [group[order[i]] for i in other.inputs]
    back = relabel(other, [order.index(i) for i in range(len(graph))])
    assert (back.types, back.names, back.subgroups, back.songs) == (
        graph.types,
        graph.names,
        graph.subgroups,
        graph.songs,
    )
    assert sorted(back.edges) == sorted(graph.edges)


@pytest.mark.parametrize("order", [[0, 1], [0, 0, 1, 2], [1, 2, 3, 4]])
def test_relabel_needs_a_permutation(order):
    with pytest.raises(ValueError, match=r"order: a permutation of 0\.\.3 is needed"):
        relabel(beside_a_bypass(), order)
