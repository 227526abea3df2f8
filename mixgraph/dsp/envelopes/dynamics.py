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
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from mixgraph.dsp.envelopes.smoothers import Smoother, smoother
from mixgraph.dsp.pieces import in_pieces

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

    def add_gradient(self, by_energy: Tensor, signal: Tensor, out: Tensor, factor: float) -> None:
        """Adds the gradient by the signal to `out`; `by_energy`, (nodes, time), is overwritten.

        `factor` is that of `by_energy`, which counts the energies without `scale`.
        """
        factor = 2 * factor
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
    detector: Detector,
    signal: Tensor,
    weight: Tensor,
    smoothing_logits: Tensor,
    curve: GainCurve,
    initial: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Returns the dry/wet mix of a compressor or a noisegate with an exact envelope.

    A CPU computes a few nodes at a time, so that what lies between stays in its cache, and keeps only the signal and
    its envelope for the backward pass. Other devices compute all nodes at once and keep the gains, too.

    Args:
        detector: says how the level is measured, and whether the processor acts above or below the threshold.
        signal: (nodes, 1 or 2, time).
        weight: (nodes, 1), the dry/wet weight: the share of the wet signal.
        smoothing_logits: z with a = sigmoid(z), (nodes, 1), or of attack and release, (nodes, 2).
        curve: the gain as a function of the level.
        initial: (nodes, 1), the smoothed energy before the first sample; None for 0.

    Returns:
        The mix, of the shape of the signal, and the smoothed energy of the last sample, (nodes, 1). Both are
        differentiable once, in all tensors.
    """
    settings = (weight, smoothing_logits, curve.threshold, curve.half_knee, curve.slope, initial, curve.log_makeup)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (signal, *settings)):
        mixed, state = _Mix.apply(detector, signal, *settings)
    else:
        mixed, state, _ = _forward(detector, signal, *settings, keep=False)
    return mixed, state


def _groups(signal: Tensor) -> Iterator[slice]:
    nodes, _, length = signal.shape
    size = max(1, GROUP_SAMPLES // length) if in_pieces(signal) else nodes
    return (slice(start, min(start + size, nodes)) for start in range(0, nodes, size))


@dataclass(frozen=True, eq=False)
class _Coefficients:
    """What the passes over the signal need to know of the nodes, (nodes, 1) each, some of them or all.

    Attributes:
        weight: w.
        dry: 1 - w.
        initial: E[-1], None for 0.
        curve: rate and offset of s = rate L + offset, and the binary logarithm of the gain per t (s - t / 2).
        log_makeup: natural logarithm of the make-up gain, None for none.
    """

    weight: Tensor
    dry: Tensor
    initial: Tensor | None
    curve: tuple[Tensor, Tensor, Tensor]
    log_makeup: Tensor | None

    @staticmethod
    def make(
        detector: Detector,
        weight: Tensor,
        threshold: Tensor,
        half_knee: Tensor,
        slope: Tensor,
        initial: Tensor | None,
        log_makeup: Tensor | None,
    ) -> _Coefficients:
        rate = (0.5 * detector.direction) / half_knee
        curve = rate, rate * (math.log(detector.floor) - threshold) + 0.5, half_knee * slope * (2 / math.log(2))
        initial = None if initial is None else initial / detector.floor
        return _Coefficients(weight, 1 - weight, initial, curve, log_makeup)

    def rows(self, part: slice) -> _Coefficients:
        rate, offset, log2_gain = (values[part] for values in self.curve)
        initial, makeup = (None if values is None else values[part] for values in (self.initial, self.log_makeup))
        return _Coefficients(self.weight[part], self.dry[part], initial, (rate, offset, log2_gain), makeup)

    def gain(self, envelope: Tensor, inside: Tensor, past: Tensor, out: Tensor) -> Tensor:
        """Writes t to `inside`, s - t / 2 to `past` and the gain to `out`, all (nodes, time)."""
        rate, offset, log2_gain = self.curve
        _affine(torch.log1p(envelope, out=past), rate, offset, out=past)
        torch.clamp(past, 0, 1, out=inside)
        past.sub_(inside, alpha=0.5)
        torch.mul(inside, past, out=out).mul_(log2_gain)
        if self.log_makeup is not None:
            out.add_(self.log_makeup, alpha=1 / math.log(2))
        return out.exp2_()  # four times faster than exp on a CPU

    def mix(self, gain: Tensor, out: Tensor) -> Tensor:
        """Writes 1 - w + w gain to `out`, as factors of both channels, (nodes, 1, time)."""
        return _affine(gain, self.weight, self.dry, out=out).unsqueeze(1)


def _affine(x: Tensor, factor: Tensor, offset: Tensor, out: Tensor) -> Tensor:
    """Writes factor x + offset of rows; a CPU is faster at one factor a row in two operations."""
    if in_pieces(x):
        return torch.mul(x, factor, out=out).add_(offset)
    return torch.addcmul(offset, x, factor, out=out)


@dataclass(frozen=True, eq=False)
class _Kept:
    """What the forward pass keeps for the backward pass.

    Attributes:
        smoother: smooths the energies.
        coefficients: those of all nodes.
        envelopes: E in whole blocks, (nodes, padded); of the last group where nothing has to be kept.
        gains: t, s - t / 2 and the gain, (3, nodes, time), where all nodes are computed at once.
    """

    smoother: Smoother
    coefficients: _Coefficients
    envelopes: Tensor
    gains: Tensor | None


def _forward(
    detector: Detector,
    signal: Tensor,
    weights: Tensor,
    logits: Tensor,
    threshold: Tensor,
    half_knee: Tensor,
    slope: Tensor,
    initial: Tensor | None,
    log_makeup: Tensor | None,
    *,
    keep: bool,
) -> tuple[Tensor, Tensor, _Kept]:
    """Returns the mix, the state, and what a backward pass needs if `keep` says that there is one."""
    nodes, channels, length = signal.shape
    envelope_smoother = smoother(logits, length, detector.scale(channels))
    coefficients = _Coefficients.make(detector, weights, threshold, half_knee, slope, initial, log_makeup)
    mixed, state = torch.empty_like(signal), torch.empty_like(weights)
    largest = next(_groups(signal)).stop
    energies = signal.new_empty(largest, envelope_smoother.padded)
    gains = signal.new_empty(3, largest, length)
    envelopes = signal.new_empty(nodes if keep else largest, envelope_smoother.padded)
    for part in _groups(signal):
        x, of_nodes = signal[part], coefficients.rows(part)
        padded, envelope = energies[: len(x)], envelopes[part if keep else slice(len(x))]
        detector.energy(x, padded[:, :length])
        padded[:, length:].zero_()
        envelope_smoother.smooth(part, padded, of_nodes.initial, envelope)
        torch.mul(envelope[:, length - 1 : length], detector.floor, out=state[part])
        inside, past, gain = gains[:, : len(x)]
        of_nodes.gain(envelope[:, :length], inside, past, out=gain)
        torch.mul(x, of_nodes.mix(gain, out=padded[:, :length]), out=mixed[part])
    return mixed, state, _Kept(envelope_smoother, coefficients, envelopes, None if in_pieces(signal) else gains)


class _Mix(Function):
    @staticmethod
    def forward(ctx: Any, detector: Detector, signal: Tensor, *settings: Tensor | None) -> tuple[Tensor, Tensor]:
        mixed, state, ctx.kept = _forward(detector, signal, *settings, keep=True)  # type: ignore[arg-type]
        ctx.detector = detector
        ctx.save_for_backward(signal, *settings)
        ctx.set_materialize_grads(False)
        return mixed, state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_mixed: Tensor | None, by_state: Tensor | None) -> tuple[Tensor | None, ...]:
        signal, weights, logits, _, half_knees, slopes, _, log_makeup = ctx.saved_tensors
        detector: Detector = ctx.detector
        kept: _Kept = ctx.kept
        nodes, channels, length = signal.shape
        by_mixed = torch.zeros_like(signal) if by_mixed is None else by_mixed
        by_signal, by_logits = torch.empty_like(signal), torch.empty_like(logits)
        by_initial = None if kept.coefficients.initial is None else torch.empty_like(weights)
        by_envelope_factor = detector.direction * weights * slopes
        sums, bent_sums = signal.new_empty(2, nodes), signal.new_empty(nodes, 2, 2)
        buffers = signal.new_empty(6, next(_groups(signal)).stop, kept.smoother.padded)
        for part in _groups(signal):
            x, g, envelope = signal[part], by_mixed[part], kept.envelopes[part, :length]
            of_nodes = kept.coefficients.rows(part)
            padded = buffers[:, : len(x)]
            by_log_gain, by_distance, spare, *gains = padded[..., :length]
            if kept.gains is None:
                of_nodes.gain(envelope, gains[0], gains[1], out=gains[2])
                bends = padded[3:5, :, :length]
            else:
                gains = list(kept.gains[:, part])
                bends = kept.gains[:2, part]
            inside, _, gain = gains
            torch.mul(g[:, 0], x[:, 0], out=by_distance)
            if channels == 2:
                by_distance.addcmul_(g[:, 1], x[:, 1])
            torch.mul(by_distance, gain, out=by_log_gain)
            torch.sum(torch.sub(by_log_gain, by_distance, out=spare), dim=-1, out=sums[0, part])
            if log_makeup is not None:
                torch.sum(by_log_gain, dim=-1, out=sums[1, part])
            torch.mul(g, of_nodes.mix(gain, out=spare), out=by_signal[part])
            # By the distance past the threshold, but for the factor w slope.
            torch.mul(by_log_gain, inside, out=by_distance)
            pair = padded[:2, :, :length].transpose(0, 1)
            torch.bmm(pair, bends.permute(1, 2, 0), out=bent_sums[part])
            by_envelope = by_distance.div_(torch.add(envelope, 1, out=spare)).mul_(by_envelope_factor[part])
            padded[1, :, length:].zero_()
            if by_state is not None:
                by_envelope[:, -1:].add_(by_state[part], alpha=detector.floor)
            by_energy, by_first, by_logits[part] = kept.smoother.adjoint(
                part,
                padded[1],
                envelope,
                partial(detector.energy, x),
                of_nodes.initial,
                (padded[0], padded[2]),
            )
            if by_initial is not None and by_first is not None:
                by_initial[part] = by_first
            detector.add_gradient(by_energy, x, by_signal[part], kept.smoother.left_out)
        (t, _), (tt, bent) = bent_sums.permute(1, 2, 0).unsqueeze(-1)
        excess, wet = sums.unsqueeze(-1)
        by_distance = weights * slopes
        return (
            None,
            by_signal,
            excess,
            by_logits,
            -by_envelope_factor * t,
            by_distance * (t - tt),
            weights * half_knees * (2 * bent),
            None if by_initial is None else by_initial / detector.floor,
            None if log_makeup is None else weights * wet,
        )
