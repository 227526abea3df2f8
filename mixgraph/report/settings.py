"""The settings of a found graph as people read them: in dB, Hz, ms and ratios, as text and as one panel a processor."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from mixgraph.dsp.third_octaves import third_octave_means
from mixgraph.graph.draw import printable
from mixgraph.graph.palette import INK, QUIET, type_colour, type_label
from mixgraph.graph.types import SEND, MixGraph
from mixgraph.processors import Processor, Processors
from mixgraph.processors.delay import MultitapDelay
from mixgraph.processors.dynamics import DynamicRangeProcessor
from mixgraph.processors.fader import Fader
from mixgraph.processors.late_reverb import LateReverb
from mixgraph.processors.readings import (
    blend,
    frequency_response,
    static_gain,
    tap_levels_db,
    to_db,
    wet_against_dry,
)
from mixgraph.processors.reverb import BINS, RATE, Reverb

_OCTAVES = (63, 125, 250, 500, 1000, 2000, 4000, 8000, 16000)
_T60_HZ = (250, 1000, 4000)
_LOUD_DB, _MOST_TAPS = 12.0, 4  # taps that are told: this far below the loudest
_DYNAMICS = {
    "log_threshold": "threshold",
    "log_ratio": "ratio",
    "log_knee": "knee",
    "smoothing_logit": "time constant",
    "attack_logit": "attack",
    "release_logit": "release",
    "log_makeup": "make-up",
}
_COLUMNS, _PANEL = 6, (2.6, 1.9)  # panels in a row; inches
_LEVELS_DB = torch.arange(-60.0, 0.5, 1.0, dtype=torch.float64)
_LOWEST_HZ, _POINTS = 40.0, 400
_TITLE = 25  # characters of a chain's name and a type
_LEFT, _RIGHT = "#0072B2", "#D55E00"


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
        loss_increase: without it (paper eq. 9), where it was measured.
    """

    node: int
    place: str
    name: str
    processor: Processor
    values: dict[str, Tensor]
    weight: float
    offset_db: float
    loss_increase: float | None

    def text(self) -> str:
        """The settings in a line. Gains and responses are as they act, with the dry sound; levels the tracks' own."""
        return _text(self)


def read_settings(
    graph: MixGraph,
    processors: Processors,
    parameters: Mapping[str, Mapping[str, Tensor]],
    weights: Tensor,
    level: float = 1.0,
    loss_increases: Tensor | None = None,
) -> list[NodeSettings]:
    """The settings of all processors, chain by chain, in the order of the signal.

    Args:
        graph: found.
        processors: one module a type.
        parameters: type -> name -> (nodes of the type, *shape).
        weights: dry/wet, (processors,).
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
            None if loss_increases is None else float(loss_increases[i]),
        )
        found.setdefault(place, []).append(settings)
    return [settings for chain in found.values() for settings in chain]


def settings_text(settings: Sequence[NodeSettings], title: str, sample_rate: int) -> str:
    """All settings as plain text, a paragraph a chain.

    Args:
        settings: of `read_settings`.
        title: of the song.
        sample_rate: that the graph runs at.
    """
    lines = [
        f"{title}: {len(settings)} processors, chain by chain.",
        "",
        "Gains, responses and taps are as they act, with the dry sound mixed in (but splitters); an equalizer is",
        "told by octaves, its mean over each. Thresholds are at the tracks' own level (RMS, full scale is 0 dB).",
        f"The graph runs at {sample_rate} Hz: nothing above {sample_rate / 2000:g} kHz.",
        "wet: dry/wet weight. loss: how much the match loss rises without the processor (- where not measured).",
    ]
    place = None
    for own in settings:
        if own.place != place:
            place = own.place
            lines += ["", f"{place:<43} wet    loss"]
        rise = "     -" if own.loss_increase is None else f"{own.loss_increase:+.3f}"
        lines.append(f"  {own.name:<40}{own.weight:5.0%}  {rise}   {own.text()}".rstrip())
    return "\n".join(lines) + "\n"


def settings_figure(settings: Sequence[NodeSettings], title: str) -> Figure:
    """One panel a processor, chain by chain: responses, static curves, gains, taps and decay times, wet share at right.

    Responses and decay times are means over third octaves, responses with their full detail behind.

    Args:
        settings: of `read_settings`.
        title: of the song.
    """
    rows = max(1, math.ceil(len(settings) / _COLUMNS))
    size = (_COLUMNS * _PANEL[0], rows * _PANEL[1] + 0.5)
    figure = Figure(figsize=size, dpi=100, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(printable(title), fontsize=12, fontweight="bold", parse_math=False)
    grid = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axes, own in zip(grid, settings, strict=False):
        _draw(axes, own)
    for axes in grid[len(settings) :]:
        axes.set_axis_off()
    return figure


# Text.


def _text(own: NodeSettings) -> str:
    processor = own.processor
    if isinstance(processor, DynamicRangeProcessor):
        return _dynamics_text(own)
    if isinstance(processor, MultitapDelay):
        return _delay_text(own)
    if isinstance(processor, Reverb):
        return _reverb_text(own)
    if isinstance(processor, Fader):
        low, high = _fader_db(own)[1].aminmax()
        return f"between {low:+.1f} and {high:+.1f} dB"
    if processor.linear and processor.outlets == 1:
        if processor.after:
            hertz, levels = _response_db(own)
            octaves = [hz for hz in _OCTAVES if hz < 0.4 * processor.sample_rate]
            return "dB at " + ", ".join(f"{_hz(hz)} {_octave_mean(hertz, levels, hz):+.1f}" for hz in octaves)
        return ", ".join(f"{name} {level:+.1f} dB" for name, level in _gains_db(own))
    return ", ".join(_generic(own))


def _dynamics_text(own: NodeSettings) -> str:
    told = []
    for name, label in _DYNAMICS.items():
        if name in own.values:
            declared = own.processor.specification[name]
            value = float(declared.to_unit(own.values[name]))
            if declared.unit == "dB":
                told.append(f"{label} {value + (own.offset_db if label == 'threshold' else 0.0):.1f} dB")
            else:
                shown = f"{value:.2g}" if value < 100 else f"{value:.0f}"
                told.append(f"{label} {shown}{':1' if label == 'ratio' else ' ' + declared.unit}")
    return ", ".join(told)


def _delay_text(own: NodeSettings) -> str:
    ms, levels = _taps(own)
    loud = [i for i in range(len(levels)) if levels[i] >= max(levels) - _LOUD_DB]
    told = sorted(sorted(loud, key=lambda i: -levels[i])[:_MOST_TAPS], key=lambda i: ms[i])
    half = len(levels) // 2
    text = ", ".join(f"{'left' if i < half else 'right'} {ms[i]:.0f} ms {levels[i]:+.1f} dB" for i in told)
    return text + (f", and {len(loud) - len(told)} more" if len(loud) > len(told) else "")


def _reverb_text(own: NodeSettings) -> str:
    hertz, mid, _ = _t60(own)
    told = (f"{_octave_mean(hertz, mid, hz):.1f} s at {_hz(hz)}" for hz in _T60_HZ)
    loud = 20 * math.log10(max(wet_against_dry(own.weight), 1e-9))
    return f"T60 {', '.join(told)} (mid), {loud:+.1f} dB against the dry sound"


def _generic(own: NodeSettings) -> Iterator[str]:
    for name, declared in own.processor.specification.items():
        values = declared.to_unit(own.values[name])[0].flatten().tolist()
        unit = "" if declared.unit == "1" else f" {declared.unit}"
        shown = ", ".join(f"{v:.3g}" for v in values) if len(values) < 4 else f"{min(values):.3g} to {max(values):.3g}"
        yield f"{declared.description or name} {shown}{unit}"


def _hz(hertz: float) -> str:
    return f"{hertz:g}" if hertz < 1000 else f"{hertz / 1000:g}k"


# Readings.


def _response_db(own: NodeSettings) -> tuple[Tensor, Tensor]:
    """Frequencies in Hz, evenly in octaves, and what the processor does there in dB."""
    highest = math.log10(0.5 * own.processor.sample_rate)
    hertz = torch.logspace(math.log10(_LOWEST_HZ), highest, _POINTS, dtype=torch.float64)
    return hertz, to_db(blend(own.processor, frequency_response(own.processor, own.values, hertz)[0], own.weight))


def _octave_mean(hertz: Tensor, values: Tensor, centre: float) -> float:
    near = (hertz / centre).log2().abs() <= 0.5
    return float(values[near].mean())


def _smooth(hertz: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Means over third-octave bands, at the means of their frequencies."""
    means = third_octave_means(hertz)
    return means @ hertz, means @ values


def _gains_db(own: NodeSettings) -> list[tuple[str, float]]:
    wet = own.processor.impulse_response(own.values)[0, :, 0]
    levels = to_db(blend(own.processor, wet, own.weight)).tolist()
    if len(levels) == 1:
        return [("gain", levels[0])]
    if own.processor.channels == "mid_side":
        return [(name, level) for name, level in zip(("mid", "side"), levels, strict=True) if name == "side" or level]
    return list(zip(("left", "right"), levels, strict=True))


def _taps(own: NodeSettings) -> tuple[list[float], list[float]]:
    assert isinstance(own.processor, MultitapDelay)
    delays = own.processor.specification["delay_z"].to_unit(own.values["delay_z"])[0, :, 0]
    return delays.tolist(), tap_levels_db(own.processor, own.values, own.weight).tolist()


def _t60(own: NodeSettings) -> tuple[Tensor, Tensor, Tensor]:
    """Frequencies in Hz, and T60 of mid and side in seconds."""
    hertz = torch.arange(BINS, dtype=torch.float64) * (RATE / (2 * (BINS - 1)))
    declared = own.processor.specification
    if isinstance(own.processor, LateReverb):
        rate = (1 / declared["log_t60"].to_unit(own.values["log_t60"])) @ own.processor.knots.double()
        return hertz, 1 / rate[0], 1 / rate[0]
    mid, side = declared["delta_log_magnitude"].to_unit(own.values["delta_log_magnitude"])[0]
    return hertz, mid, side


def _fader_db(own: NodeSettings) -> tuple[Tensor, Tensor]:
    assert isinstance(own.processor, Fader)
    wet = torch.exp(own.values["log_gain"][0])
    seconds = torch.arange(len(wet)) * (own.processor.interval / own.processor.sample_rate)
    return seconds, to_db(blend(own.processor, wet, own.weight))


# Panels.


def _draw(axes: Axes, own: NodeSettings) -> None:
    colour, processor = type_colour(own.processor.name), own.processor
    place, label = own.place.removeprefix("track "), own.name
    room = _TITLE - len(label)
    place = place if len(place) <= room else place[: room - 1] + "…"
    axes.set_title(printable(f"{place}: {label}"), fontsize=8, color=INK, loc="left", parse_math=False)
    axes.set_title(f"{own.weight:.0%}", fontsize=7, color=QUIET, loc="right")
    axes.tick_params(labelsize=6, length=2, pad=1.5)
    axes.grid(color="#E3E5E9", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if isinstance(processor, DynamicRangeProcessor):
        _draw_dynamics(axes, own, colour)
    elif isinstance(processor, MultitapDelay):
        _draw_delay(axes, own)
    elif isinstance(processor, Reverb):
        _draw_reverb(axes, own, colour)
    elif isinstance(processor, Fader):
        axes.plot(*_fader_db(own), color=colour)
        _label(axes, "s", "dB")
    elif processor.linear and processor.outlets == 1 and processor.after:
        _draw_response(axes, own, colour)
    elif processor.linear and processor.outlets == 1:
        _draw_gains(axes, own, colour)
    else:
        axes.text(
            0.02, 0.5, "\n".join(_generic(own)), fontsize=6.5, transform=axes.transAxes, va="center", clip_on=True
        ).set_in_layout(False)
        axes.set_xticks([])
        axes.set_yticks([])


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=6.5, labelpad=1)
    axes.set_ylabel(y, fontsize=6.5, labelpad=1)


def _log_frequency(axes: Axes, highest: float) -> None:
    axes.set_xscale("log")
    axes.set_xticks([100, 1000, 10000], ["100", "1k", "10k"])
    axes.minorticks_off()
    axes.set_xlim(_LOWEST_HZ, highest)  # ticks widen the limits


def _draw_response(axes: Axes, own: NodeSettings, colour: str) -> None:
    hertz, levels = _response_db(own)
    smooth = _smooth(hertz, levels)
    axes.axhline(0, color=QUIET, linewidth=0.6)
    axes.plot(hertz, levels, color=colour, linewidth=0.5, alpha=0.4)
    axes.plot(*smooth, color=colour, linewidth=1.4)
    limit = min(40.0, max(6.0, 1.2 * float(smooth[1].abs().max())))
    axes.set_ylim(-limit, limit)
    _log_frequency(axes, own.processor.sample_rate / 2)
    _label(axes, "Hz", "dB")


def _draw_dynamics(axes: Axes, own: NodeSettings, colour: str) -> None:
    assert isinstance(own.processor, DynamicRangeProcessor)
    gain = static_gain(own.processor, own.values, _LEVELS_DB - own.offset_db)
    axes.plot(_LEVELS_DB, _LEVELS_DB, color=QUIET, linewidth=0.6, linestyle="--")
    axes.plot(_LEVELS_DB, _LEVELS_DB + to_db(blend(own.processor, gain, own.weight)), color=colour, linewidth=1.4)
    told = _dynamics_text(own).split(", ")
    lines = "\n".join(line for line in told if not line.startswith("knee"))
    axes.text(0.97, 0.04, lines, fontsize=6, transform=axes.transAxes, ha="right", va="bottom", color=INK)
    axes.set_xlim(-60, 0)
    axes.set_ylim(-66, 3)
    _label(axes, "in (dB)", "out (dB)")


def _draw_delay(axes: Axes, own: NodeSettings) -> None:
    ms, levels = _taps(own)
    half, top = len(levels) // 2, max(levels)
    bottom = top - 36
    for which, colour, name in ((slice(None, half), _LEFT, "L"), (slice(half, None), _RIGHT, "R")):
        axes.vlines(ms[which], bottom, [max(x, bottom) for x in levels[which]], color=colour, linewidth=1.3, label=name)
    axes.set_xlim(0, 2000)
    axes.set_ylim(bottom, top + 3)
    axes.legend(fontsize=6, frameon=False, loc="upper right", ncols=2, handlelength=0.8, borderpad=0.1)
    _label(axes, "ms", "dB against dry")


def _draw_reverb(axes: Axes, own: NodeSettings, colour: str) -> None:
    hertz, *both = _t60(own)
    curves = [_smooth(hertz[1:], seconds[1:]) for seconds in both]
    for (x, y), name, style in zip(curves, ("mid", "side"), ("-", ":"), strict=True):
        axes.plot(x, y, color=colour, linewidth=1.3, linestyle=style, label=name)
    axes.set_ylim(0, 1.3 * max(float(y.max()) for _, y in curves))
    axes.legend(fontsize=6, frameon=False, loc="upper right", ncols=2, handlelength=1.2, borderpad=0.1)
    _log_frequency(axes, RATE / 2)
    _label(axes, "Hz", "T60 (s)")


def _draw_gains(axes: Axes, own: NodeSettings, colour: str) -> None:
    names, levels = zip(*_gains_db(own), strict=True)
    axes.barh(names[::-1], levels[::-1], color=colour, height=0.5)
    axes.axvline(0, color=QUIET, linewidth=0.6)
    limit = max(6.0, *(1.3 * abs(level) for level in levels))
    for place, level in enumerate(levels[::-1]):
        axes.text(level, place, f" {level:+.1f} ", fontsize=7, va="center", ha="left" if level >= 0 else "right")
    axes.set_xlim(-1.3 * limit, 1.3 * limit)
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.set_xlabel("dB", fontsize=6.5, labelpad=1)
