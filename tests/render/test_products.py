"""The hand-written adjoint of a linear processor on spectra, against autograd of the plain formulas."""

import pytest
import torch

from mixgraph.processors.base import to_basis, to_left_right
from mixgraph.render.products import Bins, Gains, LinearProduct, sum_and_difference

NODES, CLIPS, BINS = 3, 2, 17
C128 = torch.complex128
BOTH_ENDS = Bins(True, True, n_fft=2 * (BINS - 1))


def plain(signal, response, weight, mid_side, staged, bins):
    """Paper eq. 2 on stereo spectra, and the energies by Parseval."""
    stereo = signal.expand(-1, -1, 2, -1)
    channels = "mid_side" if mid_side else "left_right"
    wet = to_left_right(to_basis(stereo, channels) * response.unsqueeze(1), channels)
    scale = weight.view(-1, 1, 1, 1)
    output = (1 - scale) * stereo + scale * wet
    if staged is None:
        return output, None
    count = torch.full((signal.shape[-1],), 2.0, dtype=torch.float64)
    count[0] = 1 if bins.first else 2
    count[-1] = 1 if bins.last else 2
    staged_signals = [x.sum(dim=2, keepdim=True) if staged == "mid" else x for x in (stereo, wet)]
    return output, torch.stack([(x.abs().square() * count).sum(dim=(2, 3)) for x in staged_signals]) / bins.n_fft


@pytest.mark.parametrize("staged", [None, "mid", "both"])
@pytest.mark.parametrize("mid_side", [False, True])
@pytest.mark.parametrize(("width", "channels"), [(2, 2), (2, 1), (1, 1)])
@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("edges", [(True, True), (False, False)])
def test_product_and_its_adjoint(staged, mid_side, width, channels, constant, is_complex, edges) -> None:
    generator = torch.Generator().manual_seed(1)

    def draw(*shape, dtype=C128):
        return torch.randn(*shape, dtype=dtype, generator=generator)

    bins = Bins(*edges, n_fft=32)
    signal = draw(NODES, CLIPS, width, BINS).requires_grad_()
    response = draw(NODES, channels, 1 if constant else BINS, dtype=C128 if is_complex else torch.float64)
    response.requires_grad_()
    weight = torch.rand(NODES, dtype=torch.float64, generator=generator).requires_grad_()
    product = LinearProduct(mid_side, staged)
    with torch.no_grad():
        output, applied = product.forward(signal, response, weight)
        energies = product.energies(applied, bins)
    expected, expected_energies = plain(signal, response, weight, mid_side, staged, bins)
    torch.testing.assert_close(output.expand(-1, -1, 2, -1), expected, rtol=1e-12, atol=1e-12)
    grad, energy_grad = draw(*output.shape), None
    total = (grad.conj() * expected[:, :, :width]).real.sum()
    if staged is not None:
        torch.testing.assert_close(energies, expected_energies, rtol=1e-12, atol=1e-12)
        energy_grad = draw(*energies.shape, dtype=torch.float64)
        total = total + (energy_grad * expected_energies).sum()
    leaves = (signal, response, weight)
    by_signal, by_response, by_weight = torch.autograd.grad(total, leaves)
    with torch.no_grad():
        gradients = product.adjoint(grad.conj().resolve_conj(), energy_grad, applied, response, weight, bins)
    torch.testing.assert_close(gradients[0].conj(), by_signal, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(gradients[1].conj(), by_response, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(gradients[2], by_weight, rtol=1e-11, atol=1e-11)


def test_pieces_of_the_axis_add_up_to_parsevals_energy() -> None:
    signal = torch.randn(4, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    spectrum = torch.fft.rfft(signal)
    parts = [(0, 10), (10, 30), (30, 33)]
    total = sum(Bins(a == 0, b == 33, 64).energy(spectrum[:, a:b]) for a, b in parts)
    torch.testing.assert_close(total, signal.square().sum(dim=-1), rtol=1e-13, atol=0)


def test_sum_and_difference_twice_is_twice_the_signal() -> None:
    signal = torch.randn(3, 2, 5, dtype=C128)
    torch.testing.assert_close(sum_and_difference(sum_and_difference(signal)), 2 * signal)


@pytest.mark.parametrize("shape", [(2, 1), (1, 1), (2, 2)])
def test_gains_and_their_adjoint(shape) -> None:
    generator = torch.Generator().manual_seed(2)
    signal, grad = (torch.randn(NODES, CLIPS, 2, BINS, dtype=C128, generator=generator) for _ in range(2))
    gains = torch.randn(NODES, *shape, dtype=torch.float64, generator=generator).requires_grad_()
    signal.requires_grad_()
    matrices = gains if shape == (2, 2) else torch.diag_embed(gains[..., 0].expand(-1, 2))
    expected = torch.einsum("noi,ncik->ncok", matrices.to(C128), signal)
    by_signal, by_gains = torch.autograd.grad((grad.conj() * expected).real.sum(), (signal, gains))
    with torch.no_grad():
        output, applied = Gains().forward(signal, gains)
        conjugated, gradient, none = Gains().adjoint(grad.conj().resolve_conj(), None, applied, gains, None, BOTH_ENDS)
    assert none is None
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(conjugated.conj(), by_signal, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient, by_gains, rtol=1e-12, atol=1e-12)
