"""One contract for every registered processor, so that a new one cannot be missed.

What cannot hold for a processor is declared here, with its reason.
"""

import pytest
import torch
from safetensors.torch import load_file, save_file

from mixgraph.processors import registered
from mixgraph.processors.collection import Outlet
from mixgraph.processors.dynamics import DynamicRangeProcessor

NAMES = list(registered())
LINEAR = [name for name in NAMES if registered()[name].linear]
NONLINEAR = [name for name in NAMES if not registered()[name].linear]
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
RATE = 3000  # everything scales with the rate: responses of 2 s are 6,000 samples here

# The delay's gradient by its positions is a surrogate's; tests/dsp/test_impulses.py checks it against the relaxation.
SURROGATES = {("delay", "delay_z")}
SPLITTERS = {name for name in NAMES if registered()[name].outlets > 1}
# Wet only: the dry sound passes through the dry/wet weight. Dynamics have a transparent setting only in the limit. No
# outlet of a splitter has all of its input.
WITHOUT_IDENTITY = {"delay", "reverb", "late_reverb"} | SPLITTERS | set(NONLINEAR) - {"fader"}
# Its points lie so that 500 samples pass all of them.
OPTIONS = {"fader": {"interval": 0.05, "seconds": 0.15}}


def make(name, dtype=torch.float64, rate=RATE, **options):
    return registered()[name](sample_rate=rate, **OPTIONS.get(name, {}), **options).to(dtype)


def apply(processor, x, values):
    """What comes out of all outlets, not evenly, or with the input as the key."""
    if processor.inlets > 1:
        return processor.process_keyed(x, x, values)[0]
    return processor(x, values) + sum(k * Outlet(processor, k)(x, values) / 2 for k in range(1, processor.outlets))


def draw(processor, nodes=3, seed=0, dtype=torch.float64, spread=0.5):
    """Values around settings at which dynamics act on the two levels of `noise`."""
    values = processor.sample_initial_values(nodes, torch.Generator().manual_seed(seed), spread)
    if not processor.linear:
        if "log_threshold" in values:
            values["log_threshold"] = values["log_threshold"] + 3.5
        if "smoothing_logit" in values:
            values["smoothing_logit"] = values["smoothing_logit"] + 3
        if "release_logit" in values:
            values["release_logit"] = values["release_logit"] - 2.5  # fast enough to follow 250 samples
            values["log_threshold"] = values["log_threshold"] - 0.5
    return {name: value.to(dtype) for name, value in values.items()}


def noise(nodes=3, length=500, seed=1, dtype=torch.float64):
    """Stereo, its two halves at different levels, so that dynamics cross their threshold."""
    x = torch.rand(nodes, 2, length, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 0.5
    x[..., length // 2 :] *= 0.1
    return x.to(dtype)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("length", [1, 2, 501])
@pytest.mark.parametrize("name", NAMES)
def test_shape_dtype_and_device_are_kept(name, length, dtype, device):
    processor = make(name, dtype).to(device)
    x = noise(length=length, dtype=dtype).to(device)
    y = processor(x, {n: v.to(device) for n, v in draw(processor, dtype=dtype).items()})
    assert (y.shape, y.dtype, y.device) == (x.shape, x.dtype, x.device)
    assert y.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_declarations(name):
    processor = make(name)
    assert list(processor.specification) == sorted(processor.specification)
    values = processor.sample_initial_values(5, torch.Generator().manual_seed(0), 0.25)
    for parameter, declared in processor.specification.items():
        assert declared.low < declared.high
        assert declared.unit
        assert values[parameter].shape == (5, *declared.shape)
        assert values[parameter].dtype == torch.float32
        spread = (values[parameter] - declared.mean).square().mean().sqrt().item()
        assert 0.05 < spread < 0.6  # 0.25, from as few as five draws
    again = processor.sample_initial_values(5, torch.Generator().manual_seed(0), 0.25)
    assert all(torch.equal(values[n], again[n]) for n in values)


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("end", ["low", "high"])
@pytest.mark.parametrize("name", NAMES)
def test_finite_at_both_ends_of_every_range(name, end, silent):
    processor = make(name, torch.float32)
    base = {n: torch.zeros(1, *p.shape) for n, p in processor.specification.items()}
    extremes = {
        n: p.from_unit(torch.full((1, *p.shape), float(getattr(p, end)))) for n, p in processor.specification.items()
    }
    settings = [extremes, *({**base, n: value} for n, value in extremes.items())]
    x = torch.zeros(1, 2, 600) if silent else noise(1, 600, dtype=torch.float32)
    for setting in settings:
        values = {n: v.clone().requires_grad_() for n, v in setting.items()}
        signal = x.clone().requires_grad_()
        y = apply(processor, signal, values)
        assert y.isfinite().all()
        (y * noise(1, 600, seed=2, dtype=torch.float32)).sum().backward()
        for n, leaf in (*values.items(), ("signal", signal)):
            assert leaf.grad is not None, n
            assert leaf.grad.isfinite().all(), n


@pytest.mark.parametrize("name", NAMES)
def test_gradients(name):
    processor = make(name)
    x = noise(2, 60).requires_grad_()
    values = {n: v.requires_grad_((name, n) not in SURROGATES) for n, v in draw(processor, 2).items()}

    def run(signal, *leaves):
        return apply(processor, signal, dict(zip(values, leaves, strict=True)))

    # The fast mode checks a random directional derivative of a random functional: the full Jacobian of a reverb has
    # 10^8 entries.
    assert torch.autograd.gradcheck(run, (x, *values.values()), fast_mode=True)
    if processor.linear:
        assert torch.autograd.gradcheck(
            lambda *leaves: processor.impulse_response(dict(zip(values, leaves, strict=True))),
            tuple(values.values()),
            fast_mode=True,
        )


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_of_every_parameter_acts(name):
    processor = make(name)
    values = {n: v.requires_grad_() for n, v in draw(processor).items()}
    length = 2 * RATE + 100
    (apply(processor, noise(3, length), values) * noise(3, length, seed=2)).sum().backward()
    for parameter, value in values.items():
        assert (value.grad != 0).all(), parameter


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_changes_the_output(name):
    processor = make(name)
    values, other = draw(processor), draw(processor, seed=9)
    x = noise(3, 2 * RATE + 100)
    x *= 2 * 10 ** torch.sin(torch.arange(x.shape[-1]) * (10 * torch.pi / RATE))  # so slow that envelopes follow it
    y = apply(processor, x, values)
    for parameter in values:
        change = apply(processor, x, {**values, parameter: other[parameter]}) - y
        # Two thresholds may be near each other: a thousandth of the signal's peak at least.
        assert (change.abs().amax(dim=(1, 2)) > 5e-4).all(), parameter


@pytest.mark.parametrize("name", ["delay", "reverb", "late_reverb"])
def test_a_common_level_is_normalised_away(name):
    # Their responses have unit energy: the level of the effect is the dry/wet weight's.
    processor = make(name)
    values = draw(processor)
    levels = {"delay": "log_fir_magnitude", "reverb": "init_log_magnitude", "late_reverb": "log_colour"}
    parameter = levels[name]
    louder = {**values, parameter: values[parameter] + 1.5}
    torch.testing.assert_close(processor(noise(), louder), processor(noise(), values), atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_equals_its_items(name):
    processor = make(name)
    values, x = draw(processor), noise()
    alone = [apply(processor, x[i : i + 1], {n: v[i : i + 1] for n, v in values.items()}) for i in range(3)]
    # The products of a batch may be summed in another order.
    torch.testing.assert_close(apply(processor, x, values), torch.cat(alone), atol=1e-14, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_identity_settings_are_the_identity(name):
    processor = make(name)
    assert (processor.identity is None) == (name in WITHOUT_IDENTITY)
    if processor.identity is not None:
        assert set(processor.identity) == set(processor.specification)
        values = {
            n: torch.full((3, *processor.specification[n].shape), float(v), dtype=torch.float64)
            for n, v in processor.identity.items()
        }
        torch.testing.assert_close(processor(noise(), values), noise(), atol=1e-14, rtol=0)


@pytest.mark.parametrize("name", sorted(SPLITTERS))
def test_the_outlets_of_a_splitter_sum_to_its_input(name):
    processor = make(name)
    assert len(processor.outlet_names) == processor.outlets
    values = {n: v * (n != "log_gain") for n, v in draw(processor).items()}
    outlets = [
        processor(noise(), values),
        *(Outlet(processor, k)(noise(), values) for k in range(1, processor.outlets)),
    ]
    torch.testing.assert_close(sum(outlets), noise(), atol=1e-14, rtol=0)
    assert min(outlet.abs().max() for outlet in outlets) > 0.01


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, {}) for name in NAMES] + [("reverb", {"mask": "paper"})],
)
def test_units_and_back(name, options):
    processor = make(name, **options)
    for parameter, declared in processor.specification.items():
        z = torch.randn(4, *declared.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        if options and parameter == "delta_log_magnitude":
            z = -z.abs() / 10  # a decay
        unit = declared.to_unit(z)
        # Delays are read in whole samples, so that only the units come back.
        torch.testing.assert_close(declared.to_unit(declared.from_unit(unit)), unit, atol=1e-9, rtol=1e-9)
        if (name, parameter) not in SURROGATES:
            torch.testing.assert_close(declared.from_unit(unit), z, atol=1e-9, rtol=1e-9)
            ends = torch.tensor([declared.low, declared.high], dtype=torch.float64)
            ends = ends.view(2, *(1 for _ in declared.shape)).expand(2, *declared.shape)
            torch.testing.assert_close(declared.to_unit(declared.from_unit(ends)), ends, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_survive_a_file(name, tmp_path):
    processor = make(name, torch.float32)
    values = draw(processor, dtype=torch.float32)
    save_file(values, tmp_path / "p.safetensors")
    loaded = load_file(tmp_path / "p.safetensors")
    assert {n: v.tolist() for n, v in loaded.items()} == {n: v.tolist() for n, v in values.items()}
    x = noise(dtype=torch.float32)
    assert torch.equal(processor(x, loaded), processor(x, values))
    # Constants are made by the constructor and need no file.
    assert processor.state_dict() == {}


@pytest.mark.parametrize("name", NAMES)
def test_signal_must_be_a_batch_of_stereo(name):
    processor = make(name)
    with pytest.raises(ValueError, match=r"signal: \(nodes, 2, time\) is needed, got \(3, 1, 500\)"):
        processor(noise()[:, :1], draw(processor))
    with pytest.raises(ValueError, match=r"got \(2, 500\)"):
        processor(noise()[0], draw(processor))


@pytest.mark.parametrize("name", NAMES)
def test_sample_rate_is_checked(name):
    for rate in (48, 100_000_000):  # the second one takes gigabytes for impulse responses
        message = f"sample_rate: samples per second, at least 1000, at most 768000, got {rate}"
        with pytest.raises(ValueError, match=message):
            registered()[name](sample_rate=rate)


# Linear processors.


@pytest.mark.parametrize("rate", [RATE, 16000, 30000, 44100, 48000])
@pytest.mark.parametrize("name", LINEAR)
def test_supports_match_the_response(name, rate):
    processor = make(name, torch.float32, rate)
    response = processor.impulse_response(draw(processor, 2, dtype=torch.float32))
    assert response.shape[0] == 2
    assert response.shape[1] in (1, 2)
    assert response.shape[2] == processor.before + 1 + processor.after
    assert response.isfinite().all()


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("rate", [16000, 48000])
def test_supports_keep_their_seconds(name, rate):
    usual, other = make(name, rate=30000), make(name, rate=rate)
    for side in ("before", "after"):
        # To half a sample at either rate.
        assert abs(getattr(other, side) / rate - getattr(usual, side) / 30000) <= 1 / min(rate, 30000)


@pytest.mark.parametrize("name", LINEAR)
def test_linear(name):
    processor = make(name)
    values, x, y = draw(processor), noise(seed=1), noise(seed=2)
    mixed = processor(2 * x - 3 * y, values)
    torch.testing.assert_close(mixed, 2 * processor(x, values) - 3 * processor(y, values), atol=1e-13, rtol=0)


@pytest.mark.parametrize("name", LINEAR)
def test_time_invariant(name):
    processor = make(name)
    values = draw(processor)
    margin = processor.before
    x = torch.nn.functional.pad(noise(), (margin, margin + 50))
    later = torch.roll(x, 37, dims=-1)
    expected = torch.nn.functional.pad(processor(x, values), (37, 0))[..., : x.shape[-1]]
    # What looks ahead is in the margin, so nothing leaves at the left.
    torch.testing.assert_close(processor(later, values)[..., 37:], expected[..., 37:], atol=1e-13, rtol=0)


@pytest.mark.parametrize("extra", [0, 1, 2500])
@pytest.mark.parametrize("name", LINEAR)
def test_response_is_the_transform_about_time_zero(name, extra):
    processor = make(name)
    values = draw(processor)
    impulse_response = processor.impulse_response(values)
    n_fft = impulse_response.shape[-1] + extra
    n_fft += n_fft % 2
    placed = torch.nn.functional.pad(impulse_response, (0, n_fft - impulse_response.shape[-1]))
    expected = torch.fft.rfft(torch.roll(placed, -processor.before, dims=-1))
    response = processor.response(values, n_fft)
    if impulse_response.shape[-1] == 1:
        assert response.shape[-1] == 1  # constant over frequency
    torch.testing.assert_close(response.to(expected.dtype).expand_as(expected), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", LINEAR)
def test_forward_is_the_convolution_with_the_response(name):
    processor = make(name)
    values, x = draw(processor), noise(length=40)
    response = processor.impulse_response(values).expand(-1, 2, -1)
    if processor.channels == "mid_side":
        mid, side = response.unbind(1)
        matrix = torch.stack(((mid + side) / 2, (mid - side) / 2))
        rows = ((matrix[0], matrix[1]), (matrix[1], matrix[0]))
    else:
        left, right = response.unbind(1)
        rows = ((left, 0 * left), (0 * left, right))
    y = processor(x, values)
    for node in range(3):
        for channel in range(2):
            total = torch.zeros(40 + response.shape[-1] - 1, dtype=torch.float64)
            for source in range(2):
                for n in range(40):
                    total[n : n + response.shape[-1]] += x[node, source, n] * rows[channel][source][node]
            expected = total[processor.before : processor.before + 40]
            torch.testing.assert_close(y[node, channel], expected, atol=1e-13, rtol=0)


@pytest.mark.parametrize("name", LINEAR)
def test_linear_processors_have_no_process(name):
    with pytest.raises(TypeError, match=f"{name} is linear"):
        make(name).process(noise(), {})


# Nonlinear processors.

ONE_POLE = ["compressor", "noisegate"]
DETECTING = [name for name in NONLINEAR if issubclass(registered()[name], DynamicRangeProcessor)]
NONLINEAR_WITH_OPTIONS = [
    *((name, {}) for name in NONLINEAR if name not in DETECTING),
    *((name, {"detector": detector}) for name in DETECTING for detector in ("energy", "mid")),
    *((name, {"detector": detector, "envelope": "truncated"}) for name in ONE_POLE for detector in ("energy", "mid")),
]


@pytest.mark.parametrize("samples", [1, 50, 3000])
@pytest.mark.parametrize(("name", "options"), NONLINEAR_WITH_OPTIONS)
def test_rest_is_processing_of_silence(name, options, samples):
    processor = make(name, **options)
    values, x = draw(processor), noise()
    run = processor.process if processor.inlets == 1 else lambda y, *rest: processor.process_keyed(y, y, *rest)
    _, state = run(x, values)
    _, expected = run(torch.zeros(3, 2, samples, dtype=torch.float64), values, state)
    rested = processor.rest(values, state, samples)
    torch.testing.assert_close(rested, expected, rtol=1e-11, atol=1e-300)
    assert rested.numel() == 0 or (rested != state).any()


@pytest.mark.parametrize(("name", "options"), NONLINEAR_WITH_OPTIONS)
def test_causal(name, options):
    processor = make(name, **options)
    values, x = draw(processor), noise()
    other = x.clone()
    other[..., 300:] = noise(seed=5)[..., :200]
    y, changed = processor(x, values), processor(other, values)
    torch.testing.assert_close(y[..., :300], changed[..., :300], atol=0, rtol=1e-14)
    assert ((y - changed)[..., 300:].abs().amax(dim=(1, 2)) > 1e-3).all()


@pytest.mark.parametrize("cuts", [[1], [127, 128, 300], [499]])
@pytest.mark.parametrize(("name", "options"), NONLINEAR_WITH_OPTIONS)
def test_pieces_with_state_equal_the_whole(name, options, cuts):
    processor = make(name, **options)
    values, x = draw(processor), noise()
    pieces, state = [], None
    for piece in torch.tensor_split(x, cuts, dim=-1):
        wet, state = processor.process(piece, values, state)
        pieces.append(wet)
    torch.testing.assert_close(torch.cat(pieces, dim=-1), processor(x, values), atol=0, rtol=1e-11)
    assert state.shape[0] == 3


@pytest.mark.parametrize("name", NONLINEAR)
def test_nonlinear_processors_have_no_response(name):
    with pytest.raises(TypeError, match=f"{name} is not linear"):
        make(name).impulse_response({})


@pytest.mark.parametrize("name", NAMES)
def test_any_number_of_nodes(name):
    processor = make(name)
    for nodes in (1, 2, 7):
        assert processor(noise(nodes), draw(processor, nodes)).shape == (nodes, 2, 500)
