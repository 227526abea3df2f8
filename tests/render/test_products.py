"""Hand-written backward passes against autograd's, and values against the formulas."""

import pytest
import torch

from mixgraph.render.products import mid_energies, mix

CASES = [(1, 5, True), (2, 5, True), (1, 5, False), (2, 1, False), (1, 1, False)]


def arguments(channels, bins, is_complex, clips):
    generator = torch.Generator().manual_seed(channels + 10 * bins + 100 * clips)
    signal = torch.randn(3, clips, 2, 5, dtype=torch.complex128, generator=generator, requires_grad=True)
    kind = torch.complex128 if is_complex else torch.float64
    response = torch.randn(3, channels, bins, dtype=kind, generator=generator, requires_grad=True)
    weight = torch.rand(3, dtype=torch.float64, generator=generator, requires_grad=True)
    return signal, response, weight


@pytest.mark.parametrize("clips", [1, 2])
@pytest.mark.parametrize(("channels", "bins", "is_complex"), CASES)
def test_mix_is_eq_2_and_its_gradient_is_right(channels, bins, is_complex, clips) -> None:
    signal, response, weight = arguments(channels, bins, is_complex, clips)
    w = weight.view(3, 1, 1, 1)
    expected = (1 - w) * signal + w * response.unsqueeze(1) * signal
    assert torch.allclose(mix(signal, response, weight), expected, rtol=0, atol=1e-14)
    assert torch.autograd.gradcheck(mix, (signal, response, weight))


@pytest.mark.parametrize("clips", [1, 2])
@pytest.mark.parametrize(("channels", "bins", "is_complex"), CASES)
def test_mid_energies_and_their_gradient(channels, bins, is_complex, clips) -> None:
    signal, response, _ = arguments(channels, bins, is_complex, clips)
    count = torch.tensor([1.0, 2, 2, 2, 1], dtype=torch.float64)
    wet = (signal * response.unsqueeze(1)).sum(2)
    expected = torch.stack([(x.abs() ** 2 * count).sum(-1) for x in (signal.sum(2), wet)])
    assert torch.allclose(mid_energies(signal, response, count), expected, rtol=1e-13, atol=0)
    assert torch.autograd.gradcheck(lambda s, r: mid_energies(s, r, count), (signal, response))
