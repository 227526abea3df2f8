"""Settings that people read: known values come out in their units, every type has a line and a panel."""

import json
import math

import pytest
import torch

from mixgraph.graph import build_console, prune
from mixgraph.processors import Parameter, Processor, make_processors, registered
from mixgraph.processors.parameter import decibels
from mixgraph.processors.readings import Curve, NodeValues, frequency_response, to_db
from mixgraph.report.drawing.draw import draw_svg
from mixgraph.report.figures import save_figure
from mixgraph.report.panels import COLUMNS, ROWS, settings_figures
from mixgraph.report.settings import NodeSettings, read_settings, settings_text

RATE, SAMPLES = 30000, 900000
PROCESSORS = make_processors(RATE)


def settings_in_units(letter, weight=1.0, level=1.0, options=None, samples=SAMPLES, **unit_values):
    """The settings of one processor of a track; values in units, the others as they are drawn."""
    graph = build_console({"drums": ["kick"]}, letter, "")
    (node,) = graph.processors
    processors = make_processors(RATE, {graph.types[node]: options}) if options else PROCESSORS
    processor = processors[graph.types[node]]
    values = processor.sample_initial_values(1, torch.Generator().manual_seed(0))
    for name, value in unit_values.items():
        declared = processor.specification[name]
        unit = torch.as_tensor(value, dtype=torch.float64).expand(1, *declared.shape)
        values[name] = declared.from_unit(unit)
    parameters = {processor.name: values}
    (node_settings,) = read_settings(graph, processors, parameters, torch.tensor([weight]), samples, level)
    return node_settings


def settings_of(graph, **values_by_type):
    """The settings of a graph of weights .5; of the types that are given, values in units."""
    parameters = {
        t: PROCESSORS[t].sample_initial_values(n, torch.Generator().manual_seed(0)) for t, n in graph.count().items()
    }
    for node_type, type_values in values_by_type.items():
        declared = PROCESSORS[node_type].specification
        for name, value in type_values.items():
            unit = torch.tensor(value, dtype=torch.float64).expand_as(parameters[node_type][name])
            parameters[node_type][name] = declared[name].from_unit(unit)
    return read_settings(graph, PROCESSORS, parameters, torch.full((len(graph.processors),), 0.5), SAMPLES)


def test_gains_are_told_as_they_act() -> None:
    assert settings_in_units("g", log_gain=[6.0, -12.0]).text() == "left +6.0 dB, right -12.0 dB"
    three = 20 * math.log10(3)
    assert (
        settings_in_units("g", 0.5, log_gain=[three, three]).text() == "left +6.0 dB, right +6.0 dB"
    )  # 1 - .5 + .5 * 3
    assert settings_in_units("s", log_gain=[-9.0]).text() == "side -9.0 dB"


def test_an_equalizer_is_told_by_octaves() -> None:
    assert settings_in_units("e", log_magnitude=6.0).text() == (
        "dB at 63 +6.0, 125 +6.0, 250 +6.0, 500 +6.0, 1k +6.0, 2k +6.0, 4k +6.0, 8k +6.0"
    )
    bell = {"frequency_logit": [60, 200, 500, 1000, 4000, 9000], "log_gain": [0, 0, 0, 12.0, 0, 0], "q_logit": 1.0}
    stated, bands = settings_in_units("p", **bell).text().split("; wet bands ")
    octaves = dict(part.split() for part in stated.removeprefix("dB at ").split(", "))
    assert bands.split(", ")[2:4] == ["500 Hz +0.0 dB Q 1.0", "1000 Hz +12.0 dB Q 1.0"]
    assert max(octaves, key=lambda name: float(octaves[name])) == "1k"
    assert 8 < float(octaves["1k"]) < 12
    assert abs(float(octaves["63"])) < 0.3


def test_dynamics_are_told_at_the_level_of_the_tracks() -> None:
    compressor = {"log_threshold": -20.0, "log_ratio": 4.0, "log_knee": 3.0, "smoothing_logit": 25.0}
    assert (
        settings_in_units("c", **compressor).text() == "threshold -20.0 dB, ratio 4:1, knee 3.0 dB, time constant 25 ms"
    )
    assert (
        settings_in_units("c", level=10.0, **compressor).text().startswith("threshold -40.0 dB")
    )  # the search heard 20 dB more
    both = settings_in_units("k", attack_logit=3.0, release_logit=120.0, log_makeup=2.0).text()
    assert "attack 3 ms, release 120 ms, make-up 2.0 dB" in both


def test_echoes_and_decay_times_are_told() -> None:
    delay = PROCESSORS["delay"]
    ms = torch.arange(20).repeat(2) * 100.0 + 50.0
    levels = torch.full((40, delay.num_bins), -24.0, dtype=torch.float64)
    levels[3], levels[25] = 24.0, 18.0
    node_settings = settings_in_units(
        "d", 0.5, delay_z=torch.stack((ms, torch.full((40,), 0.9)), dim=-1), log_fir_magnitude=levels
    )
    # A share of the unit energy (mean of both channels): 10 log10(2 * 1 / (1 + 10^-0.6)) = 2.04 dB, and 6 dB below.
    assert node_settings.text() == "left 350 ms +2.0 dB, right 550 ms -4.0 dB"
    reverb = settings_in_units("r", 0.2, delta_log_magnitude=1.5)
    assert reverb.text() == "T60 1.5 s at 250, 1.5 s at 1k, 1.5 s at 4k (mid), -12.0 dB against the dry sound"
    assert (
        settings_in_units("l", 0.5, log_t60=2.0)
        .text()
        .startswith("T60 2.0 s at 250, 2.0 s at 1k, 2.0 s at 4k (mid), +0.0 dB")
    )


def test_a_late_reverb_decays_as_it_is_told() -> None:
    """The T60 at 1 kHz, between two settings, against the decay of its response there."""
    node_settings = settings_in_units("l", 0.5, log_t60=[0.3, 3.0, 0.3], log_colour=[1.0, -2.0, 0.5], log_width=-6.0)
    stated = float(node_settings.text().split(" s at 1k")[0].split(", ")[-1])
    response = node_settings.processor.impulse_response(node_settings.values.parameters)[0].sum(dim=0) / 2
    hertz = torch.fft.rfftfreq(2048, 1 / RATE)
    frames = response.unfold(-1, 2048, 1024) * torch.hann_window(2048)
    energy = torch.fft.rfft(frames).abs().square()[:, (hertz - 1000).abs() < 150].sum(dim=-1)
    level, time = 10 * energy.log10()[:40], torch.arange(40) * 1024 / RATE
    slope = float(((time - time.mean()) * (level - level.mean())).sum() / (time - time.mean()).square().sum())
    assert stated == pytest.approx(-60 / slope, rel=0.1)  # of noise
    assert node_settings.text().endswith("initial level at 150, 1200 and 7000 Hz 1, -2, 0.5 dB, side against mid -6 dB")


def measured_slopes(node_settings, quieter, louder):
    """Level in (dB) at which the gain leaves 0 dB, and the change of the output by the input far from it."""
    levels = torch.tensor([quieter, quieter + 1.0, louder, louder + 1.0], dtype=torch.float64)
    out = levels + to_db(node_settings.processor.static_gain(node_settings.values.parameters, levels))
    return float(out[1] - out[0]), float(out[3] - out[2])


@pytest.mark.parametrize("detector", ["energy", "mid"])
@pytest.mark.parametrize("gain", ["amplitude", "energy"])
@pytest.mark.parametrize("ratio", [1.4, 4.0])
def test_thresholds_and_ratios_are_what_acts(detector, gain, ratio) -> None:
    unit_values = {"log_threshold": -20.0, "log_ratio": ratio, "log_knee": 0.1}
    options = {"detector": detector, "gain": gain}
    compressor, gate = (settings_in_units(letter, options=options, **unit_values) for letter in "cn")
    for node_settings in (compressor, gate):
        stated = dict(
            part.rsplit(" ", 1) for part in node_settings.text().replace(" dB", "").replace(":1", "").split(", ")[:2]
        )
        threshold = float(stated["threshold"])
        assert threshold == pytest.approx(-20.0 if detector == "energy" else -26.0, abs=0.05)
        below, above = measured_slopes(node_settings, threshold - 3, threshold + 2)
        assert (above if node_settings is gate else below) == pytest.approx(1.0, abs=1e-3)
        acts = below if node_settings is gate else 1 / above
        assert float(stated["ratio"]) == pytest.approx(acts, rel=0.05)  # two digits are told, and the envelope's floor


@pytest.mark.parametrize("set_to", [-40.0, -46.0, -49.0])
def test_a_threshold_near_the_detectors_floor_is_where_it_acts(set_to) -> None:
    node_settings = settings_in_units("c", log_threshold=set_to, log_ratio=4.0, log_knee=0.05)
    stated = float(node_settings.text().split(" dB")[0].removeprefix("threshold "))
    assert stated < set_to
    levels = torch.tensor([stated - 0.5, stated + 0.5], dtype=torch.float64)
    quieter, louder = to_db(node_settings.processor.static_gain(node_settings.values.parameters, levels)).tolist()
    assert quieter > -1e-3
    assert louder < -0.01


def test_thresholds_below_the_detectors_floor_are_told_as_what_they_do() -> None:
    below = {"log_threshold": -55.0, "log_ratio": 4.0, "log_knee": 0.05}
    assert settings_in_units("c", **below).text().startswith("acts at every level, ratio 4:1")
    assert settings_in_units("n", **below).text().startswith("never acts, ratio 4:1")
    silence = torch.tensor([-200.0], dtype=torch.float64)
    gains = {letter: settings_in_units(letter, **below) for letter in "cn"}
    stated = {
        letter: float(to_db(node_settings.processor.static_gain(node_settings.values.parameters, silence)))
        for letter, node_settings in gains.items()
    }
    assert stated["c"] < -3
    assert stated["n"] == pytest.approx(0, abs=1e-6)


def test_a_compressor_whose_output_stands_still_has_no_finite_ratio() -> None:
    assert "ratio ∞:1" in settings_in_units("c", options={"gain": "energy"}, log_ratio=2.0).text()


def test_a_saturator_is_told_at_the_level_of_the_tracks() -> None:
    node_settings = settings_in_units("h", 0.5, level=10.0, log_drive=6.0, bias=0.5)
    assert node_settings.text() == "drive +26.0 dB, bias +0.50"  # the search heard 20 dB more
    (curve,) = (reading for reading in node_settings.readings if isinstance(reading, Curve))
    before, after = curve.x, curve.y
    drive = 10 ** (26 / 20)
    wet = (torch.tanh(drive * before + 0.5) - math.tanh(0.5)) / (drive * (1 - math.tanh(0.5) ** 2))
    assert torch.allclose(after, 0.5 * before + 0.5 * wet)


def test_splitters_are_told_by_what_reaches_their_outlets() -> None:
    graph = build_console({"drums": ["kick"]}, "b(c,g)", "")
    values = {"log_gain": [6.0, -6.0], "frequency_logit": [800.0]}
    (node_settings,) = (s for s in settings_of(graph, band_splitter=values) if s.processor.name == "band_splitter")
    assert node_settings.values.weight == 0.5
    # Half of the input and half of twice as much; half of half as much: the dry sound goes to the first outlet.
    assert node_settings.text() == "crossover 800 Hz, low +3.5 dB, high -12.0 dB"
    outlets = [node_settings.processor.outlet_response(node_settings.values.parameters, i)[0, 0] for i in (0, 1)]
    centre = node_settings.processor.before
    low = 0.5 + 0.5 * outlets[0].sum()  # at 0 Hz
    alternating = (-1.0) ** (torch.arange(len(outlets[1])) - centre)
    high = 0.5 * (outlets[1] * alternating).sum()  # at half of the sample rate
    assert to_db(torch.stack((low, high))).tolist() == pytest.approx([3.5, -12.0], abs=0.1)


def test_a_processor_of_ones_own_is_told_by_its_declarations() -> None:
    class Ring(Processor):
        name, letter, linear = "ring", "?", False

        @property
        def specification(self):
            return {
                "level": decibels((2,), -60, 24, "level of both"),
                "log_hz": Parameter((1,), "Hz", 1, 1000, torch.exp, torch.log),
                "many": decibels((8,), -60, 24, "depths"),
            }

    processor, declared = Ring(RATE), Ring(RATE).specification
    unit_values = {"level": [-6.0, 0.5], "log_hz": [440.0], "many": [float(i) for i in range(8)]}
    values = {n: declared[n].from_unit(torch.tensor([v], dtype=torch.float64)) for n, v in unit_values.items()}
    node_settings = NodeSettings(0, "track kick", "ring", processor, NodeValues(values, 1.0, 0.0, SAMPLES), None)
    assert node_settings.text() == "level of both -6, 0.5 dB, log_hz 440 Hz, depths 0 to 7 dB"


def test_what_has_no_dry_sound_is_not_measured_against_it() -> None:
    assert settings_in_units("r", delta_log_magnitude=1.5).text().endswith("(mid), wet only")
    assert settings_in_units("r", 0.99, delta_log_magnitude=1.5).text().endswith("+39.9 dB against the dry sound")
    assert settings_in_units("d").text().startswith("wet only, ")


def test_a_reverb_that_does_not_decay_says_so() -> None:
    seconds = torch.full((2, 193), 2.0)
    seconds[0, :6] = -3.0  # up to 400 Hz
    node_settings = settings_in_units("r", 0.5, options={"mask": "paper"}, delta_log_magnitude=seconds)
    assert (
        node_settings.text()
        == "T60 2.0 s at 1k, 2.0 s at 4k (mid), no decay at 250 (mid), +0.0 dB against the dry sound"
    )
    seconds[0, :] = -3.0
    node_settings = settings_in_units("r", 0.5, options={"mask": "paper"}, delta_log_magnitude=seconds)
    assert node_settings.text().startswith("no decay at 250, 1k, 4k (mid)")
    (axes,) = settings_figures([node_settings], "Rising")[0].axes
    assert [bool(line.get_ydata()[0] > 0) for line in axes.lines] == [False, True]
    assert "over 20 s" in axes.texts[0].get_text()


def test_a_fader_is_told_as_far_as_the_song_goes() -> None:
    gains = torch.tensor([0.0, 3.0, -2.0] + 298 * [20.0])
    for samples in (4 * RATE, 4 * RATE + 1, 4 * RATE + 2):
        assert settings_in_units("f", samples=samples, log_gain=gains).text() == "between -2.0 and +3.0 dB"
    assert (
        settings_in_units("f", samples=5 * RATE + 1, log_gain=gains).text() == "between -2.0 and +9.0 dB"
    )  # half way to +20
    assert (
        settings_in_units("f", samples=9999 * RATE, log_gain=gains).text() == "between -2.0 and +20.0 dB"
    )  # held at its end
    (axes,) = settings_figures([settings_in_units("f", samples=RATE, log_gain=gains)], "Short")[0].axes
    assert list(axes.lines[0].get_xdata()) == pytest.approx([0.0, 1 - 1 / RATE])


@pytest.mark.parametrize("letter", ["e", "p"])
def test_a_frequency_response_is_what_a_sine_goes_through(letter) -> None:
    processor = settings_in_units(letter).processor
    values = {
        n: v.double()
        for n, v in processor.sample_initial_values(1, torch.Generator().manual_seed(1), spread=0.3).items()
    }
    hertz = torch.tensor([110.0, 1234.5, 7000.0], dtype=torch.float64)
    taps = processor.impulse_response(values)[0, 0]
    time = torch.arange(len(taps) - 1 + RATE // 8, dtype=torch.float64) / RATE
    sines = torch.sin(2 * torch.pi * hertz[:, None] * time)
    through = torch.nn.functional.conv1d(sines[:, None], taps.flip(0)[None, None]).squeeze(1)
    level = through.square().mean(dim=1).sqrt() * math.sqrt(2)
    # The mean over periods that are not whole: a share of about a period of the whole time.
    assert torch.allclose(level, frequency_response(processor, values, hertz)[0].abs(), rtol=2e-2)


@pytest.fixture(scope="module")
def everything():
    letters = "".join(kind.letter for kind in registered().values() if kind.outlets == kind.inlets == 1)
    chain = letters.replace("a", "") + "t(g,g)b(g,g)"
    graph = build_console({"drums": ["kick", "hat"]}, chain, "e", returns={"room": "r"}, sidechains={"hat": "kick"})
    generator = torch.Generator().manual_seed(0)
    parameters = {t: PROCESSORS[t].sample_initial_values(n, generator) for t, n in graph.count().items()}
    weights = torch.linspace(0.1, 0.9, len(graph.processors))
    return graph, read_settings(graph, PROCESSORS, parameters, weights, SAMPLES, 0.5, weights / 100)


@pytest.mark.long
def test_every_type_has_a_line_and_a_panel(everything, tmp_path) -> None:
    graph, settings = everything
    assert {node_settings.processor.name for node_settings in settings} == set(registered())
    assert sorted(node_settings.node for node_settings in settings) == sorted(graph.processors)
    assert all(len(node_settings.text()) > 8 for node_settings in settings)
    pages = settings_figures(settings, "Süßes Lied")
    panels = [axes for page in pages for axes in page.axes]
    assert len(panels) == len(settings)
    assert all(axes.lines or axes.collections or axes.patches or axes.texts for axes in panels)
    for name in "ab":
        save_figure(settings_figures(settings, "Süßes Lied")[0], tmp_path / f"{name}.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_text_goes_with_the_signal(everything) -> None:
    graph, settings = everything
    text = settings_text(settings, "A song", RATE)
    assert text.startswith(f"A song: {len(graph.processors)} processors")
    assert "nothing above 15 kHz" in text
    heads = [line.split("  ")[0] for line in text.splitlines() if line.endswith("loss")]
    assert len(heads) == len(set(heads))
    assert heads.index("track kick") < heads.index("subgroup drums")
    pruned, _ = prune(graph, [node for node in graph.processors if graph.label(node) != "track kick: equalizer"])
    values = {t: PROCESSORS[t].sample_initial_values(n) for t, n in pruned.count().items()}
    left = read_settings(pruned, PROCESSORS, values, torch.full((len(pruned.processors),), 0.5), SAMPLES)
    assert list(dict.fromkeys(node_settings.place for node_settings in left)) == list(
        dict.fromkeys(node_settings.place for node_settings in settings)
    )
    node_settings = next(
        node_settings
        for node_settings in settings
        if (node_settings.place, node_settings.processor.name) == ("subgroup drums", "equalizer")
    )
    (row,) = (line for line in text.splitlines() if line.startswith("  equalizer") and node_settings.text() in line)
    assert f"{node_settings.values.weight:.0%}  {node_settings.values.weight / 100:+.3f}" in row
    assert "  send to room" in text
    assert settings_text([], "Dry", RATE).startswith("Dry: 0 processors")
    assert [page.axes for page in settings_figures([], "Dry")] == [[]]


def test_readings_are_the_numbers_of_the_text(everything) -> None:
    _, settings = everything
    for node_settings in settings:
        numbers = node_settings.numbers()
        assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers
        assert numbers, node_settings.name
    compressor = {"log_threshold": -20.0, "log_ratio": 4.0, "log_knee": 3.0}
    numbers = settings_in_units(
        "k", level=10.0, attack_logit=3.0, release_logit=120.0, log_makeup=2.0, **compressor
    ).numbers()
    expected = {"threshold_db": -40.0, "ratio": 4.0, "knee_db": 3.0, "attack_ms": 3.0, "release_ms": 120.0}
    assert numbers == pytest.approx(expected | {"make_up_db": 2.0}, abs=0.02)
    assert settings_in_units("c", options={"gain": "energy"}, log_ratio=2.0).numbers()["ratio"] is None
    assert settings_in_units("g", log_gain=[6.0, -12.0]).numbers() == pytest.approx({"left_db": 6.0, "right_db": -12.0})
    octaves = settings_in_units("e", log_magnitude=6.0).numbers()["octaves_db"]
    assert octaves == pytest.approx(dict.fromkeys(("63", "125", "250", "500", "1000", "2000", "4000", "8000"), 6.0))
    reverb = settings_in_units("r", 0.2, delta_log_magnitude=1.5).numbers()
    seconds = {f"t60_{hz}_hz_seconds": 1.5 for hz in (250, 1000, 4000)}
    assert reverb == pytest.approx(seconds | {"level_against_dry_db": 20 * math.log10(0.25)}, abs=1e-3)
    assert settings_in_units("h", 0.5, level=10.0, log_drive=6.0, bias=0.5).numbers() == pytest.approx(
        {"drive_db": 26.0, "bias": 0.5}
    )
    taps = settings_in_units("d", 0.5).numbers()["taps"]
    assert [tap["channel"] for tap in taps] == ["left"] * 20 + ["right"] * 20


def test_the_text_begins_with_the_verdict_and_says_what_is_missing(everything) -> None:
    _, settings = everything
    notes = {"track kick": "silent over the whole mix", "track bass": "", "subgroup strings": "why"}
    text = settings_text(settings, "A song", RATE, ["Verdict: close.", "  a line"], "the search was stopped", notes)
    assert text.splitlines()[2:5] == ["Verdict: close.", "  a line", ""]
    assert "(- where it was not measured: the search was stopped).\n" in text
    assert "\ntrack kick, silent over the whole mix       wet    loss\n" in text
    assert text.endswith("\nWithout processors:\n  track bass\n  subgroup strings, why\n")
    assert "(- where it was not measured).\n" in settings_text(settings, "A song", RATE)


def panel_places(page):
    """Of each panel of a page: its type, row and column."""
    tops = sorted({round(axes.get_position().y0, 6) for axes in page.axes}, reverse=True)
    lefts = sorted({round(axes.get_position().x0, 6) for axes in page.axes})
    places = [(round(a.get_position().y0, 6), round(a.get_position().x0, 6)) for a in page.axes]
    return [(tops.index(y), lefts.index(x)) for y, x in places]


@pytest.mark.long
def test_a_chain_is_not_parted_and_pages_end() -> None:
    chains = {"g": [f"track {i}" for i in range(40)]}
    graph = build_console(chains, "ecnsgdr", "eg")
    pages = settings_figures(settings_of(graph), "Forty", ["Silent, not drawn: track x.", "A word " * 60])
    assert [len(page.axes) for page in pages] == [COLUMNS * ROWS] * 5 + [2]
    for page in pages[:-1]:
        assert panel_places(page) == [divmod(i, COLUMNS) for i in range(COLUMNS * ROWS)]
    pixels = [tuple(page.get_size_inches() * 100) for page in pages]
    assert max(max(size) for size in pixels) < 2000
    texts = [text.get_text() for text in pages[0].texts]
    assert texts[0] == "Forty (1 of 6)"
    assert "track track 3" in texts
    last = [text.get_text() for text in pages[-1].texts]
    assert "Silent, not drawn: track x." in last
    assert sum("A word" in line for line in last) == 3

    short = build_console({"g": ["a", "b", "c"]}, "ecn", "dr")
    (page,) = settings_figures(settings_of(short), "Short")
    assert panel_places(page) == [(0, i) for i in range(6)] + [(1, i) for i in range(5)]
    long = build_console({"g": ["a"]}, "e" * 9, "g")
    (page,) = settings_figures(settings_of(long), "Long")
    assert panel_places(page) == [(0, i) for i in range(7)] + [(1, i) for i in range(3)]


def test_a_long_name_stands_whole_over_its_chain() -> None:
    name = "Lead vocal, second take, comped (printed, 2024)"
    (page,) = settings_figures(settings_of(build_console({"g": [name]}, "g", "")), "Song")
    lines = [text.get_text() for text in page.texts[1:]]
    assert " ".join(lines) == f"track {name}"
    assert len(lines) == 2
    endless = "x" * 300
    (page,) = settings_figures(settings_of(build_console({"g": [endless]}, "g", "")), "Song")
    lines = [text.get_text() for text in page.texts[1:]]
    assert len(lines) == 2
    assert "…" in "".join(lines)


def test_a_drawing_tells_the_settings_under_the_pointer(everything) -> None:
    graph, settings = everything
    svg = draw_svg(graph, settings={node_settings.node: node_settings.text() for node_settings in settings})
    gain = next(node_settings for node_settings in settings if node_settings.processor.name == "gain_panning")
    assert f"<title>{graph.label(gain.node)}; {gain.text()}</title>" in svg
