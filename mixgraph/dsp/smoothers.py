r"""The smoothers of dynamics, some nodes at a time and outside of autograd: what `mix_dynamics` goes forth and back by.

`OnePole` is E[n] = a E[n-1] + (1 - a) e[n]. Backward it runs in reverse: with the gradient g by E, the one by the drive
(1 - a) e is \lambda[n] = g[n] + a \lambda[n+1]. Because da/dz = a (1 - a) and \sum \lambda (1 - a) e = \sum g E -
a \lambda[0] E[-1] (the adjoint), the one by z is

    a \left( (1 - a) \sum \lambda[n] E[n-1] - \sum g[n] E[n] + a \lambda[0] E[-1] \right) .

`AttackRelease` rises and falls at speeds of their own, see `attack_release`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from mixgraph.dsp.attack_release import adjoint_rows, smooth_rows
from mixgraph.dsp.envelope import Decay


class Smoother(Protocol):
    """Smooths energies of nodes, of which `part` names some.

    Attributes:
        padded: samples of the buffers of a row; those past its length are zero.
    """

    padded: int

    def smooth(self, part: slice, energy: Tensor, scale: float, initial: Tensor, out: Tensor) -> None:
        """Smooths `scale` times the energy.

        Args:
            part: of the nodes.
            energy: (part, padded), used up.
            scale: of the energy.
            initial: (part, 1), the output before the first sample.
            out: (part, padded), written.
        """

    def adjoint(
        self,
        part: slice,
        by_out: Tensor,
        out: Tensor,
        energy: Callable[[Tensor], None],
        scale: float,
        initial: Tensor,
        spare: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients, for (part, time) of the forward pass.

        Args:
            part: of the nodes.
            by_out: (part, padded), used up.
            out: (part, time), of the forward pass.
            energy: writes what `smooth` was given, (part, time).
            scale: of it.
            initial: (part, 1).
            spare: two buffers (part, padded), used up.

        Returns:
            By the scaled energy (part, time), in one of the buffers; by the initial output (part, 1); by the logits
            (part, 1 or 2).
        """


def smoother(logits: Tensor, length: int) -> Smoother:
    """For z of each node, (nodes, 1), or of attack and release, (nodes, 2), and rows of `length` samples."""
    return OnePole(logits, length) if logits.shape[1] == 1 else AttackRelease(logits, length)


class OnePole:
    def __init__(self, logits: Tensor, length: int) -> None:
        self.decay = Decay.make(F.logsigmoid(logits).squeeze(-1), length)
        self.drive = torch.sigmoid(-logits)
        self.padded = self.decay.padded(length)
        self.length = length

    def smooth(self, part: slice, energy: Tensor, scale: float, initial: Tensor, out: Tensor) -> None:
        energy[:, : self.length].mul_(self.drive[part] * scale)
        self.decay.rows(part).scan(energy, out, initial)

    def adjoint(
        self,
        part: slice,
        by_out: Tensor,
        out: Tensor,
        energy: Callable[[Tensor], None],
        scale: float,
        initial: Tensor,
        spare: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor, Tensor]:
        reversed_, before = spare[0], spare[1][:, : self.length]
        one_step = self.decay.one_step[part]
        own = torch.mul(by_out[:, : self.length], out, out=before).sum(dim=-1, keepdim=True)
        by_drive = self.decay.rows(part).scan(by_out, reversed_, reverse=True)[:, : self.length]
        by_initial = by_drive[:, :1] * one_step
        by_energy = by_drive.mul_(self.drive[part])
        before[:, :1] = initial
        before[:, 1:] = out[:, :-1]
        earlier = before.mul_(by_energy).sum(dim=-1, keepdim=True)
        return by_energy, by_initial, one_step * (earlier - own + by_initial * initial)


class AttackRelease:
    def __init__(self, logits: Tensor, length: int) -> None:
        self.steps = torch.sigmoid(-logits.T.double())  # 1 - a, (2, nodes)
        self.padded = self.length = length

    def smooth(self, part: slice, energy: Tensor, scale: float, initial: Tensor, out: Tensor) -> None:
        smooth_rows(energy.mul_(scale), self.steps[:, part], initial.squeeze(-1), out)

    def adjoint(
        self,
        part: slice,
        by_out: Tensor,
        out: Tensor,
        energy: Callable[[Tensor], None],
        scale: float,
        initial: Tensor,
        spare: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor, Tensor]:
        by_energy, given = spare
        energy(given)
        steps = self.steps[:, part]
        by_rest = adjoint_rows(by_out, given.mul_(scale), out, steps, initial.squeeze(-1), by_energy)
        by_logits = -steps * (1 - steps) * by_rest[:2]
        return by_energy, by_rest[2:].T.to(initial.dtype), by_logits.T.to(initial.dtype)
