"""Invariants of rendering: what rendering must always hold, on a console and on any acyclic graph."""

import random

import pytest
import torch

from mixgraph.graph import MixGraph, batch, build_console, prune, relabel, unbatch
from mixgraph.graph.values import GraphValues, upstream_values
from mixgraph.processors import make_processors
from mixgraph.render import (
    lookahead,
    make_plan,
    render,
    render_blocks,
    render_oracle,
    render_plan,
    render_song,
    schedule,
)

LENGTH = 70000
F64, F32 = torch.float64, torch.float32
# Relative to the mix's peak. Float64: tens of ulp. Float32: FFTs of 2 * 10^5 samples and exponentials of envelopes lose
# some tens of ulp (6e-8 each) along seven processors.
TOLERANCE = {F64: 1e-13, F32: 1e-5}
DTYPES = [F64, F32]


def assert_same(actual, expected, dtype=F64):
    peak = expected.detach().abs().max().item()
    assert peak > 1e-3
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max().item() <= TOLERANCE[dtype] * peak


@pytest.fixture(scope="module")
def console_scene(console, scene):
    # The sources go on for the look-ahead.
    return scene(console, LENGTH + 2046)


@pytest.fixture(scope="module")
def procs(processors):
    return {dtype: processors[dtype, 30000] for dtype in DTYPES}


@pytest.fixture(scope="module")
def short(processors):
    """Processors at 2 kHz: a reverb of 4,000 samples."""
    return {dtype: processors[dtype, 2000] for dtype in DTYPES}


@pytest.fixture(scope="module")
def console_mix(console_scene, procs):
    return {dtype: mix_of(console_scene.to(dtype), procs[dtype], LENGTH) for dtype in DTYPES}


def mix_of(s, procs, length=None, **options):
    return render(s.values, procs, s.sources, length=length, **options).mix


def oracle_of(s, procs, length=None):
    return render_oracle(s.values, procs, s.sources, length=length).mix


def pruned(s, keep):
    graph, index = prune(s.graph, keep)
    parameters = {t: {n: v[list(index.rows[t])] for n, v in s.parameters[t].items()} for t in graph.count()}
    return type(s)(graph, parameters, s.weights[list(index.processors)], s.sources)


def silenced(s, keep):
    kept = torch.tensor([node in keep for node in s.graph.processors])
    return type(s)(s.graph, s.parameters, torch.where(kept, s.weights, 0), s.sources)


# 1. Removing a node equals setting its weight to 0.


@pytest.mark.parametrize(("share", "dtype"), [(0.1, F64), (0.4, F64), (0.9, F64), (0.5, F32)])
def test_removing_nodes_equals_weight_0(console_scene, procs, share, dtype):
    s = console_scene.to(dtype)
    rng = random.Random(0)
    keep = [node for node in s.graph.processors if rng.random() < share]
    assert_same(mix_of(pruned(s, keep), procs[dtype], LENGTH), mix_of(silenced(s, keep), procs[dtype], LENGTH), dtype)


@pytest.mark.parametrize("node_type", ["equalizer", "compressor", "reverb"])
def test_removing_one_type_equals_weight_0(console_scene, procs, node_type):
    keep = [node for node in console_scene.graph.processors if console_scene.graph.types[node] != node_type]
    a, b = pruned(console_scene, keep), silenced(console_scene, keep)
    assert_same(mix_of(a, procs[F64], LENGTH), mix_of(b, procs[F64], LENGTH))


def test_removing_everything_leaves_the_sum(console_scene, procs):
    expected = console_scene.sources[..., :LENGTH].sum(0, keepdim=True)
    assert_same(mix_of(pruned(console_scene, []), procs[F64], LENGTH), expected)
    assert_same(mix_of(silenced(console_scene, []), procs[F64], LENGTH), expected)


@pytest.mark.parametrize("seed", range(10))
def test_removing_nodes_of_any_graph_equals_weight_0(random_graph, scene, short, seed):
    graph = random_graph(seed)
    s = scene(graph, 3000, seed, rate=2000)
    rng = random.Random(seed)
    tried = 0
    for _ in range(100):
        keep = [node for node in graph.processors if rng.random() < 0.6]
        try:
            smaller = pruned(s, keep)
        except ValueError:  # a node beside a bypass of itself, an input that is not heard: that cannot be written
            continue
        tried += 1
        assert_same(mix_of(smaller, short[F64]), mix_of(silenced(s, keep), short[F64]))
        if tried == 2:
            break
    assert tried


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_removing_sends_equals_weight_0(scene, short, share):
    graph = build_console({"a": ["x", "y"], "b": ["z"]}, "ec", "g", "", "e", {"room": "r", "echo": "dg"})
    s = scene(graph, 3000, 7, rate=2000)
    sends, rng = graph.nodes_of("send"), random.Random(7)
    for cut in [sends[:1], sends[:3], sends]:
        keep = [node for node in graph.processors if node not in cut and rng.random() < share]
        assert_same(mix_of(pruned(s, keep), short[F64]), mix_of(silenced(s, keep), short[F64]))
        assert_same(oracle_of(silenced(s, keep), short[F64]), mix_of(silenced(s, keep), short[F64]))


@pytest.mark.parametrize("seed", range(5))
def test_what_feeds_the_output_renders_the_mix_alone(random_graph, scene, short, seed):
    """With what feeds keys; each node's output is a part of the graph that renders, too."""
    graph = random_graph(seed)
    s = scene(graph, 1000, seed, rate=2000)
    cables = list(zip(graph.edges, graph.ports, strict=True))
    part, rows = upstream_values(s.values, [(e[0], p[0]) for e, p in cables if e[1] == graph.outputs[0]])
    assert_same(render(part, short[F64], s.sources[list(rows)]).mix, mix_of(s, short[F64]))
    for node in graph.processors:
        part, rows = upstream_values(s.values, [(node, 0)])
        assert render(part, short[F64], s.sources[list(rows)]).mix.isfinite().all()


SPLIT = build_console(
    {"a": ["x", "y"], "b": ["z"]}, "et(c,sg)b(,d)", "b(c,b(e,g))r", "", "t(,e)", sidechains={"b": "a", "y": "x"}
)


def test_an_input_that_only_feeds_the_key_of_a_silent_track(scene, short):
    types = ("input", "input", "input", "sidechain_compressor", "mix", "output")
    edges, ports = ((0, 3), (1, 3), (3, 4), (2, 4), (4, 5)), ((0, 0), (0, 1), (0, 0), (0, 0), (0, 0))
    graph = MixGraph(types, edges, ("pad", "ghost", "voice", "pad", "all", "song"), ("",) * 3, ports=ports)
    s = scene(graph, 3000, rate=2000)
    s.sources[0] = 0
    assert_same(mix_of(s, short[F64], silent=[0]), oracle_of(s, short[F64]))
    assert_same(mix_of(s, short[F64], silent=[0]), s.sources[2:])


@pytest.mark.parametrize(
    ("types", "ports", "message"),
    [
        (
            ("input", "equalizer", "output"),
            ((0, 0), (1, 0)),
            "equalizer has 1 outlets, counted from 0, got a cable at 1",
        ),
        (("input", "band_splitter", "output"), ((0, 0), (2, 0)), "band_splitter has 2 outlets, counted from 0"),
        (("input", "equalizer/1", "output"), ((0, 0), (0, 0)), "unknown processor type"),
        (("input", "band_splitter/2", "output"), ((0, 0), (0, 0)), "unknown processor type"),
    ],
)
def test_ports_that_a_type_lacks_are_refused(short, types, ports, message):
    graph = MixGraph(types, ((0, 1), (1, 2)), ("x",) * 3, ("",), ports=ports)
    with pytest.raises(ValueError, match=message):
        make_plan(graph, short[F64], 100)


def test_a_key_into_what_has_none_is_refused(short):
    edges = ((0, 2), (1, 2), (2, 3))
    graph = MixGraph(
        ("input", "input", "compressor", "output"), edges, ("x",) * 4, ("",) * 2, ports=((0, 0), (0, 1), (0, 0))
    )
    with pytest.raises(ValueError, match="compressor has 1 inlets, counted from 0, got a cable at 1"):
        make_plan(graph, short[F64], 100)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_removing_splitters_and_sidechains_equals_weight_0(scene, short, share):
    s = scene(SPLIT, 3000, 7, rate=2000)
    rng = random.Random(share)
    for _ in range(4):
        keep = [node for node in SPLIT.processors if rng.random() < share]
        expected = mix_of(silenced(s, keep), short[F64])
        assert_same(mix_of(pruned(s, keep), short[F64]), expected)
        assert_same(oracle_of(silenced(s, keep), short[F64]), expected)
        assert_same(oracle_of(pruned(s, keep), short[F64]), expected)


def test_a_splitter_alone_gives_back_its_input(scene, short):
    graph = build_console({"a": ["x"]}, "t(,)b(,b(,))", "")
    s = scene(graph, 3000, rate=2000)
    plain = {t: {n: v * (n != "log_gain") for n, v in values.items()} for t, values in s.parameters.items()}
    for weights in (s.weights, torch.ones_like(s.weights)):
        mix = render(GraphValues(graph, plain, weights), short[F64], s.sources).mix
        assert_same(mix, s.sources)


def test_a_sidechain_listens_to_its_key_only(scene, short):
    """Its gain is that of a compressor whose input is the key, wherever the key comes from."""
    graph = build_console({"a": ["x"], "b": ["y"]}, "", "e", sidechains={"a": "b"})
    s = scene(graph, 3000, rate=2000)
    s.parameters["equalizer"]["log_magnitude"].zero_()
    s.weights.fill_(1)
    mix = mix_of(s, short[F64])[0]
    key = s.sources[1:]
    keyed = {n: v[:1] for n, v in s.parameters["sidechain_compressor"].items()}
    # Detectors start where the look-ahead does: silence before the clip, and the clip.
    gain = short[F64]["compressor"].gain(key, keyed)[0]
    assert gain.min() < 0.9
    assert_same(mix, s.sources[0] * gain + s.sources[1])


@pytest.mark.parametrize("start", [-500, 0, 12_345])
def test_a_clip_has_the_gains_of_its_time_in_the_song(short, start):
    """Faders know where a clip starts, behind look-ahead too, each song where its own does."""
    graph = batch([build_console({"a": ["x"]}, "ef", "ef"), build_console({"a": ["y", "z"]}, "f")])
    generator = torch.Generator().manual_seed(3)
    parameters = {t: short[F64][t].to(F64).sample_initial_values(n, generator, 0.5) for t, n in graph.count().items()}
    parameters = {t: {n: v.to(F64) for n, v in values.items()} for t, values in parameters.items()}
    weights = torch.rand(len(graph.processors), generator=generator, dtype=F64)
    begins = torch.tensor([start, start + 700])
    sources = torch.zeros(3, 2, 20_000, dtype=F64)
    clip = torch.rand(3, 2, 3000, generator=generator, dtype=F64) - 0.5
    clip[..., -200:] = 0
    song = [0, 1, 1]
    for row in range(3):
        first = max(0, int(begins[song[row]]))
        cut = first - int(begins[song[row]])
        clip[row, :, :cut] = 0  # there is nothing before the song
        sources[row, :, first : first + 3000 - cut] = clip[row, :, cut:]
    whole = torch.cat([mix.unsqueeze(0) for mix in render_song(graph, short[F64], sources, parameters, weights, 4096)])
    fast = render(GraphValues(graph, parameters, weights), short[F64], clip, starts=begins).mix
    plain = render_oracle(GraphValues(graph, parameters, weights), short[F64], clip, starts=begins).mix
    assert_same(fast, plain)
    for number, begin in enumerate(begins.tolist()):
        first = max(0, begin)
        assert_same(fast[number, :, first - begin :], whole[number, :, first : begin + 3000])
    if start > 0:
        assert (fast - render(GraphValues(graph, parameters, weights), short[F64], clip).mix).abs().max() > 1e-2


# 2. The fast renderer equals the oracle.


@pytest.fixture(scope="module")
def direction():
    """Of a random linear functional of the mix, through which all its gradients are compared."""
    return torch.randn(1, 2, LENGTH, generator=torch.Generator().manual_seed(1), dtype=F64)


@pytest.fixture(scope="module")
def console_oracle_and_gradients(console_scene, procs, direction):
    leaves = console_scene.leaves()
    mix = oracle_of(leaves, procs[F64], LENGTH)
    (mix * direction).sum().backward()
    return mix.detach(), leaves.gradients()


@pytest.fixture(scope="module")
def console_oracle(console_oracle_and_gradients):
    return console_oracle_and_gradients[0]


def test_fast_equals_oracle(console_mix, console_oracle):
    assert_same(console_mix[F64], console_oracle)


def test_fast_in_float32_equals_oracle_in_float64(console_mix, console_oracle):
    # The parameters are float32 numbers in both; the sources and weights are rounded.
    assert_same(console_mix[F32].double(), console_oracle, F32)


def gradients_of(renderer, s, procs, length, direction):
    leaves = s.leaves()
    (renderer(leaves, procs, length) * direction).sum().backward()
    return leaves.gradients()


def assert_same_gradients(actual, expected):
    assert set(actual) == set(expected)
    largest = max(gradient.abs().max().item() for gradient in expected.values())
    for name, gradient in expected.items():
        assert gradient is not None, name
        scale = gradient.abs().max().item()
        # Every gradient is compared on its own scale. The gradient of a tap's position is a sum that nearly cancels
        # and is then scaled to modulus 1.
        tolerance = 1e-8 if name == "delay.delay_z" else 1e-11
        # What is zero but for rounding (a gate that never opens) is compared with rounding.
        assert (actual[name] - gradient).abs().max().item() <= tolerance * scale + 1e-15 * largest, name


def test_gradients_equal_the_oracles(console_scene, console_oracle_and_gradients, procs, direction):
    gradients = gradients_of(mix_of, console_scene, procs[F64], LENGTH, direction)
    assert_same_gradients(gradients, console_oracle_and_gradients[1])
    for name, gradient in gradients.items():
        # Gradients reach every parameter of every node, and the sources to the last sample of look-ahead.
        assert (gradient.flatten(1) != 0).all() if gradient.dim() > 1 else (gradient != 0).all(), name


@pytest.mark.parametrize("channel", ["mid", "both"])
def test_staged_energies_equal_the_oracles(console_scene, procs, channel):
    s = console_scene
    args = (s.values, procs[F64], s.sources)
    fast, slow = (renderer(*args, length=LENGTH, staged_channel=channel) for renderer in (render, render_oracle))
    assert fast.num_samples == slow.num_samples == LENGTH + 2046
    actual = {n: (e.type, e.dry[i], e.wet[i]) for e in fast.energies for i, n in enumerate(e.nodes)}
    expected = {n: (e.type, e.dry[i], e.wet[i]) for e in slow.energies for i, n in enumerate(e.nodes)}
    staged = {"equalizer", "delay", "reverb"}
    assert sorted(actual) == sorted(expected) == [n for n in s.graph.processors if s.graph.types[n] in staged]
    for node, (node_type, dry, wet) in expected.items():
        assert actual[node][0] == node_type == s.graph.types[node]
        # By Parseval on one side, by a sum of squares on the other.
        torch.testing.assert_close(actual[node][1], dry, rtol=1e-11, atol=0)
        torch.testing.assert_close(actual[node][2], wet, rtol=1e-11, atol=0)


def test_energies_are_returned_only_for_a_staged_channel(console_scene, procs):
    graph, _ = prune(console_scene.graph, [])
    out = render(GraphValues(graph, {}, torch.zeros(0, dtype=F64)), procs[F64], console_scene.sources, length=100)
    assert out.energies == ()


# 3. Batches, clips, any acyclic graph.


def test_a_batch_of_graphs_equals_each_alone(console_scene, console_mix, scene, join, procs):
    keep = [n for i, n in enumerate(console_scene.graph.processors) if i % 3 == 0]
    others = [
        pruned(console_scene, keep),
        scene(build_console({"a": ["x"]}, "gcr", "en"), LENGTH + 2046, seed=5),
        pruned(console_scene, []),
    ]
    together = mix_of(join([console_scene, *others]), procs[F64], LENGTH)
    alone = torch.cat([console_mix[F64], *(mix_of(s, procs[F64], LENGTH) for s in others)])
    # A song without look-ahead is delayed to the others and cut again.
    assert_same(together, alone)


@pytest.mark.parametrize("dtype", DTYPES)
def test_clips_equal_each_alone(console, scene, short, dtype):
    s = scene(console, 6000, dtype=dtype, rate=2000)
    clips = torch.stack([(i + 1) * torch.roll(s.sources, 777 * i, dims=-1) / 2 for i in range(3)])
    together = render(s.values, short[dtype], clips, length=5000, staged_channel="mid")
    assert together.mix.shape == (3, 1, 2, 5000)
    for i, clip in enumerate(clips):
        alone = render(s.values, short[dtype], clip, length=5000, staged_channel="mid")
        assert_same(together.mix[i], alone.mix, dtype)
        for many, single in zip(together.energies, alone.energies, strict=True):
            assert many.nodes == single.nodes
            for side in ("dry", "wet"):
                found_energy, expected = getattr(many, side)[:, i], getattr(single, side)[:, 0]
                torch.testing.assert_close(found_energy, expected, rtol=10 * TOLERANCE[dtype], atol=0)


@pytest.mark.parametrize("seed", range(20))
def test_any_acyclic_graph_renders_like_the_oracle(random_graph, scene, short, seed):
    s = scene(random_graph(seed, nodes=6 + seed % 8), 3000, seed, rate=2000)
    expected = oracle_of(s, short[F64], 2900)
    assert_same(mix_of(s, short[F64], 2900), expected)
    assert_same(mix_of(s.to(F32), short[F32], 2900).double(), expected, F32)
    for method in ("beam", "greedy", "one_by_one"):
        assert_same(mix_of(s, short[F64], 2900, method=method), expected)


@pytest.mark.parametrize("seed", range(20, 30))
def test_gradients_of_any_acyclic_graph(random_graph, scene, short, seed):
    s = scene(random_graph(seed), 2000, seed, rate=2000)
    direction = torch.randn(1, 2, 2000, generator=torch.Generator().manual_seed(seed), dtype=F64)
    expected = gradients_of(oracle_of, s, short[F64], 2000, direction)
    assert_same_gradients(gradients_of(mix_of, s, short[F64], 2000, direction), expected)


@pytest.mark.parametrize("seed", range(10))
def test_invariant_to_node_numbers_and_edge_order(random_graph, scene, short, seed):
    s = scene(random_graph(seed), 2000, seed, rate=2000)
    rng = random.Random(seed)
    order = list(range(len(s.graph)))
    rng.shuffle(order)
    graph = relabel(s.graph, order)
    cables = list(zip(graph.edges, graph.ports, strict=True))
    rng.shuffle(cables)
    edges, ports = zip(*cables, strict=True)
    graph = MixGraph(graph.types, edges, graph.names, graph.subgroups, graph.songs, ports)
    # Rows follow the nodes.
    rows = {t: [s.graph.rows[order[i]] for i in graph.nodes_of(t)] for t in graph.count()}
    place = {node: i for i, node in enumerate(s.graph.processors)}
    moved = type(s)(
        graph,
        {t: {n: v[rows[t]] for n, v in s.parameters[t].items()} for t in graph.count()},
        s.weights[[place[order[i]] for i in graph.processors]],
        s.sources[[s.graph.rows[order[i]] for i in graph.inputs]],
    )
    assert_same(mix_of(moved, short[F64]), mix_of(s, short[F64]))


@pytest.mark.parametrize("method", ["fixed", "beam", "greedy", "one_by_one"])
def test_schedules_agree_on_a_console(console, scene, procs, method):
    s = scene(console, 3000)
    assert_same(mix_of(s, procs[F64], method=method), mix_of(s, procs[F64]))


def test_graphs_whose_chains_look_ahead_by_different_amounts(scene, procs):
    # A path without an equalizer and one with, whose regions share an FFT length, into dynamics: each starts elsewhere
    # in the circle.
    types = ("input", "input", "reverb", "equalizer", "compressor", "reverb", "mix", "mix", "compressor", "noisegate")
    edges = ((0, 2), (2, 6), (6, 8), (8, 10), (1, 3), (3, 4), (4, 5), (5, 7), (7, 9), (9, 10))
    graph = MixGraph((*types, "output"), edges, ("n",) * 11, ("", ""))
    s = scene(graph, 4000)
    plan = make_plan(graph, procs[F64], 4000 + 1023)
    assert plan.regions[6] == plan.regions[7]
    assert plan.latency[8] != plan.latency[9]
    expected = oracle_of(s, procs[F64])
    assert_same(mix_of(s, procs[F64]), expected)
    assert_same(render_song(graph, procs[F64], s.sources, s.parameters, s.weights, 1000), expected)


# 4. Blocks.


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("block", [8192, 65537])
def test_blocks_equal_the_whole(console_scene, procs, block, dtype):
    s = console_scene.to(dtype)
    sources = s.sources[..., :LENGTH]
    whole = render(s.values, procs[dtype], sources).mix
    in_blocks = render_song(s.graph, procs[dtype], sources, s.parameters, s.weights, block)
    assert_same(in_blocks, whole, dtype)


@pytest.mark.parametrize("block", [1000, 1 << 18])
def test_small_and_large_blocks_equal_the_whole(console, scene, procs, block):
    s = scene(console, 12345)
    assert_same(render_song(s.graph, procs[F64], s.sources, s.parameters, s.weights, block), mix_of(s, procs[F64]))


@pytest.mark.parametrize("seed", range(12))
def test_blocks_of_any_acyclic_graph(random_graph, scene, short, seed):
    s = scene(random_graph(seed, nodes=8), 1200, seed, rate=2000)
    whole = mix_of(s, short[F64])
    for block in (50, 333, 1199, 1201):  # shorter than the look-ahead, and about the whole
        assert_same(render_song(s.graph, short[F64], s.sources, s.parameters, s.weights, block), whole)


def test_blocks_read_what_they_need_and_yield_the_song(console, scene, procs):
    s = scene(console, 5000)
    requests = []

    def read(start, stop):
        requests.append((start, stop))
        return s.sources[..., start:stop]

    pieces = list(render_blocks(s.values, procs[F64], read, 5000, block=1500))
    assert requests[:3] == [(0, 1500), (1500, 3000), (3000, 4500)]
    assert all(stop <= 5000 for _, stop in requests)
    assert all(piece.shape[:2] == (1, 2) and piece.shape[2] <= 1500 for piece in pieces)
    assert sum(piece.shape[2] for piece in pieces) == 5000
    assert_same(torch.cat(pieces, dim=-1), mix_of(s, procs[F64]))


def test_blocks_of_a_batch_of_songs(scene, join, short):
    chains = ("gr", "ed", "")
    scenes = [scene(build_console({"a": ["x"]}, chain, "ec"), 1500, i, rate=2000) for i, chain in enumerate(chains)]
    scenes.append(scene(build_console({"a": ["x"]}, "r", "r"), 1500, 9, rate=2000))  # one without look-ahead
    s = join(scenes)
    together = render_song(s.graph, short[F64], s.sources, s.parameters, s.weights, 400)
    assert_same(together, torch.cat([mix_of(alone, short[F64]) for alone in scenes]))


# Look-ahead.


def test_true_look_ahead_gives_the_longer_renderings_samples(console_scene, console_mix, procs):
    s = console_scene
    ahead = lookahead(s.graph, procs[F64])
    assert ahead == 2046
    length = 30000
    cut = type(s)(s.graph, s.parameters, s.weights, s.sources[..., : length + ahead])
    longer = console_mix[F64][..., :length]
    assert_same(mix_of(cut, procs[F64], length), longer)
    # One sample less of it, and the mix differs: an equalizer looks that far ahead.
    blind = mix_of(type(s)(s.graph, s.parameters, s.weights, s.sources[..., :length]), procs[F64], length)
    assert (blind - longer).abs().max() > 1e-3
    assert_same(blind[..., : length - ahead], longer[..., : length - ahead])


def test_samples_past_the_look_ahead_do_not_count(console, scene, procs):
    s = scene(console, 3000 + 2046 + 500)
    exact = type(s)(s.graph, s.parameters, s.weights, s.sources[..., : 3000 + 2046])
    assert torch.equal(mix_of(s, procs[F64], 3000), mix_of(exact, procs[F64], 3000))


@pytest.mark.parametrize("length", [1, 2, 7])
def test_very_short_clips(console, scene, procs, length):
    s = scene(console, length)
    assert_same(mix_of(s, procs[F64]), oracle_of(s, procs[F64]))


def test_a_plan_can_be_used_again(console, scene, procs):
    s = scene(console, 3000)
    plan = make_plan(s.graph, procs[F64], 3000 + lookahead(s.graph, procs[F64]))
    first = render_plan(plan, s.values, procs[F64], s.sources)
    second = render_plan(plan, s.values, procs[F64], s.sources)
    assert torch.equal(first.mix, second.mix)
    assert torch.equal(first.mix, mix_of(s, procs[F64]))


def test_graphs_split_and_joined_render_the_same(scene, short):
    s = scene(build_console({"a": ["x", "y"]}, "edr", "c"), 1000, rate=2000)
    (same,) = unbatch(batch([s.graph]))
    assert schedule(same) == schedule(s.graph)
    again = type(s)(same, s.parameters, s.weights, s.sources)
    assert torch.equal(mix_of(again, short[F64]), mix_of(s, short[F64]))


@pytest.mark.parametrize("render_it", [render, render_oracle])
def test_a_weight_of_zero_skips_the_node_even_when_it_would_overflow(render_it) -> None:
    graph = build_console({"a": ("x",)}, "gc", "")
    processors = make_processors()
    parameters = {
        "gain_panning": {"log_gain": torch.full((1, 2), 1e4)},
        "compressor": {n: torch.full((1, 1), 1e4) for n in processors["compressor"].specification},
    }
    sources = torch.linspace(-0.5, 0.5, 400).view(1, 2, 200)
    mix = render_it(GraphValues(graph, parameters, torch.zeros(2)), processors, sources).mix
    assert torch.equal(mix, sources)


# What mono and silent sources save changes rounding only.


def equal_channels(s, rows):
    sources = s.sources.clone()
    sources[list(rows)] = sources[list(rows), :1]
    return type(s)(s.graph, s.parameters, s.weights, sources)


@pytest.mark.parametrize("mono", [(0,), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("share", [1.0, 0.3])
def test_mono_sources_of_a_console(console_scene, procs, direction, mono, share):
    rng = random.Random(1)
    keep = [node for node in console_scene.graph.processors if rng.random() < share]
    s = equal_channels(pruned(console_scene, keep), mono)
    actual, expected = s.leaves(), s.leaves()
    for scene, options in ((actual, {"mono": mono}), (expected, {})):
        mix = render(scene.values, procs[F64], scene.sources, length=LENGTH, staged_channel="mid", **options)
        energies = [torch.stack((e.dry, e.wet)).log().sum() for e in mix.energies]
        ((mix.mix * direction).sum() + sum(energies)).backward()
        shared = scene.sources.grad.sum(dim=1, keepdim=True)  # the channels of a mono source share theirs
        scene.sources.grad = shared.expand(-1, 2, -1).clone()
    assert_same(mix_of(s, procs[F64], LENGTH, mono=mono), mix_of(s, procs[F64], LENGTH))
    assert_same_gradients(actual.gradients(), expected.gradients())
    plan = make_plan(s.graph, procs[F64], LENGTH, mono=mono)
    assert min(plan.widths) == 1


@pytest.mark.parametrize("seed", range(10))
def test_mono_sources_of_any_acyclic_graph(random_graph, scene, short, seed):
    s = scene(random_graph(seed), 3000, seed, rate=2000)
    mono = [row for row in range(len(s.graph.inputs)) if row != seed % 3] or [0]
    s = equal_channels(s, mono)
    assert_same(mix_of(s, short[F64], mono=mono), oracle_of(s, short[F64]))
    pieces = render_blocks(s.values, short[F64], lambda a, b: s.sources[..., a:b], 3000, block=700, mono=mono)
    assert_same(torch.cat(list(pieces), dim=-1), mix_of(s, short[F64]))


@pytest.mark.parametrize("silent", [(0,), (2,), (0, 1), (0, 1, 2)])
def test_silent_sources_of_a_console(console_scene, procs, direction, silent):
    sources = console_scene.sources.clone()
    sources[list(silent)] = 0
    s = type(console_scene)(console_scene.graph, console_scene.parameters, console_scene.weights, sources)
    actual, expected = s.leaves(), s.leaves()
    floor = 1e-7
    mixes = []
    for scene, options in ((actual, {"silent": silent}), (expected, {})):
        rendering = render(scene.values, procs[F64], scene.sources, length=LENGTH, staged_channel="mid", **options)
        staging = [(torch.log(e.wet + floor) - torch.log(e.dry + floor)).abs().sum() for e in rendering.energies]
        ((rendering.mix * direction).sum() + sum(staging)).backward()
        mixes.append(rendering.mix.detach())
        scene.sources.grad[list(silent)] = 0  # what is skipped has none
    assert (mixes[0] - mixes[1]).abs().max() <= 1e-13
    for name, value in actual.gradients().items():
        other = expected.gradients()[name]
        if other is not None:
            assert value is not None, name
            assert (value - other).abs().max() <= 1e-9 * (1 + other.abs().max()), name
    plan = make_plan(s.graph, procs[F64], LENGTH, silent=silent)
    if len(silent) < 3:
        assert len(plan.graph.inputs) == 3 - len(silent)
    assert plan.lookahead == 2046


@pytest.mark.parametrize("seed", range(10))
def test_silent_sources_of_any_acyclic_graph(random_graph, scene, short, seed):
    graph = batch([random_graph(seed), random_graph(seed + 100)])
    s = scene(graph, 3000, seed, rate=2000)
    silent = [row for row in range(len(graph.inputs)) if (row + seed) % 2]
    s.sources[silent] = 0
    mix, expected = mix_of(s, short[F64], silent=silent), oracle_of(s, short[F64])
    assert mix.shape == expected.shape
    assert (mix - expected).abs().max() <= 1e-13 * max(1.0, expected.abs().max().item())
