r"""Smoothers of energies for `mix_dynamics`: forward and adjoint, some nodes at a time, outside of autograd.

`OnePole` is E[n] = a E[n-1] + (1 - a) e[n]. Backward it runs in reverse: with the gradient g by E, the one by the drive
(1 - a) e is \lambda[n] = g[n] + a \lambda[n+1]. Because da/dz = a (1 - a) and \sum \lambda (1 - a) e = \sum g E -
a \lambda[0] E[-1] (the adjoint), the one by z is

    a \left( (1 - a) \sum \lambda[n] E[n-1] - \sum g[n] E[n] + a \lambda[0] E[-1] \right) .

`AttackRelease` rises and falls at different speeds, see `attack_release`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from mixgraph.dsp.envelopes.attack_release import adjoint_rows, smooth_rows, step_sizes
from mixgraph.dsp.envelopes.one_pole import Decay


class Smoother(Protocol):
    """Smooths the energies of nodes, some of them (`part`) at a time.

    Attributes:
        padded: samples of the buffers of a row; those past its length are zero.
    """

    padded: int

    def smooth(self, part: slice, energy: Tensor, scale: float, initial: Tensor | None, out: Tensor) -> None:
        """Smooths `scale` times the energy.

        Args:
            part: the nodes to smooth.
            energy: (part, padded), overwritten.
            scale: factor of the energy.
            initial: (part, 1), the output before the first sample; None for 0.
            out: (part, padded), written.
        """

    def adjoint(
        self,
        part: slice,
        by_out: Tensor,
        out: Tensor,
        energy: Callable[[Tensor], None],
        scale: float,
        initial: Tensor | None,
        spare: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Returns the gradients of `smooth`.

        Args:
            part: the nodes that were smoothed.
            by_out: gradient by the output, (part, padded), overwritten.
            out: the output of `smooth`, (part, time).
            energy: writes the energy that `smooth` was called with to a tensor (part, time).
            scale: the factor of the energy that `smooth` was called with.
            initial: (part, 1), the output before the first sample; None for 0.
            spare: two buffers (part, padded), overwritten.

        Returns:
            The gradients by the scaled energy (part, time), in one of the buffers; by the initial output (part, 1),
            None without one; and by the logits (part, 1 or 2).
        """


def smoother(logits: Tensor, length: int) -> Smoother:
    """Returns the smoother for logits z, (nodes, 1), or those of attack and release, (nodes, 2).

    Args:
        logits: z with a = sigmoid(z).
        length: samples of a row.
    """
    return OnePole(logits, length) if logits.shape[1] == 1 else AttackRelease(logits, length)


class OnePole:
    """A smoother with one time constant."""

    def __init__(self, logits: Tensor, length: int) -> None:
        self.decay = Decay.make(F.logsigmoid(logits).squeeze(-1), length)
        self.drive = torch.sigmoid(-logits)
        self.padded = self.decay.padded(length)
        self.length = length

    def smooth(self, part: slice, energy: Tensor, scale: float, initial: Tensor | None, out: Tensor) -> None:
        energy[:, : self.length].mul_(self.drive[part] * scale)
        self.decay.rows(part).scan(energy, out, initial)

    def adjoint(
        self,
        part: slice,
        by_out: Tensor,
        out: Tensor,
        energy: Callable[[Tensor], None],
        scale: float,
        initial: Tensor | None,
        spare: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        reversed_, product = spare[0], spare[1][:, : self.length]
        decay = self.decay.rows(part)
        one_step = decay.one_step()
        along = torch.mul(by_out[:, : self.length], out, out=product).sum(dim=-1, keepdim=True)
        by_energy = decay.scan(by_out, reversed_, reverse=True)[:, : self.length]
        by_initial = None if initial is None else by_energy[:, :1] * one_step
        by_energy.mul_(self.drive[part])
        earlier = torch.mul(by_energy[:, 1:], out[:, :-1], out=product[:, 1:]).sum(dim=-1, keepdim=True)
        by_logits = one_step * (earlier - along)
        if initial is not None and by_initial is not None:
            by_logits += one_step * initial * (by_energy[:, :1] + by_initial)
        return by_energy, by_initial, by_logits


class AttackRelease:
    """A smoother that rises and falls at different speeds."""

    def __init__(self, logits: Tensor, length: int) -> None:
        self.steps = step_sizes(logits.T)
        self.padded = self.length = length

    def smooth(self, part: slice, energy: Tensor, scale: float, initial: Tensor | None, out: Tensor) -> None:
        smooth_rows(energy.mul_(scale), self.steps[:, part], _start(initial, energy), out)

    def adjoint(
        self,
        part: slice,
        by_out: Tensor,
        out: Tensor,
        energy: Callable[[Tensor], None],
        scale: float,
        initial: Tensor | None,
        spare: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        by_energy, signal = spare
        energy(signal)
        by_logits, by_initial = adjoint_rows(
            by_out, signal.mul_(scale), out, self.steps[:, part], _start(initial, signal), by_energy
        )
        by_start = None if initial is None else by_initial.unsqueeze(-1).to(signal.dtype)
        return by_energy, by_start, by_logits.T.to(signal.dtype)


def _start(initial: Tensor | None, like: Tensor) -> Tensor:
    return like.new_zeros(like.shape[0]) if initial is None else initial.squeeze(-1)
