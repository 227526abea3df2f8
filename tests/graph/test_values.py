"""Graphs with values: what is joined comes apart again, row by row."""

import torch

from mixgraph.graph import GraphValues, batch_values, build_console, prune, relabel, song_nodes, song_values


def tagged(graph, first):
    """Values that tell every row of every node from all others."""
    tags = iter(range(first, first + 10_000))
    parameters = {
        t: {name: torch.tensor([[float(next(tags))] * 2 for _ in range(n)]) for name in ("p", "q")}
        for t, n in graph.count().items()
    }
    return GraphValues(graph, parameters, torch.tensor([float(next(tags)) for _ in graph.processors]))


def listed(values):
    parameters = {
        t: {n: v.tolist() for n, v in type_parameters.items()} for t, type_parameters in values.parameters.items()
    }
    return values.graph, parameters, values.weights.tolist()


def parts():
    console = build_console({"a": ["x", "y"], "b": ["z"]}, "eg", "r", "one")
    return [
        tagged(console, 0),
        tagged(prune(console, [4, 5, 10])[0], 1000),
        tagged(build_console({"solo": ["s"]}, "", "", "nothing"), 2000),
        tagged(build_console({"solo": ["s"]}, "cg", "", "other"), 3000),
    ]


def test_songs_come_out_of_a_batch_as_they_went_in():
    joined = batch_values(parts())
    assert joined.parameters["gain_panning"]["p"].shape == (5, 2)
    for number, part in enumerate(parts()):
        assert listed(song_values(joined, number)) == listed(part)


def test_rows_follow_their_nodes_where_songs_are_interleaved():
    graph = batch_values(parts()[:2]).graph
    order = sorted(range(len(graph)), key=lambda i: (i * 7) % len(graph))
    mixed = tagged(relabel(graph, order), 0)
    for song in (0, 1):
        part = song_values(mixed, song)
        nodes = song_nodes(mixed.graph, song)
        assert [mixed.graph.label(i) for i in nodes] == [part.graph.label(i) for i in range(len(part.graph))]
        weight_of = dict(zip(mixed.graph.processors, mixed.weights.tolist(), strict=True))
        assert part.weights.tolist() == [weight_of[nodes[i]] for i in part.graph.processors]
        for node in part.graph.processors:
            for name, value in part.parameters[part.graph.types[node]].items():
                whole = mixed.parameters[part.graph.types[node]][name]
                assert torch.equal(value[part.graph.rows[node]], whole[mixed.graph.rows[nodes[node]]])
