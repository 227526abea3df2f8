"""The settings of a found graph as people read them: in dB, Hz, ms and ratios, as they act."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mixgraph.graph.types import SEND, MixGraph
from mixgraph.processors import Processor, Processors
from mixgraph.processors.band_splitter import BandSplitter
from mixgraph.processors.delay import MultitapDelay
from mixgraph.processors.dynamics import DynamicRangeProcessor
from mixgraph.processors.fader import Fader
from mixgraph.processors.late_reverb import LateReverb
from mixgraph.processors.parametric_equalizer import ParametricEqualizer
from mixgraph.processors.readings import (
    acting_ratio,
    acting_threshold_db,
    blend,
    frequency_response,
    is_wet_only,
    tap_levels_db,
    to_db,
    wet_against_dry,
)
from mixgraph.processors.reverb import BINS, RATE, Reverb
from mixgraph.processors.saturator import Saturator
from mixgraph.report.drawing.palette import type_label

_OCTAVES = (63, 125, 250, 500, 1000, 2000, 4000, 8000, 16000)
_T60_HZ = (250, 1000, 4000)
_LOUD_DB, _MOST_TAPS = 12.0, 4  # taps that are told: this far below the loudest
DYNAMICS = {
    "log_threshold": "threshold",
    "log_ratio": "ratio",
    "log_knee": "knee",
    "smoothing_logit": "time constant",
    "attack_logit": "attack",
    "release_logit": "release",
    "log_makeup": "make-up",
}
LOWEST_HZ, _POINTS = 40.0, 400


@dataclass(frozen=True, eq=False)
class NodeSettings:
    """One processor of a found graph.

    Attributes:
        node: its number in the graph.
        place: the chain that it is in, e.g. `track kick`.
        name: of its type; of a send, with the bus.
        processor: of its type.
        values: its parameters, (1, *shape) each, float64, on the CPU.
        weight: dry/wet.
        offset_db: of the tracks' own level against the level in the search.
        num_samples: of the song.
        loss_increase: without it (paper eq. 9), where it was measured.
    """

    node: int
    place: str
    name: str
    processor: Processor
    values: dict[str, Tensor]
    weight: float
    offset_db: float
    num_samples: int
    loss_increase: float | None

    def text(self) -> str:
        """The settings in a line. Gains and responses are as they act, with the dry sound; levels the tracks' own."""
        return _text(self)


def read_settings(
    graph: MixGraph,
    processors: Processors,
    parameters: Mapping[str, Mapping[str, Tensor]],
    weights: Tensor,
    num_samples: int,
    level: float = 1.0,
    loss_increases: Tensor | None = None,
) -> list[NodeSettings]:
    """The settings of all processors, chain by chain as the graph numbers them, in a chain in the order of the signal.

    Args:
        graph: found.
        processors: one module a type.
        parameters: type -> name -> (nodes of the type, *shape).
        weights: dry/wet, (processors,).
        num_samples: of the song, at the rate of the processors.
        level: the factor that the tracks were multiplied by in the search.
        loss_increases: of each processor, (processors,), where they were measured.
    """
    number = {node: i for i, node in enumerate(graph.processors)}
    found: dict[str, list[NodeSettings]] = {}
    for node in graph.topological_order:
        if node not in number:
            continue
        node_type, row, i = graph.types[node], graph.rows[node], number[node]
        place, _, name = graph.label(node).rpartition(": ")
        settings = NodeSettings(
            node,
            place,
            name if node_type == SEND else type_label(node_type),
            processors[node_type],
            {n: v[row : row + 1].detach().cpu().double() for n, v in parameters[node_type].items()},
            float(weights[i]),
            -20 * math.log10(level),
            num_samples,
            None if loss_increases is None else float(loss_increases[i]),
        )
        found.setdefault(place, []).append(settings)
    chains = sorted(found.values(), key=lambda chain: min(own.node for own in chain))
    return [settings for chain in chains for settings in chain]


def settings_text(
    settings: Sequence[NodeSettings],
    title: str,
    sample_rate: int,
    verdict: Sequence[str] = (),
    unmeasured: str = "",
    notes: Mapping[str, str] | None = None,
) -> str:
    """All settings as plain text, a paragraph a chain.

    Args:
        settings: of `read_settings`.
        title: of the song.
        sample_rate: that the graph runs at.
        verdict: lines on how close the result is, for the head.
        unmeasured: why loss increases are missing, where they are.
        notes: place -> what is to be said of the chain, e.g. that its track is silent. Places without processors are
            listed at the end.
    """
    notes = dict(notes or {})
    lines = [
        f"{title}: {len(settings)} processors, chain by chain.",
        "",
        *(verdict and [*verdict, ""]),
        "Gains, responses and taps are as they act, with the dry sound mixed in; an equalizer is told by octaves,",
        "its mean over each. Thresholds are at the tracks' own level (RMS, full scale is 0 dB).",
        f"The graph runs at {sample_rate} Hz: nothing above {sample_rate / 2000:g} kHz.",
        "wet: dry/wet weight. loss: how much the match loss rises without the processor",
        f"(- where it was not measured{': ' * bool(unmeasured)}{unmeasured}).",
    ]
    place = None
    for own in settings:
        if own.place != place:
            place = own.place
            head = f"{place}{', ' * (place in notes)}{notes.pop(place, '')}"
            lines += ["", f"{head:<43} wet    loss"]
        rise = "     -" if own.loss_increase is None else f"{own.loss_increase:+.3f}"
        lines.append(f"  {own.name:<40}{own.weight:5.0%}  {rise}   {own.text()}".rstrip())
    if notes:
        lines += ["", "Without processors:", *(f"  {place}{', ' * bool(note)}{note}" for place, note in notes.items())]
    return "\n".join(lines) + "\n"


# Text.


def _text(own: NodeSettings) -> str:
    processor = own.processor
    if isinstance(processor, DynamicRangeProcessor):
        return ", ".join(dynamics_told(own))
    if isinstance(processor, MultitapDelay):
        return _delay_text(own)
    if isinstance(processor, Reverb):
        more = generic(own, ("log_colour", "log_width")) if isinstance(processor, LateReverb) else ()
        return ", ".join([_reverb_text(own), *more])
    if isinstance(processor, Fader):
        low, high = fader_db(own)[1].aminmax()
        return f"between {low:+.1f} and {high:+.1f} dB"
    if isinstance(processor, Saturator):
        drive, bias = in_units(own, "log_drive")[0], in_units(own, "bias")[0]
        return f"drive {drive - own.offset_db:+.1f} dB, bias {bias:+.2f}"
    if processor.outlets > 1:
        gains = ", ".join(f"{name} {level:+.1f} dB" for name, level in gains_db(own))
        return ", ".join(["crossover " + crossover(own), gains] if isinstance(processor, BandSplitter) else [gains])
    if processor.linear:
        if processor.after:
            told = "dB at " + ", ".join(f"{_hz(hz)} {level:+.1f}" for hz, level in octave_gains_db(own).items())
            return f"{told}; {_bands_text(own)}" if isinstance(processor, ParametricEqualizer) else told
        return ", ".join(f"{name} {level:+.1f} dB" for name, level in gains_db(own))
    return ", ".join(generic(own))


def dynamics_told(own: NodeSettings) -> list[str]:
    """Threshold, ratio, knee and times as they act: `threshold -20.0 dB`, `ratio 4:1`, and so on."""
    assert isinstance(own.processor, DynamicRangeProcessor)
    told = []
    for name, label in DYNAMICS.items():
        if name not in own.values:
            continue
        declared = own.processor.specification[name]
        value = float(declared.to_unit(own.values[name]))
        if label == "threshold":
            told.append(_threshold(own.processor, acting_threshold_db(own.processor, own.values) + own.offset_db))
        elif label == "ratio":
            told.append(f"ratio {_short(acting_ratio(own.processor, own.values))}:1")
        elif declared.unit == "dB":
            told.append(f"{label} {value:.1f} dB")
        else:
            told.append(f"{label} {_short(value)} {declared.unit}")
    return told


def _threshold(processor: DynamicRangeProcessor, level: float) -> str:
    if math.isfinite(level):
        return f"threshold {level:.1f} dB"
    return "acts at every level" if processor.direction > 0 else "never acts"


def _bands_text(own: NodeSettings) -> str:
    """The six bands as an engineer sets them, wet alone."""
    bands = zip(*(in_units(own, name) for name in ("frequency_logit", "log_gain", "q_logit")), strict=True)
    return "wet bands " + ", ".join(f"{hz:.0f} Hz {db:+.1f} dB Q {q:.1f}" for hz, db, q in bands)


def _delay_text(own: NodeSettings) -> str:
    ms, levels = taps(own)
    loud = [i for i in range(len(levels)) if levels[i] >= max(levels) - _LOUD_DB]
    told = sorted(sorted(loud, key=lambda i: -levels[i])[:_MOST_TAPS], key=lambda i: ms[i])
    half = len(levels) // 2
    text = ", ".join(f"{'left' if i < half else 'right'} {ms[i]:.0f} ms {levels[i]:+.1f} dB" for i in told)
    more = f", and {len(loud) - len(told)} more" if len(loud) > len(told) else ""
    return f"{'wet only, ' if is_wet_only(own.weight) else ''}{text}{more}"


def _reverb_text(own: NodeSettings) -> str:
    seconds = decay_seconds(own)
    told = ", ".join(f"{value:.1f} s at {_hz(hz)}" for hz, value in seconds.items() if math.isfinite(value))
    lasting = ", ".join(_hz(hz) for hz, value in seconds.items() if not math.isfinite(value))
    decays = [f"T60 {told} (mid)"] if told else []
    decays += [f"no decay at {lasting} (mid)"] if lasting else []
    loud = 20 * math.log10(max(wet_against_dry(own.weight), 1e-9))
    return ", ".join([*decays, "wet only" if is_wet_only(own.weight) else f"{loud:+.1f} dB against the dry sound"])


def generic(own: NodeSettings, names: Collection[str] | None = None) -> Iterator[str]:
    """Each parameter of a processor, or some of them, in its unit, wet alone."""
    for name, declared in own.processor.specification.items():
        if names is not None and name not in names:
            continue
        values = in_units(own, name)
        unit = "" if declared.unit == "1" else f" {declared.unit}"
        shown = ", ".join(f"{v:.3g}" for v in values) if len(values) < 4 else f"{min(values):.3g} to {max(values):.3g}"
        yield f"{declared.description or name} {shown}{unit}"


def crossover(own: NodeSettings) -> str:
    """The frequency of a band splitter, `873 Hz`."""
    return f"{in_units(own, 'frequency_logit')[0]:.0f} Hz"


def in_units(own: NodeSettings, name: str) -> list[float]:
    """A parameter in its unit."""
    found: list[float] = own.processor.specification[name].to_unit(own.values[name])[0].flatten().tolist()
    return found


def _short(value: float) -> str:
    if math.isinf(value):
        return "∞"
    return f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"


def _hz(hertz: float) -> str:
    return f"{hertz:g}" if hertz < 1000 else f"{hertz / 1000:g}k"


# Readings.


def response_db(own: NodeSettings) -> tuple[Tensor, Tensor]:
    """Frequencies in Hz, evenly in octaves, and what the processor does there in dB."""
    highest = math.log10(0.5 * own.processor.sample_rate)
    hertz = torch.logspace(math.log10(LOWEST_HZ), highest, _POINTS, dtype=torch.float64)
    return hertz, to_db(blend(own.processor, frequency_response(own.processor, own.values, hertz)[0], own.weight))


def octave_gains_db(own: NodeSettings) -> dict[int, float]:
    """Middle of each octave in Hz -> what the processor does there in dB, on the mean."""
    hertz, levels = response_db(own)
    octaves = [hz for hz in _OCTAVES if hz < 0.4 * own.processor.sample_rate]
    return {hz: _octave_mean(hertz, levels, hz) for hz in octaves}


def decay_seconds(own: NodeSettings) -> dict[int, float]:
    """Middle of an octave in Hz -> T60 of mid there; infinity where the reverb does not decay."""
    hertz, mid, _ = decay_rates(own)
    rates = {hz: _octave_mean(hertz, mid, hz) for hz in _T60_HZ}
    return {hz: 1 / rate if rate > 0 else math.inf for hz, rate in rates.items()}


def _octave_mean(hertz: Tensor, values: Tensor, centre: float) -> float:
    near = (hertz / centre).log2().abs() <= 0.5
    return float(values[near].mean())


def gains_db(own: NodeSettings) -> list[tuple[str, float]]:
    """The gain of each channel, of the side, or of each outlet of a splitter, by name."""
    processor = own.processor
    if processor.outlets > 1:
        wet = torch.exp(own.values["log_gain"][0])
        dry = (1 - own.weight) * torch.eye(processor.outlets, dtype=wet.dtype)[0]  # goes to the first outlet
        return list(zip(processor.outlet_names, to_db(dry + own.weight * wet).tolist(), strict=True))
    levels = to_db(blend(processor, processor.impulse_response(own.values)[0, :, 0], own.weight)).tolist()
    if len(levels) == 1:
        return [("gain", levels[0])]
    if processor.channels == "mid_side":
        return [(name, level) for name, level in zip(("mid", "side"), levels, strict=True) if name == "side" or level]
    return list(zip(("left", "right"), levels, strict=True))


def saturation(own: NodeSettings) -> tuple[Tensor, Tensor]:
    """Samples of the tracks, from -1 to 1, and what a saturator makes of them."""
    loudness = 10 ** (-own.offset_db / 20)
    before = torch.linspace(-1, 1, 201, dtype=torch.float64)
    wet = own.processor.process(loudness * before.view(1, 1, -1), own.values)[0].flatten() / loudness
    return before, torch.lerp(before, wet, own.weight)


def taps(own: NodeSettings) -> tuple[list[float], list[float]]:
    assert isinstance(own.processor, MultitapDelay)
    delays = own.processor.specification["delay_z"].to_unit(own.values["delay_z"])[0, :, 0]
    return delays.tolist(), tap_levels_db(own.processor, own.values, own.weight).tolist()


def decay_rates(own: NodeSettings) -> tuple[Tensor, Tensor, Tensor]:
    """Frequencies in Hz, and 1 / T60 of mid and side in 1/s; not above 0 where the reverb does not decay."""
    hertz = torch.arange(BINS, dtype=torch.float64) * (RATE / (2 * (BINS - 1)))
    declared = own.processor.specification
    if isinstance(own.processor, LateReverb):
        rate = 1 / declared["log_t60"].to_unit(own.values["log_t60"] @ own.processor.knots.double())
        return hertz, rate[0], rate[0]
    mid, side = 1 / declared["delta_log_magnitude"].to_unit(own.values["delta_log_magnitude"])[0]
    return hertz, mid, side


def fader_db(own: NodeSettings) -> tuple[Tensor, Tensor]:
    """Seconds and gains in dB at the fader's points within the song, and at its end."""
    assert isinstance(own.processor, Fader)
    points, interval = own.values["log_gain"][0], own.processor.interval
    last = min((own.num_samples - 1) / interval, len(points) - 1)
    whole = int(last)
    end = torch.lerp(points[whole], points[min(whole + 1, len(points) - 1)], last - whole)
    wet = torch.cat((points[: whole + 1], end.view(1))).exp()
    place = torch.cat((torch.arange(whole + 1, dtype=wet.dtype), torch.tensor([last], dtype=wet.dtype)))
    return place * (interval / own.processor.sample_rate), to_db(blend(own.processor, wet, own.weight))
