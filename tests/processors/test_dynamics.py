"""The fast dry/wet mix of compressor and noisegate against the plain path; mono rows; the state at rest."""

import itertools

import pytest
import torch

from mixgraph.dsp.envelopes import dynamics
from mixgraph.processors import registered
from mixgraph.processors.attack_release_compressor import AttackReleaseCompressor
from mixgraph.processors.attack_release_gate import AttackReleaseGate
from mixgraph.processors.dynamics import DynamicRangeProcessor, OnePoleDynamics

NAMES = ["compressor", "noisegate", "attack_release_compressor", "attack_release_gate"]
ONE_POLE = NAMES[:2]
DETECTORS = ["energy", "mid"]
GAINS = ["amplitude", "energy"]
RATE = 3000


def make(name, rate=RATE, **options):
    return registered()[name](sample_rate=rate, **options)


def drawn(processor, nodes, dtype=torch.float64):
    """Settings at which the processor acts on `noise`."""
    values = processor.sample_initial_values(nodes, torch.Generator().manual_seed(0), 0.5)
    values["log_threshold"] += 3.5
    for name in values.keys() & {"smoothing_logit", "release_logit"}:
        values[name] += 3 if name == "smoothing_logit" else -2.5
    return {name: value.to(dtype) for name, value in values.items()}


def extremes(processor, dtype=torch.float64):
    """One node for each combination of the ends of all ranges."""
    specification = processor.specification
    ends = [
        [declared.from_unit(torch.tensor([end], dtype=dtype)) for end in (declared.low, declared.high)]
        for declared in specification.values()
    ]
    return dict(zip(specification, map(torch.stack, zip(*itertools.product(*ends), strict=True)), strict=True))


def combinations(processor):
    return 2 ** len(processor.specification)


def noise(nodes, channels, length, dtype=torch.float64, seed=1):
    x = torch.rand(nodes, channels, length, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 0.5
    x[..., length // 2 :] *= 0.1
    return x.to(dtype)


def weights(nodes, dtype=torch.float64):
    """From dry to wet."""
    return torch.linspace(0, 1, nodes, dtype=torch.float64).to(dtype)


def oracle(processor, signal, values, weight, state=None):
    wet, state = processor.process(signal, values, state)
    return torch.lerp(signal, wet, weight.view(-1, 1, 1)), state


def run(function, processor, signal, values, weight, state):
    """The results, and the gradients of a random functional of both."""
    leaves = [t.clone().requires_grad_() for t in (signal, weight, *values.values(), state)]
    mixed, last = function(processor, leaves[0], dict(zip(values, leaves[2:-1], strict=True)), leaves[1], leaves[-1])
    total = (mixed * noise(*mixed.shape, mixed.dtype, seed=2)).sum() + (last * weight.flip(0)).sum()
    gradients = dict(zip(("signal", "weight", *values, "state"), torch.autograd.grad(total, leaves), strict=True))
    return {"mixed": mixed.detach(), "last": last.detach()}, gradients


def fast(processor, signal, values, weight, state):
    return processor.dry_wet(signal, values, weight, state)


def assert_like_the_oracle(processor, signal, values, state=None):
    weight = weights(len(signal), signal.dtype)
    state = torch.zeros_like(weight) if state is None else state
    results, gradients = run(fast, processor, signal, values, weight, state)
    expected, slopes = run(oracle, processor, signal, values, weight, state)
    for name, value in expected.items():
        torch.testing.assert_close(results[name], value, rtol=1e-12, atol=1e-15, msg=lambda m, n=name: f"{n}: {m}")
    for name, slope in slopes.items():
        # Sums with cancellation, so relative to the largest node; the knee's underflows where its range is outside.
        atol = 1e-9 * slope.abs().max().item() + 1e-14
        torch.testing.assert_close(gradients[name], slope, rtol=1e-9, atol=atol, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("length", [1, 2, 32, 33, 1500])
@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("name", NAMES)
def test_dry_wet_is_the_mix_of_signal_and_process(name, detector, channels, started, length):
    processor = make(name, detector=detector)
    state = torch.tensor([0.3, 0.0, 2.0], dtype=torch.float64) if started else None
    assert_like_the_oracle(processor, noise(3, channels, length), drawn(processor, 3), state)


@pytest.mark.parametrize("gain", GAINS)
@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("name", NAMES)
def test_dry_wet_at_all_ends_of_the_ranges(name, detector, gain):
    processor = make(name, detector=detector, gain=gain)
    n = combinations(processor)
    assert_like_the_oracle(processor, noise(n, 2, 400), extremes(processor), torch.full((n,), 0.1).double())


@pytest.mark.parametrize("name", NAMES)
def test_dry_wet_without_a_state_starts_from_rest(name):
    processor = make(name)
    x, values, weight = noise(3, 2, 100), drawn(processor, 3), weights(3)
    mixed, last = processor.dry_wet(x, values, weight)
    again, same = processor.dry_wet(x, values, weight, torch.zeros_like(weight))
    assert torch.equal(mixed, again)
    assert torch.equal(last, same)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_prepared_of_a_node_does_not_depend_on_a_few_others(name):
    processor = make(name, 30000)
    values, weight = drawn(processor, 5, torch.float32), weights(5, torch.float32)
    together = processor.prepare(values, weight, 1000)
    for node in range(5):
        row = slice(node, node + 1)
        alone = processor.prepare({name: value[row] for name, value in values.items()}, weight[row], 1000)
        assert all(torch.equal(alone[name], value[row]) for name, value in together.items())


def test_dynamics_of_ones_own_need_no_exact_envelope_and_may_have_a_make_up_gain():
    class Louder(AttackReleaseGate):
        """With a make-up gain, which makes no flag needed beside its parameter."""

        @property
        def specification(self):
            return super().specification | {"log_makeup": AttackReleaseCompressor(30000).specification["log_makeup"]}

        def process(self, signal, parameters, state=None):
            wet, state = super().process(signal, parameters, state)
            return wet * torch.exp(parameters["log_makeup"]).unsqueeze(-1), state

    class Plain(OnePoleDynamics):
        direction, type_id = 1, 99

        def slope(self, log_ratio):
            return -torch.sigmoid(log_ratio)

        prepare, dry_wet = DynamicRangeProcessor.prepare, DynamicRangeProcessor.dry_wet

    for processor in (Louder(30000).double(), Plain(30000).double()):
        x, values, weight = noise(3, 2, 400), drawn(processor, 3), weights(3)
        prepared = processor.prepare(values, weight, 400)
        mixed, _ = processor.dry_wet(x, prepared, weight)
        wet, _ = processor.process(x, values)
        share = weight.view(-1, 1, 1)
        torch.testing.assert_close(mixed, (1 - share) * x + share * wet)


@pytest.mark.parametrize("name", NAMES)
def test_dry_wet_in_float32(name):
    processor = make(name, 30000)
    usual = drawn(processor, 4, torch.float32)
    values = {name: torch.cat((value, usual[name])) for name, value in extremes(processor, torch.float32).items()}
    n = 4 + combinations(processor)
    x, weight = noise(n, 2, 114000, torch.float32), weights(n, torch.float32)
    mixed, last = processor.dry_wet(x, values, weight)
    expected, state = oracle(processor, x.double(), {n: v.double() for n, v in values.items()}, weight.double())
    # The envelope is good to 4e-7; the slope on its logarithm is up to 49 (of the gate, where its gain is small).
    assert (mixed - expected).abs().max() < 3e-6 * x.abs().max()
    torch.testing.assert_close(last.double(), state, rtol=8e-7, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_in_float32(name):
    processor = make(name, 30000)
    x, values, weight = noise(4, 2, 50000), drawn(processor, 4), weights(4)
    state = torch.full((4,), 0.1, dtype=torch.float64)
    _, gradients = run(
        fast, processor, x.float(), {n: v.float() for n, v in values.items()}, weight.float(), state.float()
    )
    _, expected = run(oracle, processor, x, values, weight, state)
    for parameter, slope in expected.items():
        error = (gradients[parameter] - slope).abs().max() / slope.abs().max()
        assert error < 2e-5, parameter  # sums of 50,000 values of both signs


@pytest.mark.parametrize("cuts", [[1], [31, 32, 300], [499]])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, options) for name in NAMES for options in ({}, {"detector": "mid"})),
        *((name, {"envelope": "truncated"}) for name in ONE_POLE),
    ],
)
def test_dry_wet_in_pieces_equals_the_whole(name, options, cuts):
    processor = make(name, **options)
    x, values, weight = noise(3, 2, 500), drawn(processor, 3), weights(3)
    pieces, state = [], None
    for piece in torch.tensor_split(x, cuts, dim=-1):
        mixed, state = processor.dry_wet(piece, values, weight, state)
        pieces.append(mixed)
    whole, last = processor.dry_wet(x, values, weight)
    torch.testing.assert_close(torch.cat(pieces, dim=-1), whole, atol=0, rtol=1e-11)
    torch.testing.assert_close(state, last, atol=1e-15, rtol=1e-11)


@pytest.mark.parametrize("method", ["process", "dry_wet"])
@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize(
    ("name", "options"), [*((name, {}) for name in NAMES), *((name, {"envelope": "truncated"}) for name in ONE_POLE)]
)
def test_a_mono_row_is_two_equal_channels(name, options, detector, method):
    processor = make(name, detector=detector, **options)
    assert processor.keeps_mono
    values, weight = drawn(processor, 3, torch.float32), weights(3, torch.float32)
    mono = noise(3, 1, 500, torch.float32).requires_grad_()
    stereo = mono.detach().repeat(1, 2, 1).requires_grad_()
    more = (weight,) if method == "dry_wet" else ()
    mono_output, state = getattr(processor, method)(mono, values, *more)
    two, same = getattr(processor, method)(stereo, values, *more)
    assert mono_output.shape == mono.shape
    assert torch.equal(mono_output.expand(-1, 2, -1), two)
    assert torch.equal(state, same)
    slope = noise(3, 1, 500, torch.float32, seed=3)
    (mono_output * slope).sum().backward()
    (two * slope / 2).sum().backward()
    torch.testing.assert_close(stereo.grad.sum(dim=1, keepdim=True), mono.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_only_dry_is_the_signal_and_only_wet_is_process(name):
    processor = make(name)
    n = combinations(processor)
    x, values = noise(n, 2, 300, torch.float32), extremes(processor, torch.float32)
    assert torch.equal(processor.dry_wet(x, values, torch.zeros(n))[0], x)
    torch.testing.assert_close(
        processor.dry_wet(x, values, torch.ones(n))[0], processor.process(x, values)[0], atol=1e-6, rtol=1e-5
    )


@pytest.mark.parametrize("level", [0.0, 1e-30, 1e4])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_at_any_level(name, level):
    processor = make(name)
    n = combinations(processor)
    x, values = level * noise(n, 2, 300, torch.float32), extremes(processor, torch.float32)
    weight = weights(n, torch.float32)
    results, gradients = run(fast, processor, x, values, weight, torch.zeros(n))
    for tensor in (*results.values(), *gradients.values()):
        assert tensor.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_groups_of_nodes_do_not_matter(name, monkeypatch):
    processor = make(name)
    arguments = (processor, noise(5, 2, 100), drawn(processor, 5), weights(5), weights(5))
    outputs = []
    for samples in (1, 250, 1 << 20):  # one node, two, all
        monkeypatch.setattr(dynamics, "GROUP_SAMPLES", samples)
        results, gradients = run(fast, *arguments)
        with torch.no_grad():
            plain, _ = processor.dry_wet(arguments[1], arguments[2], *arguments[3:])
        assert torch.equal(plain, results["mixed"])
        outputs.append({**results, **gradients})
    for other in outputs[1:]:
        for parameter, value in outputs[0].items():
            torch.testing.assert_close(other[parameter], value, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_signals_may_be_views(name):
    processor = make(name)
    values, weight, wide = drawn(processor, 3), weights(3), noise(3, 2, 400)
    for view in (wide[..., 50:350], wide[:, :1].expand(-1, 2, -1), wide.transpose(0, 1).contiguous().transpose(0, 1)):
        assert_like_the_oracle(processor, view, values)
        mixed, _ = processor.dry_wet(view, values, weight)
        assert torch.equal(mixed, processor.dry_wet(view.contiguous(), values, weight)[0])


@pytest.mark.parametrize("name", ONE_POLE)
def test_the_host_waits_for_nothing(name):
    # Tensors without data cannot be asked for values.
    processor = make(name)
    values = {n: v.to("meta").requires_grad_() for n, v in processor.sample_initial_values(3).items()}
    x, weight = torch.empty(3, 2, 999, device="meta", requires_grad=True), torch.empty(3, device="meta")
    mixed, state = processor.dry_wet(x, values, weight)
    (mixed.sum() + state.sum()).backward()
    assert x.grad.shape == x.shape


@pytest.mark.parametrize("name", NAMES)
def test_the_fast_mix_is_differentiable_once(name):
    processor = make(name)
    x = noise(2, 2, 50).requires_grad_()
    mixed, _ = processor.dry_wet(x, drawn(processor, 2), weights(2))
    (slope,) = torch.autograd.grad(mixed.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()
