"""Gain, pan and equalizer against what is known: formulas against the mixer's own, paths against rendering."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch
import yaml

from mixgraph.graph import GraphValues, MixGraph, build_console
from mixgraph.processors import make_processors
from mixgraph.render import render_song
from mixgraph.songs import load_song
from tools.bench.fidelity.direct_sound import mix_factors, third_octave_bands
from tools.bench.fidelity.juce import chain_response, filter_response, pan_gains
from tools.bench.fidelity.report import to_markdown
from tools.bench.fidelity.responses import (
    DirectPath,
    found_paths,
    measure_responses,
    response_errors,
    true_paths,
)
from tools.bench.fidelity.runs import peer_values

RATE = 30000
DEMO = Path(__file__).parents[2] / "mixgraph" / "songs" / "demo_potassium"
PROCESSORS = make_processors(RATE)
BANDS = third_octave_bands(RATE)


def decibels(response: torch.Tensor) -> list[float]:
    return (20 * torch.log10(response.abs())).tolist()


# The bands.


def test_bands_are_third_octaves_from_50_to_10000_hertz() -> None:
    assert BANDS.n_fft == 16384
    assert BANDS.member.shape == (24, BANDS.hertz.numel())
    centres = 50 * 2 ** (torch.arange(24) / 3)
    means = BANDS.member @ BANDS.hertz / BANDS.member.sum(dim=1)
    assert ((means / centres - 1).abs() < 0.03).all()  # a band's mean lies above the middle of its ends' logarithms
    assert BANDS.member.sum(dim=1).min() >= 5
    assert third_octave_bands(8000).hertz[-1] == 4000


# pedalboard's filters.


@pytest.mark.parametrize(
    ("kind", "settings", "dc", "centre", "nyquist"),
    [
        ("highpass", {}, 0, math.sqrt(0.5), 1),
        ("lowpass", {}, 1, math.sqrt(0.5), 0),
        ("peak", {"gain_db": 6.0, "q": 2.0}, 1, 10**0.3, 1),
        ("lowshelf", {"gain_db": 6.0}, 10**0.3, 10**0.15, 1),
        ("highshelf", {"gain_db": -6.0}, 1, 10**-0.15, 10**-0.3),
    ],
)
def test_filters_at_both_ends_and_at_their_frequency(kind, settings, dc, centre, nyquist) -> None:
    hertz = torch.tensor([0.0, 3000.0, 22050.0])
    response = filter_response(kind, {"cutoff_frequency_hz": 3000.0} | settings, hertz, 44100).abs()
    assert response.tolist() == pytest.approx([dc, centre, nyquist], abs=1e-12)
    old_form = {"highpass": "HighpassFilter", "lowpass": "LowpassFilter", "peak": "PeakFilter"}
    old_form |= {"lowshelf": "LowShelfFilter", "highshelf": "HighShelfFilter"}
    again = filter_response(old_form[kind], {"cutoff_frequency_hz": 3000.0} | settings, hertz, 44100).abs()
    assert torch.equal(response, again)


@pytest.mark.parametrize("kind", ["highpass", "lowpass"])
def test_passes_are_first_order_butterworth(kind) -> None:
    hertz = torch.linspace(0, 20000, 50)
    b, a = scipy.signal.butter(1, 800, kind, fs=44100)
    _, expected = scipy.signal.freqz(b, a, hertz.numpy(), fs=44100)
    response = filter_response(kind, {"cutoff_frequency_hz": 800}, hertz, 44100)
    assert np.abs(response.numpy() - expected).max() < 1e-6  # float32 frequencies


@pytest.mark.parametrize(
    ("kind", "settings", "at_3000_hz", "at_10000_hz"),
    [
        ("highpass", {"cutoff_frequency_hz": 150}, -0.011, -0.001),
        ("lowpass", {"cutoff_frequency_hz": 5000}, -1.272, -8.054),
        ("peak", {"cutoff_frequency_hz": 3673, "gain_db": 6.4, "q": 2.28}, 3.307, 0.154),
        ("peak", {"cutoff_frequency_hz": 1000, "gain_db": 6.0}, 1.327, 0.088),
        ("lowshelf", {"cutoff_frequency_hz": 6000, "gain_db": 5.5}, 5.215, 0.416),
        ("highshelf", {"cutoff_frequency_hz": 6000, "gain_db": -5.2}, -0.268, -4.809),
        ("highshelf", {"cutoff_frequency_hz": 6000, "gain_db": -5.2, "q": 1.3}, 0.772, -6.093),
    ],
)
def test_filters_are_those_of_pedalboard(kind, settings, at_3000_hz, at_10000_hz) -> None:
    """Impulse responses of pedalboard 0.9.26 at 44.1 kHz, in dB to three digits."""
    response = filter_response(kind, settings, torch.tensor([3000.0, 10000.0]), 44100)
    assert decibels(response) == pytest.approx([at_3000_hz, at_10000_hz], abs=6e-4)


def test_pan_keeps_power_and_is_a_tangent() -> None:
    assert pan_gains(0.0) == pytest.approx((1, 1))
    assert pan_gains(-1.0) == pytest.approx((math.sqrt(2), 0), abs=1e-12)
    left, right = pan_gains(0.5)
    assert left**2 + right**2 == pytest.approx(2)
    assert right / left == pytest.approx(math.tan(1.5 * math.pi / 4))


def test_the_demo_song_was_panned_by_this_law() -> None:
    """Its voice is panned twice, by -0.14 and 0.75; a linear law would give 5.3 times as much right as left."""
    song = load_song(DEMO, RATE, loudness_lufs=None)
    gains = [torch.linalg.lstsq(song.sources[:, c].T, song.mix[c].unsqueeze(1)).solution.squeeze(1) for c in (0, 1)]
    voice = song.tracks.index("vox_lead")
    (a, b), (c, d) = pan_gains(-0.14), pan_gains(0.75)
    assert float(gains[1][voice] / gains[0][voice]) == pytest.approx(
        b * d / (a * c), rel=0.02
    )  # others are alike a bit


def test_a_chain_is_the_product_of_its_steps() -> None:
    hertz = torch.tensor([1000.0])
    chain = [
        ["gain", {"gain_db": -6.0, "pan": 0.0}],
        ["delay", {"mix": 0.25, "delay_seconds": 0.5}],
        ["reverb", {"dry_level": 0.85, "wet_level": 0.1}],
        ["PeakFilter", {"cutoff_frequency_hz": 1000, "gain_db": 4.0}],
        ["equalizer", [["highpass", {"cutoff_frequency_hz": 1000}]]],
        ["Pan", {"pos": 0.5}],
    ]
    response, dynamic = chain_response(chain, hertz, 44100)
    level = 10**-0.3 * 0.75 * 1.7 * 10**0.2 * math.sqrt(0.5)
    assert response.abs()[:, 0].tolist() == pytest.approx([level * gain for gain in pan_gains(0.5)])
    assert not dynamic
    assert chain_response([["NoiseGate", {}]], hertz, 44100)[1]


def test_what_is_not_known_is_refused(tmp_path) -> None:
    hertz = torch.tensor([1000.0])
    with pytest.raises(ValueError, match=r"one of highpass, .* is needed, got 'chorus'"):
        chain_response([["chorus", {"cutoff_frequency_hz": 1}]], hertz, RATE)
    with pytest.raises(ValueError, match=r"delay: the setting 'mix' is needed"):
        chain_response([["delay", {}]], hertz, RATE)
    song = written_song(tmp_path, {"a": [["reverb", {}]]}, {"all": []})
    with pytest.raises(ValueError, match=r"truth.json: a, all: reverb: the setting 'dry_level' is needed"):
        true_paths(tmp_path, song, BANDS.hertz)


# Paths of graphs.


def values_of(graph: MixGraph, weight: float | None = None, seed: int = 0) -> GraphValues:
    """Values with some spread; one weight for all, or different ones."""
    generator = torch.Generator().manual_seed(seed)
    parameters = {t: PROCESSORS[t].sample_initial_values(n, generator, 0.3) for t, n in sorted(graph.count().items())}
    weights = 0.2 + 0.7 * torch.rand(len(graph.processors), generator=generator)
    return GraphValues(graph, parameters, weights if weight is None else torch.full_like(weights, weight))


def test_path_of_gains_and_effects_is_their_product() -> None:
    graph = build_console({"all": ["a", "b"]}, "gd", "gr", master_chain="s")
    values = values_of(graph)
    weight_of = {graph.label(i): float(w) for i, w in zip(graph.processors, values.weights, strict=True)}
    gain_of = {graph.label(i): values.parameters["gain_panning"]["log_gain"][graph.rows[i]].exp().double()
               for i in graph.nodes_of("gain_panning")}  # fmt: skip
    side = float(values.parameters["stereo_imager"]["log_gain"].exp())
    for track in "ab":
        expected = torch.ones(2, dtype=torch.float64)
        for label in (f"track {track}: gain_panning", "subgroup all: gain_panning"):
            expected = expected * (1 - weight_of[label] + weight_of[label] * gain_of[label])
        expected = expected * (1 - weight_of[f"track {track}: delay"]) * (1 - weight_of["subgroup all: reverb"])
        w = weight_of["master mix: stereo_imager"]
        width = 1 - w + w * side
        imager = torch.tensor([[1 + width, 1 - width], [1 - width, 1 + width]], dtype=torch.float64) / 2
        path = found_paths(values, PROCESSORS, BANDS)[track]
        assert path.has_level
        assert path.response.shape == (2, 2, BANDS.hertz.numel())
        assert (path.response - (imager @ expected.diag()).unsqueeze(-1)).abs().max() < 1e-6  # weights are float32


def test_dynamics_on_the_way_leave_no_level_and_no_trace() -> None:
    graph = build_console({"x": ["a", "b"], "y": ["c"]}, "g", "c")
    values = values_of(graph, 1.0)
    weights = values.weights.clone()
    weights[[graph.level(i) == "subgroup" and graph.names[i] == "y" for i in graph.processors]] = 0
    paths = found_paths(GraphValues(graph, values.parameters, weights), PROCESSORS, BANDS)
    assert {name: path.has_level for name, path in paths.items()} == {"a": False, "b": False, "c": True}
    gains = values.parameters["gain_panning"]["log_gain"].exp()
    assert paths["b"].response[..., 7].diagonal().real.tolist() == pytest.approx(gains[1].tolist())


def test_returns_are_left_out() -> None:
    plain = build_console({"all": ["a", "b"]}, "eg", "g")
    with_bus = build_console({"all": ["a", "b"]}, "eg", "g", returns={"room": "eg"})
    values = values_of(with_bus)
    rows = {t: range(plain.count()[t]) for t in plain.count()}  # nodes of the return stand behind all others
    kept = {t: {name: v[list(rows[t])] for name, v in values.parameters[t].items()} for t in rows}
    place = {with_bus.label(i): k for k, i in enumerate(with_bus.processors)}
    weights = values.weights[[place[plain.label(i)] for i in plain.processors]]
    expected = found_paths(GraphValues(plain, kept, weights), PROCESSORS, BANDS)
    paths = found_paths(values, PROCESSORS, BANDS)
    assert all(torch.equal(paths[name].response, expected[name].response) for name in "ab")


@pytest.mark.parametrize(
    "chain", ["eg", "sge", "b(e,g)", "t(e,g)", "pg"], ids=["plain", "width", "bands", "mid_side", "parametric"]
)
def test_path_is_what_rendering_makes_of_noise(chain) -> None:
    graph = build_console({"all": ["a"]}, chain, "g", master_chain="es")
    values = values_of(graph)
    noise = torch.randn(1, 2, 4 * RATE, generator=torch.Generator().manual_seed(1))
    noise[..., :RATE] = noise[..., -RATE:] = 0  # room for what rings and what looks ahead
    mix = render_song(graph, PROCESSORS, noise, values.parameters, values.weights)[0]
    size = noise.shape[-1]
    path = found_paths(values, PROCESSORS, BANDS)["a"].response
    hertz = torch.arange(size // 2 + 1) * (RATE / size)
    place = (hertz / BANDS.hertz[1]).round().long()
    inside = place < BANDS.hertz.numel()
    dry, wet = torch.fft.rfft(noise[0].double())[:, inside], torch.fft.rfft(mix.double())[:, inside]
    expected = torch.einsum("abf,bf->af", path[..., place[inside]], dry)
    # The nearest bin of the path, 1.8 Hz wide, stands for seven of the noise.
    assert (wet - expected).abs().square().sum() < 1e-3 * wet.abs().square().sum()


# Comparing.


def written_song(folder: Path, tracks, subgroups, mix=None, final_gain=1.0):
    """A song of stereo noise on disk, with a truth.json."""
    generator = np.random.default_rng(0)
    audio = {name: 0.05 * generator.standard_normal((3 * RATE, 2)) for name in tracks}
    (folder / "tracks").mkdir(parents=True, exist_ok=True)
    for name, samples in audio.items():
        soundfile.write(folder / "tracks" / f"{name}.wav", samples, RATE, subtype="FLOAT")
    rendered_mix = sum(audio.values()) if mix is None else mix(audio)
    soundfile.write(folder / "mix.wav", rendered_mix, RATE, subtype="FLOAT")
    (folder / "song.yaml").write_text(yaml.safe_dump({"subgroups": {"all": [f"{name}.wav" for name in tracks]}}))
    truth = {"tracks": {f"{name}.wav": chain for name, chain in tracks.items()}, "subgroups": subgroups}
    if final_gain is not None:
        truth["final_gain"] = final_gain
    (folder / "truth.json").write_text(json.dumps(truth))
    return load_song(folder, RATE, loudness_lufs=None)


def gains_of(settings: dict[str, tuple[float, float]], group: tuple[float, float]) -> GraphValues:
    """A console of gains alone, by levels in dB and pans."""
    graph = build_console({"all": list(settings)}, "g", "g")
    log_gains = [
        [math.log(gain) + db * math.log(10) / 20 for gain in pan_gains(pan)] for db, pan in (*settings.values(), group)
    ]
    parameters = {"gain_panning": {"log_gain": torch.tensor(log_gains, dtype=torch.float64)}}
    return GraphValues(graph, parameters, torch.ones(len(log_gains), dtype=torch.float64))


TRUE_GAINS = {
    "a": [["gain", {"gain_db": -3.0, "pan": -0.4}]],
    "b": [["gain", {"gain_db": 2.0, "pan": 0.1}]],
}
TRUE_GROUP = {"all": [["gain", {"gain_db": -1.0, "pan": 0.2}]]}


def measured(folder: Path, song, values: GraphValues, first: int = 0):
    mix = render_song(values.graph, PROCESSORS, song.sources, values.parameters, values.weights.float())[0]
    errors = measure_responses(song, folder, None, values, PROCESSORS, (song.mix[:, first:], mix[:, first:]))
    assert errors is not None
    return json.loads(json.dumps(errors, allow_nan=False))


def test_known_gains_have_no_error(tmp_path) -> None:
    song = written_song(tmp_path, TRUE_GAINS, TRUE_GROUP, final_gain=0.5)
    half = 20 * math.log10(0.5)
    errors = measured(tmp_path, song, gains_of({"a": (-3, -0.4), "b": (2, 0.1)}, (-1 + half, 0.2)))
    for errors_of_track in errors["tracks"].values():
        assert (errors_of_track["level_db"], errors_of_track["pan"], errors_of_track["bands"]) == (
            pytest.approx(0, abs=1e-9),
            pytest.approx(0, abs=1e-9),
            24,
        )
        assert errors_of_track["equalizer_db"]["worst"] == pytest.approx(0, abs=1e-9)
    assert (errors["in_target"], errors["equalizer_in_target"]) == (1, 1)


def test_errors_are_told_by_track_and_wherever_the_gain_sits(tmp_path) -> None:
    song = written_song(tmp_path, TRUE_GAINS, {"all": []})
    errors = measured(tmp_path, song, gains_of({"a": (-3, -0.4), "b": (2 + 3 - 1.5, 0.1)}, (-3, 0.0)))
    assert errors["tracks"]["a"]["level_db"] == pytest.approx(-3, abs=1e-9)
    assert errors["tracks"]["b"]["level_db"] == pytest.approx(-1.5, abs=1e-9)
    assert errors["level_db"] == pytest.approx(2.25)
    assert errors["pan"] == pytest.approx(0, abs=1e-9)
    assert (errors["in_target"], errors["equalizer_in_target"]) == (0, 1)
    panned = measured(tmp_path, song, gains_of({"a": (-3, -0.1), "b": (2, 0.1)}, (0, 0.0)))
    # Left and right of the noise differ by 0.5 % of its energy in 3 s.
    assert panned["tracks"]["a"]["pan"] == pytest.approx(0.3, abs=2e-3)


def test_an_equalizer_that_has_the_biquads_magnitude_has_no_error(tmp_path) -> None:
    settings = {"cutoff_frequency_hz": 1500.0, "gain_db": 6.0, "q": 0.7}
    song = written_song(tmp_path, {"a": [["equalizer", [["peak", settings]]]]}, {"all": []})
    graph = build_console({"all": ["a"]}, "e", "")
    bins = PROCESSORS["equalizer"].specification["log_magnitude"].shape[0]
    hertz = torch.arange(bins, dtype=torch.float64) * (RATE / (2 * bins - 1))
    log_magnitude = filter_response("peak", settings, hertz, RATE).abs().log().unsqueeze(0)

    def of(values: torch.Tensor):
        return measured(tmp_path, song, GraphValues(graph, {"equalizer": {"log_magnitude": values}}, torch.ones(1)))

    same = of(log_magnitude.float())
    assert same["worst_db"] < 0.01  # the equalizer's window smooths over 30 Hz
    assert abs(same["tracks"]["a"]["level_db"]) < 0.01
    flat = of(torch.zeros(1, bins))
    bands = BANDS.member @ filter_response("peak", settings, BANDS.hertz, RATE).abs().square()
    expected = 10 * torch.log10(bands / BANDS.member.sum(dim=1))
    # The bands of noise have energy at random within them: a few per cent in the narrow ones.
    assert flat["tracks"]["a"]["level_db"] == pytest.approx(-float(expected.mean()), abs=0.02)
    assert flat["worst_db"] == pytest.approx(float((expected - expected.mean()).abs().max()), abs=0.1)


def test_bands_without_energy_do_not_count(tmp_path) -> None:
    song = written_song(tmp_path, {"a": []}, {"all": []})
    tone = 0.1 * torch.sin(2 * math.pi * 1000 * torch.arange(song.num_samples) / RATE).expand(2, -1)
    true = {"a": DirectPath(torch.eye(2, dtype=torch.complex128).unsqueeze(-1).expand(2, 2, BANDS.hertz.numel()), True)}
    response = true["a"].response * torch.where((BANDS.hertz > 900) & (BANDS.hertz < 1100), 2.0, 9.0)
    paths = {"a": DirectPath(response, True)}
    errors = response_errors(true, paths, {"a": tone}, (tone, tone), BANDS)
    assert errors["tracks"]["a"]["bands"] == 1
    assert errors["level_db"] == pytest.approx(20 * math.log10(2), abs=0.01)  # the tone's ends leak into 9


@pytest.mark.parametrize("first", [0, RATE])
def test_what_dynamics_add_is_measured_in_the_mix(tmp_path, first) -> None:
    """Here they take 2 dB left and 5 dB right; the track's filter and the other track are known.

    Mixes may lack the song's start: they are put against the end of the tracks.
    """
    chain = [["compressor", {}], ["gain", {"gain_db": 0.0, "pan": 0.3}]]
    after = np.array(pan_gains(0.3)) * 10 ** (np.array([-2.0, -5.0]) / 20)
    tracks = {"a": chain, "b": [["gain", {"gain_db": -4.0, "pan": 0.0}]]}
    song = written_song(tmp_path, tracks, {"all": []}, lambda audio: audio["a"] * after + audio["b"] * 10**-0.2)
    assert {n: p.has_level for n, p in true_paths(tmp_path, song, BANDS.hertz).items()} == {"a": False, "b": True}
    place = math.atan2(after[1], after[0]) * 4 / math.pi - 1
    level = 10 * math.log10(sum(after**2) / 2)
    errors = measured(tmp_path, song, gains_of({"a": (level, place), "b": (-4, 0.0)}, (0, 0.0)), first)
    # Noise: its channels differ by 0.5 % of energy in 3 s, and two tracks of it are alike by as much.
    assert errors["tracks"]["a"]["level_db"] == pytest.approx(0, abs=0.02)
    assert errors["tracks"]["a"]["pan"] == pytest.approx(0, abs=2e-3)
    assert errors["tracks"]["b"]["level_db"] == pytest.approx(0, abs=1e-9)


def test_the_old_form_does_not_state_the_gain_of_the_sum(tmp_path) -> None:
    song = written_song(tmp_path, {"a": [], "b": []}, {"all": []}, lambda audio: 0.7 * (audio["a"] + audio["b"]))
    old = {"a": [["Gain", {"gain_db": 0.0}]], "b": [["Pan", {"pos": 0.0}]], "bus:all": []}
    (tmp_path / "truth.json").write_text(json.dumps(old))
    errors = measured(tmp_path, song, gains_of({"a": (0, 0), "b": (0, 0)}, (0, 0.0)))
    assert errors["level_db"] == pytest.approx(-20 * math.log10(0.7), abs=1e-3)  # float32 spectra, frames at the ends
    (tmp_path / "truth.json").write_text(json.dumps({"a": [], "bus:other": []}))
    assert true_paths(tmp_path, song, BANDS.hertz) == {}
    empty = measured(tmp_path, song, gains_of({"a": (0, 0), "b": (0, 0)}, (0, 0.0)))
    assert (empty["tracks"], empty["level_db"], empty["in_target"]) == ({}, None, None)
    (tmp_path / "truth.json").unlink()
    assert true_paths(tmp_path, song, BANDS.hertz) is None


def test_factors_that_cannot_be_told_are_none() -> None:
    noise = 0.1 * torch.randn(3, 2, 2 * RATE, generator=torch.Generator().manual_seed(0))
    tracks = torch.stack([noise[0], noise[1], noise[1] + 1e-3 * noise[2], noise[2]])
    left = torch.eye(2, dtype=torch.complex128).unsqueeze(-1).expand(2, 2, BANDS.hertz.numel()).clone()
    left[1] = 0
    whole = torch.eye(2, dtype=torch.complex128).unsqueeze(-1).expand_as(left)
    mix = 0.5 * tracks[0] * torch.tensor([[1.0], [0.0]]) + tracks[1] - 2 * tracks[3]
    factors = mix_factors([left, whole, whole, whole], tracks, mix, BANDS)
    assert factors[0].tolist() == pytest.approx([0.5, 1])
    assert factors[1:].isnan().all()  # two that are nearly one, and one of the other polarity


def test_a_graph_of_ours_as_truth(tiny_song) -> None:
    song = load_song(tiny_song, RATE, loudness_lufs=None)
    graph = build_console(song.subgroups, "eg", "g")
    truth = values_of(graph)
    mixes = (song.mix, song.mix)
    same = measure_responses(song, tiny_song, truth, truth, PROCESSORS, mixes)
    assert same is not None
    assert (same["level_db"], same["pan"], same["worst_db"], same["in_target"]) == (0, 0, 0, 1)
    assert measure_responses(song, tiny_song, None, truth, PROCESSORS, mixes) is None


# Where it is told.


def record(**responses):
    return {
        "curve": [{"step": 1, "loss_prediction": 1.0}],
        **dict.fromkeys(("seconds", "loss_target", "loss_prediction", "stft", "loudness_lu"), 1.0),
        **dict.fromkeys(("centroid_octaves", "pruning_ratio"), 0.5),
        "console": {"reverb": 1},
        "found": {"reverb": 1},
        "processors": [],
        "truth": None,
        "errors": [],
        **responses,
    }


def test_the_report_has_a_section_where_truth_is_known() -> None:
    def errors(level):
        summary = {"level_db": level, "pan": 0.02, "equalizer_db": 0.4, "worst_db": 2.0}
        return {"responses": summary | {"equalizer_in_target": 0.7, "in_target": None}}

    title = "## Gain, pan and equalizer against the truth"
    known = {("s", "ours"): [record(**errors(0.5)), record(**errors(1.5)), record(responses=None)]}
    text = to_markdown(known | {("t", "ours"): [record()]}, [])
    assert "| s | ours | 1.00 | 0.020 | 0.40 | 2.00 | 0.70 | - |" in text
    assert "| t | ours |" not in text[text.index(title) :]
    assert title not in to_markdown({("t", "ours"): [record()]}, [])  # kept by an earlier version


@pytest.mark.skipif(importlib.util.find_spec("grafx") is None, reason="the peer is an optional extra")
@pytest.mark.filterwarnings("ignore")  # on import, grafx 0.6.0 compares torchaudio's version as text
def test_values_of_the_peer_are_those_it_was_given() -> None:
    from tools.bench.peer import PeerConsole

    values = values_of(build_console({"x": ["a", "b"], "y": ["c"]}))
    console = PeerConsole(values.graph)
    console.copy_values(values.parameters, values.weights)
    ours = peer_values(console)
    assert torch.allclose(ours.weights, values.weights, atol=1e-6)
    for node_type, type_parameters in values.parameters.items():
        assert all(torch.equal(ours.parameters[node_type][name], value) for name, value in type_parameters.items())
