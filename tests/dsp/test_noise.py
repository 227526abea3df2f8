"""Decaying noise against the same formula written plainly, in value and gradient."""

import pytest
import torch

from mixgraph.dsp.noise import decaying_noise


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain(start, slope, noise, synthesis, length):
    """The oracle: every frame's mask, one inverse FFT of each, added frame by frame."""
    frames = torch.arange(noise.shape[1], dtype=start.dtype).view(-1, 1)
    mask = torch.exp(start.unsqueeze(2) + slope.unsqueeze(2) * frames)
    hop = noise.shape[2] - 1
    pieces = torch.fft.irfft(torch.view_as_complex(noise) * mask, n=2 * hop) * synthesis
    total = torch.zeros(*start.shape[:2], (noise.shape[1] + 1) * hop, dtype=start.dtype)
    for m in range(noise.shape[1]):
        total[..., m * hop : (m + 2) * hop] += pieces[:, :, m]
    mid, side = total[..., hop : hop + length].unbind(1)
    return torch.stack((mid + side, mid - side), dim=1)


def case(nodes, frames, bins, dtype=torch.float64):
    start, slope = draw(nodes, 2, bins, seed=1), 0.1 * draw(nodes, 2, bins, seed=2)
    noise, synthesis = draw(2, frames, bins, 2, seed=3), draw(frames, 2 * bins - 2, seed=4)
    return [start.to(dtype).requires_grad_(), slope.to(dtype).requires_grad_(), noise.to(dtype), synthesis.to(dtype)]


@pytest.mark.parametrize("nodes", [1, 2, 5])
@pytest.mark.parametrize(("frames", "bins", "missing"), [(1, 2, 0), (3, 5, 2), (16, 4, 0), (17, 9, 5), (33, 7, 11)])
def test_equals_the_plain_formula(nodes, frames, bins, missing):
    values = case(nodes, frames, bins)
    length = frames * (bins - 1) - missing
    stereo, expected = decaying_noise(*values, length), plain(*values, length)
    torch.testing.assert_close(stereo, expected, atol=1e-12, rtol=1e-12)
    direction = draw(*expected.shape, seed=5)
    gradients = [torch.autograd.grad((x * direction).sum(), values[:2]) for x in (stereo, expected)]
    torch.testing.assert_close(*gradients, atol=1e-11, rtol=1e-10)  # sums of thousands of float64 terms


def test_float32_follows_float64():
    results = []
    for dtype in (torch.float64, torch.float32):
        values = case(3, 50, 33, dtype)
        stereo = decaying_noise(*values, 1600)
        gradients = torch.autograd.grad((stereo * draw(3, 2, 1600, seed=5).to(dtype)).sum(), values[:2])
        results.append([x.double() for x in (stereo, *gradients)])
    for double, single in zip(*results, strict=True):
        assert (double - single).abs().max() < 2e-6 * double.abs().max()  # tens of ulp: 50 frames of exponentials


def test_frames_added_to_fill_a_group_cannot_overflow():
    # 30 frames up to exp(29 * 2.9), within float32; the second group of 16 would end with exp(31 * 2.9), beyond it.
    values = case(1, 30, 5, torch.float32)
    slope = torch.full_like(values[1], 2.9).requires_grad_()
    stereo = decaying_noise(values[0], slope, *values[2:], 120)
    assert stereo.isfinite().all()
    for gradient in torch.autograd.grad((stereo * 1e-3).sum(), (values[0], slope)):
        assert gradient.isfinite().all()
