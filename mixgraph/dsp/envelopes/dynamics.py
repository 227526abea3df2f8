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

All settings of a node are a row of one table. What the passes need of them is made by `prepare_dynamics`, for many
nodes at once; and with p the gradient that arrives at ln gain, but for w, their own gradients are sums over time:

    by w: \sum p (1 - 1 / gain),   by T: -\pm w slope \sum p t,   by slope: 2 w W \sum p t (s - t / 2),
    by ln 2W: w slope W \sum p (t - t^2),   by ln make-up: w \sum p .
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from mixgraph.dsp.constants import made_once
from mixgraph.dsp.envelopes.smoothers import Smoother, prepare_smoother, smoother
from mixgraph.dsp.pieces import in_pieces

GROUP_SAMPLES = 1 << 18  # of the nodes that a CPU processes together: the fastest with 32 MiB of shared cache


@dataclass(frozen=True)
class Detector:
    """How a processor reads levels; the same for all its nodes.

    Attributes:
        direction: +1 for a processor that acts above the threshold, -1 below.
        mid: the energy is (l + r)^2, else (l^2 + r^2) / 2. A mono row m stands for l = r = m.
        floor: the energy that is added to every level, and the unit of energies here.
        makeup: the wet signal has a further gain.
    """

    direction: int
    mid: bool
    floor: float
    makeup: bool = False

    def energy(self, signal: Tensor, out: Tensor) -> None:
        """Writes the energy of (nodes, 1 or 2, time), without the factor `scale`, to `out`, (nodes, time)."""
        left, right = signal.expand(-1, 2, -1).unbind(1)
        if self.mid:
            torch.add(left, right, out=out).square_()
            return
        torch.mul(left, left, out=out).addcmul_(right, right)

    @property
    def scale(self) -> float:
        """The factor that `energy` leaves out."""
        return (1.0 if self.mid else 0.5) / self.floor

    def add_gradient(self, by_energy: Tensor, signal: Tensor, out: Tensor, factor: float) -> None:
        """Adds the gradient by the signal to `out`; `by_energy`, (nodes, time), is overwritten.

        `factor` is that of `by_energy`, which counts the energies without `scale`.
        """
        if self.mid and signal.shape[1] == 2:
            out.add_(by_energy.mul_(signal.sum(dim=1)).unsqueeze(1), alpha=2 * factor)
            return
        of_mono = 4 if self.mid else 2  # m counts as l and as r
        out.addcmul_(signal, by_energy.unsqueeze(1), value=2 * factor * (of_mono if signal.shape[1] == 1 else 1))


SETTINGS = ("weight", "threshold", "log_knee", "slope")
"""The first columns of a table of settings: w, T as ln energy, ln 2W, and ln gain a unit of distance past T.

With a make-up gain its natural logarithm follows; then come the smoothing logits z with a = sigmoid(z), or those of
attack and release.
"""


def prepare_dynamics(detector: Detector, table: Tensor, logits: int, length: int) -> dict[str, Tensor]:
    """Makes what `mix_dynamics` needs of settings, in tensors of one row a node.

    Args:
        detector: the processor's.
        table: the settings, see `SETTINGS`, (nodes, columns).
        logits: the number of smoothing logits, 1 or 2.
        length: samples of the signals.
    """
    with torch.no_grad():
        # Columns without gaps: others are rounded in another way, so that a node alone would differ from two. (From 16
        # nodes on the last digit may still depend on their number.)
        columns = table.T.contiguous()
        weight, threshold, log_knee, slope = columns[: len(SETTINGS)].unsqueeze(-1)
        knee = torch.exp(log_knee)
        rate = detector.direction / knee
        offset = rate * (math.log(detector.floor) - threshold) + 0.5
        by_log_gain, of_knee = weight * slope, weight * knee
        coefficients = (
            *(1 - weight, rate, offset, knee * slope * (1 / math.log(2))),
            *(by_log_gain * detector.direction, of_knee * slope, of_knee),
        )
        smoothing = prepare_smoother(columns[-logits:].T, length, detector.scale)
        return {"table": table, "coefficients": torch.cat(coefficients, dim=1), **smoothing}


def mix_dynamics(
    detector: Detector, signal: Tensor, prepared: Mapping[str, Tensor], initial: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Returns the dry/wet mix of a compressor or a noisegate with an exact envelope.

    A CPU computes a few nodes at a time, so that what lies between stays in its cache, and keeps only the signal and
    its envelope for the backward pass. Other devices compute all nodes at once and keep the gains, too.

    Args:
        detector: says how the level is measured, and whether the processor acts above or below the threshold.
        signal: (nodes, 1 or 2, time).
        prepared: what `prepare_dynamics` made of the settings of the nodes, for signals of that length.
        initial: (nodes, 1), the smoothed energy before the first sample; None for 0.

    Returns:
        The mix, of the shape of the signal, and the smoothed energy of the last sample, (nodes, 1). Both are
        differentiable once, in the signal, the table of settings and the initial energy.
    """
    table = prepared["table"]
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (signal, table, initial)):
        mixed, state = _Mix.apply(detector, prepared, signal, table, initial)
    else:
        mixed, state, _ = _forward(detector, prepared, signal, initial, keep=False)
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
        slopes: the factors of gradients past the threshold: by L and T, by ln 2W and by the slope, (nodes, 3).
    """

    weight: Tensor
    dry: Tensor
    initial: Tensor | None
    curve: tuple[Tensor, Tensor, Tensor]
    log_makeup: Tensor | None
    slopes: Tensor

    @staticmethod
    def of(detector: Detector, prepared: Mapping[str, Tensor], initial: Tensor | None) -> _Coefficients:
        table = prepared["table"].detach()
        dry, *curve = prepared["coefficients"][:, :4].split(1, dim=1)
        rate, offset, log2_gain = curve
        first = len(SETTINGS)
        log_makeup = table[:, first : first + 1] if detector.makeup else None
        initial = None if initial is None else initial / detector.floor
        slopes = prepared["coefficients"][:, 4:]
        return _Coefficients(table[:, :1], dry, initial, (rate, offset, log2_gain), log_makeup, slopes)

    def rows(self, part: slice) -> _Coefficients:
        rate, offset, log2_gain = (values[part] for values in self.curve)
        initial, makeup = (None if values is None else values[part] for values in (self.initial, self.log_makeup))
        curve, slopes = (rate, offset, log2_gain), self.slopes[part]
        return _Coefficients(self.weight[part], self.dry[part], initial, curve, makeup, slopes)

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
        gains: s - t / 2, t and the gain, (3, nodes, time), where all nodes are computed at once.
        factors: 1 - w + w gain, (nodes, time), likewise.
    """

    smoother: Smoother
    coefficients: _Coefficients
    envelopes: Tensor
    gains: Tensor | None
    factors: Tensor | None


def _forward(
    detector: Detector, prepared: Mapping[str, Tensor], signal: Tensor, initial: Tensor | None, *, keep: bool
) -> tuple[Tensor, Tensor, _Kept]:
    """Returns the mix, the state, and what a backward pass needs if `keep` says that there is one."""
    nodes, _, length = signal.shape
    envelope_smoother = smoother(prepared, length, detector.scale)
    coefficients = _Coefficients.of(detector, prepared, initial)
    mixed, state = torch.empty_like(signal), signal.new_empty(nodes, 1)
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
        past, inside, gain = gains[:, : len(x)]
        of_nodes.gain(envelope[:, :length], inside, past, out=gain)
        torch.mul(x, of_nodes.mix(gain, out=padded[:, :length]), out=mixed[part])
    at_once = (None, None) if in_pieces(signal) else (gains, energies[:, :length])
    return mixed, state, _Kept(envelope_smoother, coefficients, envelopes, *at_once)


class _Mix(Function):
    @staticmethod
    def forward(
        ctx: Any,
        detector: Detector,
        prepared: Mapping[str, Tensor],
        signal: Tensor,
        table: Tensor,
        initial: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        mixed, state, ctx.kept = _forward(detector, prepared, signal, initial, keep=True)
        ctx.detector = detector
        ctx.save_for_backward(signal, table)
        ctx.set_materialize_grads(False)
        return mixed, state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_mixed: Tensor | None, by_state: Tensor | None) -> tuple[Tensor | None, ...]:
        signal, table = ctx.saved_tensors
        detector: Detector = ctx.detector
        kept: _Kept = ctx.kept
        nodes, channels, length = signal.shape
        by_mixed = torch.zeros_like(signal) if by_mixed is None else by_mixed
        by_signal, by_table = torch.empty_like(signal), torch.empty_like(table)
        by_initial = None if kept.coefficients.initial is None else signal.new_empty(nodes, 1)
        first = len(SETTINGS)
        by_logits = by_table[:, first + detector.makeup :]
        bent_sums = signal.new_empty(nodes, 2, 2)
        buffers = signal.new_empty(6, next(_groups(signal)).stop, kept.smoother.padded)
        for part in _groups(signal):
            x, g, envelope = signal[part], by_mixed[part], kept.envelopes[part, :length]
            of_nodes = kept.coefficients.rows(part)
            padded = buffers[:, : len(x)]
            by_log_gain, by_distance, spare = padded[:3, :, :length]
            gains = padded[3:, :, :length] if kept.gains is None else kept.gains[:, part]
            past, inside, gain = gains
            if kept.gains is None:
                of_nodes.gain(envelope, inside, past, out=gain)
            torch.mul(g[:, 0], x[:, 0], out=by_distance)
            if channels == 2:
                by_distance.addcmul_(g[:, 1], x[:, 1])
            torch.mul(by_distance, gain, out=by_log_gain)
            torch.sum(torch.sub(by_log_gain, by_distance, out=spare), dim=-1, out=by_table[part, 0])
            if detector.makeup:
                torch.sum(by_log_gain, dim=-1, out=by_table[part, first])
            factors = of_nodes.mix(gain, out=spare) if kept.factors is None else kept.factors[part].unsqueeze(1)
            torch.mul(g, factors, out=by_signal[part])
            # By the distance past the threshold, but for the factor w slope.
            torch.mul(by_log_gain, inside, out=by_distance)
            pair = padded[:2, :, :length].transpose(0, 1)
            torch.bmm(pair, gains[:2].permute(1, 2, 0), out=bent_sums[part])
            by_envelope = by_distance.div_(torch.add(envelope, 1, out=spare)).mul_(of_nodes.slopes[:, :1])
            padded[1, :, length:].zero_()
            if by_state is not None:
                by_envelope[:, -1:].add_(by_state[part], alpha=detector.floor)
            by_energy, by_first = kept.smoother.adjoint(
                part,
                padded[1],
                envelope,
                partial(detector.energy, x),
                of_nodes.initial,
                (padded[0], padded[2]),
                by_logits[part],
            )
            if by_initial is not None and by_first is not None:
                by_initial[part] = by_first
            detector.add_gradient(by_energy, x, by_signal[part], kept.smoother.left_out)
        sums = bent_sums.flatten(1)[:, 1:] @ _past_threshold(table.dtype, table.device)
        torch.mul(sums, kept.coefficients.slopes, out=by_table[:, 1:first])
        if detector.makeup:
            by_table[:, first].mul_(table[:, 0])
        return None, None, by_signal, by_table, None if by_initial is None else by_initial / detector.floor


@made_once(keep=8)
def _past_threshold(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Returns what sums of p t, p t (s - t / 2) and p t^2 are in the gradients by T, ln 2W and the slope: (3, 3)."""
    return torch.tensor([[-1.0, 0.5, 0.0], [0.0, 0.0, 1.0], [0.0, -0.5, 0.0]], dtype=dtype, device=device)
