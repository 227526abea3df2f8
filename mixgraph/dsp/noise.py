r"""Noise that decays exponentially in every band of a spectrogram (paper B.4).

The spectrogram N[m, k] of a fixed noise, frames m and bins k, is masked and turned back to time by overlap-add, with
frames of F samples, half of which the next frame overlaps (w_m: synthesis window, Q = F / 2 samples a hop):

    x[n] = \sum_m w_m[n + Q - m Q] y_m[n + Q - m Q],      y_m = irfft_k(N[m, k] M[m, k]),      M = exp(a_k + m b_k).

All but the mask is linear. The backward pass takes the adjoints in reverse: from the gradient g of x, frames of it
times w_m, their real FFT G[m, k], and with c_k = 1 at DC and Nyquist, 2 elsewhere, the gradients

    of a_k: (c_k / F) \sum_m Re(conj(G) N M),        of b_k: the same sum with each term times m.

On a CPU two nodes are done at a time, so that their spectrograms stay in its cache, and what is cheap (the mask) is
computed again there instead of being kept.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from mixgraph.dsp.constants import made_once
from mixgraph.dsp.fourier import bin_weights, row_chunks
from mixgraph.dsp.pieces import in_pieces

_GROUP = 16  # frames
_NODES = 2  # at once on a CPU


def decaying_noise(start: Tensor, slope: Tensor, noise: Tensor, synthesis: Tensor, length: int) -> Tensor:
    """Noise in mid and side whose bins decay exponentially, as left and right; differentiable once, by the mask.

    Args:
        start: log-magnitude of the mask at frame 0, natural logarithm, (nodes, 2, bins).
        slope: the change of that log-magnitude from one frame to the next, (nodes, 2, bins).
        noise: spectrograms of mid and side, real and imaginary parts, (2, frames, bins, 2); never changed.
        synthesis: window of each frame over the sum of the overlapping squared windows, (frames, 2 * (bins - 1)).
        length: samples, at most frames * (bins - 1); time 0 is the middle of frame 0.

    Returns:
        (nodes, 2, length): m + s on the left, m - s on the right.
    """
    return _DecayingNoise.apply(start, slope, *_groups(noise, synthesis, start.dtype), length)


@made_once(keep=4)
def _groups(noise: Tensor, synthesis: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Adds frames of zeros (one at least) up to whole groups: (2, groups, 16, 2 bins) and (frames, F)."""
    noise, synthesis = noise.to(dtype), synthesis.to(dtype)
    missing = _GROUP - noise.shape[1] % _GROUP
    whole = F.pad(noise.flatten(2), (0, 0, 0, missing))
    return whole.unflatten(1, (-1, _GROUP)), F.pad(synthesis, (0, 0, 0, missing))


@made_once(keep=16)
def _one_and_frame(frames: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Returns the factors of start and slope in each frame's log-magnitude, 1 and m: (2, frames)."""
    frame = torch.arange(frames, dtype=dtype, device=device)
    return torch.stack((torch.ones_like(frame), frame))


def _masked(start: Tensor, slope: Tensor, noise: Tensor) -> Tensor:
    """The noise times its mask: (nodes, 2, bins) twice and (2, groups, 16, 2 bins) to (nodes, 2, frames, 2 bins).

    exp(a + m b) is the product of exp(a + 16 p b) and exp(q b), m = 16 p + q: two short tables instead of an
    exponential for each frame.
    """
    start, slope = (x.repeat_interleave(2, dim=-1).unsqueeze(2) for x in (start, slope))  # real and imaginary parts
    frame = _one_and_frame(noise.shape[1] * _GROUP, start.dtype, start.device)[1].unsqueeze(-1)
    groups, within = torch.addcmul(start, slope, frame[::_GROUP]).exp_(), torch.exp(slope * frame[:_GROUP])
    return (noise * groups.unsqueeze(3)).mul_(within.unsqueeze(2)).flatten(2, 3)


class _DecayingNoise(Function):
    @staticmethod
    def forward(ctx: Any, start: Tensor, slope: Tensor, noise: Tensor, synthesis: Tensor, length: int) -> Tensor:
        ctx.save_for_backward(start, slope, noise, synthesis)
        earlier, later = synthesis.chunk(2, dim=-1)  # a frame's first and second half
        hop = earlier.shape[-1]
        stereo = start.new_empty(start.shape[0], 2, length)
        ctx.masked = None
        for a, b, out in row_chunks(_NODES, start, slope, stereo):
            masked = _masked(a, b, noise)
            if not in_pieces(masked):
                ctx.masked = masked
            frames = torch.fft.irfft(torch.view_as_complex(masked.unflatten(-1, (-1, 2))), n=2 * hop)
            overlapped = frames[:, :, :-1, hop:] * later[:-1]
            overlapped.addcmul_(frames[:, :, 1:, :hop], earlier[1:])
            mid, side = overlapped.flatten(2)[..., :length].unbind(1)
            torch.add(mid, side, out=out[:, 0])
            torch.sub(mid, side, out=out[:, 1])
        return stereo

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        start, slope, noise, synthesis = ctx.saved_tensors
        num_frames, hop, length = synthesis.shape[0], synthesis.shape[1] // 2, grad.shape[-1]
        by_start_and_slope = _one_and_frame(num_frames, grad.dtype, grad.device)
        sums = []
        for a, b, g in row_chunks(_NODES, start, slope, grad):
            mid_side = g.new_zeros(g.shape[0], 2, (num_frames + 1) * hop)  # from the start of frame 0
            torch.add(g[:, 0], g[:, 1], out=mid_side[:, 0, hop : hop + length])
            torch.sub(g[:, 0], g[:, 1], out=mid_side[:, 1, hop : hop + length])
            spectrum = torch.view_as_real(torch.fft.rfft(mid_side.unfold(-1, 2 * hop, hop) * synthesis)).flatten(3)
            masked = _masked(a, b, noise) if ctx.masked is None else ctx.masked
            sums.append(by_start_and_slope @ spectrum.mul_(masked))
        count = bin_weights(hop + 1, grad.dtype, grad.device)  # 1 / c_k
        both = (torch.cat(sums).unflatten(-1, (-1, 2)).sum(dim=-1) / count) * (0.5 / hop)
        return both[:, :, 0], both[:, :, 1], None, None, None
