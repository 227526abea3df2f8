r"""A smoother that rises and falls at different speeds, exactly.

    y[n] = x[n] + a[n] (y[n-1] - x[n]) ,   a[n] = a_attack where x[n] > y[n-1], else a_release

(the branching smoother of Giannoulis et al. 2012, there for levels). Which branch a sample takes depends on the output
before it, so there is no scan over blocks: the recursion runs sample by sample, compiled, with sums in float64. Given
the branches it is linear, and so is its adjoint: with the gradient g by y,

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


def attack_release(signal: Tensor, attack_logit: Tensor, release_logit: Tensor, initial: Tensor) -> Tensor:
    """Smooths each row, see the module's text.

    Args:
        signal: (nodes, time), on the CPU.
        attack_logit: (nodes,), z with a = sigmoid(z), where the signal is above the output.
        release_logit: (nodes,), z where it is not.
        initial: (nodes,), the output before the first sample.

    Returns:
        (nodes, time). Differentiable once, in all arguments.

    Raises:
        ValueError: a signal on another device: the recursion is compiled for CPUs.
    """
    if signal.device.type != "cpu":
        raise ValueError(
            f"signal: on the CPU is needed, got {signal.device}. HINT: processors with separate attack and release run "
            "on CPUs only; set trainer.accelerator=cpu, or take c and n, whose attack is their release"
        )
    smooth: Tensor = _Smooth.apply(signal, attack_logit, release_logit, initial)
    return smooth


class _Smooth(Function):
    @staticmethod
    def forward(ctx: Any, signal: Tensor, attack_logit: Tensor, release_logit: Tensor, initial: Tensor) -> Tensor:
        from mixgraph.dsp.recursions import smooth_rows  # the compiler takes half a second to import

        steps = torch.sigmoid(-torch.stack((attack_logit, release_logit)).double())  # 1 - a
        smooth = torch.empty_like(signal, memory_format=torch.contiguous_format)
        smooth_rows(_array(signal), _array(steps), _array(initial), smooth.numpy())
        ctx.save_for_backward(signal, steps, initial, smooth)
        return smooth

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_smooth: Tensor) -> tuple[Tensor, ...]:
        from mixgraph.dsp.recursions import adjoint_rows

        signal, steps, initial, smooth = ctx.saved_tensors
        by_signal = torch.empty_like(smooth)
        by_rest = np.zeros((3, signal.shape[0]))  # by the step of attack, of release, by the initial output
        arrays = map(_array, (by_smooth, signal, smooth, steps, initial))
        adjoint_rows(*arrays, by_signal.numpy(), by_rest)
        by_attack, by_release, by_initial = torch.from_numpy(by_rest)
        by_logits = -steps * (1 - steps) * torch.stack((by_attack, by_release))
        return (by_signal, *by_logits.to(signal.dtype), by_initial.to(signal.dtype))


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()
