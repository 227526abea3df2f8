r"""An envelope that rises and falls at different speeds, exactly.

    y[n] = x[n] + a[n] (y[n-1] - x[n]) ,   a[n] = a_attack where x[n] > y[n-1], else a_release

(the branching smoother of Giannoulis et al. 2012, there for levels). Which branch a sample takes depends on the output
before it: on CPUs the recursion runs sample by sample, compiled (`loop`), on other devices by policy iteration
(`policy_iteration`, with the loop for rows where that takes long), both with sums in float64. Given the branches it is
linear, and so is its adjoint: with the gradient g by y,

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

from mixgraph.dsp.envelopes import policy_iteration


def attack_release(signal: Tensor, attack_logit: Tensor, release_logit: Tensor, initial: Tensor) -> Tensor:
    """Smooths each row with its own attack and release; the recursion is at the top of this module.

    Args:
        signal: (nodes, time).
        attack_logit: (nodes,), z with a = sigmoid(z), where the signal is above the output.
        release_logit: (nodes,), z where it is not.
        initial: (nodes,), the output before the first sample.

    Returns:
        (nodes, time). Differentiable once, in all arguments.
    """
    envelope: Tensor = _AttackRelease.apply(signal, attack_logit, release_logit, initial)
    return envelope


class _AttackRelease(Function):
    @staticmethod
    def forward(ctx: Any, signal: Tensor, attack_logit: Tensor, release_logit: Tensor, initial: Tensor) -> Tensor:
        steps = step_sizes(torch.stack((attack_logit, release_logit)))
        envelope = smooth_rows(signal, steps, initial, torch.empty_like(signal))
        ctx.save_for_backward(signal, steps, initial, envelope)
        return envelope

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_envelope: Tensor) -> tuple[Tensor, ...]:
        signal, steps, initial, envelope = ctx.saved_tensors
        by_signal = torch.empty_like(signal)
        by_logits, by_initial = adjoint_rows(by_envelope, signal, envelope, steps, initial, by_signal)
        return (by_signal, *by_logits.to(signal.dtype), by_initial.to(signal.dtype))


def step_sizes(logits: Tensor) -> Tensor:
    """Returns 1 - a, in float64, of logits z with a = sigmoid(z), of attack and release, in the same shape."""
    return torch.sigmoid(-logits.double())


def smooth_rows(signal: Tensor, steps: Tensor, initial: Tensor, out: Tensor) -> Tensor:
    """Runs the recursion outside of autograd, in the way that suits the device.

    Args:
        signal: x, (nodes, time).
        steps: 1 - a of attack and release, (2, nodes), float64; see `step_sizes`.
        initial: (nodes,), y before the first sample.
        out: (nodes, time), written.

    Returns:
        `out`.
    """
    if signal.is_cpu:
        from mixgraph.dsp.envelopes import loop  # the compiler takes half a second to import

        loop.smooth(*map(_array, (signal, steps, initial)), out.numpy())
        return out
    return out.copy_(_by_policy_iteration(signal, steps, initial))


def _by_policy_iteration(signal: Tensor, steps: Tensor, initial: Tensor) -> Tensor:
    """Smooths by policy iteration, and by the loop those rows that this does not settle."""
    envelope, unsettled = policy_iteration.smooth(signal, steps, initial)
    if bool(unsettled.any()):
        x, row_steps, start = (tensor.cpu() for tensor in (signal[unsettled], steps[:, unsettled], initial[unsettled]))
        envelope[unsettled] = smooth_rows(x, row_steps, start, torch.empty_like(x)).to(signal.device)
    return envelope


def adjoint_rows(
    by_envelope: Tensor, signal: Tensor, envelope: Tensor, steps: Tensor, initial: Tensor, by_signal: Tensor
) -> tuple[Tensor, Tensor]:
    """Runs the adjoint of `smooth_rows`, whose output was `envelope`.

    Args:
        by_envelope: gradient by y, (nodes, time).
        signal: x, (nodes, time).
        envelope: y, (nodes, time).
        steps: 1 - a of attack and release, (2, nodes), float64; see `step_sizes`.
        initial: (nodes,), y before the first sample.
        by_signal: (nodes, time), the gradient by x is written to it.

    Returns:
        The gradients by the logits of attack and release, (2, nodes), and by the initial y, (nodes,), in float64.
    """
    inputs = (by_envelope, signal, envelope, steps, initial)
    if signal.is_cpu:
        from mixgraph.dsp.envelopes import loop

        by_steps_and_initial = torch.zeros(3, len(signal), dtype=torch.float64)
        loop.adjoint(*map(_array, inputs), by_signal.numpy(), by_steps_and_initial.numpy())
    else:
        by_x, by_steps_and_initial = policy_iteration.adjoint(*inputs)
        by_signal.copy_(by_x)
    return -steps * (1 - steps) * by_steps_and_initial[:2], by_steps_and_initial[2]


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()
