"""Settings as those of usual effects: a known filter, delay or reverb comes out again, with the error."""

import math

import numpy as np
import pytest
import torch

from mixgraph.effects import feedback_delay
from mixgraph.processors import make_processors
from mixgraph.processors.readings import Bands, Decay, Gains, NodeValues, Response, Taps
from mixgraph.report.bands import Band, bands_db
from mixgraph.report.echoes import read_echoes
from mixgraph.report.parametric import parametric_reading
from mixgraph.report.rooms import freeverb_rates, read_room

RATE = 30000
PROCESSORS = make_processors(RATE)


def in_units(name, weight, **unit_values):
    """The readings of a processor; values in units, the others as they are drawn."""
    processor = PROCESSORS[name]
    values = processor.sample_initial_values(1, torch.Generator().manual_seed(0), 0.0)
    for key, value in unit_values.items():
        declared = processor.specification[key]
        values[key] = declared.from_unit(torch.as_tensor(value, dtype=torch.float64).expand(1, *declared.shape))
    return processor.readings(NodeValues({k: v.double() for k, v in values.items()}, weight, 0.0, RATE))


def taps(times_ms, levels_db, channel="left"):
    return Taps((channel,) * len(times_ms), tuple(times_ms), tuple(levels_db), False)


def test_a_known_filter_is_read_as_its_bands() -> None:
    bands = [Band("bell", 400, -5, 1.2), Band("high shelf", 6000, 4, 0.7)]
    hertz = torch.arange(PROCESSORS["equalizer"].num_bins) * (RATE / (2 * PROCESSORS["equalizer"].num_bins - 1))
    curve = bands_db(bands, hertz.double().numpy().clip(1.0), RATE) - 1.0
    reading = parametric_reading(in_units("equalizer", 1.0, log_magnitude=curve))
    assert reading is not None
    assert reading.numbers["gain_db"] == pytest.approx(-1.0, abs=0.1)
    for band, found in zip(bands, reading.numbers["bands"], strict=True):
        assert found["kind"] == band.kind
        assert found["frequency_hz"] == pytest.approx(band.hertz, rel=0.02)
        assert found["gain_db"] == pytest.approx(band.gain_db, abs=0.1)
        assert found["q"] == pytest.approx(band.q, rel=0.05)
    assert reading.error_db == reading.numbers["error_db"] < 0.05  # the FIR is windowed, and its lowest bin is 15 Hz
    assert reading.text.startswith("as bands: bell 400 Hz -5.0 dB Q 1.2, high shelf ")
    assert reading.text.endswith("error 0.0 dB, at most 0.0 dB in a third of an octave")


def test_the_error_of_bands_is_that_of_the_curve_that_they_do_not_make() -> None:
    hertz = torch.logspace(math.log10(40), math.log10(15000), 400, dtype=torch.float64)
    comb = 3 * torch.sign(torch.sin(2 * math.pi * hertz.log2() * 6))  # 3 dB up and down, six times an octave
    reading = parametric_reading((Response(hertz, comb, 15000.0),))
    assert reading is not None
    assert reading.error_db == pytest.approx(3, rel=0.1)  # interpolated at its edges
    flat = parametric_reading((Response(hertz, torch.full_like(hertz, -7.0), 15000.0),))
    assert flat is not None
    assert flat.text.startswith("as bands: -7.0 dB everywhere; error 0.0 dB")
    assert flat.numbers["bands"] == []


@pytest.mark.parametrize(
    ("times", "levels", "first", "step", "feedback", "level"),
    [
        ([500, 1000, 1500], [-8, -20, -32], 500, 500, 10 ** (-12 / 20), -8),
        ([160, 320, 480, 640], [-6, -9, -12, -15], 160, 160, 10 ** (-3 / 20), -6),
        ([300, 650, 1000, 1350], [0, -6, -12, -18], 300, 350, 10 ** (-6 / 20), 0),  # later than one step
        ([420], [-10], 420, 420, 0, -10),
    ],
)
def test_regular_taps_are_a_feedback_delay(times, levels, first, step, feedback, level) -> None:
    quiet = [57.0, 1833.0]
    echoes = read_echoes(taps([*times, *quiet], [*levels, -90, -90]))
    (delay,) = echoes.delays
    assert (delay.first_ms, delay.step_ms) == pytest.approx((first, step), abs=0.01)
    # What comes after the last tap is in the feedback delay, and not in the taps: it bends the fit a little.
    tail_db = 20 * math.log10(max(feedback, 1e-9)) * len(times)
    bound = 2 * 10 ** (tail_db / 20)
    assert delay.feedback == pytest.approx(feedback, abs=max(bound, 0.003))
    assert delay.level_db == pytest.approx(level, abs=0.5)
    assert echoes.error_db <= tail_db + 3 or echoes.error_db < -60
    assert echoes.is_regular


@pytest.mark.long  # the effect is compiled
def test_a_delay_of_other_software_is_read_from_the_response_that_it_has() -> None:
    impulse = np.zeros((2, 2 * RATE))
    impulse[:, 0] = 1
    response = feedback_delay(impulse, RATE, 0.35, 0.5)[0]
    (places,) = np.nonzero(response)
    found = taps(1000 * places / RATE, 20 * np.log10(response[places]))
    (delay,) = read_echoes(found).delays
    assert (delay.step_ms, delay.feedback, delay.level_db) == pytest.approx((350, 0.5, 0), abs=0.01)
    assert read_echoes(found).error_db < -60


def test_both_channels_are_one_delay_where_they_agree() -> None:
    one, other = [500.0, 1000.0], [-6.0, -12.0]
    both = Taps(("left", "left", "right", "right"), (*one, *one), (*other, *other), False)
    reading = parametric_reading((both,))
    assert reading is not None
    assert reading.text.startswith("as feedback delay: 500 ms, feedback ")
    assert ", left -5.8 dB, right -5.8 dB; error -15 dB" in reading.text
    apart = Taps(("left", "left", "right", "right"), (*one, 300.0, 700.0), (*other, *other), False)
    reading = parametric_reading((apart,))
    assert reading is not None
    assert "; right 300 ms, then every 400 ms, feedback " in reading.text
    quiet = Taps(("left", "left", "right"), (*one, 710.0), (*other, -40.0), False)
    assert [delay.channel for delay in read_echoes(quiet).delays] == ["left"]


def test_irregular_taps_are_none() -> None:
    reading = parametric_reading((taps([100, 230, 410, 777, 900], [-6, -6.5, -5.5, -6, -6]),))
    assert reading is not None
    assert reading.text.startswith("no feedback delay: the best one leaves or adds -")
    assert -6 < reading.error_db < 0


@pytest.mark.parametrize(("room", "damping"), [(0.45, 0.49), (0.9, 0.1), (0.2, 1.0)])
def test_a_reverb_of_known_room_and_damping_is_read_back(room, damping) -> None:
    hertz = torch.arange(193, dtype=torch.float64) * RATE / 384
    rates = freeverb_rates(hertz, room, damping)
    octaves = torch.log2(hertz.clamp(min=1) / 1000)
    decay = Decay(hertz, rates, rates, -10.0, False, 4 - 1.5 * octaves, 4 - 1.5 * octaves - 5.0)
    reading = read_room(decay)
    assert reading is not None
    assert (reading.room_size, reading.damping) == pytest.approx((room, damping), abs=0.01)
    assert (reading.tone_db, reading.width_db, reading.level_db) == pytest.approx((-1.5, -5, -10), abs=0.05)
    assert reading.decay_seconds == pytest.approx(60 / (-20 * math.log10(0.7 + 0.28 * room)) * 0.03125, rel=0.01)
    assert reading.high_decay_seconds < reading.decay_seconds
    assert reading.error_db < 0.1  # bands are means over bins


def test_the_error_of_a_room_is_in_levels() -> None:
    hertz = torch.arange(193, dtype=torch.float64) * RATE / 384
    rates = freeverb_rates(hertz, 0.5, 0.2)
    uneven = 3 * torch.sign(torch.sin(40 * torch.log2(hertz.clamp(min=1.0))))
    reading = read_room(Decay(hertz, rates, rates, 0.0, True, uneven, uneven))
    assert reading is not None
    assert 0.5 < reading.error_db < 3
    assert read_room(Decay(hertz, rates, rates, 0.0, True)) is None
    lasting = read_room(Decay(hertz, 0 * rates - 0.1, 0 * rates - 0.1, 0.0, True, 0 * rates, 0 * rates))
    assert lasting is not None
    assert math.isinf(lasting.decay_seconds)


@pytest.mark.parametrize("name", ["reverb", "late_reverb"])
def test_found_reverbs_have_a_room(name) -> None:
    settings = {"reverb": {"delta_log_magnitude": 1.2}, "late_reverb": {"log_t60": 1.2, "log_width": -6.0}}[name]
    reading = parametric_reading(in_units(name, 0.25, **settings))
    assert reading is not None
    assert reading.numbers["decay_seconds"] == pytest.approx(1.2, rel=0.01)
    assert reading.numbers["damping"] == pytest.approx(0, abs=0.01)
    assert reading.numbers["width_db"] == pytest.approx({"reverb": 0, "late_reverb": -6}[name], abs=0.01)
    assert reading.error_db < 0.01
    assert reading.text.startswith("as room reverb: room 0.48, decay 1.2 s, damping 0.00 (1.2 s at 8 kHz), level -9.5")


def test_types_that_have_few_numbers_are_read_no_other_way() -> None:
    assert parametric_reading((Gains(("left",), (1.0,)),)) is None
    hertz = torch.linspace(40, 15000, 400).double()
    assert parametric_reading((Response(hertz, 0 * hertz, 15000.0), Bands((100.0,), (3.0,), (1.0,)))) is None
