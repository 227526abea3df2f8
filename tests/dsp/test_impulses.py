"""Learnable delays: the hard value, the surrogate's gradient, recovery."""

import math

import pytest
import torch
import torch.nn.functional as F

from mixgraph.dsp.impulses import delayed_filters, hard_delay, soft_impulse, unit_gradient


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def disc(*shape, seed=0):
    """Points inside the unit disc, none near its centre."""
    z = draw(*shape, 2, seed=seed)
    modulus = z.norm(dim=-1, keepdim=True)
    return z / modulus * (0.2 + 0.79 * torch.tanh(modulus))


def place(pulses, filters, truncate):
    """The oracle: pulses (rows, segments, N) through their filters, joined by an explicit loop."""
    rows, segments, length = pulses.shape
    half = filters.shape[-1] // 2
    joined = pulses.new_zeros(rows, segments * length + 2 * half)
    for row in range(rows):
        for s in range(segments):
            full = F.conv1d(
                pulses[row, s].view(1, 1, -1), filters[row, s].flip(0).view(1, 1, -1), padding=2 * half
            ).flatten()
            if truncate:
                full = torch.cat((torch.zeros(half), full[half : half + length], torch.zeros(half)))
            joined = joined + F.pad(full, (s * length, joined.shape[1] - s * length - full.shape[0])) * F.one_hot(
                torch.tensor(row), rows
            ).view(-1, 1)
    return joined[:, half : half + segments * length]


def test_hard_delay_is_the_argmax_of_the_relaxed_impulse():
    z = disc(400)
    for length in (20, 3000):
        soft = soft_impulse(z, length)
        hard = hard_delay(z, length)
        assert ((hard >= 0) & (hard < length)).all()
        assert hard.tolist() == soft.argmax(dim=-1).tolist()


def test_hard_delay_of_known_angles():
    angles = torch.tensor([0.0, -0.1, -math.pi / 2, math.pi / 2, math.pi], dtype=torch.float64)
    z = torch.stack((angles.cos(), angles.sin()), dim=-1)
    for radius in (1e-3, 1.0):  # the radius does not matter
        assert hard_delay(radius * z, 3000).tolist() == [0, 48, 750, 2250, 1500]
    assert hard_delay(z.float(), 3000).tolist() == [0, 48, 750, 2250, 1500]


def test_hard_delay_wraps_just_below_zero():
    tiny = torch.tensor([[1.0, 1e-6], [1.0, -1e-6]], dtype=torch.float64)
    assert hard_delay(tiny, 3000).tolist() == [0, 0]


@pytest.mark.parametrize("truncate", [False, True])
@pytest.mark.parametrize("taps", [1, 7])
def test_forward_places_each_filter_at_its_delay(truncate, taps):
    z, filters = disc(3, 5), draw(3, 5, taps, seed=1)
    pulses = F.one_hot(hard_delay(z, 30), 30).double()
    expected = place(pulses, filters, truncate)
    torch.testing.assert_close(delayed_filters(z, filters, 30, truncate), expected, atol=1e-15, rtol=0)


def test_truncation_cuts_at_the_segment_or_only_at_both_ends():
    z = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]], dtype=torch.float64)  # both at the first sample of their segments
    filters = torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]], dtype=torch.float64)
    assert delayed_filters(z, filters, 4, False)[0].tolist() == [2, 3, 0, 4, 5, 6, 0, 0]
    assert delayed_filters(z, filters, 4, True)[0].tolist() == [2, 3, 0, 0, 5, 6, 0, 0]


@pytest.mark.parametrize("truncate", [False, True])
@pytest.mark.parametrize(
    ("length", "taps"), [(30, 7), (12, 1), (8, 5), (22, 5), (2, 1), (1600, 21), (3000, 39), (4410, 57)]
)
def test_gradient_of_the_delays_is_the_relaxed_impulses(truncate, length, taps):
    z, filters = disc(2, 4).requires_grad_(), draw(2, 4, taps, seed=1)
    direction = draw(2, 4 * length, seed=2)
    (expected,) = torch.autograd.grad((place(soft_impulse(z, length), filters, truncate) * direction).sum(), z)
    (gradient,) = torch.autograd.grad((delayed_filters(z, filters, length, truncate) * direction).sum(), z)
    torch.testing.assert_close(gradient, expected, atol=1e-12, rtol=1e-10)


def test_gradient_at_the_centre_of_the_disc():
    # Only the first power has a slope at z = 0: along the first harmonic of what arrives.
    z = torch.zeros(1, 1, 2, dtype=torch.float64, requires_grad=True)
    direction = draw(1, 16)
    delayed_filters(z, torch.ones(1, 1, 1, dtype=torch.float64), 16, False).backward(direction)
    first = torch.fft.rfft(direction[0])[1].conj() * 2 / 16
    torch.testing.assert_close(z.grad.flatten(), torch.stack((first.real, -first.imag)), atol=1e-14, rtol=0)


@pytest.mark.parametrize("truncate", [False, True])
def test_gradient_of_the_filters(truncate):
    z, filters = disc(2, 3), draw(2, 3, 5, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: delayed_filters(z, f, 10, truncate), (filters,))


def test_float32_gradient_follows_float64():
    z, filters, direction = disc(2, 20), draw(2, 20, 39, seed=1), draw(2, 20 * 3000, seed=2)
    gradients = []
    for dtype in (torch.float64, torch.float32):
        point = z.clone().to(dtype).requires_grad_()
        delayed_filters(point, filters.to(dtype), 3000, False).backward(direction.to(dtype))
        gradients.append(point.grad.double())
    # Powers up to 1500 turn the rounding of z into hundreds of ulp.
    error = (gradients[1] - gradients[0]).norm(dim=-1) / gradients[0].norm(dim=-1)
    assert error.max() < 1e-4


def test_unit_gradient_keeps_direction_only():
    z = draw(5, 2).requires_grad_()
    arriving = draw(5, 2, seed=1) * torch.tensor([1e-3, 1.0, 1e3, 7.0, 0.0], dtype=torch.float64).view(-1, 1)
    same = unit_gradient(z)
    assert same.tolist() == z.tolist()
    same.backward(arriving)
    expected = arriving / arriving.norm(dim=-1, keepdim=True).clamp(min=1e-30)
    # 1e-7 in the denominator against a gradient of 1e-3.
    torch.testing.assert_close(z.grad, expected, atol=2e-4, rtol=0)
    assert z.grad[4].tolist() == [0, 0]


@pytest.fixture
def one_thread():
    """Thousands of tiny operations: on a busy machine threads that wait for each other take ten times longer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("radius", [0.5, 0.9])
def test_known_delays_are_recovered(radius):
    length, expected = 100, torch.tensor([[7, 33, 50, 97], [2, 83, 26, 47]])
    target = F.one_hot(expected, length).double().flatten(1)
    # Starts within a quarter of the segment: the relaxed impulse reaches that far.
    offset = torch.tensor([[10, -13, 20, -8], [5, 7, -20, 17]])
    angle = -2 * math.pi * (expected + offset) / length
    raw = math.atanh(radius) * torch.stack((angle.cos(), angle.sin()), dim=-1)
    raw.requires_grad_()
    filters = torch.ones(2, 4, 1, dtype=torch.float64)
    optimizer = torch.optim.Adam([raw], lr=0.01)
    for _ in range(250):
        z = unit_gradient(raw)
        modulus = z.norm(dim=-1, keepdim=True)
        response = delayed_filters(z * torch.tanh(modulus) / (modulus + 1e-7), filters, length, False)
        loss = F.mse_loss(response, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    miss = (hard_delay(raw.detach(), length) - expected + length // 2) % length - length // 2
    assert miss.abs().max() <= 1
