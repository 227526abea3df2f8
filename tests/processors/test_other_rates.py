"""Found graphs at other sample rates sound as at the rate of the search, type by type."""

import math

import pytest
import torch

from mixgraph import load_result
from mixgraph.graph import build_console
from mixgraph.processors import Processor, make_processors, register, registered, registry
from mixgraph.processors.other_rates import HEARD
from mixgraph.results.found_graph import FoundGraph
from mixgraph.songs import resample

RATE, SECONDS = 30000, 1
CENTRES = 1000 * 2 ** (torch.arange(-14, 11) / 3)  # Hz: from 40 Hz to 10 kHz, whose band ends at 11.3 kHz
LINEAR, DYNAMICS = 0.1, 0.3  # dB
OTHERS = [96000, 22050, 44099]


def console_of(name):
    kind = registered()[name]
    if name == "send":
        return build_console({"a": ["x"]}, "", "g", "", "", {"room": "g"})
    if name == "sidechain_compressor":
        return build_console({"a": ["x"]}, "", "g", sidechains={"a": "x"})
    return build_console({"a": ["x"]}, kind.letter + ("(g,)" if kind.outlets > 1 else ""), "")


def found_graph_of(graph, rate=RATE):
    """Settings around the initial ones, all different; detectors meet levels on both sides of the threshold."""
    generator = torch.Generator().manual_seed(3)
    processors = make_processors(rate)
    parameters = {t: processors[t].sample_initial_values(n, generator, 0.5) for t, n in graph.count().items()}
    for values in parameters.values():
        if "log_threshold" in values:
            values["log_threshold"] += 2
    return FoundGraph(graph, processors, parameters, torch.full((len(graph.processors),), 0.9), rate, 1.0, rate, {})


def source(rate=RATE):
    """Noise with silence around it, so that nothing is cut."""
    noise = torch.rand(1, 2, SECONDS * rate, generator=torch.Generator().manual_seed(0)) - 0.5
    noise[..., : rate // 5] = noise[..., -rate // 2 :] = 0
    return noise


def third_octaves_db(audio, rate):
    """The power of each third of an octave, (2, bands), the same at every sample rate."""
    power = torch.fft.rfft(audio.double()).abs().square() / rate**2
    hertz = torch.arange(power.shape[-1]) * rate / audio.shape[-1]
    bands = [(hertz >= c * 2 ** (-1 / 6)) & (hertz < c * 2 ** (1 / 6)) for c in CENTRES]
    return 10 * torch.log10(torch.stack([power[..., band].sum(-1) for band in bands], -1))


def deviation_db(found_graph, sources, rate, searched):
    """The largest difference of a third of an octave below 12 kHz, as far as both rates have it."""
    again = found_graph.at_sample_rate(rate).render(resample(sources, found_graph.sample_rate, rate))
    there = 0.8 * min(rate, found_graph.sample_rate) / 2 > 2 ** (1 / 6) * CENTRES
    return float((third_octaves_db(again, rate) - searched)[..., there].abs().max())


@pytest.mark.parametrize("name", sorted(registered()))
@pytest.mark.parametrize("rate", [44100, 48000, *(pytest.param(rate, marks=pytest.mark.long) for rate in OTHERS)])
def test_every_type_sounds_the_same_at_another_rate(name, rate) -> None:
    found_graph, sources = found_graph_of(console_of(name)), source()
    if not registered()[name].linear and rate < RATE:
        pytest.skip("at a lower rate, a detector does not hear what is above its half")
    mix = found_graph.render(sources)
    assert (mix - sources[0]).abs().max() > 1e-3  # the processor does something
    searched = third_octaves_db(mix, RATE)
    assert deviation_db(found_graph, sources, rate, searched) < (LINEAR if registered()[name].linear else DYNAMICS)


@pytest.mark.parametrize(("name", "searched_at"), [("reverb", 8000), ("delay", 8000), ("late_reverb", 44100)])
def test_what_was_found_at_other_rates_than_30_khz_is_carried_too(name, searched_at) -> None:
    found_graph, sources = found_graph_of(console_of(name), searched_at), source(searched_at)
    searched = third_octaves_db(found_graph.render(sources), searched_at)
    assert deviation_db(found_graph, sources, 48000, searched) < LINEAR
    twice = found_graph.at_sample_rate(16000).at_sample_rate(48000)
    assert torch.equal(twice.render(sources), found_graph.at_sample_rate(48000).render(sources))


def response_db(name, parameters, rate, hertz, **options):
    processor = registered()[name](sample_rate=rate, **options)
    response = processor.response(parameters, 4 * rate)[0, 0]
    return 20 * torch.log10(response.abs()[(torch.as_tensor(hertz) * 4).long()])


def test_an_equalizer_is_flat_above_what_was_heard() -> None:
    """Whatever training left there: the last sixth of an octave below goes on."""
    bins = torch.arange(1024) * RATE / 2047
    tilt = -0.0001 * bins
    chance = 3 * torch.rand(1024, generator=torch.Generator().manual_seed(0))
    found = {"log_magnitude": torch.where(bins > HEARD * RATE / 2, chance, tilt).unsqueeze(0)}
    low = torch.linspace(100, 12000, 50)
    at_30, at_96 = (
        response_db("equalizer", found, rate, low, **options)
        for rate, options in ((RATE, {}), (96000, {"found_at": RATE}))
    )
    assert (at_96 - at_30).abs().max() < 0.1
    level = 20 / math.log(10) * -0.0001 * HEARD * RATE / 2 * (1 + 2 ** (-1 / 6)) / 2
    high = response_db("equalizer", found, 96000, torch.linspace(14200, 47000, 50), found_at=RATE)
    assert high.max() - high.min() < 0.01
    assert abs(float(high[0]) - level) < 0.3  # the window blurs the border, beside which chance is 30 dB louder


def test_echoes_keep_their_times_and_are_flat_above_what_was_heard() -> None:
    delay = registered()["delay"](RATE)
    declared = delay.specification
    ms = torch.arange(40).remainder(20) * 100 + 33.3
    parameters = {
        "delay_z": declared["delay_z"].from_unit(torch.stack((ms, torch.full((40,), 0.9)), -1)).unsqueeze(0),
        "log_fir_magnitude": torch.zeros(1, 40, delay.num_bins),
    }
    parameters["log_fir_magnitude"][0, ::20] = 3  # the first tap of each channel is the loud one
    other = registered()["delay"](48000, found_at=RATE)
    response = other.impulse_response(parameters)[0, 0]
    assert abs(int(response.argmax()) - other.before - 33.3e-3 * 48000) < 1
    loud = response[: other.before + 3200]
    spectrum = 20 * torch.log10(torch.fft.rfft(loud, n=48000).abs())
    assert (spectrum[100:21000] - spectrum[100:21000].mean()).abs().max() < 0.1
    at_30 = registered()["delay"](RATE).impulse_response(parameters)[0, 0][:2000]
    assert abs(float(spectrum[5000] - 20 * torch.log10(torch.fft.rfft(at_30, n=RATE).abs())[5000])) < 0.01


def test_a_reverb_goes_on_above_what_was_heard_with_its_colour_and_decay() -> None:
    reverb = registered()["reverb"](48000, found_at=RATE)
    parameters = {"init_log_magnitude": torch.zeros(1, 2, 193), "delta_log_magnitude": torch.zeros(1, 2, 193)}
    response = reverb.impulse_response(parameters)[0, :, reverb.before :]

    def level(low, high, first, last):
        part = torch.fft.rfft(response[:, round(first * 48000) : round(last * 48000)])
        hertz = torch.arange(part.shape[-1]) / (last - first)
        return float(10 * torch.log10(part.abs().square()[:, (hertz > low) & (hertz < high)].mean()))

    for first, last in ((0, 0.1), (0.5, 0.6)):  # noise: a few thousand bins of each band agree within half a dB
        assert level(15000, 23000, first, last) == pytest.approx(level(4000, 12000, first, last), abs=0.6)
    assert level(4000, 12000, 0.5, 0.6) < level(4000, 12000, 0, 0.1) - 20
    assert level(12500, 14500, 0, 1) == pytest.approx(level(4000, 12000, 0, 1), abs=0.6)  # where both noises meet


def test_times_are_kept_in_milliseconds() -> None:
    for name in ("compressor", "attack_release_gate", "sidechain_compressor"):
        found_graph = found_graph_of(console_of(name))
        other = found_graph.at_sample_rate(96000)
        for key in found_graph.processors[name].time_constants:
            before, after = (
                g.processors[name].specification[key].to_unit(g.parameters[name][key].double())
                for g in (found_graph, other)
            )
            assert torch.allclose(before, after, rtol=1e-5)


def test_a_graph_at_another_rate_is_saved_and_read_with_the_same_sound(tmp_path) -> None:
    found_graph = found_graph_of(build_console({"a": ["x"]}, "ednr", "l")).at_sample_rate(44100)
    found_graph.save(tmp_path / "saved")
    again = load_result(tmp_path / "saved")
    sources = source(44100)
    assert torch.equal(again.render(sources), found_graph.render(sources))
    assert again.settings_table() == found_graph.settings_table()


def test_a_processor_from_outside_that_does_not_say_how_is_named(monkeypatch) -> None:
    class Tape(Processor):
        name, letter, linear = "my_tape", "T", True

        @property
        def specification(self):
            return {}

        def impulse_response(self, parameters):
            return torch.ones(1, 1, 1)

    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    register(Tape)
    graph = build_console({"a": ["x"]}, "T", "")
    found_graph = FoundGraph(graph, make_processors(RATE), {"my_tape": {}}, torch.ones(1), RATE, 1.0, RATE, {})
    assert found_graph.at_sample_rate(RATE) is found_graph
    with pytest.raises(ValueError, match=r"'my_tape': its settings were found at 30000 Hz, .*`at_sample_rate`"):
        found_graph.at_sample_rate(44100)


@pytest.mark.parametrize("rate", [0, 999, 10**9])
def test_rates_that_no_processor_has_are_refused(rate) -> None:
    with pytest.raises(ValueError, match=f"sample_rate: samples per second, at least 1000, at most 768000, got {rate}"):
        found_graph_of(console_of("send")).at_sample_rate(rate)
