"""Errors of the settings of the processors that two graphs share, in physical units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any, Protocol

import torch
from torch import Tensor

from mixgraph.dsp.third_octaves import third_octave_means
from mixgraph.graph.types import INPUT, MixGraph
from mixgraph.processors import Processors
from mixgraph.processors.readings import Compared, NodeValues, Quantity, Response, Taps
from mixgraph.recovery.agreement import markdown, matched_keys

LOUD_TAP_DB = 12.0  # a tap is loud if it is at most this far below the loudest of its node
ENERGY_RANGE_DB = 40.0  # bands farther below the loudest band of the dry sound are not compared

Values = Mapping[str, Mapping[str, Tensor]]


class Setting(Protocol):
    """A graph with its values, as `SyntheticSong`, `FoundGraph` and `GraphValues` have it."""

    @property
    def graph(self) -> MixGraph: ...
    @property
    def parameters(self) -> Values: ...
    @property
    def weights(self) -> Tensor: ...


@dataclass(frozen=True)
class QuantityError:
    """The error of one quantity of one processor that is in both graphs.

    Attributes:
        node: label of the processor in the true graph.
        type: type of the processor.
        quantity: name of the compared quantity; see `parameter_errors`.
        unit: the unit of `error`, `true` and `found`.
        error: the absolute error, or the mean or median of the absolute errors of the node's values.
        true, found: the two values, where the quantity is a single value; otherwise None.
    """

    node: str
    type: str
    quantity: str
    unit: str
    error: float
    true: float | None = None
    found: float | None = None


@dataclass(frozen=True)
class ErrorSummary:
    """The errors of one quantity over all processors of a type, in `unit`."""

    type: str
    quantity: str
    unit: str
    count: int
    median: float
    mean: float
    worst: float


@dataclass(frozen=True)
class ParameterErrors:
    """The errors of all quantities of all processors that are in both graphs."""

    values: tuple[QuantityError, ...]

    def summary(self) -> tuple[ErrorSummary, ...]:
        """Summarises the errors, one row for each type and quantity."""
        groups: dict[tuple[str, str, str], list[float]] = {}
        for value in self.values:
            groups.setdefault((value.type, value.quantity, value.unit), []).append(value.error)
        return tuple(
            ErrorSummary(*key, len(errors), median(errors), fmean(errors), max(errors))
            for key, errors in groups.items()
        )

    def to_dict(self) -> dict[str, Any]:
        """The summary and all errors as dicts and lists for JSON."""
        return {
            "summary": [asdict(row) for row in self.summary()],
            "values": [asdict(value) for value in self.values],
        }

    def format_table(self) -> str:
        """A Markdown table of the summary."""
        rows = [
            (s.type, s.quantity, s.unit, s.count, f"{s.median:.3g}", f"{s.mean:.3g}", f"{s.worst:.3g}")
            for s in self.summary()
        ]
        return markdown(("type", "quantity", "unit", "values", "median error", "mean", "worst"), rows)


def parameter_errors(
    true: Setting,
    estimate: Setting,
    processors: Processors,
    sources: Tensor | None = None,
    found_processors: Processors | None = None,
) -> ParameterErrors:
    """Compares the settings of the processors that two graphs share, in physical units.

    Each type says which quantities are compared (`Processor.quantities`). Settings count as they act, dry/wet
    weight included: a gain of g with weight w is a gain of 1 - w + w g.

    - A quantity (a gain in dB, a threshold, the decay time of a reverb): the mean or median of the absolute errors.
    - A response: `response`, mean over third-octave bands, dB; `shape`, the same with the mean difference taken out.
    - Taps: for each loud tap (12 dB below the loudest or more) of the true graph and the same tap of the found one,
      `tap delay` in ms and `tap level` in dB.

    Args:
        true: the graph that made the mix.
        estimate: the graph that a search found or an estimator predicted.
        processors: the modules of the true graph, one for each type.
        sources: (inputs, 2, L); if given, equalizers are compared in bands where their dry tracks have energy.
        found_processors: the modules of `estimate`, if their options differ from the true graph's.

    Raises:
        ValueError: the graphs have different tracks or subgroups.
    """
    true_keys, found_keys = matched_keys(true.graph, estimate.graph)
    errors: list[QuantityError] = []
    for key, node in true_keys.items():
        if key not in found_keys:
            continue
        pairs = zip(
            _compared(true, node, processors),
            _compared(estimate, found_keys[key], processors if found_processors is None else found_processors),
            strict=True,
        )
        dry = None if sources is None else _dry(true.graph, node, sources)
        label = true.graph.label(node)
        for true_part, found_part in pairs:
            errors += [QuantityError(label, key.type, *error) for error in _errors(true_part, found_part, dry)]
    order = {t: i for i, t in enumerate(sorted({error.type for error in errors}))}
    return ParameterErrors(tuple(sorted(errors, key=lambda error: order[error.type])))


def _compared(setting: Setting, node: int, processors: Processors) -> tuple[Compared, ...]:
    row, node_type = setting.graph.rows[node], setting.graph.types[node]
    parameters = {
        name: value[row : row + 1].detach().double().cpu() for name, value in setting.parameters[node_type].items()
    }
    weight = setting.weights[setting.graph.processors.index(node)]
    return processors[node_type].quantities(NodeValues(parameters, float(weight.detach().double())))


def _dry(graph: MixGraph, node: int, sources: Tensor) -> Tensor:
    """Returns the sum of the dry tracks upstream of a node, (2, L)."""
    upstream, waiting = set(), [node]
    while waiting:
        current = waiting.pop()
        if current not in upstream:
            upstream.add(current)
            waiting += graph.predecessors[current]
    return sources[[graph.rows[i] for i in sorted(upstream) if graph.types[i] == INPUT]].sum(dim=0)


# Each function below returns (quantity, unit, error, true value, found value) for every quantity that it compares.

_Error = tuple[str, str, float, float | None, float | None]


def _errors(true: Compared, estimate: Compared, dry: Tensor | None) -> list[_Error]:
    match true, estimate:
        case Quantity(), Quantity():
            return [_quantity_error(true, estimate)]
        case Response(), Response():
            return _response_errors(true, estimate, dry)
        case Taps(), Taps():
            return _tap_errors(true, estimate)
    raise TypeError(f"quantities: two of one kind are needed, got {type(true).__name__} and {type(estimate).__name__}")


def _quantity_error(true: Quantity, estimate: Quantity) -> _Error:
    average = torch.mean if true.average == "mean" else torch.median
    error = float(average((estimate.values - true.values).abs()))
    if not true.stated:
        return true.name, true.unit, error, None, None
    return true.name, true.unit, error, float(average(true.values)), float(average(estimate.values))


def _response_errors(true: Response, estimate: Response, dry: Tensor | None) -> list[_Error]:
    means = third_octave_means(true.hertz)
    difference = means @ (estimate.levels_db - true.levels_db)
    if dry is not None:
        difference = difference[_bands_with_energy(dry, true.hertz, means)]
    shape = difference - difference.mean()
    return [
        ("response", "dB", float(difference.abs().mean()), None, None),
        ("shape", "dB", float(shape.abs().mean()), None, None),
    ]


def _bands_with_energy(dry: Tensor, hertz: Tensor, means: Tensor) -> Tensor:
    taps = 2 * hertz.numel() - 1
    frames = dry.cpu().double()[:, : dry.shape[-1] // taps * taps].unflatten(-1, (-1, taps))
    spectrum = torch.fft.rfft(frames * torch.hann_window(taps, dtype=torch.float64)).abs().square().sum(dim=(0, 1))
    energy = means @ spectrum
    if not energy.max() > 0:
        return torch.ones_like(energy, dtype=torch.bool)
    return energy > energy.max() * 10 ** (-ENERGY_RANGE_DB / 10)


def _tap_errors(true: Taps, estimate: Taps) -> list[_Error]:
    errors: list[_Error] = []
    taps = zip(true.ms, estimate.ms, true.levels_db, estimate.levels_db, strict=True)
    for true_ms, found_ms, true_db, found_db in taps:
        if true_db >= max(true.levels_db) - LOUD_TAP_DB:
            errors.append(("tap delay", "ms", abs(found_ms - true_ms), true_ms, found_ms))
            errors.append(("tap level", "dB", abs(found_db - true_db), true_db, found_db))
    return errors
