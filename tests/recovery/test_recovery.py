"""Comparison of graphs and of their settings: exact counts, and known perturbations in dB, ms and ratio."""

import json
import math
from dataclasses import replace

import pytest
import torch

from mixgraph.dsp.third_octaves import third_octave_means
from mixgraph.graph import MixGraph, build_console, prune
from mixgraph.processors import make_processors, types_from_letters
from mixgraph.recovery import Agreement, GraphValues, compare_graphs, parameter_errors
from mixgraph.synthetic.engineer import draw_settings

SUBGROUPS = {"drums": ("kick", "snare"), "music": ("bass", "keys")}


def kept(letters_at):
    """The console pruned to {(name, type)}."""
    console = build_console(SUBGROUPS)
    return prune(console, [i for i in console.processors if (console.names[i], console.types[i]) in letters_at])[0]


def only(node_type, processors, seed=0, weight=0.95):
    """A graph of one node of a type, set as an engineer would."""
    graph = kept({("keys", node_type)})
    generator = torch.Generator().manual_seed(seed)
    signal = 0.3 * torch.randn(2, 30_000, generator=generator)
    values, _ = draw_settings(processors[node_type], signal, 1.0, generator)
    parameters = {node_type: {name: value.unsqueeze(0) for name, value in values.items()}}
    return GraphValues(graph, parameters, torch.tensor([weight]))


def changed(setting, name, change, weight=None):
    (node_type,) = setting.parameters
    values = dict(setting.parameters[node_type])
    values[name] = change(values[name])
    weights = setting.weights if weight is None else torch.tensor([weight])
    return GraphValues(setting.graph, {node_type: values}, weights)


def errors_of(true, estimate, processors, sources=None):
    found_errors = parameter_errors(true, estimate, processors, sources).values
    return {error.quantity: error.error for error in found_errors}


@pytest.fixture(scope="module")
def processors():
    return make_processors()


TRUE = {("kick", "equalizer"), ("kick", "gain_panning"), ("keys", "reverb"), ("drums", "equalizer")}


def test_each_side_is_read_by_its_own_processors(processors):
    other = make_processors(options={"reverb": {"mask": "paper"}, "compressor": {"gain": "energy"}})
    t60 = "delta_log_magnitude"
    true = only("reverb", processors)
    seconds = processors["reverb"].specification[t60].to_unit(true.parameters["reverb"][t60])
    same = changed(true, t60, lambda _: other["reverb"].specification[t60].from_unit(seconds))
    errors = {e.quantity: e.error for e in parameter_errors(true, same, processors, None, other).values}
    assert errors["T60 mid"] < 1e-6
    assert errors_of(true, same, processors)["T60 mid"] > 0.1
    equal = only("compressor", processors)
    curve = next(e for e in parameter_errors(equal, equal, processors, None, other).values if e.quantity == "curve")
    assert curve.error > 0.05  # of the same numbers another gain is made


def test_a_graph_agrees_with_itself():
    graph = kept(TRUE)
    comparison = compare_graphs(graph, graph)
    assert comparison.overall == Agreement(4, 4, 4)
    assert (comparison.overall.precision, comparison.overall.recall, comparison.overall.f1) == (1, 1, 1)
    assert {t: a.matched for t, a in comparison.types.items()} == {"equalizer": 2, "gain_panning": 1, "reverb": 1}
    assert (comparison.missed, comparison.spurious) == ((), ())


def test_differences_are_counted_by_chain_and_type():
    estimate = kept({("kick", "equalizer"), ("snare", "equalizer"), ("music", "equalizer"), ("drums", "delay")})
    comparison = compare_graphs(kept(TRUE), estimate)
    assert comparison.types == {
        "delay": Agreement(0, 1, 0),
        "equalizer": Agreement(2, 3, 1),
        "gain_panning": Agreement(1, 0, 0),
        "reverb": Agreement(1, 0, 0),
    }
    assert comparison.overall == Agreement(4, 4, 1)
    assert comparison.types["equalizer"].precision == pytest.approx(1 / 3)
    assert comparison.types["equalizer"].recall == 0.5
    assert comparison.types["equalizer"].f1 == pytest.approx(0.4)
    assert comparison.types["delay"].recall is None
    assert comparison.types["reverb"].precision is None
    assert set(comparison.missed) == {"track kick: gain_panning", "track keys: reverb", "subgroup drums: equalizer"}
    assert set(comparison.spurious) == {
        "track snare: equalizer",
        "subgroup music: equalizer",
        "subgroup drums: delay",
    }
    assert json.loads(json.dumps(comparison.to_dict()))["overall"]["precision"] == 0.25
    assert "| equalizer | 2 | 3 | 1 | 0.33 | 0.50 | 0.40 |" in comparison.format_table()
    assert "| delay | 0 | 1 | 0 | 0.00 | - | 0.00 |" in comparison.format_table()


def test_a_track_is_not_a_subgroup_of_the_same_name_and_repeats_are_matched_in_order():
    console = build_console({"drums": ("drums", "kick")}, "ee", "e")
    on_track, _ = prune(console, [console.processors[0]])
    on_subgroup, _ = prune(console, [console.processors[-1]])
    assert compare_graphs(on_track, on_subgroup).overall == Agreement(1, 1, 0)
    assert compare_graphs(console, on_track).overall == Agreement(5, 1, 1)


def test_sends_are_told_apart_by_their_bus_and_buses_may_be_cut():
    console = build_console({"a": ("x", "y")}, "", "", returns={"room": "r", "echo": "d"})
    labels = {console.label(node): node for node in console.processors}

    def keep(*names):
        return prune(console, [labels[name] for name in names])[0]

    room = keep("track x: send to room", "return room: reverb")
    echo = keep("track x: send to echo", "return echo: delay")
    assert compare_graphs(room, echo).overall == Agreement(2, 2, 0)
    assert compare_graphs(console, room).overall == Agreement(6, 2, 2)


def test_empty_graphs_have_no_shares():
    empty = kept(set())
    assert compare_graphs(empty, empty).overall.f1 is None


def test_graphs_of_other_tracks_are_refused():
    other = build_console({"drums": ("kick", "snare"), "music": ("bass", "organ")})
    with pytest.raises(
        ValueError, match=r"found_graph: the tracks of the true graph .*'keys'.* expected, got .*'organ'"
    ):
        compare_graphs(kept(TRUE), other)
    renamed = build_console({"drums": ("kick", "snare"), "tones": ("bass", "keys")})
    with pytest.raises(ValueError, match="found_graph: the subgroups of the true graph"):
        compare_graphs(kept(TRUE), renamed)


@pytest.mark.parametrize("node_type", types_from_letters("ecnsgdr"))
def test_equal_settings_have_no_error(node_type, processors):
    setting = only(node_type, processors)
    errors = parameter_errors(setting, setting, processors)
    assert len(errors.values) > 0
    assert {error.error for error in errors.values} == {0.0}
    assert {error.type for error in errors.values} == {node_type}
    assert {error.node for error in errors.values} == {f"track keys: {node_type}"}
    assert all(error.unit for error in errors.values)


def test_processors_of_one_graph_only_are_left_out(processors):
    assert parameter_errors(only("reverb", processors), only("delay", processors), processors).values == ()


def test_gains_are_compared_as_they_act(processors):
    true = only("gain_panning", processors, weight=1.0)
    shift = torch.tensor([[3.0, -1.0]]) * math.log(10) / 20
    errors = errors_of(true, changed(true, "log_gain", lambda v: v + shift), processors)
    assert errors == pytest.approx({"left": 3.0, "right": 1.0, "balance": 4.0}, abs=1e-5)
    # Half of twice the wet gain, less the dry: the same gain at another weight.
    same = changed(true, "log_gain", lambda v: torch.log(2 * v.exp() - 1 + 1.0), weight=0.5)
    gain = true.parameters["gain_panning"]["log_gain"].double().exp()
    acting = 20 * torch.log10(0.5 + 0.5 * 2 * gain) - 20 * torch.log10(gain)
    errors = errors_of(true, same, processors)
    assert [errors["left"], errors["right"]] == pytest.approx(acting[0].abs().tolist(), abs=1e-5)


def test_the_side_gain_is_in_db(processors):
    true = only("stereo_imager", processors, weight=1.0)
    estimate = changed(true, "log_gain", lambda v: v - 2.5 * math.log(10) / 20)
    assert errors_of(true, estimate, processors) == pytest.approx({"side": 2.5}, abs=1e-5)


def test_a_level_of_an_equalizer_is_no_error_of_its_shape(processors):
    true = only("equalizer", processors, weight=1.0)
    louder = changed(true, "log_magnitude", lambda v: v + 2 * math.log(10) / 20)
    assert errors_of(true, louder, processors) == pytest.approx({"response": 2.0, "shape": 0.0}, abs=1e-3)


def test_equalizers_are_compared_where_the_dry_sound_is(processors):
    true = only("equalizer", processors, weight=1.0)
    hertz = torch.arange(1024) * 30_000 / 2047
    above = (hertz > 4000).float() * 6 * math.log(10) / 20
    estimate = changed(true, "log_magnitude", lambda v: v + above)
    sources = torch.zeros(4, 2, 30_000)
    sources[3] = torch.sin(2 * math.pi * 440 * torch.arange(30_000) / 30_000)  # keys: a tone at 440 Hz
    sources[0] = torch.randn(2, 30_000, generator=torch.Generator().manual_seed(0))  # kick: not upstream
    assert errors_of(true, estimate, processors)["response"] > 1
    assert errors_of(true, estimate, processors, sources)["response"] < 0.01
    silent = torch.zeros(4, 2, 30_000)  # says nothing: all bands count
    assert errors_of(true, estimate, processors, silent) == errors_of(true, estimate, processors)


@pytest.mark.parametrize("node_type", ["compressor", "noisegate"])
def test_dynamics_are_compared_in_their_units(node_type, processors):
    true = only(node_type, processors)
    declared = processors[node_type].specification
    cases = {"threshold": ("log_threshold", 3.0), "ratio": ("log_ratio", 1.5), "time constant": ("smoothing_logit", 7)}
    for quantity, (name, amount) in cases.items():

        def moved(value, name=name, amount=amount):
            return declared[name].from_unit(declared[name].to_unit(value.double()) + amount)

        errors = errors_of(true, changed(true, name, moved), processors)
        # Thresholds are compared as they act: the detector hears its floor, too.
        assert errors[quantity] == pytest.approx(amount, rel=0.02 if quantity == "threshold" else 1e-4)
        others = {q: e for q, e in errors.items() if q not in (quantity, "curve")}
        assert others == dict.fromkeys(others, 0.0)
        assert errors["curve"] == 0 if quantity == "time constant" else errors["curve"] > 0.05
    weight = errors_of(true, changed(true, "log_knee", lambda v: v, weight=0.75), processors)["weight"]
    assert weight == pytest.approx(0.2, abs=1e-6)


def test_dynamics_that_act_alike_have_no_error_whatever_their_options(processors):
    """(l + r)^2 in place of (l^2 + r^2) / 2, 6 dB more, and a gain that is applied twice: other numbers, one curve."""
    other = make_processors(options={"compressor": {"detector": "mid", "gain": "energy"}})
    graph = kept({("keys", "compressor")})

    def setting(declared, **units):
        values = {n: declared[n].from_unit(torch.tensor([[u]], dtype=torch.float64)) for n, u in units.items()}
        return GraphValues(graph, {"compressor": values}, torch.ones(1))

    common = {"log_knee": 0.05, "smoothing_logit": 10.0}
    true = setting(processors["compressor"].specification, log_threshold=-20.0, log_ratio=2.0, **common)
    estimate = setting(
        other["compressor"].specification, log_threshold=-20 + 20 * math.log10(2), log_ratio=4 / 3, **common
    )
    errors = {e.quantity: e.error for e in parameter_errors(true, estimate, processors, None, other).values}
    assert errors["threshold"] < 0.01
    assert errors["ratio"] < 1e-6
    assert errors["curve"] < 0.01
    limiter = setting(other["compressor"].specification, log_threshold=-80.0, log_ratio=2.0, **common)
    reading = next(e for e in parameter_errors(true, limiter, processors, None, other).values if e.quantity == "ratio")
    assert (reading.true, reading.found) == (pytest.approx(2), 200.0)  # an infinite ratio counts as that
    reading = next(e for e in parameter_errors(true, limiter, processors, None, other).values)
    assert (reading.quantity, reading.found) == ("threshold", pytest.approx(-50.0))


def test_the_static_curve_of_a_compressor_is_the_textbooks(processors):
    """Against no gain at all: (1 - 1/R) dB for every dB above the threshold, mean over the levels compared."""
    declared = processors["compressor"].specification
    units = {"log_knee": 0.05, "log_ratio": 4.0, "log_threshold": -24.0, "smoothing_logit": 10.0}
    values = {n: declared[n].from_unit(torch.tensor([[u]], dtype=torch.float64)) for n, u in units.items()}
    graph = kept({("keys", "compressor")})
    true = GraphValues(graph, {"compressor": values}, torch.ones(1))
    off = changed(true, "log_threshold", lambda v: v + 20)
    levels = range(-48, 1, 2)
    reductions = [0.75 * max(0, level + 24) for level in levels]
    expected = sum(reductions) / len(reductions)
    # The detector's floor of 1e-5 lifts -24 dB by 0.01 dB, and the knee rounds one point.
    assert errors_of(true, off, processors)["curve"] == pytest.approx(expected, abs=0.02)


def test_reverb_times_are_in_seconds(processors):
    true = only("reverb", processors, weight=0.3)
    declared = processors["reverb"].specification["delta_log_magnitude"]

    def longer(value):
        seconds = declared.to_unit(value.double())
        return declared.from_unit(seconds + torch.tensor([0.25, 0.5]).view(1, 2, 1))

    errors = errors_of(true, changed(true, "delta_log_magnitude", longer, weight=0.4), processors)
    assert errors == pytest.approx({"T60 mid": 0.25, "T60 side": 0.5, "colour": 0.0, "weight": 0.1}, abs=1e-4)
    # A common level is normalised away; one of the side alone is not.
    level = changed(true, "init_log_magnitude", lambda v: v + 1)
    assert errors_of(true, level, processors)["colour"] == pytest.approx(0, abs=1e-4)
    wider = changed(true, "init_log_magnitude", lambda v: v + torch.tensor([0.0, 1.0]).view(1, 2, 1))
    assert errors_of(true, wider, processors)["colour"] > 0.4


def test_loud_taps_are_compared_in_ms_and_db(processors):
    true = only("delay", processors, weight=0.5)
    declared = processors["delay"].specification["delay_z"]

    def later(value):
        return declared.from_unit(declared.to_unit(value.double()) + torch.tensor([2.0, 0.0]))

    errors = parameter_errors(true, changed(true, "delay_z", later), processors).values
    taps = [e for e in errors if e.quantity == "tap delay"]
    assert len(taps) == 4  # two a channel; the others lie 28 dB lower or more
    assert [e.error for e in taps] == pytest.approx([2.0] * 4, abs=0.034)  # a sample
    assert [e.found - e.true for e in taps] == pytest.approx([2.0] * 4, abs=0.034)
    assert {e.error for e in errors if e.quantity == "tap level"} == {0.0}
    # Weights of 2/3 and 1/2: against the dry sound, twice as loud.
    louder = parameter_errors(true, changed(true, "delay_z", lambda v: v, weight=2 / 3), processors).values
    levels = [e.error for e in louder if e.quantity == "tap level"]
    assert levels == pytest.approx([20 * math.log10(2)] * 4, abs=1e-4)


def test_tap_levels_are_those_of_the_response(processors):
    """A single loud tap a channel has half of the energy each: 0 dB against the dry sound at weight 0.5."""
    true = only("delay", processors, weight=0.5)
    alone = torch.full((1, 40, processors["delay"].num_bins), -12.0)
    alone[:, [3, 23]] = 0
    setting = changed(true, "log_fir_magnitude", lambda _: alone)
    levels = [e.true for e in parameter_errors(setting, setting, processors).values if e.quantity == "tap level"]
    assert levels == pytest.approx([0, 0], abs=1e-3)


def test_a_type_that_says_nothing_is_compared_parameter_by_parameter(processors):
    true = only("gain_panning", processors)
    saturators = [
        GraphValues(
            replace(true.graph, types=tuple("saturator" if t == "gain_panning" else t for t in true.graph.types)),
            {"saturator": {"bias": torch.zeros(1, 1), "log_drive": torch.full((1, 1), drive)}},
            torch.tensor([weight]),
        )
        for drive, weight in ((0.0, 0.95), (1.0, 0.9))
    ]
    assert errors_of(*saturators, processors) == pytest.approx(
        {"bias": 0, "log_drive": 20 / math.log(10), "weight": 0.05}, abs=1e-5
    )


def test_errors_are_summarised_by_type_and_quantity(processors):
    graph = kept({("kick", "stereo_imager"), ("keys", "stereo_imager"), ("bass", "stereo_imager")})
    zero = GraphValues(graph, {"stereo_imager": {"log_gain": torch.zeros(3, 1)}}, torch.ones(3))
    db = torch.tensor([[1.0], [2.0], [6.0]])
    estimate = GraphValues(graph, {"stereo_imager": {"log_gain": db * math.log(10) / 20}}, torch.ones(3))
    errors = parameter_errors(zero, estimate, processors)
    (row,) = errors.summary()
    assert (row.type, row.quantity, row.unit, row.count) == ("stereo_imager", "side", "dB", 3)
    assert (row.median, row.mean, row.worst) == pytest.approx((2, 3, 6), abs=1e-5)
    assert "| stereo_imager | side | dB | 3 | 2 | 3 | 6 |" in errors.format_table()
    saved = json.loads(json.dumps(errors.to_dict()))
    assert len(saved["values"]) == 3
    assert saved["summary"][0]["worst"] == pytest.approx(6, abs=1e-5)


def test_third_octaves_average_equal_shares_of_the_spectrum():
    hertz = torch.arange(1024) * 30_000 / 2047
    means = third_octave_means(hertz)
    assert means.sum(dim=1).tolist() == pytest.approx([1.0] * means.shape[0])
    assert 22 <= means.shape[0] <= 26  # 50 Hz to 15 kHz are 8.2 octaves
    assert float((means > 0).double().sum(dim=0).max()) == 1  # no bin counts twice
    assert (means @ torch.full((1024,), 3.0, dtype=torch.float64)).tolist() == pytest.approx([3.0] * means.shape[0])


def test_graph_values_hold_any_graph():
    graph = MixGraph(("input", "output"), ((0, 1),), ("a", "song"), ("",))
    setting = GraphValues(graph, {}, torch.zeros(0))
    assert parameter_errors(setting, setting, make_processors()).to_dict() == {"summary": [], "values": []}
