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

import itertools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mixgraph.dsp.constants import made_once
from mixgraph.dsp.pieces import in_pieces

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

    Blocks of `size` samples are scanned by a product with a matrix, the ends of the blocks by another one, and so on.
    Where operations are dear (on a GPU), blocks are as long as there are of them, so that two levels are enough.

    Attributes:
        matrices: a^{(i - j) size^level} at (j, i) for j <= i, else 0: (nodes, levels, size, size); at level 0 times the
            drive.
        carry: a over the drive, (nodes, 1).
    """

    matrices: Tensor
    carry: Tensor

    @staticmethod
    def make(log_decay: Tensor, length: int, drive: Tensor | None = None) -> Decay:
        """Makes the matrices for rows of `length` samples.

        Args:
            log_decay: ln a, (nodes,).
            length: samples of a row.
            drive: (nodes, 1), the factor, above 0, of the signals that are scanned; 1 by default.
        """
        size = SMALL_BLOCK if in_pieces(log_decay) else max(2, math.isqrt(length - 1) + 1)
        levels = next(levels for levels in itertools.count(1) if size**levels >= length)
        lags, inside = _lags(size, levels, log_decay.dtype, log_decay.device)
        matrices = (log_decay.view(-1, 1, 1, 1) * lags).exp_().mul_(inside)
        one_step = matrices[:, 0, 0, 1:2]
        if drive is None:
            return Decay(matrices, one_step)
        carry = one_step / drive
        matrices[:, 0].mul_(drive.unsqueeze(-1))
        return Decay(matrices, carry)

    def padded(self, length: int) -> int:
        """Returns the length of a row in whole blocks."""
        size = self.matrices.shape[-1]
        return size * size if self.matrices.shape[1] == 2 else -(-length // size) * size

    def rows(self, part: slice) -> Decay:
        """Returns the matrices of some rows."""
        return Decay(self.matrices[part], self.carry[part])

    def _carry(self, level: int) -> Tensor:
        """Returns what the end of a block adds to the first sample of the next one, (nodes, 1)."""
        return self.matrices[:, level, 0, 1:2] if level else self.carry

    def scan(
        self, signal: Tensor, out: Tensor, initial: Tensor | None = None, reverse: bool = False, level: int = 0
    ) -> Tensor:
        """Computes y[n] = a y[n-1] + d x[n], or y[n] = a y[n+1] + d x[n] in reverse, with the drive d.

        Outside of autograd.

        The start of every block is computed first (one weight a sample), and added to its first sample, so that a
        single product with the matrix makes the output.

        Args:
            signal: (nodes, whole blocks), zero where padded; overwritten.
            out: (nodes, whole blocks), not the signal itself.
            initial: (nodes, 1), the output before the first sample; not in reverse.
            reverse: run from the last sample to the first.
            level: of the matrices, whose a is that of a sample to the power of size^level.

        Returns:
            `out`.
        """
        size = self.matrices.shape[-1]
        blocks = signal.view(signal.shape[0], -1, size)
        matrix = self.matrices[:, level]
        matrix = matrix.transpose(1, 2) if reverse else matrix
        first, last = (-1, 0) if reverse else (0, -1)
        if initial is not None:
            signal[:, :1].addcmul_(self._carry(level), initial)
        if blocks.shape[1] > 1:
            # As one row times a matrix: MKL's batches of matrices times one column are five times slower.
            ends = torch.bmm(matrix[:, :, last].unsqueeze(1), blocks.transpose(1, 2)).squeeze(1)
            missing = -ends.shape[1] % size
            ends = F.pad(ends, (0, missing)) if missing else ends
            ends = self.scan(ends, torch.empty_like(ends), reverse=reverse, level=level + 1)[:, : blocks.shape[1]]
            after, ends = (blocks[:, :-1], ends[:, 1:]) if reverse else (blocks[:, 1:], ends[:, :-1])
            after[:, :, first].addcmul_(self._carry(level), ends)
        torch.bmm(blocks, matrix, out=out.view_as(blocks))
        return out


@made_once(keep=16)
def _lags(size: int, levels: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Returns (i - j) size^level for j <= i, else 0, at (level, j, i), and where j <= i."""
    steps = torch.arange(size, device=device, dtype=dtype)
    lag = steps - steps.unsqueeze(-1)
    scale = size ** torch.arange(levels, device=device, dtype=dtype)
    return lag.clamp(min=0) * scale.view(-1, 1, 1), (lag >= 0).to(dtype)


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
