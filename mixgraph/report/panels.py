"""The settings of a found graph as pictures: one panel a processor, chain by chain, on pages."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from mixgraph.dsp.third_octaves import third_octave_means
from mixgraph.processors.band_splitter import BandSplitter
from mixgraph.processors.delay import MultitapDelay
from mixgraph.processors.dynamics import DynamicRangeProcessor
from mixgraph.processors.fader import Fader
from mixgraph.processors.readings import blend, is_wet_only, static_gain, to_db
from mixgraph.processors.reverb import RATE, Reverb
from mixgraph.processors.saturator import Saturator
from mixgraph.report.drawing.draw import printable
from mixgraph.report.drawing.palette import INK, QUIET, type_colour
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

COLUMNS, ROWS = 7, 8
"""Panels in a row, and rows on a page at the most: a whole chain of the usual console is a row."""
# Inches.
_MARGIN, _HEAD, _FOOT_LINE = 0.2, 0.6, 0.17
_PANEL_WIDTH, _ROW_HEIGHT = 2.4, 2.1
_BESIDE, _BELOW, _ABOVE = 0.45, 0.45, 0.55  # a panel's axes: numbers and names, and the name of the chain above
_NAME_LINE = 0.15
_WIDTH = COLUMNS * _PANEL_WIDTH + 2 * _MARGIN
# Characters.
_NAME, _NAME_LINES = 31, 2  # of a chain's name in a line over one panel; lines
_FOOT = 190  # of a line below the panels
_LABEL = 25  # characters of a type's name; longer ones are smaller
_LEVELS_DB = torch.arange(-60.0, 0.5, 1.0, dtype=torch.float64)
_LONGEST = 20.0  # s; decay times are drawn up to it
_LEFT, _RIGHT = "#0072B2", "#D55E00"

Chain = Sequence[NodeSettings]


def settings_figures(settings: Sequence[NodeSettings], title: str, notes: Sequence[str] = ()) -> list[Figure]:
    """One panel a processor: responses, static curves, gains, taps and decay times, wet share at right.

    A chain stands in one row under its name, beside others where there is room; only a chain of more than 7
    processors goes on in the next row. Pages have 8 rows at the most. Responses and decay times are means over third
    octaves, responses with their full detail behind.

    Args:
        settings: of `read_settings`, without what is not to be drawn.
        title: of the song.
        notes: below the last page, e.g. what is not drawn.

    Returns:
        The pages; one without panels where there are no settings.
    """
    rows = _pack([list(chain) for _, chain in groupby(settings, key=lambda own: own.place)])
    pages = [rows[first : first + ROWS] for first in range(0, len(rows), ROWS)] or [[]]
    figures = []
    for number, page in enumerate(pages, start=1):
        numbered = f"{title} ({number} of {len(pages)})" if len(pages) > 1 else title
        figures.append(_page(page, numbered, notes if number == len(pages) else ()))
    return figures


def _pack(chains: Sequence[Chain]) -> list[list[Chain]]:
    """Rows of chains, in order: a chain is not parted where a row can hold it."""
    rows: list[list[Chain]] = []
    for chain in chains:
        for first in range(0, len(chain), COLUMNS):
            part = chain[first : first + COLUMNS]
            if not rows or sum(map(len, rows[-1])) + len(part) > COLUMNS:
                rows.append([])
            rows[-1].append(part)
    return rows


def _page(rows: Sequence[Sequence[Chain]], title: str, notes: Sequence[str]) -> Figure:
    foot = [line for note in notes for line in textwrap.wrap(printable(note), _FOOT)]
    height = _HEAD + len(rows) * _ROW_HEIGHT + _FOOT_LINE * len(foot) + _MARGIN
    figure = Figure(figsize=(_WIDTH, height), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    _write(figure, _MARGIN, height - 0.32, title, fontsize=12, fontweight="bold")
    for number, line in enumerate(reversed(foot)):
        _write(figure, _MARGIN, _MARGIN / 2 + _FOOT_LINE * number, line, fontsize=8, color=QUIET)
    for number, row in enumerate(rows):
        _draw_row(figure, row, height - _HEAD - number * _ROW_HEIGHT)
    return figure


def _draw_row(figure: Figure, row: Sequence[Chain], top: float) -> None:
    """Chains side by side, each under its name and a line as long as it is; `top` in inches from the bottom."""
    width, height = figure.get_size_inches()
    x = _MARGIN
    for chain in row:
        end = x + len(chain) * _PANEL_WIDTH
        figure.add_artist(Line2D((x / width, (end - 0.15) / width), (top / height,) * 2, color=QUIET, linewidth=0.8))
        for number, line in enumerate(_name_lines(chain[0].place, _NAME * len(chain))):
            _write(figure, x, top - _NAME_LINE * (number + 1), line, fontsize=8.5, fontweight="bold", color=INK)
        for own in chain:
            bottom = top - _ROW_HEIGHT + _BELOW
            size = (_PANEL_WIDTH - _BESIDE - 0.15) / width, (_ROW_HEIGHT - _BELOW - _ABOVE) / height
            _draw(figure.add_axes(((x + _BESIDE) / width, bottom / height, *size)), own)
            x += _PANEL_WIDTH


def _write(figure: Figure, x: float, y: float, text: str, **looks: Any) -> None:
    """A line of text from a place in inches."""
    width, height = figure.get_size_inches()
    figure.text(x / width, y / height, printable(text, looks.get("fontweight") == "bold"), parse_math=False, **looks)


def _name_lines(name: str, room: int) -> list[str]:
    """A name in two lines of so many characters; what is longer loses its middle."""
    if any(unicodedata.east_asian_width(c) in "WF" for c in name):  # as Chinese characters and emoji
        room //= 2
    most = _NAME_LINES * room
    if len(name) > most:
        name = f"{name[: most // 2 - 1]}…{name[-(most // 2) :]}"
    lines = textwrap.wrap(name, room)
    return lines if len(lines) <= _NAME_LINES else [name[:room], name[room:]]


def _draw(axes: Axes, own: NodeSettings) -> None:
    colour, processor = type_colour(own.processor.name), own.processor
    label = printable(own.name)
    size = 8 * min(1.0, _LABEL / max(len(label), 1))
    axes.set_title(label, fontsize=size, color=INK, loc="left", parse_math=False)
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
