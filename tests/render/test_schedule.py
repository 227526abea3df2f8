"""Schedules: partition, causal, homogeneous (paper C.1), and short."""

import random

import pytest

from mixgraph.graph import MixGraph, batch, build_console, prune
from mixgraph.render import console_order, schedule
from mixgraph.render.schedule_tree import schedule_tree

METHODS = ["auto", "beam", "greedy", "one_by_one"]
CHAIN = ["equalizer", "compressor", "noisegate", "stereo_imager", "gain_panning", "delay", "reverb"]


def assert_valid(graph, steps):
    nodes = [node for _, step in steps for node in step]
    assert sorted(nodes) == list(range(len(graph)))  # a partition
    done = set()
    for node_type, step in steps:
        assert {graph.types[node] for node in step} == {node_type}  # homogeneous
        assert all(p in done for node in step for p in graph.predecessors[node])  # causal
        done |= set(step)


@pytest.fixture(scope="module")
def zigzag():
    """Two chains with opposite orders: no common order."""
    types = ("input", "equalizer", "reverb", "input", "reverb", "equalizer", "output")
    edges = ((0, 1), (1, 2), (2, 6), (3, 4), (4, 5), (5, 6))
    return MixGraph(types, edges, ("n",) * 7, ("", ""))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(15))
def test_schedules_of_any_acyclic_graph_are_valid(random_graph, seed, method):
    graph = random_graph(seed, nodes=14)
    steps = schedule(graph, method)
    assert_valid(graph, steps)
    if method != "one_by_one":
        assert steps[0] == ("input", graph.inputs)
        assert steps[-1] == ("output", graph.outputs)
        assert len(steps) <= len(schedule(graph, "one_by_one"))
    assert steps == schedule(graph, method)  # the same graph gives the same schedule


def test_beam_is_no_longer_than_greedy(random_graph):
    lengths = [
        (len(schedule(g, "beam")), len(schedule(g, "greedy"))) for g in (random_graph(s, nodes=16) for s in range(20))
    ]
    assert all(beam <= greedy for beam, greedy in lengths)
    assert any(beam < greedy for beam, greedy in lengths)


@pytest.mark.parametrize("method", ["auto", "fixed", "beam"])
@pytest.mark.parametrize("tracks", [1, 3, 8])
def test_a_full_console_takes_17_steps(tracks, method):
    graph = build_console({f"g{i}": [f"t{i}{k}" for k in range(tracks)] for i in range(2)})
    steps = schedule(graph, method)
    assert_valid(graph, steps)
    assert [node_type for node_type, _ in steps] == ["input", *CHAIN, "mix", *CHAIN, "output"]
    assert [len(nodes) for _, nodes in steps] == [2 * tracks] * 8 + [2] * 8 + [1]


def test_one_by_one_takes_a_step_a_node():
    graph = build_console({"a": ["x", "y"]}, "eg", "r")
    steps = schedule(graph, "one_by_one")
    assert [len(nodes) for _, nodes in steps] == [1] * len(graph)
    assert_valid(graph, steps)


@pytest.mark.parametrize("seed", range(20))
def test_pruned_consoles_keep_the_order(seed):
    graph = build_console({"a": ["x", "y", "z"], "b": ["u", "v"]})
    rng = random.Random(seed)
    pruned, _ = prune(graph, [node for node in graph.processors if rng.random() < 0.3])
    steps = schedule(pruned, "fixed")
    assert_valid(pruned, steps)
    shortest = len(schedule(pruned, "auto"))
    assert shortest == min(len(steps), len(schedule(pruned, "beam")))
    # The console's own order serves what pruning leaves of it.
    assert_valid(pruned, schedule(pruned, "fixed", console_order(graph)))


def test_a_common_order_can_be_longer_than_what_a_search_finds():
    """A bare track under a full subgroup chain, beside a full track under a bare subgroup."""
    graph = build_console({"a": ["bare"], "b": ["full"]})
    keep = [i for i in graph.processors if graph.label(i).startswith(("subgroup a", "track full"))]
    assert len(keep) == 14
    pruned, _ = prune(graph, keep)
    lengths = {method: len(schedule(pruned, method)) for method in ("fixed", "greedy", "beam", "auto", "one_by_one")}
    # fixed: the track's chain, then the subgroup's. Both at once: input, mix of the bare track, the chain, mix, output.
    assert lengths == {"fixed": 17, "greedy": 17, "beam": 11, "auto": 11, "one_by_one": 19}
    assert_valid(pruned, schedule(pruned))


def test_a_pruned_console_skips_types_that_are_gone():
    graph = build_console({"a": ["x", "y"]})
    keep = [node for node in graph.processors if graph.types[node] in ("equalizer", "reverb")]
    order = ["input", "equalizer", "reverb", "mix", "equalizer", "reverb", "output"]
    assert [t for t, _ in schedule(prune(graph, keep)[0])] == order
    assert [t for t, _ in schedule(prune(graph, [])[0])] == ["input", "mix", "output"]


def test_batches_share_their_steps():
    a = build_console({"a": ["x", "y"]})
    b = prune(a, [node for node in a.processors if a.types[node] in ("reverb", "gain_panning")])[0]
    joined = batch([a, b, a])
    assert_valid(joined, schedule(joined))
    assert len(schedule(joined)) == 17


def test_console_order():
    graph = build_console({"a": ["x", "y"], "b": ["z"]}, "eg", "rc")
    assert console_order(graph) == ["input", "equalizer", "gain_panning", "mix", "reverb", "compressor", "output"]
    assert console_order(build_console({"a": ["x"]}, "", "")) == ["input", "mix", "output"]


def test_beam_finds_what_a_common_order_cannot(zigzag):
    # e r / r e: input, e, r, e, output with r serving both: five steps.
    for method in ("auto", "beam"):
        steps = schedule(zigzag, method)
        assert_valid(zigzag, steps)
        assert len(steps) == 5


def test_order_errors(zigzag):
    with pytest.raises(ValueError, match=r"no common order of types .*; use method='beam'"):
        schedule(zigzag, "fixed")
    with pytest.raises(ValueError, match="no common order"):
        console_order(zigzag)
    graph = build_console({"a": ["x"]}, "eg", "")
    with pytest.raises(ValueError, match=r"order: \['input', 'gain_panning', .*\] leaves node 2"):
        schedule(graph, "fixed", ["input", "gain_panning", "equalizer", "mix", "output"])
    with pytest.raises(ValueError, match=r"leaves node 4 \(output\) unprocessed"):
        schedule(graph, "fixed", ["input", "equalizer", "gain_panning", "mix"])
    with pytest.raises(ValueError, match="method: one of auto, fixed, beam, greedy, one_by_one, got 'best'"):
        schedule(graph, "best")


def test_a_given_order_may_name_types_that_are_absent():
    graph = build_console({"a": ["x"]}, "eg", "")
    steps = schedule(graph, "fixed", ["input", "reverb", "equalizer", "delay", "gain_panning", "mix", "mix", "output"])
    assert steps == [("input", (0,)), ("equalizer", (1,)), ("gain_panning", (2,)), ("mix", (3,)), ("output", (4,))]


def test_the_tree_has_every_schedule_once(random_graph, zigzag):
    """Counted by sets of nodes, as by walking all sequences of types; no beam is shorter than its shortest."""
    for graph in (zigzag, *(random_graph(seed, nodes=9) for seed in range(6))):
        tree = schedule_tree(graph, most_branches=10**6)
        assert tree.is_whole
        assert tuple(map(len, tree.levels)) == tree.sequences
        assert tuple(sum(branch.is_end for branch in level) for level in tree.levels) == tree.ends
        assert tree.shortest <= len(schedule(graph, "auto")) <= len(schedule(graph, "greedy"))
    tree = schedule_tree(zigzag)  # i e r e o and i r e r o, which meet before the output
    assert (tree.sequences, tree.states, tree.ends) == ((1, 2, 2, 2, 2), (1, 2, 2, 1, 1), (0, 0, 0, 0, 2))


def test_a_tree_that_is_cut_says_so():
    graph = build_console({f"g{i}": [f"t{i}"] for i in range(4)})
    keep = [node for n, node in enumerate(graph.processors) if n % 3]
    left = prune(graph, keep)[0]
    whole, cut = schedule_tree(left), schedule_tree(left, most_branches=20, most_states=4)
    assert sum(map(len, cut.levels)) <= 20
    assert not cut.is_whole
    assert cut.shortest is None
    assert cut.sequences == whole.sequences[: len(cut.sequences)]
    assert max(cut.states) <= 4 < max(whole.states)
