"""The graph as a value: what it says of itself, and what it refuses to be."""

import dataclasses
import itertools

import pytest

from mixgraph.graph import MixGraph, build_console

# 0 input -> 2 equalizer -> 4 mix; 1 input -> 3 gain -> 4 and, past its gain, 1 -> 4; 4 -> 5 gain -> 6 output
TYPES = ("input", "input", "equalizer", "gain_panning", "mix", "gain_panning", "output")
EDGES = ((0, 2), (1, 3), (2, 4), (3, 4), (1, 4), (4, 5), (5, 6))
NAMES = ("kick", "snare", "kick", "snare", "drums", "drums", "song")
GROUPS = ("drums", "drums")


def graph(types=TYPES, edges=EDGES, names=NAMES, subgroups=GROUPS, songs=()):
    return MixGraph(types, edges, names, subgroups, songs)


def test_what_a_graph_says_of_itself():
    g = graph()
    assert len(g) == 7
    assert g.predecessors == ((), (), (0,), (1,), (2, 3, 1), (4,), (5,))
    assert g.successors == ((2,), (3, 4), (4,), (4,), (5,), (6,), ())
    assert g.inputs == (0, 1)
    assert g.outputs == (6,)
    assert g.processors == (2, 3, 5)
    assert g.rows == (0, 1, 0, 0, 0, 1, 0)
    assert g.nodes_of("gain_panning") == (3, 5)
    assert g.count() == {"equalizer": 1, "gain_panning": 2}
    assert g.songs == (0,) * 7
    assert g.num_songs == 1
    place = {node: i for i, node in enumerate(g.topological_order)}
    assert sorted(place) == list(range(7))
    assert all(place[s] < place[d] for s, d in EDGES)


def test_a_graph_is_a_frozen_value():
    g = graph()
    assert g == graph()
    assert hash(g) == hash(graph())
    assert g != graph(names=("tom", *NAMES[1:]))
    with pytest.raises(dataclasses.FrozenInstanceError):
        g.types = ()


def test_labels_and_chain_heads():
    g = graph()
    assert [g.label(i) for i in range(7)] == [
        "track kick",
        "track snare",
        "track kick: equalizer",
        "track snare: gain_panning",
        "subgroup drums",
        "subgroup drums: gain_panning",
        "output song",
    ]
    assert [g.chain_head(i) for i in range(6)] == [0, 1, 0, 1, 4, 4]
    assert build_console({"a": ["x"]}, "", "").label(2) == "output"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": NAMES[1:]}, r"names: one entry a node is needed \(7 nodes\), got 6"),
        ({"songs": (0, 0)}, r"songs: one entry a node is needed \(7 nodes\), got 2"),
        ({"subgroups": ("drums",)}, r"subgroups: one entry an input is needed \(2 inputs\), got 1"),
        ({"edges": (*EDGES, (4, 7))}, r"edge 4 -> 7: node numbers go from 0 to 6"),
        ({"edges": (*EDGES, (-1, 4))}, r"edge -1 -> 4: node numbers go from 0 to 6"),
        ({"edges": (*EDGES, (2, 4))}, r"edge 2 -> 4 is given twice"),
        ({"edges": (*EDGES, (3, 1))}, r"the graph has a cycle: (1 -> 3 -> 1|3 -> 1 -> 3)"),
        ({"edges": (*EDGES, (5, 5))}, r"the graph has a cycle: 5 -> 5"),
        ({"edges": (*EDGES, (0, 1))}, r"node 1 \(input 'snare'\): an input has no predecessors, got \[0\]"),
        ({"edges": ((0, 4), *EDGES[1:])}, r"node 2 \(equalizer 'kick'\) is dangling: nothing feeds it"),
        ({"edges": (*EDGES[:2], *EDGES[3:])}, r"node 2 \(equalizer 'kick'\) is dangling: it feeds nothing"),
        ({"edges": EDGES[1:4] + EDGES[5:], "types": ("input", "input", "input", *TYPES[3:])}, r"subgroups: .*got 2"),
        (
            {"types": (*TYPES, "output"), "names": (*NAMES, "b"), "edges": (*EDGES, (4, 7))},
            r"song 0: exactly one output is needed, got 2",
        ),
        (
            {"types": (*TYPES, "output"), "names": (*NAMES, "b"), "edges": (*EDGES, (6, 7))},
            r"node 6 \(output 'song'\): an output has no successors, got \[7\]",
        ),
        ({"songs": (0, 1, 0, 1, 0, 0, 0)}, r"edge 3 -> 4 connects two songs; songs must be disconnected"),
        ({"songs": (1,) * 7}, r"song 0: exactly one output is needed, got 0"),
    ],
)
def test_what_a_graph_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        graph(**changes)


def test_a_long_cycle_is_shown_with_its_path():
    types = ("input", "mix", "equalizer", "compressor", "reverb", "output")
    edges = ((0, 1), (1, 2), (2, 3), (3, 4), (4, 1), (4, 5))
    with pytest.raises(ValueError, match="the graph has a cycle: ") as error:
        MixGraph(types, edges, ("x",) * 6, ("",))
    path = [int(node) for node in str(error.value).split(": ")[1].split(" -> ")]
    assert path[0] == path[-1]
    assert sorted(path[1:]) == [1, 2, 3, 4]
    assert all((a, b) in edges for a, b in itertools.pairwise(path))


def test_a_node_behind_a_cycle_is_not_shown_as_part_of_it():
    types = ("input", "mix", "equalizer", "gain_panning", "output")
    edges = ((0, 1), (1, 2), (2, 1), (2, 3), (3, 4))
    with pytest.raises(ValueError, match=r"cycle: (1 -> 2 -> 1|2 -> 1 -> 2)$"):
        MixGraph(types, edges, ("x",) * 5, ("",))


def test_members_of_subgroups_leave_out_buses_and_the_master():
    console = build_console({"a": ("x", "y"), "b": ("z",)}, "g", "g", "", "e", {"room": "r"})
    assert console.members == {"a": (0, 1), "b": (2,)}
