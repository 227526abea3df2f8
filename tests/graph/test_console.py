"""Consoles of any chains and subgroups."""

import itertools
from pathlib import Path

import pytest
import yaml

from mixgraph.graph import build_console, prune
from mixgraph.processors import types_from_letters
from mixgraph.recovery import compare_graphs

SUBGROUPS = {"drums": ["kick", "snare"], "bass": ["bass"], "keys": ["piano", "organ", "pad"]}
TABLE_1 = ["", "g", "sg", "esg", "esgr", "ecsgr", "ecnsgr", "ecnsgdr"]  # the rows of the paper's Table 1
SAMPLE = ["".join(p) for n in (1, 2, 3) for p in itertools.permutations("ecnsgdr", n)][::17]


def walk_back(graph, node):
    """The types from the chain's head to `node`."""
    head = graph.chain_head(node)
    types = []
    while node != head:
        types.append(graph.types[node])
        (node,) = graph.predecessors[node]
    return head, types[::-1]


@pytest.mark.parametrize(
    ("track_chain", "subgroup_chain"),
    [*((c, c) for c in TABLE_1 + SAMPLE), ("ecnsgdr", ""), ("", "ecnsgdr"), ("esg", "cr"), ("gdg", "ee")],
)
def test_console(track_chain, subgroup_chain):
    graph = build_console(SUBGROUPS, track_chain, subgroup_chain, name="song")
    tracks, groups, n, m = 6, 3, len(track_chain), len(subgroup_chain)
    assert len(graph) == tracks + n * tracks + groups + m * groups + 1
    assert len(graph.processors) == n * tracks + m * groups
    assert len(graph.edges) == len(graph) - 1  # a tree: one edge out of each node but the output
    assert [graph.names[i] for i in graph.inputs] == ["kick", "snare", "bass", "piano", "organ", "pad"]
    assert graph.subgroups == ("drums", "drums", "bass", "keys", "keys", "keys")
    assert [graph.names[i] for i in graph.nodes_of("mix")] == ["drums", "bass", "keys"]
    (output,) = graph.outputs
    assert output == len(graph) - 1
    assert graph.names[output] == "song"
    heads = []
    for end in graph.predecessors[output]:
        head, types = walk_back(graph, end)
        assert types == list(types_from_letters(subgroup_chain))
        assert graph.types[head] == "mix"
        heads.append(graph.names[head])
        members = []
        for track_end in graph.predecessors[head]:
            source, track_types = walk_back(graph, track_end)
            assert track_types == list(types_from_letters(track_chain))
            assert graph.types[source] == "input"
            members.append(graph.names[source])
        assert members == SUBGROUPS[graph.names[head]]
    assert heads == list(SUBGROUPS)


def test_node_order_of_a_small_console():
    graph = build_console({"a": ["x", "y"], "b": ["z"]}, "g", "e")
    assert graph.types == (
        *["input"] * 3,
        *["gain_panning"] * 3,
        "mix",
        "equalizer",
        "mix",
        "equalizer",
        "output",
    )
    assert graph.edges == ((0, 3), (1, 4), (2, 5), (3, 6), (4, 6), (6, 7), (5, 8), (8, 9), (7, 10), (9, 10))
    assert graph.names == ("x", "y", "z", "x", "y", "z", "a", "a", "b", "b", "")
    assert graph.label(7) == "subgroup a: equalizer"


def test_processors_carry_the_name_of_what_they_work_on():
    graph = build_console(SUBGROUPS)
    for node in graph.processors:
        assert graph.names[node] == graph.names[graph.chain_head(node)]


@pytest.mark.parametrize(
    ("subgroups", "message"),
    [
        ({}, "subgroups: a console needs at least one track, got none"),
        ({"a": []}, "subgroups: a console needs at least one track, got none"),
        ({"a": ["x"], "b": []}, "subgroups: 'b' has no tracks"),
        ({"a": ["x"], "b": ["y", "x"]}, r"track 'x' must be in exactly one subgroup, got \['a', 'b'\]"),
        ({"a": ["x", "x"]}, r"track 'x' must be in exactly one subgroup, got \['a'\]"),
    ],
)
def test_what_a_console_refuses(subgroups, message):
    with pytest.raises(ValueError, match=message):
        build_console(subgroups)


@pytest.mark.parametrize("chains", [("ez", ""), ("", "ez")])
def test_unknown_letters(chains):
    with pytest.raises(ValueError, match="unknown processor letter 'z' in chain 'ez'; known are"):
        build_console({"a": ["z"]}, *chains)


def test_a_master_chain_works_on_the_sum_of_the_subgroups():
    plain, graph = build_console(SUBGROUPS, "e", "g"), build_console(SUBGROUPS, "e", "g", "song", "cr")
    assert graph.types[: len(plain) - 1] == plain.types[:-1]
    (output,) = graph.outputs
    head, chain = walk_back(graph, graph.predecessors[output][0])
    assert chain == ["compressor", "reverb"]
    assert [graph.names[walk_back(graph, end)[0]] for end in graph.predecessors[head]] == list(SUBGROUPS)
    labels = [graph.label(node) for node in graph.processors]
    assert labels[-2:] == ["master mix: compressor", "master mix: reverb"]
    assert {graph.level(node) for node in plain.processors} == {"track", "subgroup"}
    pruned, _ = prune(graph, graph.processors[-2:])  # subgroups without processors are still sums
    assert [pruned.level(node) for node in pruned.processors] == ["master", "master"]


def test_every_track_sends_to_every_return():
    returns = {"room": "er", "echo": "d"}
    graph = build_console(SUBGROUPS, "e", "g", returns=returns)
    plain = build_console(SUBGROUPS, "e", "g")
    assert graph.types[: len(plain) - 1] == plain.types[:-1]
    (output,) = graph.outputs
    buses = graph.predecessors[output][len(SUBGROUPS) :]
    for bus, (name, letters) in zip(buses, returns.items(), strict=True):
        head, chain = walk_back(graph, bus)
        assert (graph.names[head], chain) == (name, list(types_from_letters(letters)))
        assert {graph.level(node) for node in (head, bus)} == {"return"}
        sends = graph.predecessors[head]
        assert [graph.label(send) for send in sends] == [
            f"track {graph.names[i]}: send to {name}" for i in graph.inputs
        ]
        ends = [graph.predecessors[send] for send in sends]
        assert [graph.types[end] for (end,) in ends] == ["equalizer"] * len(graph.inputs)
    whole = build_console(SUBGROUPS, "e", "g", "", "c", returns)
    assert [whole.label(node) for node in whole.nodes_of("compressor")] == ["master mix: compressor"]


def test_a_return_without_sends_goes():
    graph = build_console({"a": ["x", "y"]}, "e", "g", returns={"room": "er", "echo": "d"})
    sends = graph.nodes_of("send")
    kept, index = prune(graph, [node for node in graph.processors if node not in sends[:2]])
    assert build_console({"a": ["x", "y"]}, "e", "g", returns={"echo": "d"}) == kept
    assert index.rows == {"equalizer": (0, 1), "gain_panning": (0,), "send": (2, 3), "reverb": (), "delay": (0,)}
    pruned, _ = prune(graph, [node for node in graph.processors if node != sends[0]])
    assert pruned.count() == {**graph.count(), "send": 3}
    none, _ = prune(graph, [])
    assert none == prune(build_console({"a": ["x", "y"]}, "e", "g"), [])[0]


@pytest.mark.parametrize(
    ("chains", "returns", "message"),
    [
        (("ea",), {}, "chain 'ea': a .send. would cut it"),
        (("e",), {"room": "ra"}, "chain 'ra': a .send. would cut it"),
        (("e",), {"room": ""}, "returns: 'room': a name that no subgroup has, and letters of a chain, got ''"),
        (("e",), {"a": "r"}, "returns: 'a': a name that no subgroup has"),
    ],
)
def test_what_returns_refuse(chains, returns, message):
    with pytest.raises(ValueError, match=message):
        build_console({"a": ["x"]}, *chains, returns=returns)


def test_a_subgroup_of_its_own_is_no_master():
    graph = build_console({"a": ["x"]}, "g", "g")
    assert [graph.level(node) for node in graph.processors] == ["track", "subgroup"]


def test_chains_part_at_splitters_and_come_together_again() -> None:
    graph = build_console({"a": ["x"]}, "et(c,sg)r", "")
    types = ("input", "equalizer", "mid_side_splitter", "compressor", "stereo_imager", "gain_panning", "reverb")
    assert graph.types == (*types, "mix", "output")
    cables = dict(zip(graph.edges, graph.ports, strict=True))
    assert cables == {
        (0, 1): (0, 0),
        (1, 2): (0, 0),
        (2, 3): (0, 0),
        (2, 4): (1, 0),
        (4, 5): (0, 0),
        (3, 6): (0, 0),
        (5, 6): (0, 0),
        (6, 7): (0, 0),
        (7, 8): (0, 0),
    }
    assert [graph.level(node) for node in range(1, 7)] == ["track"] * 6
    assert graph.label(6) == "track x: reverb"


def test_an_empty_branch_and_nested_splitters() -> None:
    graph = build_console({"a": ["x"]}, "", "b(,b(c,))")
    # input, mix, splitter, splitter, compressor, output: three bands meet in the output
    assert graph.types == ("input", "mix", "band_splitter", "band_splitter", "compressor", "output")
    assert set(zip(graph.edges, graph.ports, strict=True)) == {
        ((0, 1), (0, 0)),
        ((1, 2), (0, 0)),
        ((2, 5), (0, 0)),
        ((2, 3), (1, 0)),
        ((3, 4), (0, 0)),
        ((4, 5), (0, 0)),
        ((3, 5), (1, 0)),
    }
    assert [graph.level(node) for node in (2, 3, 4)] == ["subgroup"] * 3


def test_sidechains_listen_to_the_end_of_a_chain() -> None:
    graph = build_console(
        {"low": ["kick", "bass"], "high": ["voice"]}, "c", "e", sidechains={"bass": "kick", "low": "high"}
    )
    labels = {graph.label(node): node for node in range(len(graph))}
    keyed = {
        graph.label(node): [graph.label(k) for k in graph.keys[node]] for node in graph.nodes_of("sidechain_compressor")
    }
    assert keyed == {
        "track bass: sidechain_compressor": ["track kick: compressor"],
        "subgroup low: sidechain_compressor": ["subgroup high: equalizer"],
    }
    assert graph.successors[labels["track bass: sidechain_compressor"]] == (labels["subgroup low"],)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"track_chain": "et"}, r"t\(\.\.\.,\.\.\.\) with a chain for each of mid, side is needed"),
        ({"track_chain": "t(c)"}, "mid, side is needed"),
        ({"track_chain": "t(c,g,e)"}, "mid, side is needed"),
        ({"track_chain": "t(c,g"}, "mid, side is needed"),
        ({"track_chain": "e(c,g)"}, r"'\(c,g\)' is left over"),
        ({"track_chain": "ec)"}, "left over"),
        ({"track_chain": "ex"}, "needs a key; `sidechains` names it"),
        ({"sidechains": {"kick": "x"}}, "'kick' is no track or subgroup; there are x, y, a, b"),
        ({"track_chain": "t(c(e)"}, "mid, side is needed"),
        ({"track_chain": "b(t(c(e,g),s)"}, r"'b\(t\(c\(e,g\),s\)': mid_side_splitter: .*mid, side is needed"),
        ({"track_chain": "ez(c,g)"}, r"unknown processor letter 'z' in chain 'ez\(c,g\)'; known are"),
        ({"sidechains": {"x": "x"}}, "track x -> track x: none can wait"),
        ({"sidechains": {"x": "y", "y": "x"}}, "track . -> track . -> track .: none can wait"),
        (
            {"sidechains": {"x": "a"}},
            "(track x -> subgroup a -> track x|subgroup a -> track x -> subgroup a): none can",
        ),
        (
            {"sidechains": {"x": "b", "y": "a"}},
            "sidechains: (track|subgroup) . -> (track|subgroup) . -> .* -> .*: none can wait for what is made of it",
        ),
    ],
)
def test_what_cannot_be_wired_is_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        build_console({"a": ["x"], "b": ["y"]}, **options)


def test_the_console_of_any_order_prunes_to_every_order() -> None:
    letters = yaml.safe_load(Path("configs/any_order.yaml").read_text())["model"]["track_chain"]
    console = build_console({"a": ["x"]}, letters, "")
    for order in itertools.permutations("cne"):
        expected, keep = list(types_from_letters("".join(order) + "sgdr")), []
        for node in console.processors:
            if expected and console.types[node] == expected[0]:
                keep.append(node)
                expected.pop(0)
        pruned, _ = prune(console, keep)
        assert [pruned.types[i] for i in pruned.processors] == list(types_from_letters("".join(order) + "sgdr"))


def test_what_stands_behind_an_outlet_says_so() -> None:
    graph = build_console({"a": ["x"]}, "t(c,b(c,)c)c", "")
    labels = [graph.label(node) for node in graph.nodes_of("compressor")]
    assert labels == [
        "track x, mid: compressor",
        "track x, side, low: compressor",
        "track x, side: compressor",
        "track x: compressor",
    ]
    mid, _, side, _ = graph.nodes_of("compressor")
    splitters = [i for i in graph.processors if graph.types[i] != "compressor"]
    pruned, _ = prune(graph, [mid, *splitters])
    other, _ = prune(graph, [side, *splitters])
    assert compare_graphs(pruned, other).types["compressor"].matched == 0
