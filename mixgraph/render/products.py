"""The two products that a linear processor costs, with their backward passes written out.

Shapes: signals (nodes, clips, 2, bins) complex, responses (nodes, 1 or 2, bins or 1) real or complex, weights
(nodes,).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


class _Mix(Function):
    @staticmethod
    def forward(ctx: Any, signal: Tensor, response: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(signal, response, weight)
        return signal * (1 + weight.view(-1, 1, 1) * (response - 1)).unsqueeze(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        signal, response, weight = ctx.saved_tensors
        scale = weight.view(-1, 1, 1)
        difference = response - 1
        grad_signal = grad_response = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_signal = grad * (1 + scale * difference).conj().unsqueeze(1)
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            arrived = _shared(_real_or_complex(grad, signal, response), response)
            grad_response = scale * arrived
            grad_weight = _dot(difference, arrived)
        return grad_signal, grad_response, grad_weight


def mix(signal: Tensor, response: Tensor, weight: Tensor) -> Tensor:
    """signal (1 - weight + weight response), the dry/wet mix of a linear processor (paper eq. 2)."""
    return _Mix.apply(signal, response, weight)


class _MidEnergies(Function):
    @staticmethod
    def forward(ctx: Any, signal: Tensor, response: Tensor, count: Tensor) -> Tensor:
        ctx.save_for_backward(signal, response, count)
        dry = signal[..., 0, :] + signal[..., 1, :]
        return torch.stack([_power(x) @ count for x in (dry, _wet_mid(signal, response, dry))])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        signal, response, count = ctx.saved_tensors
        dry = signal[..., 0, :] + signal[..., 1, :]
        by_dry = dry * (2 * grad[0].unsqueeze(-1) * count)
        by_wet = _wet_mid(signal, response, dry) * (2 * grad[1].unsqueeze(-1) * count)
        grad_signal = grad_response = None
        if ctx.needs_input_grad[0]:
            back = by_wet.unsqueeze(2) * response.conj().unsqueeze(1)
            grad_signal = (back + by_dry.unsqueeze(2)).expand_as(signal)
        if ctx.needs_input_grad[1]:
            if response.shape[1] == 1:  # one response for both channels: it multiplies the dry mid
                product = _real_or_complex(by_wet.unsqueeze(2), dry.unsqueeze(2), response)
            else:
                product = _real_or_complex(by_wet.unsqueeze(2), signal, response)
            grad_response = _shared(product, response)
        return grad_signal, grad_response, None


def mid_energies(signal: Tensor, response: Tensor, count: Tensor) -> Tensor:
    """Energies of the mid channel, l + r, before and after a response: (2, nodes, clips).

    Args:
        signal: as above.
        response: as above, of left and right.
        count: (bins,), how often each bin counts (Parseval).
    """
    return _MidEnergies.apply(signal, response, count)


def _wet_mid(signal: Tensor, response: Tensor, dry: Tensor) -> Tensor:
    if response.shape[1] == 1:
        return dry * response
    return signal[..., 0, :] * response[:, None, 0] + signal[..., 1, :] * response[:, None, 1]


def _power(spectrum: Tensor) -> Tensor:
    return spectrum.real.square() + spectrum.imag.square()


def _real_or_complex(grad: Tensor, signal: Tensor, response: Tensor) -> Tensor:
    """grad conj(signal), or its real part where that is all that the response can use."""
    if response.is_complex():
        return grad * signal.conj()
    return grad.real * signal.real + grad.imag * signal.imag


def _shared(product: Tensor, response: Tensor) -> Tensor:
    """Sums (nodes, clips, channels, bins) over what the response has only once."""
    summed = product[:, 0] if product.shape[1] == 1 else product.sum(dim=1)
    if response.shape[1] == 1 and summed.shape[1] == 2:
        summed = summed[:, :1] + summed[:, 1:]
    return summed.sum(dim=-1, keepdim=True) if response.shape[-1] == 1 else summed


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Re sum(conj(a) b) for each node."""
    if a.is_complex():
        a, b = torch.view_as_real(a), torch.view_as_real(b.resolve_conj())
    return (a * b).flatten(1).sum(dim=1)
