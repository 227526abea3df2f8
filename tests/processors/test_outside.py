"""A processor that is written outside the package is reported, drawn, coded, compared and set without further edits."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mixgraph.estimators.coding import ParameterCode
from mixgraph.graph import GraphValues, build_console
from mixgraph.graph.convert import from_pyg, to_pyg
from mixgraph.processors import Parameter, Processor, make_processors, register, registry
from mixgraph.processors.parameter import decibels
from mixgraph.processors.readings import Curve, NodeValues, Number, Reading, in_units
from mixgraph.processors.thresholds import moved_thresholds
from mixgraph.processors.usage import RandomSettings, Usage
from mixgraph.recovery import parameter_errors
from mixgraph.render import render_song
from mixgraph.report.drawing.draw import draw_svg
from mixgraph.report.drawing.palette import type_colour
from mixgraph.report.panels import settings_figures
from mixgraph.report.settings import read_settings, settings_text
from mixgraph.synthetic.engineer import draw_settings

RATE = 8000


class Tremolo(Processor):
    """Turns a signal up and down several times a second, by at most `log_depth`."""

    name = "my_tremolo"
    letter = "O"
    type_id = 1000
    linear = False
    timed = False
    label = "tremolo (amp)"
    usage = Usage(track_rate=0.2)

    @property
    def specification(self) -> dict[str, Parameter]:
        return {
            "log_depth": decibels((1,), -24, 0, "depth"),
            "log_hertz": Parameter((1,), "Hz", 0.5, 12, torch.exp, torch.log, "speed", mean=math.log(4)),
            "log_limit": replace(decibels((1,), -60, 0, "limit"), follows_level=1.0),
        }

    def process(self, signal: Tensor, parameters, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        start = torch.zeros(signal.shape[0], 1) if state is None else state
        time = start + torch.arange(signal.shape[-1]) / self.sample_rate
        turn = 0.5 - 0.5 * torch.cos(2 * math.pi * torch.exp(parameters["log_hertz"]) * time)
        gain = torch.exp(parameters["log_depth"] * turn)
        return signal * gain.unsqueeze(1), start + signal.shape[-1] / self.sample_rate

    def readings(self, node: NodeValues) -> tuple[Reading, ...]:
        seconds = torch.linspace(0, 1, 101)
        hertz, depth = in_units(self, node, "log_hertz"), in_units(self, node, "log_depth")
        curve = depth[0] * (0.5 - 0.5 * torch.cos(2 * math.pi * hertz[0] * seconds))
        speed = Number("speed_hz", "speed", hertz, "Hz", ".1f", on_panel="whole")
        return speed, Number("depth_db", "depth", depth, "dB", ".1f"), Curve(seconds, curve, "s", "dB")

    def engineer_settings(self, signal: Tensor, strength: float, draw: RandomSettings) -> tuple[dict, float]:
        units = {"log_depth": -6.0 * strength, "log_hertz": draw.logarithmic(3, 8), "log_limit": -20.0}
        return {name: torch.tensor([value]) for name, value in units.items()}, draw.full_weight()


@pytest.fixture
def processors(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    colours = {name: type_colour(name) for name in registry.registered()}
    register(Tremolo)
    assert {name: type_colour(name) for name in colours} == colours
    return make_processors(RATE)


@pytest.fixture
def values(processors):
    graph = build_console({"band": ["guitar"]}, "Og", "")
    tremolo = {"log_depth": -6.0, "log_hertz": 5.0, "log_limit": -20.0}
    declared = processors["my_tremolo"].specification
    parameters = {name: declared[name].from_unit(torch.tensor([[value]])) for name, value in tremolo.items()}
    gains = {"log_gain": torch.zeros(1, 2)}
    return GraphValues(graph, {"my_tremolo": parameters, "gain_panning": gains}, torch.ones(2))


def test_its_settings_are_told_and_drawn(processors, values) -> None:
    settings = read_settings(values.graph, processors, values.parameters, values.weights, RATE)
    assert settings[0].text() == "speed 5.0 Hz, depth -6.0 dB"
    assert settings[0].numbers() == pytest.approx({"speed_hz": 5.0, "depth_db": -6.0})
    assert "  tremolo (amp)                            100%" in settings_text(settings, "A song", RATE)
    (page,) = settings_figures(settings, "A song")
    panel = page.axes[0]
    assert panel.get_title(loc="left") == "tremolo (amp)"
    assert [text.get_text() for text in panel.texts] == ["speed 5.0 Hz"]
    assert panel.lines[0].get_ydata().min() == pytest.approx(-6, abs=0.01)
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("s", "dB")


def test_it_stands_in_drawings_and_in_graphs_for_networks(processors, values) -> None:
    assert f'fill="{type_colour("my_tremolo")}"' in draw_svg(values.graph)
    data = to_pyg(values.graph)
    assert 1000 in data.x.tolist()
    assert from_pyg(data) == values.graph


def test_it_is_coded_and_compared(processors, values) -> None:
    code = ParameterCode(processors["my_tremolo"])
    parameters = values.parameters["my_tremolo"]
    assert (code.size, code.num_positions) == (3, 0)
    decoded = code.decode(code.encode(parameters))
    assert {name: value.tolist() for name, value in decoded.items()} == {n: v.tolist() for n, v in parameters.items()}
    other = replace(
        values, parameters=values.parameters | {"my_tremolo": parameters | {"log_hertz": torch.tensor([[2.0]])}}
    )
    errors = {error.quantity: error.error for error in parameter_errors(values, other, processors).values}
    assert errors["log_hertz"] == pytest.approx(math.exp(2) - 5, abs=1e-4)
    assert errors["log_depth"] == errors["weight"] == 0


def test_it_is_set_by_its_rule_and_follows_the_level(processors, values) -> None:
    generator = torch.Generator().manual_seed(0)
    drawn, weight = draw_settings(processors["my_tremolo"], torch.ones(2, 100), 1.0, generator)
    assert 3 <= float(drawn["log_hertz"].exp()) <= 8
    assert 0.93 <= weight <= 0.99
    moved = moved_thresholds(processors, values.parameters, 6.0)["my_tremolo"]
    limit = processors["my_tremolo"].specification["log_limit"].to_unit(moved["log_limit"])
    assert float(limit) == pytest.approx(-14, abs=1e-4)
    assert torch.equal(moved["log_depth"], values.parameters["my_tremolo"]["log_depth"])


def test_it_is_rendered(processors, values) -> None:
    mix = render_song(values.graph, processors, torch.ones(1, 2, RATE), values.parameters, values.weights)[0]
    assert float(mix.min()) == pytest.approx(10 ** (-6 / 20), abs=1e-3)
    assert float(mix.max()) == pytest.approx(1, abs=1e-3)
