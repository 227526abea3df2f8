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
        smooth = (_smooth if signal.is_cpu else _smooth_elsewhere)(signal, steps, initial)
        ctx.save_for_backward(signal, steps, initial, smooth)
        return smooth

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_smooth: Tensor) -> tuple[Tensor, ...]:
        signal, steps, initial, smooth = ctx.saved_tensors
        adjoint = _adjoint if signal.is_cpu else policies.adjoint_rows
        by_signal, by_rest = adjoint(by_smooth, signal, smooth, steps, initial)
        by_logits = -steps * (1 - steps) * by_rest[:2]
        return (by_signal, *by_logits.to(signal.dtype), by_rest[2].to(signal.dtype))


def _smooth(signal: Tensor, steps: Tensor, initial: Tensor) -> Tensor:
    from mixgraph.dsp.recursions import smooth_rows  # the compiler takes half a second to import

    smooth = torch.empty_like(signal, memory_format=torch.contiguous_format)
    smooth_rows(_array(signal), _array(steps), _array(initial), smooth.numpy())
    return smooth


def _smooth_elsewhere(signal: Tensor, steps: Tensor, initial: Tensor) -> Tensor:
    smooth, unsettled = policies.smooth_rows(signal, steps, initial)
    if bool(unsettled.any()):
        rows = (signal[unsettled], steps[:, unsettled], initial[unsettled])
        smooth[unsettled] = _smooth(*(own.cpu() for own in rows)).to(signal.device)
    return smooth


def _adjoint(
    by_smooth: Tensor, signal: Tensor, smooth: Tensor, steps: Tensor, initial: Tensor
) -> tuple[Tensor, Tensor]:
    from mixgraph.dsp.recursions import adjoint_rows

    by_signal, by_rest = torch.empty_like(smooth), smooth.new_zeros(3, len(smooth), dtype=torch.float64)
    arrays = map(_array, (by_smooth, signal, smooth, steps, initial))
    adjoint_rows(*arrays, by_signal.numpy(), by_rest.numpy())
    return by_signal, by_rest


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()
