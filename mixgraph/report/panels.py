"""The settings of a found graph as a picture: one panel a processor."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from mixgraph.dsp.third_octaves import third_octave_means
from mixgraph.graph.draw import printable
from mixgraph.graph.palette import INK, QUIET, type_colour
from mixgraph.processors.band_splitter import BandSplitter
from mixgraph.processors.delay import MultitapDelay
from mixgraph.processors.dynamics import DynamicRangeProcessor
from mixgraph.processors.fader import Fader
from mixgraph.processors.readings import blend, is_wet_only, static_gain, to_db
from mixgraph.processors.reverb import RATE, Reverb
from mixgraph.processors.saturator import Saturator
from mixgraph.report.settings import (
    LOWEST_HZ,
    NodeSettings,
    crossover,
    decay_rates,
    dynamics_told,
    fader_db,
    gains_db,
    generic,
    response_db,
    saturation,
    taps,
)

_COLUMNS, _PANEL = 6, (2.6, 1.9)  # panels in a row; inches
_LEVELS_DB = torch.arange(-60.0, 0.5, 1.0, dtype=torch.float64)
_TITLE = 25  # characters of a chain's name and a type; longer ones are smaller
_LEAST_PLACE = 16  # of them, at least for the name
_LONGEST = 20.0  # s; decay times are drawn up to it
_LEFT, _RIGHT = "#0072B2", "#D55E00"


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


def _draw(axes: Axes, own: NodeSettings) -> None:
    colour, processor = type_colour(own.processor.name), own.processor
    place, label = printable(own.place.removeprefix("track ")), own.name
    room = max(_LEAST_PLACE, _TITLE - len(label))
    place = place if len(place) <= room else place[: room - 1] + "…"
    title = printable(f"{place}: {label}")
    size = 8 * min(1.0, (_TITLE + 2) / len(title))
    axes.set_title(title, fontsize=size, color=INK, loc="left", parse_math=False)
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
        axes.plot(*fader_db(own), color=colour)
        _label(axes, "s", "dB")
    elif isinstance(processor, Saturator):
        axes.plot([-1, 1], [-1, 1], color=QUIET, linewidth=0.6, linestyle="--")
        axes.plot(*saturation(own), color=colour, linewidth=1.4)
        _note(axes, own.text().replace(", ", "\n"))
        _label(axes, "in", "out")
    elif processor.outlets > 1:
        _draw_gains(axes, own, colour)
        if isinstance(processor, BandSplitter):
            _note(axes, crossover(own))
    elif processor.linear and processor.after:
        _draw_response(axes, own, colour)
    elif processor.linear:
        _draw_gains(axes, own, colour)
    else:
        axes.text(
            0.02, 0.5, "\n".join(generic(own)), fontsize=6.5, transform=axes.transAxes, va="center", clip_on=True
        ).set_in_layout(False)
        axes.set_xticks([])
        axes.set_yticks([])


def _note(axes: Axes, text: str) -> None:
    axes.text(0.97, 0.04, text, fontsize=6, transform=axes.transAxes, ha="right", va="bottom", color=INK)


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=6.5, labelpad=1)
    axes.set_ylabel(y, fontsize=6.5, labelpad=1)


def _log_frequency(axes: Axes, highest: float) -> None:
    axes.set_xscale("log")
    axes.set_xticks([100, 1000, 10000], ["100", "1k", "10k"])
    axes.minorticks_off()
    axes.set_xlim(LOWEST_HZ, highest)  # ticks widen the limits


def _smooth(hertz: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Means over third-octave bands, at the means of their frequencies."""
    means = third_octave_means(hertz)
    return means @ hertz, means @ values


def _draw_response(axes: Axes, own: NodeSettings, colour: str) -> None:
    hertz, levels = response_db(own)
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
    keyed = own.processor.inlets > 1  # what it turns down is not what it listens to
    gain = to_db(blend(own.processor, static_gain(own.processor, own.values, _LEVELS_DB - own.offset_db), own.weight))
    before = torch.zeros_like(_LEVELS_DB) if keyed else _LEVELS_DB
    axes.plot(_LEVELS_DB, before, color=QUIET, linewidth=0.6, linestyle="--")
    axes.plot(_LEVELS_DB, before + gain, color=colour, linewidth=1.4)
    _note(axes, "\n".join(told for told in dynamics_told(own) if not told.startswith("knee")))
    axes.set_xlim(-60, 0)
    if keyed:
        axes.set_ylim(min(-6.0, 1.2 * float(gain.min())), max(3.0, 1.2 * float(gain.max())))
    else:
        axes.set_ylim(-66, 3)
    _label(axes, "key (dB)" if keyed else "in (dB)", "gain (dB)" if keyed else "out (dB)")


def _draw_delay(axes: Axes, own: NodeSettings) -> None:
    ms, levels = taps(own)
    half, top = len(levels) // 2, max(levels)
    bottom = top - 36
    for which, colour, name in ((slice(None, half), _LEFT, "L"), (slice(half, None), _RIGHT, "R")):
        axes.vlines(ms[which], bottom, [max(x, bottom) for x in levels[which]], color=colour, linewidth=1.3, label=name)
    axes.set_xlim(0, 2000)
    axes.set_ylim(bottom, top + 3)
    axes.legend(fontsize=6, frameon=False, loc="upper right", ncols=2, handlelength=0.8, borderpad=0.1)
    _label(axes, "ms", "dB, wet only" if is_wet_only(own.weight) else "dB against dry")


def _draw_reverb(axes: Axes, own: NodeSettings, colour: str) -> None:
    hertz, *both = decay_rates(own)
    curves = [_smooth(hertz[1:], rates[1:]) for rates in both]
    seconds = [(1 / rates).where(rates > 1 / _LONGEST, torch.inf) for _, rates in curves]
    for (x, _), y, name, style in zip(curves, seconds, ("mid", "side"), ("-", ":"), strict=True):
        axes.plot(x, y.where(y.isfinite(), torch.nan), color=colour, linewidth=1.3, linestyle=style, label=name)
    finite = torch.cat(seconds)
    finite = finite[finite.isfinite()]
    if len(finite) < 2 * len(seconds[0]):
        axes.text(0.03, 0.04, f"gaps: over {_LONGEST:g} s", fontsize=6, transform=axes.transAxes, color=INK)
    axes.set_ylim(0, 1.3 * float(finite.max()) if len(finite) else _LONGEST)
    axes.legend(fontsize=6, frameon=False, loc="upper right", ncols=2, handlelength=1.2, borderpad=0.1)
    _log_frequency(axes, RATE / 2)
    _label(axes, "Hz", "T60 (s)")


def _draw_gains(axes: Axes, own: NodeSettings, colour: str) -> None:
    names, levels = zip(*gains_db(own), strict=True)
    axes.barh(names[::-1], levels[::-1], color=colour, height=0.5)
    axes.axvline(0, color=QUIET, linewidth=0.6)
    limit = max(6.0, *(1.3 * abs(level) for level in levels))
    for place, level in enumerate(levels[::-1]):
        axes.text(level, place, f" {level:+.1f} ", fontsize=7, va="center", ha="left" if level >= 0 else "right")
    axes.set_xlim(-1.3 * limit, 1.3 * limit)
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.set_xlabel("dB", fontsize=6.5, labelpad=1)
