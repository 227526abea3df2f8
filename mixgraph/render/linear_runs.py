"""Runs of linear steps, each computed as one pass over frequency.

Between two nonlinear processors everything is a product of spectra: nothing couples one frequency bin to another. A
pass over the plan (`find_runs`) joins linear steps that touch no time signal in between to one run. A run, sums
included, is computed a few thousand bins at a time, all its steps while the bins are in the processor's cache
(`compute_run`). Only what enters (spectra, responses, weights) is kept for the backward pass, which computes every
piece once more and walks back through it. Gradients are conjugated inside, see `products`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from mixgraph.dsp.constants import constant_index, made_once
from mixgraph.dsp.pieces import in_pieces
from mixgraph.render.plan import Region, RenderPlan, Step
from mixgraph.render.products import Applied, Bins, Gains, LinearProduct

CACHE_BYTES = 1 << 22  # of the largest batch of a piece: the fastest with 32 MiB of shared cache


@dataclass(frozen=True)
class LinearRun:
    """Steps of one region that are computed together.

    Attributes:
        region: the region of all steps.
        indices: indices of the steps in the plan.
        entering: batches of groups of nodes, mono and stereo apart; each group is summed to one signal that enters.
        exits: batches of groups of the signals that leave, for a node in time or a later run.
    """

    region: Region
    indices: tuple[int, ...]
    entering: tuple[tuple[tuple[int, ...], ...], ...]
    exits: tuple[tuple[tuple[int, ...], ...], ...]


@lru_cache(maxsize=64)
def find_runs(plan: RenderPlan) -> tuple[tuple[LinearRun | int, ...], dict[int, int]]:
    """Divides a plan into runs of linear steps, and steps in time between them.

    Returns:
        The runs and the indices of the steps in time, in order, and for every node that works on spectra the position
        of its run among them.
    """
    # A linear step waits until a node in time needs what its region makes; by then all that enters it is known.
    graph = plan.graph
    parts: list[list[int] | int] = []
    waiting: dict[Region, list[int]] = {}
    run_of: dict[int, int] = {}  # node -> position of its run in `parts`
    for index, step in enumerate(plan.steps):
        if step.region is not None:
            waiting.setdefault(step.region, []).append(index)
            continue
        for p in (p for node in step.nodes for p in graph.feeders[node]):
            region = plan.regions[p]
            if region is not None and p not in run_of:
                indices = waiting.pop(region)
                run_of.update(dict.fromkeys((i for k in indices for i in plan.steps[k].nodes), len(parts)))
                parts.append(indices)
        parts.append(index)
    exits = _exits(plan, run_of)
    runs = tuple(
        part if isinstance(part, int) else _run(plan, part, run_of, position, exits.get(position, {}))
        for position, part in enumerate(parts)
    )
    return runs, run_of


def exit_groups(feeding: Sequence[int], run_of: dict[int, int]) -> list[tuple[int, ...]]:
    """Returns the nodes with spectra among those that feed an inlet, by run: the groups of `LinearRun.exits`."""
    groups: dict[int, list[int]] = {}
    for p in feeding:
        if p in run_of:
            groups.setdefault(run_of[p], []).append(p)
    return [tuple(group) for group in groups.values()]


def entering_groups(plan: RenderPlan, node: int, inside: Collection[int]) -> list[tuple[int, ...]]:
    """Returns the nodes outside a run that feed one of its nodes; those in time that have one latency form a group."""
    groups: dict[tuple[Region | None, int], list[int]] = {}
    for p in plan.graph.predecessors[node]:
        if p not in inside:
            region = plan.regions[p]
            groups.setdefault((region, plan.latency[p] if region is None else p), []).append(p)
    return [tuple(group) for group in groups.values()]


def _exits(plan: RenderPlan, run_of: dict[int, int]) -> dict[int, dict[tuple[int, ...], None]]:
    exits: dict[int, dict[tuple[int, ...], None]] = {}
    for step in plan.steps:
        for node in step.nodes:
            if step.region is None:
                inlets = (plan.graph.predecessors[node], plan.graph.keys[node])
                groups = [group for feeding in inlets for group in exit_groups(feeding, run_of)]
            else:
                groups = [(p,) for p in plan.graph.predecessors[node] if p in run_of and run_of[p] != run_of[node]]
            for group in groups:
                exits.setdefault(run_of[group[0]], {})[group] = None
    return exits


def _run(
    plan: RenderPlan, indices: list[int], run_of: dict[int, int], position: int, exits: dict[tuple[int, ...], None]
) -> LinearRun:
    steps: list[Step] = [plan.steps[k] for k in indices]
    inside = {node for node, run in run_of.items() if run == position}
    entering = dict.fromkeys(g for step in steps for node in step.nodes for g in entering_groups(plan, node, inside))
    region = steps[0].region
    assert region is not None
    return LinearRun(region, tuple(indices), _by_width(plan, entering), _by_width(plan, exits))


def _by_width(plan: RenderPlan, groups: Collection[tuple[int, ...]]) -> tuple[tuple[tuple[int, ...], ...], ...]:
    batches = (tuple(group for group in groups if group_width(plan, group) == width) for width in (1, 2))
    return tuple(batch for batch in batches if batch)


def group_width(plan: RenderPlan, group: tuple[int, ...]) -> int:
    """Returns the number of channels of the sum of some nodes, 1 or 2."""
    return max(plan.widths[node] for node in group)


@dataclass(frozen=True)
class Gather:
    """A batch of sums of signals.

    Attributes:
        sources: the numbers of the signals that each row sums; numbers count the signals that enter the run first,
            batch by batch, then the nodes of its steps in order.
        width: channels of the batch, 1 or 2; a signal of one channel is the same in both.
    """

    sources: tuple[tuple[int, ...], ...]
    width: int


@dataclass(frozen=True)
class LinearStep:
    """One step of a run: the sums that go into its nodes, and the product with their responses.

    Attributes:
        gather: the sums that are the inputs of the step's nodes.
        product: None where the step only sums.
    """

    gather: Gather
    product: LinearProduct | Gains | None


@dataclass(frozen=True)
class Program:
    """A run of linear steps.

    Attributes:
        steps: the steps, in the order in which they are computed.
        exits: batches of signals that leave the run.
        n_fft: length of the spectra.
    """

    steps: tuple[LinearStep, ...]
    exits: tuple[Gather, ...]
    n_fft: int

    @property
    def num_products(self) -> int:
        """The number of steps that do more than sum."""
        return sum(step.product is not None for step in self.steps)


@dataclass(frozen=True)
class RunResult:
    """The results of a run.

    Attributes:
        exits: the batches of signals that leave, in the order of `Program.exits`, (signals, clips, width, bins) each.
        energies: dry and wet energies of every staged step in order, (2, nodes, clips).
    """

    exits: tuple[Tensor, ...]
    energies: tuple[Tensor, ...]


def compute_run(
    program: Program, entering: Sequence[Tensor], responses: Sequence[Tensor], weights: Sequence[Tensor]
) -> RunResult:
    """Computes a run of linear steps.

    Args:
        program: the steps.
        entering: batches of spectra that enter, (signals, clips, 1 or 2, bins) each.
        responses: responses, or gains, of the steps that have a product, in order, (nodes, 1 or 2, bins or 1).
        weights: dry/wet weights of each step whose product is weighted, (nodes,).
    """
    tensors = _Run.apply(program, len(entering), *entering, *responses, *weights)
    return RunResult(tensors[: len(program.exits)], tensors[len(program.exits) :])


class _Run(Function):
    @staticmethod
    def forward(ctx: Any, program: Program, num_entering: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.program, ctx.num_entering = program, num_entering
        ctx.save_for_backward(*tensors)
        values = _Values(tensors, num_entering, program.num_products)
        if not in_pieces(values.entering[0]):
            ctx.piece = piece = _Piece(program, values, _bins(slice(0, values.bins), values.bins, program.n_fft))
            piece.forward()
            return (*(piece.gather(gather) for gather in program.exits), *piece.energies())
        ctx.piece = None  # a CPU computes its pieces again, in its cache
        exits = [
            values.entering[0].new_empty(len(gather.sources), values.clips, gather.width, values.bins)
            for gather in program.exits
        ]
        energies: list[Tensor] = []
        for part in _parts(program, values):
            piece = _Piece(program, values.cut(part), _bins(part, values.bins, program.n_fft))
            piece.forward()
            parts = piece.energies()
            energies = [total + e for total, e in zip(energies, parts, strict=True)] if energies else parts
            for whole, gather in zip(exits, program.exits, strict=True):
                piece.gather(gather, into=whole[..., part])
        return (*exits, *energies)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        program: Program = ctx.program
        tensors: tuple[Tensor, ...] = ctx.saved_tensors
        values = _Values(tensors, ctx.num_entering, program.num_products)
        needs_grad = ctx.needs_input_grad[2:]
        exit_grads, energy_grads = grads[: len(program.exits)], list(grads[len(program.exits) :])
        if ctx.piece is not None:
            arriving = [torch.conj_physical(grad) for grad in exit_grads]
            conjugated = ctx.piece.backward(arriving, energy_grads, needs_grad)
            return (None, None, *map(_of_whole_axis, tensors, conjugated, needs_grad))
        # What spans the bins is written piece by piece; what all bins share (weights, constant gains) is summed.
        gradients = [
            None if not wants else torch.empty_like(t) if values.spans(t) else torch.zeros_like(t)
            for t, wants in zip(tensors, needs_grad, strict=True)
        ]
        for part in _parts(program, values):
            piece = _Piece(program, values.cut(part), _bins(part, values.bins, program.n_fft))
            piece.forward()
            arriving = [torch.conj_physical(grad[..., part]) for grad in exit_grads]
            for into, grad in zip(gradients, piece.backward(arriving, energy_grads, needs_grad), strict=True):
                if into is None:
                    continue
                if not values.spans(into):
                    into.add_(grad if grad is not None else 0)
                elif grad is None:
                    into[..., part] = 0
                elif grad.is_complex():
                    torch.conj_physical(grad, out=into[..., part])
                else:
                    into[..., part] = grad
        return (None, None, *gradients)


def _of_whole_axis(tensor: Tensor, conjugated: Tensor | None, wants: bool) -> Tensor | None:
    """Returns the gradient of a tensor of a run, given its conjugate."""
    if not wants:
        return None
    if conjugated is None:
        return torch.zeros_like(tensor)
    return torch.conj_physical(conjugated) if conjugated.is_complex() else conjugated


class _Values:
    """The tensors of a run by kind, or some bins of them."""

    def __init__(self, tensors: Sequence[Tensor], num_entering: int, num_products: int) -> None:
        self.numbers = num_entering, num_products
        self.entering = tensors[:num_entering]
        self.responses = tensors[num_entering : num_entering + num_products]
        self.weights = tensors[num_entering + num_products :]
        self.clips, self.bins = self.entering[0].shape[1], self.entering[0].shape[-1]

    def spans(self, tensor: Tensor) -> bool:
        return tensor.dim() > 1 and tensor.shape[-1] == self.bins

    def cut(self, part: slice) -> _Values:
        tensors = (*self.entering, *self.responses, *self.weights)
        return _Values([t[..., part] if self.spans(t) else t for t in tensors], *self.numbers)


def _parts(program: Program, values: _Values) -> Iterator[slice]:
    """Yields pieces of the frequency axis whose largest batch fits a CPU's cache."""
    batches = [(e.shape[0], e.shape[2]) for e in values.entering]
    batches += [(len(s.gather.sources), s.gather.width) for s in program.steps]
    bin_bytes = max(rows * width for rows, width in batches) * values.clips * values.entering[0].element_size()
    size = max(256, CACHE_BYTES // bin_bytes)
    for start in range(0, values.bins, size):
        yield slice(start, min(start + size, values.bins))


def _bins(part: slice, bins: int, n_fft: int) -> Bins:
    return Bins(part.start == 0, part.stop == bins, n_fft)


class _Piece:
    """A run on some bins. Signals are rows of batches: of what entered, then of each step."""

    def __init__(self, program: Program, values: _Values, bins: Bins) -> None:
        self.program, self.values, self.bins = program, values, bins
        self.batches = list(values.entering)
        self.place = [(i, row) for i, batch in enumerate(self.batches) for row in range(batch.shape[0])]
        for i, step in enumerate(program.steps, start=len(self.batches)):
            self.place += [(i, row) for row in range(len(step.gather.sources))]
        self.applied: list[Applied | None] = []

    def forward(self) -> None:
        """Computes all signals."""
        responses, weights = iter(self.values.responses), iter(self.values.weights)
        for step in self.program.steps:
            batch, applied = self.gather(step.gather), None
            if step.product is not None:
                response, weight = next(responses), next(weights) if step.product.weighted else None
                batch, applied = step.product.forward(batch, response, weight)  # type: ignore[arg-type]
            self.batches.append(batch)
            self.applied.append(applied)

    def energies(self) -> list[Tensor]:
        """Returns the energies of the gain-staged steps; `forward` comes first."""
        steps = zip(self.program.steps, self.applied, strict=True)
        products = [(step.product, applied) for step, applied in steps]
        energies = [p.energies(a, self.bins) for p, a in products if p is not None and a is not None]
        return [pair for pair in energies if pair is not None]

    def gather(self, gather: Gather, into: Tensor | None = None) -> Tensor:
        """Returns a batch of sums; uncopied where it is a stretch of another batch."""
        stretch = self._stretch(gather)
        if stretch is not None:
            return stretch if into is None else into.copy_(stretch)
        if not in_pieces(self.batches[0]):
            return self._gather_at_once(gather)
        if into is None:
            like = self.batches[0]
            into = like.new_empty(len(gather.sources), like.shape[1], gather.width, like.shape[-1])
        for row, sources in zip(into.unbind(0), gather.sources, strict=True):
            first, *others = (self._signal(number) for number in sources)
            if others:
                torch.add(first, others[0], out=row) if first.shape == row.shape else row.copy_(first).add_(others[0])
                for other in others[1:]:
                    row += other
            else:
                row.copy_(first)
        return into

    def _gather_at_once(self, gather: Gather) -> Tensor:
        """Gathers by a product with a matrix of ones and zeros for each batch: few operations, however many rows."""
        rows: dict[int, list[tuple[int, int]]] = {}  # batch -> (row of the sums, row of the batch)
        for row, sources in enumerate(gather.sources):
            for index, source_row in (self.place[number] for number in sources):
                rows.setdefault(index, []).append((row, source_row))
        total: Tensor | None = None
        for index in sorted(rows, key=lambda i: -self.batches[i].shape[2]):  # stereo first, which mono is added to
            batch = self.batches[index]
            pairs = tuple(rows[index])
            if total is not None and total.shape[2] == batch.shape[2]:
                _add_rows(total, pairs, batch)
            else:
                part = _rows(len(gather.sources), pairs, batch)
                total = part if total is None else total + part
        assert total is not None
        return total if total.shape[2] == gather.width else total.expand(-1, -1, gather.width, -1).contiguous()

    def _signal(self, number: int) -> Tensor:
        batch, row = self.place[number]
        return self.batches[batch][row]

    def _stretch(self, gather: Gather) -> Tensor | None:
        if any(len(sources) > 1 for sources in gather.sources):
            return None
        places = [self.place[sources[0]] for sources in gather.sources]
        index, first = places[0]
        batch = self.batches[index]
        if batch.shape[2] == gather.width and places == [(index, first + i) for i in range(len(places))]:
            return batch[first : first + len(places)]
        return None

    def backward(
        self, arriving: Sequence[Tensor], energy_grads: list[Tensor], needs_grad: Sequence[bool]
    ) -> list[Tensor | None]:
        """Returns the gradients of all tensors of the run: conjugated where they span the bins, or None.

        Args:
            arriving: conjugated gradients of the exits.
            energy_grads: gradients of the energies of each staged step.
            needs_grad: for each tensor of the run, whether its gradient is needed.
        """
        num_entering = len(self.values.entering)
        gradients = _Gradients(self.batches, [*needs_grad[:num_entering], *[True] * len(self.program.steps)])
        for gather, grad in zip(self.program.exits, arriving, strict=True):
            gradients.spread(gather, self.place, grad)
        responses, weights = list(self.values.responses), list(self.values.weights)
        energy_grads = list(energy_grads)
        by_response: list[Tensor | None] = []
        by_weight: list[Tensor | None] = []
        for index in reversed(range(len(self.program.steps))):
            step, applied = self.program.steps[index], self.applied[index]
            grad = gradients.take(num_entering + index)
            if step.product is None or applied is None:
                gradients.spread(step.gather, self.place, grad)
                continue
            energies = energy_grads.pop() if step.product.staged_channel is not None else None
            wants = any(gradients.needs_grad[self.place[n][0]] for sources in step.gather.sources for n in sources)
            given = applied, responses.pop(), weights.pop() if step.product.weighted else None, self.bins, wants
            by_signal, response, weight = step.product.adjoint(grad, energies, *given)  # type: ignore[arg-type]
            by_response.append(response)
            if step.product.weighted:
                by_weight.append(weight)
            if by_signal is not None:
                gradients.spread(step.gather, self.place, by_signal)
        entering = [gradients.take(i) if needs_grad[i] else None for i in range(num_entering)]
        return [*entering, *reversed(by_response), *reversed(by_weight)]


class _Gradients:
    """Conjugated gradients of batches, summed row by row; a whole batch is taken over uncopied."""

    def __init__(self, batches: Sequence[Tensor], needs_grad: Sequence[bool]) -> None:
        self.batches, self.needs_grad = batches, needs_grad
        self.sums: list[Tensor | None] = [None] * len(batches)
        self.written: list[set[int]] = [set() for _ in batches]

    def spread(self, gather: Gather, place: Sequence[tuple[int, int]], grad: Tensor) -> None:
        """Adds the gradient of a gathered batch, which may be kept, to the signals that were summed."""
        places = [[place[n] for n in sources] for sources in gather.sources]
        index = places[0][0][0]
        batch = self.batches[index]
        whole = [[(index, row)] for row in range(batch.shape[0])]
        if places == whole and self.sums[index] is None and self.needs_grad[index] and batch.shape == grad.shape:
            self.sums[index], self.written[index] = grad, set(range(batch.shape[0]))
            return
        arrived: dict[int, list[tuple[int, int]]] = {}  # batch -> rows of the gradient, and those of the batch
        for row, targets in enumerate(places):
            for target, target_row in targets:
                if self.needs_grad[target]:
                    arrived.setdefault(target, []).append((row, target_row))
        for target, rows in arrived.items():
            by_target = {target_row: row for row, target_row in rows}
            if self.sums[target] is None and len(rows) == len(by_target) == self.batches[target].shape[0]:
                self._take_over(target, grad, tuple(by_target[row] for row in range(len(rows))))
                continue
            if not in_pieces(grad):
                self._add_at_once(target, tuple((target_row, row) for row, target_row in rows), grad)
                continue
            for row, target_row in rows:
                self._add(target, target_row, grad[row])

    def _take_over(self, index: int, grad: Tensor, rows: tuple[int, ...]) -> None:
        """Makes rows of an arriving gradient the gradient of a whole batch."""
        if self.batches[index].shape[2] < grad.shape[2]:
            grad = grad.sum(dim=2, keepdim=True)
        self.sums[index] = grad.index_select(0, constant_index(rows, grad.device))
        self.written[index] = set(range(len(rows)))

    def _add_at_once(self, index: int, rows: tuple[tuple[int, int], ...], grad: Tensor) -> None:
        """Adds rows of an arriving gradient to rows of the gradient of a batch: pairs of (row of the batch, row)."""
        batch, total = self.batches[index], self.sums[index]
        if batch.shape[2] < grad.shape[2]:
            grad = grad.sum(dim=2, keepdim=True)
        if total is None:
            self.sums[index] = _rows(batch.shape[0], rows, grad)
        else:
            _add_rows(total, rows, grad)
        self.written[index] = set(range(batch.shape[0]))

    def _add(self, index: int, row: int, grad: Tensor) -> None:
        total = self.sums[index]
        if total is None:
            total = self.sums[index] = torch.empty_like(self.batches[index])
        if total.shape[2] < grad.shape[1]:
            grad = grad.sum(dim=1, keepdim=True)
        if row in self.written[index]:
            total[row].add_(grad)
        else:
            total[row] = grad
            self.written[index].add(row)

    def take(self, index: int) -> Tensor:
        total = self.sums[index]
        if total is None:
            return torch.zeros_like(self.batches[index])
        for row in set(range(total.shape[0])) - self.written[index]:
            total[row] = 0
        return total


def _rows(num_rows: int, pairs: tuple[tuple[int, int], ...], batch: Tensor) -> Tensor:
    """Returns rows that are sums of rows of a batch: pairs of (row, row of the batch)."""
    summed = _ones(num_rows, batch.shape[0], pairs, batch.real.dtype, batch.device) @ _flat(batch)
    return torch.view_as_complex(summed.view(num_rows, *batch.shape[1:], 2))


def _add_rows(total: Tensor, pairs: tuple[tuple[int, int], ...], batch: Tensor) -> None:
    """Adds rows of a batch to rows of a contiguous tensor: pairs of (row, row of the batch)."""
    flat = torch.view_as_real(total).view(total.shape[0], -1)  # refuses to copy
    flat.addmm_(_ones(total.shape[0], batch.shape[0], pairs, batch.real.dtype, batch.device), _flat(batch))


def _flat(batch: Tensor) -> Tensor:
    return torch.view_as_real(batch).flatten(1)


@made_once(keep=1024)
def _ones(
    rows: int, columns: int, places: tuple[tuple[int, int], ...], dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Returns a matrix with the number of times that a place is named."""
    matrix = torch.zeros(rows, columns, dtype=dtype)
    for row, column in places:
        matrix[row, column] += 1
    return matrix.to(device)
