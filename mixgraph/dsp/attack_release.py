r"""A smoother that rises and falls at different speeds, exactly.

    y[n] = x[n] + a[n] (y[n-1] - x[n]) ,   a[n] = a_attack where x[n] > y[n-1], else a_release

(the branching smoother of Giannoulis et al. 2012, there for levels). Which branch a sample takes depends on the output
before it: on CPUs the recursion runs sample by sample, compiled (`recursions`), on other devices by policy iteration
(`policies`, with the loop for rows where that takes long), both with sums in float64. Given the branches it is linear,
and so is its adjoint: with the gradient g by y,

    \lambda[n] = g[n] + a[n+1] \lambda[n+1] ,   \partial x[n] = (1 - a[n]) \lambda[n] ,

and with 1 - a = sigmoid(-z) the gradient by each z is  -a (1 - a) \sum \lambda[n] (x[n] - y[n-1])  over its samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from mixgraph.dsp import policies


def attack_release(signal: Tensor, attack_logit: Tensor, release_logit: Tensor, initial: Tensor) -> Tensor:
    """Smooths each row, see the module's text.

    Args:
        signal: (nodes, time).
        attack_logit: (nodes,), z with a = sigmoid(z), where the signal is above the output.
        release_logit: (nodes,), z where it is not.
        initial: (nodes,), the output before the first sample.

    Returns:
        (nodes, time). Differentiable once, in all arguments.
    """
    smooth: Tensor = _Smooth.apply(signal, attack_logit, release_logit, initial)
    return smooth


class _Smooth(Function):
    @staticmethod
    def forward(ctx: Any, signal: Tensor, attack_logit: Tensor, release_logit: Tensor, initial: Tensor) -> Tensor:
        steps = torch.sigmoid(-torch.stack((attack_logit, release_logit)).double())  # 1 - a
        smooth = smooth_rows(signal, steps, initial, torch.empty_like(signal))
        ctx.save_for_backward(signal, steps, initial, smooth)
        return smooth

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_smooth: Tensor) -> tuple[Tensor, ...]:
        signal, steps, initial, smooth = ctx.saved_tensors
        by_signal = torch.empty_like(signal)
        by_rest = adjoint_rows(by_smooth, signal, smooth, steps, initial, by_signal)
        by_logits = -steps * (1 - steps) * by_rest[:2]
        return (by_signal, *by_logits.to(signal.dtype), by_rest[2].to(signal.dtype))


def smooth_rows(signal: Tensor, steps: Tensor, initial: Tensor, out: Tensor) -> Tensor:
    """The recursion outside of autograd.

    Args:
        signal: x, (nodes, time).
        steps: 1 - a of attack and release, (2, nodes), float64.
        initial: (nodes,), y before the first sample.
        out: (nodes, time), written.

    Returns:
        `out`.
    """
    if signal.is_cpu:
        from mixgraph.dsp import recursions  # the compiler takes half a second to import

        recursions.smooth_rows(*map(_array, (signal, steps, initial)), out.numpy())
        return out
    return out.copy_(_settled(signal, steps, initial))


def _settled(signal: Tensor, steps: Tensor, initial: Tensor) -> Tensor:
    """By policy iteration; rows that it does not settle by the loop."""
    smooth, unsettled = policies.smooth_rows(signal, steps, initial)
    if bool(unsettled.any()):
        x, own_steps, start = (own.cpu() for own in (signal[unsettled], steps[:, unsettled], initial[unsettled]))
        smooth[unsettled] = smooth_rows(x, own_steps, start, torch.empty_like(x)).to(signal.device)
    return smooth


def adjoint_rows(
    by_smooth: Tensor, signal: Tensor, smooth: Tensor, steps: Tensor, initial: Tensor, by_signal: Tensor
) -> Tensor:
    """The adjoint of `smooth_rows`: writes the gradient by x to `by_signal`, (nodes, time).

    Returns:
        The gradients by both steps and by the initial y, (3, nodes), float64.
    """
    given = (by_smooth, signal, smooth, steps, initial)
    if signal.is_cpu:
        from mixgraph.dsp import recursions

        by_rest = torch.zeros(3, len(signal), dtype=torch.float64)
        recursions.adjoint_rows(*map(_array, given), by_signal.numpy(), by_rest.numpy())
        return by_rest
    by_x, by_rest = policies.adjoint_rows(*given)
    by_signal.copy_(by_x)
    return by_rest


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()
