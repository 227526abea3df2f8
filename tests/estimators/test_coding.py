"""Codes of parameters: what is kept, what is smoothed, what has no effect and is left out."""

import pytest
import torch

from mixgraph.estimators.coding import POSITION_BINS, ParameterCode, likely_position, make_codes, position_bins
from mixgraph.processors import make_processors, registered

RATE = 30000
NODES = 3


def drawn(name: str, spread: float = 0.5) -> dict[str, torch.Tensor]:
    processor = make_processors(RATE)[name]
    return processor.sample_initial_values(NODES, torch.Generator().manual_seed(1), spread)


@pytest.mark.parametrize("name", sorted(registered()))
def test_what_a_code_holds_survives_a_round_trip(name) -> None:
    code = make_codes(make_processors(RATE))[name]
    first = code.encode(drawn(name))
    assert first.shape == (NODES, code.size + code.num_positions)
    again = code.encode(code.decode(first))
    # A fit of a curve in the span of the knots gives the knots again; 1e-3: float32 through 1024 points, and a ridge.
    assert torch.allclose(again[:, : code.size], first[:, : code.size], atol=1e-3)
    turned = torch.remainder(again - first + 0.5, 1.0)[:, code.size :] - 0.5
    assert turned.abs().max() < 1e-5 if code.num_positions else turned.numel() == 0


@pytest.mark.parametrize("name", ["gain_panning", "stereo_imager", "compressor", "noisegate"])
def test_single_numbers_are_coded_as_they_are(name) -> None:
    code = make_codes(make_processors(RATE))[name]
    values = drawn(name)
    decoded = code.decode(code.encode(values))
    assert list(decoded) == list(values)
    for key, value in values.items():
        assert torch.equal(decoded[key], value)


def test_a_smooth_equalizer_is_coded_to_a_hundredth_of_a_decibel_but_a_jagged_one_is_smoothed() -> None:
    processor = make_processors(RATE)["equalizer"]
    code = ParameterCode(processor)
    hertz = torch.linspace(0, RATE / 2, 1024)
    bell_db = 6 * torch.exp(-0.5 * (torch.log2(hertz.clamp(min=10) / 1000) / 1.0) ** 2)
    smooth = {"log_magnitude": processor.specification["log_magnitude"].from_unit(bell_db).unsqueeze(0)}
    change_db = processor.specification["log_magnitude"].to_unit(
        code.decode(code.encode(smooth))["log_magnitude"] - smooth["log_magnitude"]
    )
    # Knots are a quarter octave apart here: a line misses a bell of a spread of an octave by h^2 / 8 of its curvature.
    assert change_db.abs().max() < 0.1
    jagged = {"log_magnitude": torch.tensor([1.0, -1.0]).repeat(512).unsqueeze(0)}
    assert code.decode(code.encode(jagged))["log_magnitude"][:, 100:].abs().max() < 0.1


@pytest.mark.parametrize(("name", "level"), [("reverb", "init_log_magnitude"), ("delay", "log_fir_magnitude")])
def test_a_common_level_is_left_out(name, level) -> None:
    code = make_codes(make_processors(RATE))[name]
    values = drawn(name)
    louder = values | {level: values[level] + 1.7}
    assert torch.allclose(code.encode(louder), code.encode(values), atol=1e-4)  # the fit has a ridge of 1e-6


def test_delays_are_positions_and_loud_taps_matter_most() -> None:
    processor = make_processors(RATE)["delay"]
    code = ParameterCode(processor)
    values = drawn("delay")
    ms = torch.arange(40).remainder(20) * 100.0 + torch.linspace(2, 97, 40)
    units = torch.stack((ms, torch.full((40,), 0.9)), dim=-1)
    values["delay_z"] = processor.specification["delay_z"].from_unit(units).expand(NODES, -1, -1)
    values["log_fir_magnitude"][:, 7] += 3.0
    encoded = code.encode(values)
    assert torch.allclose(encoded[:, code.size :] * 100, ms.remainder(100).expand(NODES, -1), atol=0.01)
    decoded_ms = processor.specification["delay_z"].to_unit(code.decode(encoded)["delay_z"])[..., 0]
    assert torch.allclose(decoded_ms, ms.expand(NODES, -1), atol=1000 / RATE)  # whole samples
    weights = code.position_weights(encoded)
    assert weights.argmax(dim=1).tolist() == [7] * NODES
    assert torch.allclose(weights.sum(dim=1), torch.full((NODES,), 40.0))


def test_the_likely_position_is_in_the_likely_part_and_leans_to_its_neighbour() -> None:
    turns = (torch.arange(POSITION_BINS) + 0.5) / POSITION_BINS
    bins = position_bins(turns)
    assert bins.tolist() == list(range(POSITION_BINS))
    logits = torch.nn.functional.one_hot(bins, POSITION_BINS) * 20.0
    assert torch.allclose(likely_position(logits), turns, atol=1e-6)
    leaning = logits + 19.0 * torch.nn.functional.one_hot((bins + 1) % POSITION_BINS, POSITION_BINS)
    moved = torch.remainder(likely_position(leaning) - turns, 1.0)
    assert (moved > 0).all()
    assert (moved < 1 / POSITION_BINS).all()
