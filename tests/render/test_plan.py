"""Plans are data: steps, domains, FFT lengths; and what is refused."""

import dataclasses

import pytest
import torch

from mixgraph.dsp.fourier import fast_length
from mixgraph.graph import MixGraph, build_console, keep_by_type, prune
from mixgraph.graph.values import GraphValues
from mixgraph.processors import make_processors
from mixgraph.render import lookahead, make_plan, render, render_plan, render_song, schedule

CLIP = 114000  # 3.8 s


@pytest.fixture(scope="module")
def procs():
    return make_processors()


@pytest.fixture(scope="module")
def full():
    return build_console({"drums": ["kick", "snare"], "bass": ["bass"]})


def plan_of(graph, procs, length=CLIP):
    return make_plan(graph, procs, length + lookahead(graph, procs))


def lengths(plan):
    """type -> the set of FFT lengths of its steps, 0 in time."""
    lengths_by_type = {}
    for step in plan.steps:
        lengths_by_type.setdefault(step.type, set()).add(step.region.n_fft if step.region else 0)
    return lengths_by_type


def test_full_console(full, procs):
    plan = plan_of(full, procs)
    assert len(plan.steps) == 17
    assert plan.lookahead == lookahead(full, procs) == 2046
    assert plan.block == CLIP + 2046
    # What enters, delay and reverb, and the subgroup's equalizer on both sides: 116046 + 2 * 59999 + 2 * 1023 = 238090.
    middle = fast_length(238090)
    assert middle == 240000
    first = fast_length(CLIP + 2046 + 2 * 1023)
    assert [step.region.n_fft if step.region else 0 for step in plan.steps] == [
        *(0, first, 0, 0, 0, 0),
        *(middle, middle, middle, middle),
        *(0, 0, 0, 0),
        *(middle, middle, 0),  # shared: the subgroups' delay and reverb need 236044
    ]
    assert [step.latency for step in plan.steps] == [0] + [1023] * 8 + [2046] * 8
    assert lengths(plan)["compressor"] == {0}


def test_pruned_dynamics_join_their_regions(full, procs):
    graph, _ = prune(full, keep_by_type(full, ["equalizer", "stereo_imager", "gain_panning", "delay", "reverb"]))
    plan = plan_of(graph, procs)
    # All in one: 116046 + 4 * 59999 + 4 * 1023.
    (region,) = {step.region for step in plan.steps if step.type not in ("input", "output")}
    assert region.n_fft == fast_length(116046 + 4 * 59999 + 4 * 1023) == 362880


def test_no_wrap_around_where_the_dynamics_of_one_path_are_pruned(procs):
    graph = build_console({"a": ["x"]}, "edr", "edr")
    length = 3000
    parameters = {
        t: procs[t].sample_initial_values(n, torch.Generator().manual_seed(0), 0.5) for t, n in graph.count().items()
    }
    parameters["reverb"]["delta_log_magnitude"] -= 4  # four seconds of response at nearly full level
    weights = torch.full((len(graph.processors),), 0.5)
    impulse = torch.zeros(1, 2, length)
    impulse[..., -1] = 1
    plan = plan_of(graph, procs, length)
    n_fft = plan.steps[1].region.n_fft
    assert n_fft >= length + 2046 + 4 * 59999 + 4 * 1023
    mix = render(GraphValues(graph, parameters, weights), procs, impulse).mix
    # Only what the equalizers look ahead comes before the impulse at the end: an alias would be anywhere.
    assert mix[..., : length - 1 - 2046].abs().max() < 1e-6
    assert mix[..., -1].abs().min() > 1e-3


def test_what_has_no_memory_stays_where_its_input_is(procs):
    graph = build_console({"a": ["x", "y"]}, "gsg", "sg")
    plan = plan_of(graph, procs)
    assert {step.region for step in plan.steps} == {None}
    assert plan.lookahead == 0
    graph = build_console({"a": ["x", "y"]}, "egs", "gr")
    assert lengths(plan_of(graph, procs))["gain_panning"] != {0}


def test_the_length_comes_from_the_processors_not_from_a_constant(full):
    procs = make_processors(48000)
    plan = plan_of(full, procs)
    assert plan.lookahead == 2 * procs["equalizer"].before
    tails = procs["delay"].after + procs["reverb"].after + 2 * procs["equalizer"].before
    assert max(max(type_lengths) for type_lengths in lengths(plan).values()) == fast_length(plan.block + tails)


def test_a_node_that_waits_reads_zeros_before_its_region(procs):
    # The compressor waits 1023 samples for the equalizer on the other path, and reads the reverb's circle from there:
    # it must have room for them beside the reverb's tail.
    types = ("input", "input", "reverb", "equalizer", "noisegate", "compressor", "output")
    graph = MixGraph(types, ((0, 2), (2, 5), (1, 3), (3, 4), (4, 5), (5, 6)), ("n",) * 7, ("", ""))
    plan = plan_of(graph, procs, 1000)
    assert (plan.latency[2], plan.latency[5]) == (0, 1023)
    assert plan.regions[2].n_fft == fast_length(plan.block + 59999 + 1023) > fast_length(plan.block + 59999)


def test_steps_cover_the_graph_with_their_rows(full, procs):
    plan = plan_of(full, procs)
    assert [(step.type, step.nodes) for step in plan.steps] == schedule(full)
    for step in plan.steps:
        assert step.rows == tuple(full.rows[node] for node in step.nodes)
        assert all(plan.regions[node] == step.region for node in step.nodes)
    for source, destination in full.edges:
        assert plan.latency[source] <= plan.latency[destination]


def test_plans_are_frozen_values(full, procs):
    plan = plan_of(full, procs)
    assert plan == plan_of(full, procs)
    assert hash(plan) == hash(plan_of(full, procs))
    assert plan != plan_of(full, procs, CLIP + 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.block = 3


def test_plans_can_be_printed(full, procs):
    lines = str(plan_of(full, procs)).splitlines()
    assert lines[0] == "41 nodes in 17 steps, block 116046, lookahead 2046"
    assert len(lines) == 18
    assert " ".join(lines[1].split()) == "0 input x3 time stereo latency 0 [0, 1, 2]"
    assert " ".join(lines[7].split()) == "6 delay x3 spectra of 240000 stereo latency 1023 [8, 15, 22]"
    many = build_console({"a": [f"t{i}" for i in range(20)]}, "g", "")
    assert str(plan_of(many, procs)).splitlines()[1].endswith("10, 11, ...]")


def test_make_plan_refuses(full, procs):
    with pytest.raises(ValueError, match="block: at least 1 sample, got 0"):
        make_plan(full, procs, 0)
    fewer = make_processors()
    del fewer["reverb"]
    message = "track kick: reverb: unknown processor type; known are attack_release_compressor, .*, equalizer, "
    with pytest.raises(ValueError, match=message):
        make_plan(full, fewer, 100)
    with pytest.raises(ValueError, match="method: one of"):
        make_plan(full, procs, 100, "best")


@pytest.fixture
def arguments(procs):
    graph = build_console({"a": ["x", "y"]}, "g", "s")
    parameters = {
        t: procs[t].sample_initial_values(n, torch.Generator().manual_seed(0)) for t, n in graph.count().items()
    }
    return {
        "graph": graph,
        "processors": procs,
        "sources": torch.rand(2, 2, 50, generator=torch.Generator().manual_seed(0)),
        "parameters": parameters,
        "weights": torch.full((3,), 0.5),
    }


def render_arguments(graph, processors, sources, parameters, weights, **options):
    return render(GraphValues(graph, parameters, weights), processors, sources, **options)


@pytest.mark.parametrize("renderer", [render_arguments, render_song])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sources": torch.ones(3, 2, 50)}, r"sources: \(\[clips,\] 2 inputs, 2, samples\) is .* \(3, 2, 50\)"),
        ({"sources": torch.ones(2, 1, 50)}, r"sources: .* got \(2, 1, 50\)"),
        ({"sources": torch.ones(2, 50)}, r"sources: .* got \(2, 50\)"),
        ({"sources": torch.ones(1, 1, 2, 2, 50)}, r"sources: .* got \(1, 1, 2, 2, 50\)"),
        ({"weights": torch.ones(2)}, r"weights: \(3,\) is needed, got \(2,\)"),
        ({"weights": torch.ones(3, 1)}, r"weights: \(3,\) is needed, got \(3, 1\)"),
        ({"parameters": {"gain_panning": {"log_gain": torch.ones(2, 2)}}}, "parameters: 'stereo_imager' is missing"),
        (
            {"parameters": {t: {"log_gain": torch.ones(3, 2)} for t in ("gain_panning", "stereo_imager")}},
            "parameters: gain_panning.log_gain needs 2 rows, got 3",
        ),
    ],
)
def test_render_refuses(arguments, renderer, changes, message):
    with pytest.raises(ValueError, match=message):
        renderer(**{**arguments, **changes})


def test_sources_of_another_length_are_cut_or_continued_with_zeros(arguments):
    graph, procs = arguments["graph"], arguments["processors"]
    plan = make_plan(graph, procs, 80)
    longer = render_plan(
        plan, GraphValues(graph, arguments["parameters"], arguments["weights"]), procs, arguments["sources"]
    ).mix
    assert longer.shape == (1, 2, 80)
    assert longer[..., 50:].abs().max() == 0
    expected = render_arguments(**arguments).mix
    assert torch.equal(longer[..., :50], expected)
    shorter = render_arguments(**arguments, length=20).mix
    assert torch.equal(shorter, expected[..., :20])
