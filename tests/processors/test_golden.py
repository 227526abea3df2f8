"""Values of the published code (measured once, written down as numbers) that its variants must reproduce."""

import numpy as np
import pytest
import torch

from mixgraph.dsp.impulses import hard_delay, soft_impulse
from mixgraph.processors import registered

# The constructor options that select the published rules.
VARIANTS = {
    "equalizer": {"window": "periodic"},
    "compressor": {"envelope": "truncated", "gain": "energy"},
    "noisegate": {"envelope": "truncated", "gain": "energy"},
    "delay": {"window": "periodic", "truncate": True},
}
SHORT = ((0, 0, 0), (0, 0, 100), (0, 0, 1000), (0, 0, 4000), (1, 1, 4000))
LONG = ((0, 0, 0), (0, 0, 1000), (0, 0, 30000), (0, 0, 65000), (1, 1, 65000))
GOLDEN = [  # name, samples, output at SHORT or LONG, energy
    ("equalizer", 4098, (0.000216, -0.390177, -0.228227, -0.158088, -0.178863), 1886.45412),
    ("compressor", 4097, (-0.082978, -0.148583, -0.137124, -0.109282, 0.333044), 801.32989),
    ("noisegate", 4097, (-0.021014, -0.173355, -0.174190, -0.141154, 0.486885), 1348.82279),
    ("stereo_imager", 4098, (-0.081552, -0.171283, -0.204775, -0.123018, -0.334574), 1233.40964),
    ("gain_panning", 4098, (-0.067370, -0.140747, -0.141425, -0.114603, -0.765480), 2360.74043),
    ("delay", 4097, (0, 0, 0, 0.196090, -0.056106), 52.04869),
    ("reverb", 4097, (-0.002827, -0.046613, -0.019690, -0.316798, 0.193717), 950.85855),
    ("equalizer", 70002, (0.000216, -0.228227, -0.176162, 0.248230, 0.402135), 32463.28842),
    ("compressor", 70001, (-0.082978, -0.138540, -0.111090, 0.227023, 0.096185), 13613.00114),
    ("noisegate", 70001, (-0.027303, -0.174190, -0.140660, 0.286262, 0.124228), 23186.51679),
    ("stereo_imager", 70002, (-0.066097, -0.158501, -0.162632, 0.292444, 0.418152), 21066.90805),
    ("gain_panning", 70002, (-0.067370, -0.141425, -0.114201, 0.232416, 0.977595), 40229.19813),
    ("delay", 70001, (0, 0, -0.360578, -0.382223, -0.183376), 13366.61776),
    ("reverb", 70001, (-0.002827, -0.019690, 0.130207, 0.592318, 0.036254), 22863.71775),
]


def published_parameters(name, processor):
    """Drawn in the alphabetical order of the published names; it calls the smoothing logit z_alpha_pre."""
    ours = {"z_alpha_pre" if n == "smoothing_logit" else n: n for n in processor.specification}
    state = np.random.RandomState(2)
    drawn = {}
    for theirs in sorted(ours):
        shape = (2, *processor.specification[ours[theirs]].shape)
        drawn[ours[theirs]] = torch.from_numpy(state.normal(0, 0.5, shape).astype(np.float32))
    if name in ("compressor", "noisegate"):
        drawn["smoothing_logit"] += 4
        drawn["log_threshold"] += 3.5
    return drawn


@pytest.mark.parametrize(("name", "length", "values", "energy"), GOLDEN, ids=[f"{g[0]}-{g[1]}" for g in GOLDEN])
def test_outputs(name, length, values, energy):
    processor = registered()[name](**VARIANTS.get(name, {}))
    u = torch.from_numpy(np.random.RandomState(1).uniform(-0.5, 0.5, (2, 2, length)).astype(np.float32))
    y = processor(u, published_parameters(name, processor))
    samples = [y[index].item() for index in (SHORT if length < 5000 else LONG)]
    # Six printed digits, and the float32 rounding of either side.
    assert samples == pytest.approx(values, abs=1.6e-6)
    # Sums of squares in float32 on their side. The delay: ONE of the 80 taps ties between the samples 1406 and 1407
    # in their float32 argmax and falls on the other side of ours, which is the float64 argmax (tested below).
    assert y.double().square().sum().item() == pytest.approx(energy, rel=5e-5 if name == "delay" else 1e-6)


def test_the_reference_draws_these_parameters_first():
    parameters = {name: published_parameters(name, kind()) for name, kind in registered().items()}
    first = {name: {n: v.flatten()[0].item() for n, v in values.items()} for name, values in parameters.items()}
    assert first["equalizer"]["log_magnitude"] == pytest.approx(-0.208379, abs=1e-6)
    assert list(first["noisegate"].values()) == pytest.approx([-0.208379, -1.068098, 2.603282, 4.251441], abs=1e-6)
    assert list(first["delay"].values()) == pytest.approx([-0.208379, -0.627714], abs=1e-6)
    assert list(first["reverb"].values()) == pytest.approx([-0.208379, -0.191905], abs=1e-6)


def test_hard_delays_are_the_float64_argmax():
    processor = registered()["delay"](**VARIANTS["delay"])
    z = published_parameters("delay", processor)["delay_z"]
    modulus = z.double().norm(dim=-1, keepdim=True)
    inside = z.double() * torch.tanh(modulus) / modulus
    assert hard_delay(z, 3000).tolist() == soft_impulse(inside, 3000).argmax(dim=-1).tolist()


def test_parameter_penalty():
    # The published radii_reg, with the factor 1/2 that its solver applies.
    processor = registered()["delay"](radius_weight=1.0)
    penalty = processor.parameter_penalty(published_parameters("delay", processor))
    assert penalty.item() == pytest.approx(20.6912 / 2, abs=5e-5)


def test_reverb_at_zero():
    reverb = registered()["reverb"]()
    zeros = {name: torch.zeros(1, *p.shape) for name, p in reverb.specification.items()}
    left, right = reverb.impulse_response(zeros)[0]
    assert left[:5].tolist() == pytest.approx([0.0346649, 0.0449427, 0.0022089, 0.0040490, 0.0004984], abs=2e-7)
    assert right[:2].tolist() == pytest.approx([-0.0275666, -0.0136508], abs=2e-7)
    assert left.square().sum().item() == pytest.approx(1.00953, abs=6e-6)
    assert right.square().sum().item() == pytest.approx(0.99047, abs=6e-6)
    # Their decay was read off the energy of both channels.
    energy = (left.double().square() + right.double().square()).flip(0).cumsum(0).flip(0)
    decay_db = 10 * torch.log10(energy / energy[0])
    for level, sample in ((-5, 1264), (-10, 2524), (-20, 5080), (-30, 7629), (-60, 15292)):
        assert abs((decay_db <= level).int().argmax().item() - sample) <= 1


def test_reverb_noise():
    noise = torch.view_as_complex(registered()["reverb"]().noise)
    assert noise.shape == (2, 313, 193)
    assert noise[0, 5, 10].item() == pytest.approx(0.7867 + 1.9266j, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "levels", "changes"),
    [
        ("compressor", (-6.5, -6, -5.5, -5, -4), (0, -0.0625, -0.25, -0.5, -1.0)),
        ("noisegate", (-7, -6.5, -6, -5.5), (-1, -0.5, -0.125, 0)),
    ],
)
@pytest.mark.parametrize(("gain", "exponent"), [("energy", 1.0), ("amplitude", 0.5)])
def test_static_curves(name, levels, changes, gain, exponent):
    """Level and change in ln energy at threshold -6, ratio 2, half knee 1/2."""
    processor = registered()[name](gain=gain)
    level = torch.tensor(levels, dtype=torch.float64)
    amplitude = torch.sqrt(torch.exp(level) - 1e-5)  # the detector adds 1e-5
    signal = amplitude.view(-1, 1, 1).expand(-1, 2, 400)
    zeros = {n: torch.zeros(len(levels), *p.shape, dtype=torch.float64) for n, p in processor.specification.items()}
    change = torch.log(processor(signal, zeros)[:, :, -1] / amplitude.view(-1, 1))
    expected = exponent * torch.tensor(changes, dtype=torch.float64).view(-1, 1).expand(-1, 2)
    torch.testing.assert_close(change, expected, atol=1e-12, rtol=0)


def test_reverb_is_the_inverse_stft_of_the_masked_noise():
    reverb = registered()["reverb"]().double()
    values = {
        n: v.double() for n, v in reverb.sample_initial_values(2, torch.Generator().manual_seed(0), spread=1.0).items()
    }
    values["delta_log_magnitude"] -= 4  # long: the last samples count
    frames = torch.arange(313, dtype=torch.float64)
    decay = torch.nn.functional.softplus(values["delta_log_magnitude"]).unsqueeze(-1) * frames
    mask = torch.exp((values["init_log_magnitude"].unsqueeze(-1) - decay) / 8)
    masked = torch.view_as_complex(reverb.noise).transpose(1, 2) * mask
    window = torch.hann_window(384, dtype=torch.float64)
    mid, side = torch.istft(masked.flatten(0, 1), 384, 192, window=window, length=60000).view(2, 2, 60000).unbind(1)
    expected = torch.stack((mid + side, mid - side), dim=1)
    expected = expected / expected.square().sum(-1).mean(-1).sqrt().view(-1, 1, 1)
    torch.testing.assert_close(reverb.impulse_response(values), expected, atol=1e-12, rtol=0)
