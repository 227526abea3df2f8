r"""The one-pole smoother  g[n] = a g[n-1] + (1 - a) x[n],  exactly and in parallel.

Over a block of B samples that starts with the state c, the recursion unrolls to

    g[i] = \sum_{j <= i} (1 - a) a^{i-j} x[j]  +  a^{i+1} c ,

a product with a B x B lower-triangular Toeplitz matrix and a decaying carry. The carries of successive blocks
obey the same recursion with a^B in the place of a, so the same routine computes them, on a signal B times
shorter: log_B(T) levels of small matrix products in the place of T steps.

Float32 keeps its accuracy only where neither a nor 1 - a is formed by subtraction: with a = sigmoid(z),
ln a = logsigmoid(z) and 1 - a = sigmoid(-z), for a as near to 1 as the format can say.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 128
SMALL_BLOCK = 32  # of `Decay`, where the product with the matrix is most of the work: the fastest of those tried


def one_pole(signal: Tensor, smoothing_logit: Tensor, initial: Tensor | None = None) -> Tensor:
    """Smooths every row with a one-pole filter of its own (paper eq. 16 with equal attack and release).

    Args:
        signal: (nodes, time).
        smoothing_logit: (nodes,), z with a = sigmoid(z).
        initial: (nodes,), the output before the first sample; zero by default.

    Returns:
        (nodes, time). Differentiable in all arguments; linear cost.
    """
    log_a = F.logsigmoid(smoothing_logit)
    driven = torch.sigmoid(-smoothing_logit).unsqueeze(-1) * signal
    return decay_scan(driven, log_a, initial)


def decay_scan(signal: Tensor, log_decay: Tensor, initial: Tensor | None = None) -> Tensor:
    """Computes y[n] = exp(log_decay) y[n-1] + x[n], as a scan in blocks.

    Shape: (nodes, time), (nodes,), (nodes,) to (nodes, time).
    """
    nodes, length = signal.shape
    size = min(BLOCK, length)
    blocks = -(-length // size)
    padded = F.pad(signal, (0, blocks * size - length)).view(nodes, blocks, size)
    steps = torch.arange(size, device=signal.device, dtype=signal.dtype)
    lag = steps.unsqueeze(-1) - steps  # (i, j) -> i - j
    decay = torch.exp(log_decay.view(-1, 1, 1) * lag.clamp(min=0)) * (lag >= 0)
    inside = torch.bmm(padded, decay.transpose(1, 2))
    if blocks == 1 and initial is None:
        return inside.view(nodes, -1)[:, :length]
    start = signal.new_zeros(nodes, 1) if initial is None else initial.unsqueeze(-1)
    if blocks > 1:
        ends = decay_scan(inside[:, :-1, -1], log_decay * size, initial)
        start = torch.cat((start, ends), dim=1)
    carry = torch.exp(log_decay.unsqueeze(-1) * (steps + 1))
    return (inside + start.unsqueeze(-1) * carry.unsqueeze(1)).view(nodes, -1)[:, :length]


@dataclass(frozen=True)
class Decay:
    """The matrices of a blocked scan, made once for many groups of rows and for both directions of time.

    Attributes:
        one_step: a, (nodes, 1).
        matrix: a^{i-j} at (j, i) for j <= i, else 0: (nodes, size, size).
        between: the matrices for the ends of the blocks, which decay by a^size; None for a single block.
    """

    one_step: Tensor
    matrix: Tensor
    between: Decay | None

    @staticmethod
    def make(log_decay: Tensor, length: int) -> Decay:
        """Makes the matrices for `log_decay` ln a, (nodes,), and rows of `length` samples."""
        size = min(SMALL_BLOCK, length)
        steps = torch.arange(size, device=log_decay.device, dtype=log_decay.dtype)
        lag = steps - steps.unsqueeze(-1)
        matrix = torch.exp(log_decay.view(-1, 1, 1) * lag.clamp(min=0)) * (lag >= 0)
        blocks = -(-length // size)
        between = Decay.make(log_decay * size, blocks) if blocks > 1 else None
        return Decay(torch.exp(log_decay).unsqueeze(-1), matrix, between)

    def padded(self, length: int) -> int:
        """Returns the length of a row in whole blocks."""
        size = self.matrix.shape[-1]
        return -(-length // size) * size

    def rows(self, part: slice) -> Decay:
        """Returns the matrices of some rows."""
        between = None if self.between is None else self.between.rows(part)
        return Decay(self.one_step[part], self.matrix[part], between)

    def scan(self, signal: Tensor, out: Tensor, initial: Tensor | None = None, reverse: bool = False) -> Tensor:
        """Computes y[n] = a y[n-1] + x[n], or y[n] = a y[n+1] + x[n] in reverse; outside of autograd.

        The start of every block is computed first (one weight a sample), and added to its first sample, so that a
        single product with the matrix makes the output.

        Args:
            signal: (nodes, whole blocks), zero where padded; overwritten.
            out: (nodes, whole blocks), not the signal itself.
            initial: (nodes, 1), the output before the first sample; not in reverse.
            reverse: run from the last sample to the first.

        Returns:
            `out`.
        """
        size = self.matrix.shape[-1]
        blocks = signal.view(signal.shape[0], -1, size)
        matrix = self.matrix.transpose(1, 2) if reverse else self.matrix
        first, last = (-1, 0) if reverse else (0, -1)
        if initial is not None:
            signal[:, :1].addcmul_(self.one_step, initial)
        if self.between is not None:
            # As one row times a matrix: MKL's batches of matrices times one column are five times slower.
            ends = torch.bmm(matrix[:, :, last].unsqueeze(1), blocks.transpose(1, 2)).squeeze(1)
            ends = F.pad(ends, (0, self.between.padded(ends.shape[1]) - ends.shape[1]))
            ends = self.between.scan(ends, torch.empty_like(ends), reverse=reverse)[:, : blocks.shape[1]]
            after, ends = (blocks[:, :-1], ends[:, 1:]) if reverse else (blocks[:, 1:], ends[:, :-1])
            after[:, :, first].addcmul_(self.one_step, ends)
        torch.bmm(blocks, matrix, out=out.view_as(blocks))
        return out


def truncated_one_pole(
    signal: Tensor, smoothing_logit: Tensor, taps: int, history: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Smooths by `one_pole` with its impulse response cut after `taps` samples, not re-normalised.

    So does the published code (docs/published_code.md).

    The cut response is the whole one minus a^taps times itself, `taps` samples later.

    Args:
        signal: (nodes, time).
        smoothing_logit: (nodes,).
        taps: length of the cut response.
        history: (nodes, taps), the last whole-response outputs before the first sample; zeros by default.

    Returns:
        The smoothed signal (nodes, time) and the history after it.
    """
    if history is None:
        history = signal.new_zeros(signal.shape[0], taps)
    smooth = torch.cat((history, one_pole(signal, smoothing_logit, history[:, -1])), dim=1)
    fade = torch.exp(F.logsigmoid(smoothing_logit) * taps).unsqueeze(-1)
    return smooth[:, taps:] - fade * smooth[:, :-taps], smooth[:, -taps:]
