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

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 128


def one_pole(signal: Tensor, smoothing_logit: Tensor, initial: Tensor | None = None) -> Tensor:
    """Smooths each row of `signal` with its own one-pole filter (paper eq. 16 with equal attack and release).

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
    """y[n] = exp(log_decay) y[n-1] + x[n], as a blocked scan.

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


def truncated_one_pole(
    signal: Tensor, smoothing_logit: Tensor, taps: int, history: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The same filter with its impulse response cut after `taps` samples, not re-normalised (the reference's).

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
