"""Synthetic songs: reproducible, rendered by their own graph, and every processor of it matters."""

import functools
import itertools

import pytest
import torch

import mixgraph.synthetic.mixer as mixer
from datamodules.synthetic import SyntheticSongData
from mixgraph.graph import MIX, build_console, prune
from mixgraph.losses import SongTarget, make_match_loss
from mixgraph.processors import make_processors, types_from_letters
from mixgraph.render import render_song
from mixgraph.synthetic.engineer import draw_settings
from mixgraph.synthetic.instruments import INSTRUMENTS, make_sheet, make_track
from mixgraph.synthetic.song import make_synthetic_song

SMALL = {"num_tracks": 4, "num_subgroups": 2, "seconds": 3.0, "sample_rate": 16_000}
TOLERANCE = 0.02


@functools.cache
def small_song():
    return make_synthetic_song(seed=1, tolerance=TOLERANCE, **SMALL)


@pytest.fixture
def truth():
    return small_song()


def render(truth, graph=None, parameters=None, weights=None):
    return render_song(
        truth.graph if graph is None else graph,
        truth.processors,
        truth.song.sources,
        truth.parameters if parameters is None else parameters,
        truth.weights if weights is None else weights,
        block=50_000,
    )[0]


def test_all_types_are_present_and_the_song_is_as_described(truth):
    assert set(truth.graph.count()) == set(types_from_letters("ecnsgdr"))
    song = truth.song
    assert song.tracks == ("kick", "snare", "bass", "pluck")
    assert {name: len(tracks) for name, tracks in song.subgroups.items()} == {"subgroup_1": 2, "subgroup_2": 2}
    assert song.sources.shape == (4, 2, 48_000)
    assert song.mono == (True, False, True, False)
    assert [bool((s[0] == s[1]).all()) for s in song.sources] == [True, False, True, False]
    assert 0.1 < float(song.mix.abs().max()) < 1
    assert float(song.sources.abs().max()) < 1
    levels = 10 * torch.log10(song.sources.square().mean(dim=(1, 2)))
    assert ((levels > -32) & (levels < -17)).all()


def test_the_truth_renders_the_mix(truth):
    # Another block size than the song was made with: equal within float32 rounding.
    torch.testing.assert_close(render(truth), truth.song.mix, rtol=0, atol=2e-6)


def test_removing_any_processor_costs_twice_the_tolerance(truth):
    target = SongTarget(make_match_loss(truth.song.sample_rate), truth.song.mix)
    for index, node in enumerate(truth.graph.processors):
        graph, left = prune(truth.graph, [i for i in truth.graph.processors if i != node])
        parameters = {
            t: {name: value[list(left.rows[t])] for name, value in values.items()}
            for t, values in truth.parameters.items()
            if left.rows[t]
        }
        mix = render(truth, graph, parameters, truth.weights[list(left.processors)])
        increase = target.score(mix).loss["full"]
        assert increase >= 2 * TOLERANCE, truth.graph.label(node)
        assert increase == pytest.approx(truth.loss_increases[index], abs=2e-3)


def test_the_same_seed_gives_the_same_song_and_another_seed_another(monkeypatch):
    # Without the measuring, which is as reproducible as rendering and costs nearly all of the time.
    monkeypatch.setattr(mixer, "leave_one_out", lambda evaluator, count: [1.0] * count)
    first, second, other = (make_synthetic_song(seed=seed, **SMALL) for seed in (3, 3, 4))
    assert first.graph == second.graph
    assert torch.equal(first.song.mix, second.song.mix)
    assert torch.equal(first.song.sources, second.song.sources)
    assert torch.equal(first.weights, second.weights)
    for t, values in first.parameters.items():
        assert all(torch.equal(value, second.parameters[t][name]) for name, value in values.items())
    assert not torch.equal(first.song.sources, other.song.sources)
    assert first.song.mix.shape == other.song.mix.shape


@pytest.mark.long
def test_what_matters_too_little_is_drawn_stronger_then_removed(monkeypatch):
    """With made-up increases: the first two of every measurement are worth nothing, until types would be lost."""
    sizes = []

    def measure(evaluator, count):
        sizes.append(count)
        return [0.0 if i < 2 and len(sizes) < 4 else 1.0 for i in range(count)]

    monkeypatch.setattr(mixer, "leave_one_out", measure)
    truth = make_synthetic_song(seed=1, density=0.6, num_tracks=6, num_subgroups=2, seconds=2.0)
    assert sizes[1] == sizes[0]  # drawn stronger, both still there
    assert sizes[2:] == [sizes[0] - 2, sizes[0] - 4]
    assert len(truth.graph.processors) == len(truth.weights) == len(truth.loss_increases) == sizes[0] - 4
    torch.testing.assert_close(render(truth), truth.song.mix, rtol=0, atol=2e-6)


@pytest.mark.long
def test_an_impossible_demand_is_refused(monkeypatch):
    monkeypatch.setattr(mixer, "leave_one_out", lambda evaluator, count: [0.05] * count)
    with pytest.raises(ValueError, match=r"seed 5: after 6 attempts no graph of all 7 types.*HINT: more tracks"):
        make_synthetic_song(seed=5, num_tracks=3, num_subgroups=1, seconds=2.0, sample_rate=8000, tolerance=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_tracks": 3}, "num_tracks: at least 3, and 2 for each of 2 subgroups, got 3"),
        ({"num_tracks": 2, "num_subgroups": 1}, "num_tracks: at least 3"),
        ({"num_subgroups": 0}, "num_subgroups: at least 1, got 0"),
        ({"seconds": 1.0}, "seconds: at least 2, got 1.0"),
        ({"tolerance": -0.1}, "tolerance: at least 0"),
        ({"density": 0.0}, "density: above 0 and at most 1, got 0.0"),
        ({"seconds": 0, "density": 2}, "seconds.*; density"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_synthetic_song(**arguments)


def test_no_equal_graph_is_smaller(monkeypatch):
    """A subgroup has a gain, equalizer or imager only where two of its tracks lack it; imagers need a side signal."""
    monkeypatch.setattr(mixer, "leave_one_out", lambda evaluator, count: [1.0] * count)
    for seed in range(3):
        truth = make_synthetic_song(seed, 7, 3, 2.0, sample_rate=8000, density=0.6)
        graph = truth.graph
        at = {(graph.names[i], graph.types[i]) for i in graph.processors}
        for group, tracks in truth.song.subgroups.items():
            for node_type in ("gain_panning", "equalizer", "stereo_imager"):
                if (group, node_type) in at:
                    assert sum((track, node_type) not in at for track in tracks) >= 2
        for track, mono in zip(truth.song.tracks, truth.song.mono, strict=True):
            assert not (mono and (track, "stereo_imager") in at)
        assert [graph.names[i] for i in graph.nodes_of(MIX)] == list(truth.song.subgroups)


@pytest.mark.long
def test_an_engineer_who_listens_sets_other_gains_of_tracks_and_nothing_else(truth):
    listened = make_synthetic_song(seed=1, tolerance=TOLERANCE, balanced=True, **SMALL)
    torch.testing.assert_close(render(listened), listened.song.mix, rtol=0, atol=2e-6)
    gains = []
    for song in (truth, listened):
        nodes, values = song.graph.nodes_of("gain_panning"), song.parameters["gain_panning"]["log_gain"]
        gains.append({song.graph.names[i]: values[song.graph.rows[i]] for i in nodes})
    shared = sorted(gains[0].keys() & gains[1].keys())
    assert any(name in truth.song.tracks for name in shared)
    for name in shared:
        assert torch.equal(gains[0][name], gains[1][name]) is (name not in truth.song.tracks)


@pytest.mark.parametrize("instrument", INSTRUMENTS, ids=lambda i: i.name)
def test_instruments_are_levelled_and_dynamic(instrument):
    sheet = make_sheet(4 * 30_000, 30_000, torch.Generator().manual_seed(0))
    audio = make_track(instrument, sheet, torch.Generator().manual_seed(1))
    assert audio.shape == (2, 4 * 30_000)
    assert -27 < float(10 * torch.log10(audio.square().mean())) < -17.9  # drums stay lower: their peaks are at 0.9
    assert float(audio.abs().max()) < 0.9001
    short = 10 * torch.log10(audio.double().square().mean(0).unflatten(0, (-1, 1500)).mean(1))  # 50 ms
    assert float(short.quantile(0.95) - short.quantile(0.05)) > 8
    side = audio[0] - audio[1]
    if instrument.stereo:
        assert float(side.square().mean()) > 0.01 * float(audio.square().mean())
    else:
        assert float(side.abs().max()) == 0


def test_instruments_are_apart_in_frequency():
    sheet = make_sheet(4 * 30_000, 30_000, torch.Generator().manual_seed(0))
    hertz = torch.fft.rfftfreq(4 * 30_000, 1 / 30_000)
    centres = {}
    for instrument in INSTRUMENTS:
        audio = make_track(instrument, sheet, torch.Generator().manual_seed(1))
        power = torch.fft.rfft(audio.sum(0)).abs().square()
        centres[instrument.name] = float((hertz * power).sum() / power.sum())
    order = ["kick", "bass", "pluck", "lead", "hats"]
    assert all(centres[low] * 1.3 < centres[high] for low, high in itertools.pairwise(order)), centres


def test_settings_are_in_engineers_ranges():
    processors = make_processors()
    generator = torch.Generator().manual_seed(0)
    signal = 0.3 * torch.randn(2, 60_000, generator=generator) * torch.linspace(0.01, 1, 60_000)
    ranges = {
        "gain_panning": {"log_gain": (-12, 6)},
        "stereo_imager": {"log_gain": (-12, 6)},
        "equalizer": {"log_magnitude": (-18, 14)},
        "compressor": {"log_threshold": (-46, -5), "log_ratio": (3, 8), "smoothing_logit": (5, 100)},
        "noisegate": {"log_threshold": (-46, -10), "log_ratio": (2, 4), "smoothing_logit": (5, 40)},
        "reverb": {"delta_log_magnitude": (0.4, 2.0)},
        "delay": {"log_fir_magnitude": (-36, 0)},
    }
    assert set(ranges) == set(types_from_letters("ecnsgdr"))
    for name, expected in ranges.items():
        for _ in range(5):
            values, weight = draw_settings(processors[name], signal, 1.0, generator)
            declared = processors[name].specification
            assert {n: v.shape for n, v in values.items()} == {n: torch.Size(d.shape) for n, d in declared.items()}
            for parameter, (low, high) in expected.items():
                in_unit = declared[parameter].to_unit(values[parameter])
                assert float(in_unit.min()) >= low * (1 - 1e-4 * (1 if low > 0 else -1)) - 1e-4
                assert float(in_unit.max()) <= high + 1e-4 * abs(high) + 1e-4
            assert 0.25 <= weight <= 0.45 if name in ("reverb", "delay") else 0.93 <= weight <= 0.99


def test_a_processor_without_a_rule_is_refused():
    with pytest.raises(ValueError, match=r"processor 'fader': no rule how to set it\. HINT: .*engineer_settings"):
        draw_settings(make_processors()["fader"], torch.ones(2, 10), 1.0, torch.Generator())


def test_the_datamodule_serves_the_song_and_knows_the_truth(monkeypatch, truth):
    requests = []

    def make(*arguments):
        requests.append(arguments)
        return truth

    monkeypatch.setattr("datamodules.synthetic.make_synthetic_song", make)
    data = SyntheticSongData(song_seed=1, steps_per_stage=2, tolerance=TOLERANCE, **SMALL)
    data.setup("fit")
    assert data.song is truth.song
    assert data.truth is truth
    assert requests == [(1, 4, 2, 3.0, 16_000, TOLERANCE, 0.4)]
    clip = data.clips().readers[0].at(0)
    assert torch.equal(clip.targets[0, :, :30_000], truth.song.mix[:, :30_000])
    console = build_console(data.song.subgroups)
    assert clip.sources.shape[0] == len(console.inputs)
