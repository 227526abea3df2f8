"""How far the settings of processors that both graphs have are from each other, in physical units."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from mixgraph.dsp.third_octaves import third_octave_means
from mixgraph.graph.types import INPUT, MixGraph
from mixgraph.processors import Processors
from mixgraph.processors.dynamics import ENERGY_FLOOR
from mixgraph.processors.equalizer import Equalizer
from mixgraph.processors.readings import (
    STEEPEST_RATIO,
    acting_ratio,
    acting_threshold_db,
    blend,
    static_gain,
    tap_levels_db,
    to_db,
)
from mixgraph.recovery.agreement import markdown, matched_keys

LOUD_TAP_DB = 12.0  # a tap is loud if it is at most this far below the loudest of its node
ENERGY_RANGE_DB = 40.0  # bands farther below the loudest band of the dry sound are not compared
_STATIC_LEVELS_DB = (-48, 1, 2)  # range of input levels at which static curves are compared

_Reading = TypeVar("_Reading")
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
        node: label of the processor.
        type: of the processor.
        quantity: what is compared; see `parameter_errors`.
        unit: of all three numbers.
        error: absolute, or a mean or median of absolute errors.
        true, found: the values, where the quantity is a single one.
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
        """One row a type and quantity."""
        groups: dict[tuple[str, str, str], list[float]] = {}
        for value in self.values:
            groups.setdefault((value.type, value.quantity, value.unit), []).append(value.error)
        return tuple(
            ErrorSummary(*key, len(errors), median(errors), fmean(errors), max(errors))
            for key, errors in groups.items()
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
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
    found: Setting,
    processors: Processors,
    sources: Tensor | None = None,
    found_processors: Processors | None = None,
) -> ParameterErrors:
    """Compares the settings of the processors that two graphs share, in physical units.

    Settings count as they act, dry/wet weight included: a gain of g with weight w is a gain of 1 - w + w g.

    - gain_panning: `left`, `right` and, free of the level that other processors may share, `balance`; dB.
    - stereo_imager: `side`, dB.
    - equalizer: `response`, mean over third-octave bands, dB; `shape`, the same with the mean difference taken out.
    - compressor, noisegate: `threshold`, `knee` (dB), `ratio` (:1), `time constant` (ms), `weight`, and `curve`:
      the static gain, mean over input levels from -48 to 0 dB, dB.
    - reverb: `T60 mid`, `T60 side`, median over bins, s; `colour`, median difference of the initial levels with
      the mean taken out, dB; `weight`.
    - delay: for each loud tap (12 dB below the loudest or more) of the truth and the found tap in the same channel
      and segment, `tap delay` in ms and `tap level` against the dry sound in dB; `weight`.
    - any other type: every parameter in its unit, mean over its entries, and `weight`.

    Args:
        true: the graph that made the mix.
        found: what a search found.
        processors: one module a type, of the truth.
        sources: (inputs, 2, L); if given, equalizers are compared in bands where their dry tracks have energy.
        found_processors: of what was found, where its processors have other options.

    Raises:
        ValueError: the graphs have different tracks or subgroups.
    """
    ours, theirs = matched_keys(true.graph, found.graph)
    values: list[QuantityError] = []
    for key, node in ours.items():
        if key not in theirs:
            continue
        pair = _Pair(
            true.graph.label(node),
            _side(true, node, processors),
            _side(found, theirs[key], processors if found_processors is None else found_processors),
            None if sources is None else _dry(true.graph, node, sources),
        )
        values += _COMPARE.get(key.type, _compare_any)(pair)
    order = {t: i for i, t in enumerate(sorted({v.type for v in values}))}
    return ParameterErrors(tuple(sorted(values, key=lambda v: order[v.type])))


def _side(setting: Setting, node: int, processors: Processors) -> _Side:
    row, node_type = setting.graph.rows[node], setting.graph.types[node]
    values = {
        name: value[row : row + 1].detach().double().cpu() for name, value in setting.parameters[node_type].items()
    }
    weight = setting.weights[setting.graph.processors.index(node)]
    return _Side(processors[node_type], values, float(weight.detach().double()))


def _dry(graph: MixGraph, node: int, sources: Tensor) -> Tensor:
    """The sum of the dry tracks upstream of a node, (2, L)."""
    upstream, waiting = set(), [node]
    while waiting:
        current = waiting.pop()
        if current not in upstream:
            upstream.add(current)
            waiting += graph.predecessors[current]
    return sources[[graph.rows[i] for i in sorted(upstream) if graph.types[i] == INPUT]].sum(dim=0)


# Comparing.


@dataclass(frozen=True, eq=False)
class _Side:
    """One processor in one graph: parameters as (1, *shape) float64 and the dry/wet weight."""

    processor: Any
    values: dict[str, Tensor]
    weight: float

    def unit(self, name: str) -> Tensor:
        """A parameter as people read it, *shape."""
        return self.processor.specification[name].to_unit(self.values[name])[0]

    def blended_db(self, wet: Tensor) -> Tensor:
        """What a wet gain amounts to beside the dry sound, in dB."""
        return to_db(blend(self.processor, wet, self.weight))


@dataclass(frozen=True, eq=False)
class _Pair:
    """One processor in both graphs, and the dry sound if it is known."""

    node: str
    true: _Side
    found: _Side
    dry: Tensor | None

    def error(
        self, quantity: str, unit: str, error: float, true: float | None = None, found: float | None = None
    ) -> QuantityError:
        return QuantityError(self.node, self.true.processor.name, quantity, unit, error, true, found)

    def single(self, quantity: str, unit: str, true: float, found: float) -> QuantityError:
        return self.error(quantity, unit, abs(found - true), true, found)

    def weight(self) -> QuantityError:
        return self.single("weight", "1", self.true.weight, self.found.weight)

    def units(self, name: str) -> tuple[Tensor, Tensor]:
        return self.true.unit(name), self.found.unit(name)

    def both(self, of: Callable[[_Side], _Reading]) -> tuple[_Reading, _Reading]:
        return of(self.true), of(self.found)


def _compare_gain(pair: _Pair) -> list[QuantityError]:
    both = pair.both(lambda side: side.blended_db(torch.exp(side.values["log_gain"][0])))
    true, found = (gains.tolist() for gains in both)
    errors = [pair.single(name, "dB", true[i], found[i]) for i, name in enumerate(("left", "right"))]
    return [*errors, pair.single("balance", "dB", true[0] - true[1], found[0] - found[1])]


def _compare_imager(pair: _Pair) -> list[QuantityError]:
    true, found = pair.both(lambda side: side.blended_db(torch.exp(side.values["log_gain"][0, 0])))
    return [pair.single("side", "dB", float(true), float(found))]


def _compare_equalizer(pair: _Pair) -> list[QuantityError]:
    equalizer: Equalizer = pair.true.processor
    bins = equalizer.num_bins
    hertz = torch.arange(bins, dtype=torch.float64) * (equalizer.sample_rate / (2 * bins - 1))
    means = third_octave_means(hertz)

    def response(side: _Side) -> Tensor:
        taps = side.processor.impulse_response(side.values)[0, 0]
        return side.blended_db(torch.fft.fft(torch.roll(taps, -side.processor.before)).real[:bins])

    true, found = pair.both(response)
    difference = means @ (found - true)
    if pair.dry is not None:
        difference = difference[_bands_with_energy(pair.dry, hertz, means)]
    shape = difference - difference.mean()
    return [
        pair.error("response", "dB", float(difference.abs().mean())),
        pair.error("shape", "dB", float(shape.abs().mean())),
    ]


def _bands_with_energy(dry: Tensor, hertz: Tensor, means: Tensor) -> Tensor:
    taps = 2 * hertz.numel() - 1
    frames = dry.cpu().double()[:, : dry.shape[-1] // taps * taps].unflatten(-1, (-1, taps))
    spectrum = torch.fft.rfft(frames * torch.hann_window(taps, dtype=torch.float64)).abs().square().sum(dim=(0, 1))
    energy = means @ spectrum
    if not energy.max() > 0:
        return torch.ones_like(energy, dtype=torch.bool)
    return energy > energy.max() * 10 ** (-ENERGY_RANGE_DB / 10)


def _compare_dynamics(pair: _Pair) -> list[QuantityError]:
    errors = [
        pair.single("threshold", "dB", *pair.both(_threshold_db)),
        pair.single("ratio", ":1", *pair.both(_ratio)),
    ]
    for quantity, name, unit in (("knee", "log_knee", "dB"), ("time constant", "smoothing_logit", "ms")):
        true, found = pair.units(name)
        errors.append(pair.single(quantity, unit, float(true), float(found)))
    levels = torch.arange(*_STATIC_LEVELS_DB, dtype=torch.float64)
    true_db, found_db = pair.both(lambda side: side.blended_db(static_gain(side.processor, side.values, levels)))
    return [*errors, pair.error("curve", "dB", float((found_db - true_db).abs().mean())), pair.weight()]


def _threshold_db(side: _Side) -> float:
    """As it acts, see `acting_threshold_db`; one that the detector never falls below counts as the detector's floor."""
    return max(acting_threshold_db(side.processor, side.values), 10 * math.log10(ENERGY_FLOOR))


def _ratio(side: _Side) -> float:
    """As it acts, see `acting_ratio`; an infinite one counts as the steepest that is told apart."""
    return min(acting_ratio(side.processor, side.values), STEEPEST_RATIO)


def _compare_reverb(pair: _Pair) -> list[QuantityError]:
    true, found = pair.units("delta_log_magnitude")
    errors = [
        pair.error(f"T60 {name}", "s", float((f - t).abs().median()), float(t.median()), float(f.median()))
        for name, t, f in zip(("mid", "side"), true, found, strict=True)
    ]
    true, found = pair.units("init_log_magnitude")
    colour = (found - found.mean()) - (true - true.mean())
    return [*errors, pair.error("colour", "dB", float(colour.abs().median())), pair.weight()]


def _compare_delay(pair: _Pair) -> list[QuantityError]:
    true_ms, found_ms = (value[:, 0].tolist() for value in pair.units("delay_z"))
    levels = pair.both(lambda side: tap_levels_db(side.processor, side.values, side.weight))
    true_db, found_db = (level.tolist() for level in levels)
    errors = []
    for tap, level in enumerate(true_db):
        if level >= max(true_db) - LOUD_TAP_DB:
            errors.append(pair.single("tap delay", "ms", true_ms[tap], found_ms[tap]))
            errors.append(pair.single("tap level", "dB", level, found_db[tap]))
    return [*errors, pair.weight()]


def _compare_any(pair: _Pair) -> list[QuantityError]:
    errors = []
    for name, declared in pair.true.processor.specification.items():
        true, found = pair.units(name)
        errors.append(pair.error(name, declared.unit, float((found - true).abs().mean())))
    return [*errors, pair.weight()]


_COMPARE: dict[str, Callable[[_Pair], list[QuantityError]]] = {
    "compressor": _compare_dynamics,
    "delay": _compare_delay,
    "equalizer": _compare_equalizer,
    "gain_panning": _compare_gain,
    "noisegate": _compare_dynamics,
    "reverb": _compare_reverb,
    "stereo_imager": _compare_imager,
}
