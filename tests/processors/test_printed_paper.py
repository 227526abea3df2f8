"""The options that follow the printed paper, against values from its equations."""

import math

import pytest
import torch

from mixgraph.dsp.impulses import hard_delay, soft_impulse
from mixgraph.processors import registered
from mixgraph.processors.readings import NodeValues

SECH_2 = 1 / math.cosh(2.0) ** 2


def make(name, rate=30000, **options):
    return registered()[name](sample_rate=rate, **options).double()


def drawn(processor, spread=0.5):
    values = processor.sample_initial_values(1, torch.Generator().manual_seed(0), spread)
    if "delta_log_magnitude" in values:
        values["delta_log_magnitude"] = -values["delta_log_magnitude"].abs() / 10  # a decay
    return {name: value.double() for name, value in values.items()}


LEVELS = {"reverb": ("init_log_magnitude", {"mask": "paper"}), "delay": ("log_fir_magnitude", {})}


@pytest.mark.parametrize("name", LEVELS)
def test_a_common_level_scales_the_wet_sound_by_e_unless_it_is_normalised(name):
    parameter, options = LEVELS[name]
    for normalize, factor in ((False, math.e), (True, 1.0)):  # eq. 15: exp(H0 + 1 + ...) = e exp(H0 + ...); eq. 24
        processor = make(name, normalize=normalize, **options)
        values = drawn(processor)
        raised = {**values, parameter: values[parameter] + 1}
        expected = factor * processor.impulse_response(values)
        torch.testing.assert_close(processor.impulse_response(raised), expected, atol=1e-12, rtol=1e-9)
        assert bool(processor.specification[parameter].common_level) == normalize


@pytest.mark.parametrize("name", LEVELS)
def test_what_is_not_normalised_starts_at_unit_energy(name):
    processor = make(name, normalize=False, **LEVELS[name][1])
    values = {key: value.double() for key, value in processor.sample_initial_values(1, spread=0.0).items()}
    values["delay_z"] = torch.ones(1, 40, 2, dtype=torch.float64)
    energy = processor.impulse_response(values)[0].square().sum(-1).mean().item()
    assert energy == pytest.approx(1, rel=1e-4)  # the constant of the reverb has five digits
    if name == "reverb":  # about a slope of 0 half of the bins would rise
        declared = processor.specification["delta_log_magnitude"]
        assert declared.to_unit(values["delta_log_magnitude"]).unique().item() == pytest.approx(
            1.0, rel=1e-6
        )  # seconds


def test_the_published_mask_keeps_its_level_too():
    reverb = make("reverb", normalize=False)
    values = drawn(reverb)
    raised = {**values, "init_log_magnitude": values["init_log_magnitude"] + 8}  # exp((H0 - softplus(D) m) / 8)
    torch.testing.assert_close(reverb.impulse_response(raised), math.e * reverb.impulse_response(values))


@pytest.mark.parametrize("rate", [16000, 48000])
def test_a_kept_level_is_the_same_at_other_rates(rate):
    """At the same frequency the gain is the same, whether the graph was found at this rate or at 30 kHz."""
    reverb = make("reverb", mask="paper", normalize=False)
    values = drawn(reverb, 0.1)
    usual = torch.fft.rfft(reverb.impulse_response(values)[0, 0], n=120000)[4 * 200 : 4 * 6000].abs()
    for found_at in (None, 30000):
        other = make("reverb", rate, mask="paper", normalize=False, found_at=found_at)
        response = other.impulse_response(values)[0, 0]
        gains = torch.fft.rfft(response, n=4 * rate)[4 * 200 : 4 * 6000].abs()
        assert gains.norm().item() == pytest.approx(usual.norm().item(), rel=0.01)  # the resampler's pass band
        if (rate, found_at) == (48000, None):  # at 16 kHz treble is missing, and one found at 30 kHz has more of it
            assert other.wet_level(values) == pytest.approx(reverb.wet_level(values), rel=0.05)


@pytest.mark.parametrize("name", LEVELS)
def test_readings_tell_a_level_that_is_kept(name):
    processor = make(name, normalize=False, **LEVELS[name][1])
    values = drawn(processor)
    energy = processor.impulse_response(values).square().sum().item() / 2
    (reading,) = processor.readings(NodeValues(values, 0.5))
    if name == "reverb":
        assert reading.against_dry_db == pytest.approx(10 * math.log10(energy))
        level = {q.name: q for q in processor.quantities(NodeValues(values, 0.5))}["level"].values
        assert float(level) == pytest.approx(10 * math.log10(energy))
    else:  # filters overlap by little
        total = sum(10 ** (level / 10) for level in reading.levels_db) / 2
        assert total == pytest.approx(energy, rel=0.01)


def test_the_pull_to_the_circle_has_the_values_of_eq_26():
    """At |p| = 2, |z| = tanh 2 = .964: gamma (|z| - 1) = -.00036 at z, times sech^2 2 = .0707 at p, -.0000254."""
    for gradient, expected in (("disk", -0.01 * (1 - math.tanh(2))), ("plane", -0.01 * (1 - math.tanh(2)) * SECH_2)):
        delay = make("delay", gradient=gradient)
        angle = torch.linspace(-3, 3, 40, dtype=torch.float64)
        outwards = torch.stack((angle.cos(), angle.sin()), -1).unsqueeze(0)
        z = (2 * outwards).requires_grad_()
        delay.parameter_penalty({"delay_z": z}).backward()
        torch.testing.assert_close(z.grad, expected * outwards, atol=1e-12, rtol=1e-9)
    assert 0.01 * (1 - math.tanh(2)) == pytest.approx(0.00036, rel=0.01)
    assert 0.01 * (1 - math.tanh(2)) * SECH_2 == pytest.approx(0.0000254, rel=0.01)


def test_the_gradient_of_a_delay_is_that_of_eq_26():
    """sgn(sum_n dL/dh[n] dh~[n]/dz*) + gamma (|z| - 1) sgn(z), at flat filters, whose taps are impulses."""
    delay = make("delay", 1000, gradient="disk", normalize=False)  # segments of 100 samples
    values = {"log_fir_magnitude": torch.zeros(1, *delay.specification["log_fir_magnitude"].shape, dtype=torch.float64)}
    point = torch.randn(1, 40, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64).requires_grad_()
    by_response = torch.randn(1, 2, 2000, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    loss = (delay.impulse_response({**values, "delay_z": point}) * by_response).sum()
    (loss + delay.parameter_penalty({"delay_z": point})).backward()

    modulus = point.detach().norm(dim=-1, keepdim=True)
    direction = point.detach() / modulus
    z = (direction * torch.tanh(modulus)).requires_grad_()  # L is real: the gradient by z* points as that by (x, y)
    (soft_impulse(z, 100) * by_response.view(1, 40, 100)).sum().backward()
    data = z.grad / z.grad.norm(dim=-1, keepdim=True)
    expected = data + 0.01 * (torch.tanh(modulus) - 1) * direction
    torch.testing.assert_close(point.grad, expected, atol=1e-5, rtol=0)  # 1e-7 in place of a division by 0
    assert hard_delay(point.detach(), 100).unique().numel() > 20


def steady_db(processor, level_db, values):
    signal = torch.full((1, 2, 400), 10 ** (level_db / 20), dtype=torch.float64)
    return 20 * math.log10(processor(signal, values)[0, 0, -1].item()) - level_db


def test_a_gate_of_ratio_one_is_transparent_and_one_below_turns_up():
    """Eq. 23b: G_y = T + R (G_u - T), in ln energy, and eq. 22: the amplitude's gain is exp(G_y - G_u)."""
    gate = make("noisegate", ratio="positive", gain="energy", start_ms=None)
    values = {key: value.double() for key, value in gate.sample_initial_values(1, spread=0.0).items()}
    noise = torch.randn(1, 2, 300, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / 100
    torch.testing.assert_close(gate(noise, values), noise, atol=1e-15, rtol=0)  # a search starts at R = 1
    declared = gate.specification
    below = {"log_threshold": -20.0, "log_knee": 0.05, "smoothing_logit": 0.05}
    for ratio in (0.5, 1.0, 2.0):
        units = {**below, "log_ratio": ratio}
        values = {n: declared[n].from_unit(torch.full((1, 1), u, dtype=torch.float64)) for n, u in units.items()}
        # T and G_u are 10 dB apart in energy; the gain of the energy acts on the amplitude: twice as many dB.
        assert steady_db(gate, -30.0, values) == pytest.approx(2 * (1 - ratio) * 10, abs=0.1)  # the detector's floor
        assert steady_db(gate, -10.0, values) == pytest.approx(0, abs=1e-9)
        node = NodeValues(values, 1.0)
        (text,) = (reading.text for reading in gate.readings(node) if getattr(reading, "key", "") == "ratio")
        assert ("turns up what is below the threshold" in text) == (ratio < 1)
    with pytest.raises(ValueError, match="ratio: one of above_one, positive, got 'any'"):
        make("noisegate", ratio="any")
    with pytest.raises(ValueError, match="gradient: one of plane, disk, got 'circle'"):
        make("delay", gradient="circle")
