r"""A dynamic range processor with its dry/wet mix, in few passes over the signal, forward and backward.

With E the smoothed energy in units of a floor, the level is L = ln(1 + E) above the floor's, and its place in the knee
of half width W about the threshold T is

    s = (\pm (L - T) + W) / 2W ,    0 where the knee begins, 1 where it ends.

With t = s clamped to [0, 1], what is past the threshold, bent by the quadratic knee, is 2W t (s - t / 2): nothing
before the knee, quadratic in it, the distance itself after it. Its derivative by the distance is t, and by W it is
t - t^2. Then

    gain = exp(slope 2W t (s - t / 2)) ,    out = (1 - w + w gain) signal .

A make-up gain, where there is one, multiplies the gain. The backward pass starts from E, which is kept, and goes
through the smoother by its adjoint (`smoothers`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from mixgraph.dsp.envelopes.smoothers import smoother

GROUP_SAMPLES = 1 << 18  # of the nodes that a CPU processes together: the fastest with 32 MiB of shared cache


@dataclass(frozen=True)
class Detector:
    """How a processor reads levels; the same for all its nodes.

    Attributes:
        direction: +1 for a processor that acts above the threshold, -1 below.
        mid: the energy is (l + r)^2, else (l^2 + r^2) / 2. A mono row m stands for l = r = m.
        floor: the energy that is added to every level, and the unit of energies here.
    """

    direction: int
    mid: bool
    floor: float

    def energy(self, signal: Tensor, out: Tensor) -> None:
        """Writes the energy of (nodes, 1 or 2, time), without the factor `scale`, to `out`, (nodes, time)."""
        first, *second = signal.unbind(1)
        if self.mid and second:
            torch.add(first, *second, out=out).square_()
            return
        torch.mul(first, first, out=out)
        for other in second:
            out.addcmul_(other, other)

    def scale(self, channels: int) -> float:
        """The factor that `energy` leaves out."""
        return ((2 / channels) ** 2 if self.mid else 1 / channels) / self.floor

    def add_gradient(self, by_energy: Tensor, signal: Tensor, out: Tensor) -> None:
        """Adds the gradient by the signal to `out`; `by_energy`, (nodes, time), is overwritten."""
        factor = 2 * self.scale(signal.shape[1])
        if self.mid and signal.shape[1] == 2:
            out.add_(by_energy.mul_(signal.sum(dim=1)).unsqueeze(1), alpha=factor)
        else:
            out.addcmul_(signal, by_energy.unsqueeze(1), value=factor)


@dataclass(frozen=True, eq=False)
class GainCurve:
    """The gain of every node as a function of the level.

    Attributes:
        threshold: (nodes, 1), T as ln energy.
        half_knee: (nodes, 1), W in the same unit.
        slope: (nodes, 1), ln gain for every unit of distance past the threshold.
        log_makeup: (nodes, 1), ln of a further gain of the wet signal; none by default.
    """

    threshold: Tensor
    half_knee: Tensor
    slope: Tensor
    log_makeup: Tensor | None = None


def mix_dynamics(
    detector: Detector, signal: Tensor, weight: Tensor, smoothing_logits: Tensor, curve: GainCurve, initial: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns the dry/wet mix of a compressor or a noisegate with an exact envelope.

    A CPU computes a few nodes at a time, so that what lies between stays in its cache (other devices all at once). Only
    the signal and its envelope are kept for the backward pass.

    Args:
        detector: says how the level is measured, and whether the processor acts above or below the threshold.
        signal: (nodes, 1 or 2, time).
        weight: (nodes, 1), the dry/wet weight: the share of the wet signal.
        smoothing_logits: z with a = sigmoid(z), (nodes, 1), or of attack and release, (nodes, 2).
        curve: the gain as a function of the level.
        initial: (nodes, 1), the smoothed energy before the first sample.

    Returns:
        The mix, of the shape of the signal, and the smoothed energy of the last sample, (nodes, 1). Both are
        differentiable once, in all tensors.
    """
    settings = (weight, smoothing_logits, curve.threshold, curve.half_knee, curve.slope, initial)
    tensors = (signal, *settings, *(() if curve.log_makeup is None else (curve.log_makeup,)))
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        mixed, state = _Mix.apply(detector, signal, curve.log_makeup, *settings)
    else:
        mixed, state, _ = _forward(detector, signal, curve.log_makeup, *settings, keep=False)
    return mixed, state


def _groups(signal: Tensor) -> Iterator[slice]:
    nodes, _, length = signal.shape
    size = max(1, GROUP_SAMPLES // length) if signal.device.type == "cpu" else nodes
    return (slice(start, min(start + size, nodes)) for start in range(0, nodes, size))


def _coefficients(
    detector: Detector, weight: Tensor, threshold: Tensor, half_knee: Tensor, slope: Tensor, initial: Tensor
) -> Tensor:
    """Returns w; E[-1]; rate and offset of s = rate L + offset; the binary logarithm of the gain per t (s - t / 2).

    Shape: (5, nodes, 1).
    """
    rate = detector.direction / (2 * half_knee)
    offset = rate * (math.log(detector.floor) - threshold) + 0.5
    log2_gain = 2 * half_knee * slope / math.log(2)
    return torch.stack((weight, initial / detector.floor, rate, offset, log2_gain))


def _gain(
    envelope: Tensor, curve: Sequence[Tensor], log_makeup: Tensor | None, inside: Tensor, past: Tensor, out: Tensor
) -> Tensor:
    """Writes t to `inside`, s - t / 2 to `past` and the gain to `out`, all (nodes, time)."""
    rate, offset, log2_gain = curve
    torch.log1p(envelope, out=past).mul_(rate).add_(offset)
    torch.clamp(past, 0, 1, out=inside)
    past.sub_(inside, alpha=0.5)
    torch.mul(inside, past, out=out).mul_(log2_gain)
    if log_makeup is not None:
        out.add_(log_makeup, alpha=1 / math.log(2))
    return out.exp2_()  # four times faster than exp on a CPU


def _forward(
    detector: Detector,
    signal: Tensor,
    log_makeup: Tensor | None,
    weights: Tensor,
    logits: Tensor,
    *settings: Tensor,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the mix, the state, and E in whole blocks: of all nodes with `keep`, else of the last group."""
    nodes, channels, length = signal.shape
    envelope_smoother = smoother(logits, length)
    coefficients = _coefficients(detector, weights, *settings)
    mixed, state = torch.empty_like(signal), torch.empty_like(weights)
    largest = next(_groups(signal)).stop
    buffers = signal.new_zeros(2, largest, envelope_smoother.padded)
    envelopes = signal.new_empty(nodes if keep else largest, envelope_smoother.padded)
    for part in _groups(signal):
        x = signal[part]
        weight, initial, *curve = coefficients[:, part]
        padded, envelope = buffers[0, : len(x)], envelopes[part if keep else slice(len(x))]
        energy, past = buffers[:, : len(x), :length]
        detector.energy(x, energy)
        envelope_smoother.smooth(part, padded, detector.scale(channels), initial, envelope)
        torch.mul(envelope[:, length - 1 : length], detector.floor, out=state[part])
        makeup = None if log_makeup is None else log_makeup[part]
        gain = _gain(envelope[:, :length], curve, makeup, inside=energy, past=past, out=past)
        torch.mul(x, gain.mul_(weight).add_(1 - weight).unsqueeze(1), out=mixed[part])
    return mixed, state, envelopes


class _Mix(Function):
    @staticmethod
    def forward(
        ctx: Any, detector: Detector, signal: Tensor, log_makeup: Tensor | None, *settings: Tensor
    ) -> tuple[Tensor, Tensor]:
        mixed, state, envelopes = _forward(detector, signal, log_makeup, *settings, keep=True)
        ctx.detector = detector
        ctx.save_for_backward(signal, log_makeup, *settings, envelopes)
        return mixed, state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_mixed: Tensor, by_state: Tensor) -> tuple[Tensor | None, ...]:
        signal, log_makeup, *settings, envelopes = ctx.saved_tensors
        detector: Detector = ctx.detector
        nodes, channels, length = signal.shape
        weights, logits, _, half_knees, slopes, _ = settings
        envelope_smoother = smoother(logits, length)
        coefficients = _coefficients(detector, weights, *settings[2:])
        by_signal, by_logits, by_initial = (torch.empty_like(t) for t in (signal, logits, weights))
        sums = signal.new_zeros(5, nodes)
        buffers = signal.new_zeros(5, next(_groups(signal)).stop, envelope_smoother.padded)
        for part in _groups(signal):
            x, g, envelope = signal[part], by_mixed[part], envelopes[part, :length]
            weight, initial, *curve = coefficients[:, part]
            padded = buffers[:, : len(x)]
            by_gain, spare, inside, past, gain = padded[..., :length]
            _gain(envelope, curve, None if log_makeup is None else log_makeup[part], inside, past, out=gain)
            torch.mul(g[:, 0], x[:, 0], out=by_gain)
            if channels == 2:
                by_gain.addcmul_(g[:, 1], x[:, 1])
            torch.sum(torch.sub(gain, 1, out=spare).mul_(by_gain), dim=-1, out=sums[0, part])
            by_gain.mul_(gain)
            if log_makeup is not None:
                torch.sum(by_gain, dim=-1, out=sums[4, part])
            # By the distance past the threshold, but for the factor w slope.
            by_distance = by_gain.mul_(inside)
            torch.mul(g, gain.mul_(weight).add_(1 - weight).unsqueeze(1), out=by_signal[part])
            torch.sum(by_distance, dim=-1, out=sums[1, part])
            torch.sum(inside.mul_(by_distance), dim=-1, out=sums[2, part])
            torch.sum(past.mul_(by_distance), dim=-1, out=sums[3, part])
            by_envelope = by_distance.div_(torch.add(envelope, 1, out=spare))
            by_envelope.mul_(detector.direction * weight * slopes[part])
            by_envelope[:, -1:].add_(by_state[part], alpha=detector.floor)
            by_energy, by_initial[part], by_logits[part] = envelope_smoother.adjoint(
                part,
                padded[0],
                envelope,
                partial(detector.energy, x),
                detector.scale(channels),
                initial,
                (padded[1], padded[2]),
            )
            detector.add_gradient(by_energy, x, by_signal[part])
        excess, t, tt, bent, wet = sums.unsqueeze(-1)
        return (
            None,
            by_signal,
            None if log_makeup is None else weights * wet,
            excess,
            by_logits,
            -detector.direction * weights * slopes * t,
            weights * slopes * (t - tt),
            weights * 2 * half_knees * bent,
            by_initial / detector.floor,
        )
