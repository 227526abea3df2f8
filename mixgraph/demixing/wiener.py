"""A multichannel Wiener filter whose statistics are one iteration of expectation maximisation from first estimates.

For each target j and band, with y_j the first estimate of coefficients, (channels,) at each time t,

    v_j(t) = mean over channels of |y_j|^2,      R_j = sum_t y_j y_j^H / sum_t v_j,
    C(t) = sum_j v_j R_j + eps I,                y_j' = v_j R_j C^-1 x

(Duong, Vincent, Gribonval 2010; Nugraha, Liutkus, Vincent 2016). Coefficients are first divided by the level of the
band, and C by its trace, so that nothing under- or overflows in float32 and eps means the same at every level.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mixgraph.dsp.slicqt import RaggedSpectrum

LEAST_EPS = 1e-5
"""Smaller eps are taken as this: the determinant of a nearly singular C is lost in float32 below it."""
_TINY = 1e-12


def wiener_filter(estimates: RaggedSpectrum, mix: RaggedSpectrum, eps: float = LEAST_EPS) -> RaggedSpectrum:
    """Refines the estimates of all targets together, in float32.

    Args:
        estimates: blocks of (batch, targets, channels, slices, bands, size), complex, of one or two channels.
        mix: blocks of (batch, channels, slices, bands, size), complex.
        eps: relative to the trace of C; from 0.

    Raises:
        ValueError: another number of channels, or a negative eps.
    """
    if mix.flat.shape[1] not in (1, 2):
        raise ValueError(f"mix: one or two channels are needed for a Wiener filter, got {mix.flat.shape[1]}")
    if not eps >= 0:
        raise ValueError(f"eps: at least 0, got {eps}")
    with torch.autocast(mix.flat.device.type, enabled=False):
        blocks = [
            _filtered(y.to(torch.complex64), x.to(torch.complex64), max(eps, LEAST_EPS)).flatten(-2)
            for y, x in zip(estimates.blocks, mix.blocks, strict=True)
        ]
    return RaggedSpectrum(torch.cat(blocks, dim=-1), mix.layout)


def _power(values: Tensor) -> Tensor:
    return values.real.square() + values.imag.square()


def _filtered(y: Tensor, x: Tensor, eps: float) -> Tensor:
    peak = torch.maximum(x.real.abs(), x.imag.abs()).amax(dim=(1, 2, 4), keepdim=True).detach()
    level = torch.where(peak > 0, peak, torch.ones_like(peak))  # of each band, (batch, 1, 1, bands, 1)
    x = x / level
    y = y / level.unsqueeze(1)
    if x.shape[1] == 1:
        power = _power(y)
        trace = power.sum(dim=1, keepdim=True) + _TINY
        gain = (power / trace) / (power.sum(dim=1, keepdim=True) / trace + eps)
        return gain * x.unsqueeze(1) * level.unsqueeze(1)
    left, right = y[:, :, 0], y[:, :, 1]  # (batch, targets, slices, bands, size)
    powers = _power(left), _power(right)
    v = (powers[0] + powers[1]) / 2
    over = v.sum(dim=(2, 4), keepdim=True) + _TINY
    r_ll, r_rr = ((power.sum(dim=(2, 4), keepdim=True) + _TINY) / over for power in powers)
    r_lr = (left * right.conj()).sum(dim=(2, 4), keepdim=True) / over
    # C over its trace, T = sum_j v_j tr R_j, with eps on its diagonal.
    trace = (v * (r_ll + r_rr)).sum(dim=1, keepdim=True) + _TINY
    share = v / trace
    c_ll = (share * r_ll).sum(dim=1) + eps
    c_rr = (share * r_rr).sum(dim=1) + eps
    c_lr = (share * r_lr).sum(dim=1)
    # C is positive semidefinite before eps is added, so that det >= eps (tr C + eps) whatever rounding says.
    determinant = torch.maximum(c_ll * c_rr - _power(c_lr), eps * (c_ll + c_rr - eps))
    z_l = (c_rr * x[:, 0] - c_lr * x[:, 1]) / determinant
    z_r = (c_ll * x[:, 1] - c_lr.conj() * x[:, 0]) / determinant
    z_l, z_r = z_l.unsqueeze(1), z_r.unsqueeze(1)
    refined = torch.stack((share * (r_ll * z_l + r_lr * z_r), share * (r_lr.conj() * z_l + r_rr * z_r)), dim=2)
    return refined * level.unsqueeze(1)
