"""The arithmetic of each JSFX, run in a small interpreter of EEL2, against our processors in float64."""

from __future__ import annotations

import importlib.util
import math
import shutil
from pathlib import Path

import pytest
import torch

import mixgraph.exports
from mixgraph.exports.wav import write_wav
from mixgraph.processors import make_processors
from mixgraph.processors.base import to_basis, to_left_right

_SPEC = importlib.util.spec_from_file_location("eel2", Path(__file__).with_name("eel2.py"))
eel2 = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(eel2)

RATE, LEVEL, WEIGHT = 8000, 0.6, 0.8
FOLDER = Path(mixgraph.exports.__file__).parent / "jsfx"
DB = 20 / math.log(10)


def error_db(audio, expected) -> float:
    audio = torch.from_numpy(audio)
    return 10 * math.log10(float((audio - expected).square().sum() / expected.square().sum()))


def noise(channels: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    envelope = torch.linspace(0, 12, 3000, dtype=torch.float64).sin().square()
    return 0.5 * envelope * torch.randn(channels, 3000, generator=generator, dtype=torch.float64)


def drawn(name: str, **options):
    processor = make_processors(RATE, {name: options})[name].double()
    values = processor.sample_initial_values(1, torch.Generator().manual_seed(3), 0.5)
    return processor, {key: value.double() for key, value in values.items()}


@pytest.mark.parametrize(("name", "file"), [("gain_panning", "gain"), ("stereo_imager", "imager")])
def test_gains(name, file) -> None:
    processor, values = drawn(name)
    audio = noise()
    gains = (1 - WEIGHT + WEIGHT * processor.impulse_response(values))[0]
    expected = to_left_right(gains * to_basis(audio, processor.channels), processor.channels)
    sliders = [*(values["log_gain"][0] * DB).tolist(), WEIGHT]
    effect = eel2.Effect(FOLDER / f"{file}.jsfx", dict(enumerate(sliders, 1)), RATE)
    assert error_db(effect.run(audio.numpy()), expected) < -120


def test_saturator() -> None:
    processor, values = drawn("saturator")
    audio = noise()
    expected = processor.dry_wet(LEVEL * audio[None], values, torch.full((1,), WEIGHT).double())[0][0] / LEVEL
    bias = float(processor.specification["bias"].to_unit(values["bias"]))
    sliders = {1: float(values["log_drive"]) * DB + 20 * math.log10(LEVEL), 2: bias, 3: WEIGHT}
    assert error_db(eel2.Effect(FOLDER / "saturator.jsfx", sliders, RATE).run(audio.numpy()), expected) < -110


@pytest.mark.parametrize("gain", ["amplitude", "energy"])
@pytest.mark.parametrize("detector", ["energy", "mid"])
@pytest.mark.parametrize(
    "name", ["compressor", "noisegate", "attack_release_compressor", "attack_release_gate", "sidechain_compressor"]
)
def test_dynamics(name, detector, gain) -> None:
    processor, values = drawn(name, detector=detector, gain=gain)
    assert_effect_equals(processor, values)


def test_a_gate_of_any_ratio() -> None:
    processor, values = drawn("noisegate", ratio="positive")
    assert_effect_equals(processor, {**values, "log_ratio": torch.full((1, 1), -1.0).double()})


def assert_effect_equals(processor, values) -> None:
    audio = noise(4)
    weight = torch.full((1,), WEIGHT).double()
    if processor.inlets == 2:
        wet = processor.process_keyed(LEVEL * audio[None, :2], LEVEL * audio[None, 2:], values)[0][0] / LEVEL
        expected = torch.lerp(audio[:2], wet, WEIGHT)
    else:
        expected = processor.dry_wet(LEVEL * audio[None, :2], values, weight)[0][0] / LEVEL
    units = {key: float(processor.specification[key].to_unit(value)) for key, value in values.items()}
    attack, release = (
        units[key] if key in units else units["smoothing_logit"] for key in ("attack_logit", "release_logit")
    )
    sliders = {
        1: units["log_threshold"],
        2: units["log_ratio"],
        3: units["log_knee"],
        4: 1000 * attack,
        5: 1000 * release,
    }
    sliders |= {
        6: units.get("log_makeup", 0.0),
        7: WEIGHT,
        8: float(processor.direction < 0),
        9: float(processor.detector == "mid"),
    }
    sliders |= {10: float(processor.exponent == 1.0), 11: float(processor.inlets == 2), 12: 20 * math.log10(LEVEL)}
    result = eel2.Effect(FOLDER / "dynamics.jsfx", sliders, RATE).run(audio.numpy())[:2]
    assert error_db(result, expected) < -100
    assert error_db(result, audio[:2]) > -60  # it acts


def convolved(audio: torch.Tensor, response: torch.Tensor, before: int, mid_side: bool) -> torch.Tensor:
    basis = "mid_side" if mid_side else "left_right"
    n = audio.shape[-1] + response.shape[-1]
    spectrum = torch.fft.rfft(to_basis(audio, basis), n=n) * torch.fft.rfft(response.double(), n=n)
    return to_left_right(torch.fft.irfft(spectrum, n=n), basis)[:, before : before + audio.shape[-1]]


@pytest.mark.parametrize(
    ("channels", "taps", "mid_side", "block"),
    [
        (1, 1500, False, 1024),
        (2, 2600, False, 1024),
        (2, 1, True, 1024),
        pytest.param(2, 33000, False, 2048, marks=pytest.mark.long),
    ],
)
def test_convolver(channels, taps, mid_side, block, tmp_path) -> None:
    effect_file = Path(shutil.copy(FOLDER / "convolver.jsfx", tmp_path))
    generator = torch.Generator().manual_seed(2)
    response = torch.randn(channels, taps, generator=generator) / taps**0.5
    write_wav(tmp_path / "response_7.wav", response, RATE)
    before = min(taps // 3, 800)
    audio = torch.randn(2, max(4500, 3 * block), generator=generator, dtype=torch.float64)
    expected = torch.lerp(audio, convolved(audio, response, before, mid_side), WEIGHT)
    sliders = {1: 7.0, 2: float(before), 3: WEIGHT, 4: float(mid_side)}
    effect = eel2.Effect(effect_file, sliders, RATE)
    late = block + before
    assert (effect["pdc_delay"], effect["slider5"]) == (late, 0)
    result = effect.run(audio.numpy())[:, late:]
    assert error_db(result, expected[:, : result.shape[1]]) < -200


def test_a_convolver_without_its_file_or_at_another_rate_is_silent_and_says_so(tmp_path) -> None:
    effect_file = Path(shutil.copy(FOLDER / "convolver.jsfx", tmp_path))
    write_wav(tmp_path / "response_1.wav", torch.ones(1, 4), RATE)
    for number, rate, state in ((2, RATE, 1), (1, 2 * RATE, 2)):
        effect = eel2.Effect(effect_file, {1: number}, rate)
        assert (effect["slider5"], effect["pdc_delay"]) == (state, 0)
        assert not effect.run(noise().numpy()[:, :100]).any()


def test_a_key_ends_at_the_compressor_that_hears_it() -> None:
    effect = eel2.Effect(FOLDER / "dynamics.jsfx", {11: 1}, RATE)
    assert not effect.run(noise(4).numpy()[:, :500])[2:].any()
    effect = eel2.Effect(FOLDER / "dynamics.jsfx", {}, RATE)
    audio = noise(4).numpy()[:, :500]
    assert (effect.run(audio)[2:] == audio[2:]).all()
