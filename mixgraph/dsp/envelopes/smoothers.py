r"""Smoothers of energies for `mix_dynamics`: forward and adjoint, some nodes at a time, outside of autograd.

`OnePole` is E[n] = a E[n-1] + (1 - a) e[n]. Backward it runs in reverse: with the gradient g by E, the one by the drive
(1 - a) e is \lambda[n] = g[n] + a \lambda[n+1]. Because da/dz = a (1 - a) and \sum \lambda (1 - a) e = \sum g E -
a \lambda[0] E[-1] (the adjoint), the one by z is

    a \left( (1 - a) \sum \lambda[n] E[n-1] - \sum g[n] E[n] + a \lambda[0] E[-1] \right) .

`AttackRelease` rises and falls at different speeds, see `attack_release`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from mixgraph.dsp.envelopes.attack_release import adjoint_rows, smooth_rows, step_sizes
from mixgraph.dsp.envelopes.one_pole import Decay
from mixgraph.dsp.pieces import in_pieces

_LEAST_DRIVE = 1e-30


class Smoother(Protocol):
    """Smooths the energies of nodes, some of them (`part`) at a time.

    Attributes:
        padded: samples of the buffers of a row; those past its length are zero.
        left_out: the factor of the energies' gradient that `adjoint` leaves out.
    """

    padded: int
    left_out: float

    def smooth(self, part: slice, energy: Tensor, initial: Tensor | None, out: Tensor) -> None:
        """Smooths `scale` times the energy.

        Args:
            part: the nodes to smooth.
            energy: (part, padded), overwritten.
            initial: (part, 1), the output before the first sample; None for 0.
            out: (part, padded), written.
        """

    def adjoint(
        self,
        part: slice,
        by_out: Tensor,
        out: Tensor,
        energy: Callable[[Tensor], None],
        initial: Tensor | None,
        spare: tuple[Tensor, Tensor],
        by_logits: Tensor,
    ) -> tuple[Tensor, Tensor | None]:
        """Returns the gradients of `smooth`.

        Args:
            part: the nodes that were smoothed.
            by_out: gradient by the output, (part, padded), overwritten.
            out: the output of `smooth`, (part, time).
            energy: writes the energy that `smooth` was called with to a tensor (part, time).
            initial: (part, 1), the output before the first sample; None for 0.
            spare: two buffers (part, padded), overwritten.
            by_logits: gradient by the logits, (part, 1 or 2), written.

        Returns:
            The gradients by the energy (part, time), in one of the buffers, but for the factor `left_out`; and by the
            initial output (part, 1), None without one.
        """


def prepare_smoother(logits: Tensor, length: int, scale: float) -> dict[str, Tensor]:
    """Makes what a smoother needs, in tensors of one row a node.

    Args:
        logits: z with a = sigmoid(z), (nodes, 1), or those of attack and release, (nodes, 2).
        length: samples of a row.
        scale: factor of the energies.
    """
    if logits.shape[1] == 2:
        return {"steps": step_sizes(logits)}
    drive = (torch.sigmoid(-logits) * scale).clamp_(min=_LEAST_DRIVE)
    decay = Decay.make(F.logsigmoid(logits).squeeze(-1), length, drive)
    return {"decay": decay.matrices, "carry": decay.carry, "by_logit": torch.sigmoid(logits) / scale}


def smoother(prepared: Mapping[str, Tensor], length: int, scale: float) -> Smoother:
    """Returns the smoother of what `prepare_smoother` made for the same length and scale."""
    return (OnePole if "decay" in prepared else AttackRelease)(prepared, length, scale)


class OnePole:
    """A smoother with one time constant; the scan's matrices hold the factors of the energies."""

    def __init__(self, prepared: Mapping[str, Tensor], length: int, scale: float) -> None:
        self.decay = Decay(prepared["decay"], prepared["carry"])
        self.by_logit, self.scale = prepared["by_logit"], scale
        self.padded = self.decay.padded(length)
        self.length, self.left_out = length, 1.0

    def smooth(self, part: slice, energy: Tensor, initial: Tensor | None, out: Tensor) -> None:
        self.decay.rows(part).scan(energy, out, initial)

    def adjoint(
        self,
        part: slice,
        by_out: Tensor,
        out: Tensor,
        energy: Callable[[Tensor], None],
        initial: Tensor | None,
        spare: tuple[Tensor, Tensor],
        by_logits: Tensor,
    ) -> tuple[Tensor, Tensor | None]:
        reversed_, product = spare[0], spare[1][:, : self.length]
        decay = self.decay.rows(part)
        along = _sum_of_products(by_out[:, : self.length], out, product)
        by_energy = decay.scan(by_out, reversed_, reverse=True)[:, : self.length]
        by_initial = None if initial is None else by_energy[:, :1] * decay.carry
        sums = _sum_of_products(by_energy[:, 1:], out[:, :-1], product[:, 1:])
        if initial is not None and by_initial is not None:
            sums += initial * (by_energy[:, :1] + self.scale * by_initial)
        torch.mul(sums.sub_(along, alpha=self.scale), self.by_logit[part], out=by_logits)
        return by_energy, by_initial


def _sum_of_products(x: Tensor, y: Tensor, spare: Tensor) -> Tensor:
    """Returns the sum of products of each row, (nodes, 1); a GPU needs one operation, whose rounding is as small."""
    if in_pieces(x):
        return torch.mul(x, y, out=spare).sum(dim=-1, keepdim=True)
    return torch.bmm(x.unsqueeze(1), y.unsqueeze(2)).squeeze(2)


class AttackRelease:
    """A smoother that rises and falls at different speeds."""

    def __init__(self, prepared: Mapping[str, Tensor], length: int, scale: float) -> None:
        self.steps = prepared["steps"].T.contiguous()
        self.padded = length
        self.scale = self.left_out = scale

    def smooth(self, part: slice, energy: Tensor, initial: Tensor | None, out: Tensor) -> None:
        smooth_rows(energy.mul_(self.scale), self.steps[:, part], _start(initial, energy), out)

    def adjoint(
        self,
        part: slice,
        by_out: Tensor,
        out: Tensor,
        energy: Callable[[Tensor], None],
        initial: Tensor | None,
        spare: tuple[Tensor, Tensor],
        by_logits: Tensor,
    ) -> tuple[Tensor, Tensor | None]:
        by_energy, signal = spare
        energy(signal)
        by_both, by_initial = adjoint_rows(
            by_out, signal.mul_(self.scale), out, self.steps[:, part], _start(initial, signal), by_energy
        )
        by_logits.copy_(by_both.T)
        return by_energy, None if initial is None else by_initial.unsqueeze(-1).to(signal.dtype)


def _start(initial: Tensor | None, like: Tensor) -> Tensor:
    return like.new_zeros(like.shape[0]) if initial is None else initial.squeeze(-1)
