r"""The recursion of `attack_release` without a loop over samples, for devices that have no use for one.

With steps s_up = 1 - a_attack and s_down = 1 - a_release, both branches are affine and rising in y[n-1], and the one
that a sample takes is the greater of both where s_up > s_down, else the lesser:

    y[n] = \max_s ( (1 - s) y[n-1] + s x[n] ) ,   s in {s_up, s_down} .

So the branches of a row are a policy, and y is found by policy iteration (Howard 1960): for fixed branches the
recursion is linear, which a scan by doubling solves; then each sample takes the better branch by that output. Outputs
only come nearer from then on, so branches change in one direction only (from attack to release, where s_up > s_down):
holding them to it, the iteration ends for certain, rounding or not, with exactly the branches of the loop over samples.
Tracks of two real songs took 3 to 13 rounds with usual times, 19 to 45 with .1 ms and 1 s. Smooth signals with such
times may take thousands, so that rounds are bounded: rows that have not settled are left to the loop.
"""

from __future__ import annotations

import torch
from torch import Tensor

ROUNDS = 64


def smooth(signal: Tensor, steps: Tensor, initial: Tensor, rounds: int = ROUNDS) -> tuple[Tensor, Tensor]:
    """Returns y of every row, summed in float64, and which rows have not settled.

    Args:
        signal: x, (nodes, time).
        steps: 1 - a of attack and release, (2, nodes), float64.
        initial: (nodes,), y before the first sample.
        rounds: the largest number of rounds.

    Returns:
        y (nodes, time), in the precision of the signal, and a mask (nodes,) of the rows where it is not yet exact.
    """
    x, start = signal.double(), initial.double().unsqueeze(1)
    attack, release = steps.unsqueeze(-1)
    narrows = attack > release  # fewer and fewer samples rise, where not more and more

    def output(rises: Tensor) -> Tensor:
        step = torch.where(rises, attack, release)
        drive = step * x
        drive[:, :1] += (1 - step[:, :1]) * start
        return _scan(1 - step, drive)

    def above(y: Tensor) -> Tensor:
        return x > torch.cat((start, y[:, :-1]), dim=1)

    rises = above(output(above(x)))
    for _ in range(rounds):
        y = output(rises)
        better = above(y)
        better = torch.where(narrows, rises & better, rises | better)
        unsettled = (better != rises).any(dim=1)
        if not bool(unsettled.any()):
            break
        rises = better
    return y.to(signal.dtype), unsettled


def adjoint(
    by_envelope: Tensor, signal: Tensor, envelope: Tensor, steps: Tensor, initial: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns the gradients by x, (nodes, time), and by both steps and the initial y, (3, nodes), in float64."""
    attack, release = steps.unsqueeze(-1)
    rise = signal.double() - torch.cat((initial.double().unsqueeze(1), envelope[:, :-1].double()), dim=1)
    step = torch.where(rise > 0, attack, release)
    following = torch.cat((1 - step[:, 1:], torch.zeros_like(step[:, :1])), dim=1)
    arriving = _scan(following.flip(1), by_envelope.double().flip(1)).flip(1)
    by_step = arriving * rise
    by_attack, by_release = (by_step * (rise > 0)).sum(1), (by_step * (rise <= 0)).sum(1)
    by_initial = (1 - step[:, 0]) * arriving[:, 0]
    return (step * arriving).to(signal.dtype), torch.stack((by_attack, by_release, by_initial))


def _scan(decay: Tensor, drive: Tensor) -> Tensor:
    """y[n] = decay[n] y[n-1] + drive[n] from y = 0, (nodes, time), by doubling (Kogge and Stone 1973)."""
    reach = 1
    while reach < drive.shape[1]:
        drive = torch.cat((drive[:, :reach], drive[:, reach:] + decay[:, reach:] * drive[:, :-reach]), dim=1)
        decay = torch.cat((decay[:, :reach], decay[:, reach:] * decay[:, :-reach]), dim=1)
        reach *= 2
    return drive
