"""Draws the settings of a found graph: one panel for each processor, chain by chain, on pages."""

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
from mixgraph.processors.readings import (
    LOWEST_HZ,
    Automation,
    Bands,
    Curve,
    Decay,
    Gains,
    Number,
    Reading,
    Response,
    Taps,
)
from mixgraph.report.drawing.draw import printable
from mixgraph.report.drawing.palette import INK, QUIET, type_colour
from mixgraph.report.settings import NodeSettings

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
_LONGEST = 20.0  # s; decay times are drawn up to it
_CHANNEL_COLOURS = {"left": "#0072B2", "right": "#D55E00"}

Chain = Sequence[NodeSettings]


def settings_figures(settings: Sequence[NodeSettings], title: str, notes: Sequence[str] = ()) -> list[Figure]:
    """Draws one panel for each processor: responses, static curves, gains, taps and decay times, wet share at right.

    A chain stands in one row under its name, beside others where there is room; only a chain of more than 7
    processors goes on in the next row. Pages have 8 rows at the most. Responses and decay times are means over third
    octaves, responses with their full detail behind.

    Args:
        settings: the settings of the processors to draw, see `read_settings`.
        title: title of the song.
        notes: lines below the last page, e.g. on processors that are not drawn.

    Returns:
        The pages; one without panels where there are no settings.
    """
    rows = _pack([list(chain) for _, chain in groupby(settings, key=lambda node: node.place)])
    pages = [rows[first : first + ROWS] for first in range(0, len(rows), ROWS)] or [[]]
    figures = []
    for number, page in enumerate(pages, start=1):
        numbered = f"{title} ({number} of {len(pages)})" if len(pages) > 1 else title
        figures.append(_page(page, numbered, notes if number == len(pages) else ()))
    return figures


def _pack(chains: Sequence[Chain]) -> list[list[Chain]]:
    """Distributes chains over rows, in order: a chain is not split where a row can hold it."""
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
    """Draws chains side by side, under their names and lines of their width; `top` in inches from the bottom."""
    width, height = figure.get_size_inches()
    x = _MARGIN
    for chain in row:
        end = x + len(chain) * _PANEL_WIDTH
        figure.add_artist(Line2D((x / width, (end - 0.15) / width), (top / height,) * 2, color=QUIET, linewidth=0.8))
        for number, line in enumerate(_name_lines(chain[0].place, _NAME * len(chain))):
            _write(figure, x, top - _NAME_LINE * (number + 1), line, fontsize=8.5, fontweight="bold", color=INK)
        for node in chain:
            bottom = top - _ROW_HEIGHT + _BELOW
            size = (_PANEL_WIDTH - _BESIDE - 0.15) / width, (_ROW_HEIGHT - _BELOW - _ABOVE) / height
            _draw(figure.add_axes(((x + _BESIDE) / width, bottom / height, *size)), node)
            x += _PANEL_WIDTH


def _write(figure: Figure, x: float, y: float, text: str, **looks: Any) -> None:
    """Writes a line of text at a place given in inches."""
    width, height = figure.get_size_inches()
    figure.text(x / width, y / height, printable(text, looks.get("fontweight") == "bold"), parse_math=False, **looks)


def _name_lines(name: str, room: int) -> list[str]:
    """Breaks a name into two lines of at most `room` characters; a longer one loses its middle."""
    if any(unicodedata.east_asian_width(c) in "WF" for c in name):  # wide characters, such as Chinese ones and emoji
        room //= 2
    most = _NAME_LINES * room
    if len(name) > most:
        name = f"{name[: most // 2 - 1]}…{name[-(most // 2) :]}"
    lines = textwrap.wrap(name, room)
    return lines if len(lines) <= _NAME_LINES else [name[:room], name[room:]]


def _draw(axes: Axes, node: NodeSettings) -> None:
    label = printable(node.name)
    size = 8 * min(1.0, _LABEL / max(len(label), 1))
    axes.set_title(label, fontsize=size, color=INK, loc="left", parse_math=False)
    axes.set_title(f"{node.values.weight:.0%}", fontsize=7, color=QUIET, loc="right")
    axes.tick_params(labelsize=6, length=2, pad=1.5)
    axes.grid(color="#E3E5E9", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    numbers = [reading for reading in node.readings if isinstance(reading, Number)]
    pictures = [reading for reading in node.readings if not isinstance(reading, Number | Bands)]
    if not pictures:
        _draw_numbers(axes, numbers)
        return
    _draw_reading(axes, pictures[0], type_colour(node.processor.name))
    if noted := [n.text if n.on_panel == "whole" else n.value_text for n in numbers if n.on_panel != "no"]:
        _note(axes, "\n".join(noted))


def _draw_reading(axes: Axes, reading: Reading, colour: str) -> None:
    match reading:
        case Gains():
            _draw_gains(axes, reading, colour)
        case Response():
            _draw_response(axes, reading, colour)
        case Taps():
            _draw_taps(axes, reading)
        case Decay():
            _draw_decay(axes, reading, colour)
        case Automation():
            axes.plot(reading.seconds, reading.gains_db, color=colour)
            _label(axes, "s", "dB")
        case Curve():
            _draw_curve(axes, reading, colour)


def _draw_numbers(axes: Axes, numbers: Sequence[Number]) -> None:
    lines = "\n".join(number.text for number in numbers)
    text = axes.text(0.02, 0.5, lines, fontsize=6.5, transform=axes.transAxes, va="center", clip_on=True)
    text.set_in_layout(False)
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
    """Averages values over third-octave bands, at the means of the bands' frequencies."""
    means = third_octave_means(hertz)
    return means @ hertz, means @ values


def _draw_response(axes: Axes, response: Response, colour: str) -> None:
    smooth = _smooth(response.hertz, response.levels_db)
    axes.axhline(0, color=QUIET, linewidth=0.6)
    axes.plot(response.hertz, response.levels_db, color=colour, linewidth=0.5, alpha=0.4)
    axes.plot(*smooth, color=colour, linewidth=1.4)
    limit = min(40.0, max(6.0, 1.2 * float(smooth[1].abs().max())))
    axes.set_ylim(-limit, limit)
    _log_frequency(axes, response.highest_hz)
    _label(axes, "Hz", "dB")


def _draw_curve(axes: Axes, curve: Curve, colour: str) -> None:
    if curve.unchanged is not None:
        axes.plot(curve.x, curve.unchanged, color=QUIET, linewidth=0.6, linestyle="--")
    axes.plot(curve.x, curve.y, color=colour, linewidth=1.4)
    if curve.x_limits is not None:
        axes.set_xlim(*curve.x_limits)
    if curve.y_limits is not None:
        axes.set_ylim(*curve.y_limits)
    _label(axes, curve.x_label, curve.y_label)


def _draw_taps(axes: Axes, taps: Taps) -> None:
    top = max(taps.levels_db)
    bottom = top - 36
    for channel, colour in _CHANNEL_COLOURS.items():
        rows = [i for i, name in enumerate(taps.channels) if name == channel]
        ends = [max(taps.levels_db[i], bottom) for i in rows]
        label = channel[0].upper()
        axes.vlines([taps.ms[i] for i in rows], bottom, ends, color=colour, linewidth=1.3, label=label)
    axes.set_xlim(0, 2000)
    axes.set_ylim(bottom, top + 3)
    axes.legend(fontsize=6, frameon=False, loc="upper right", ncols=2, handlelength=0.8, borderpad=0.1)
    _label(axes, "ms", "dB, wet only" if taps.wet_only else "dB against dry")


def _draw_decay(axes: Axes, decay: Decay, colour: str) -> None:
    curves = [_smooth(decay.hertz[1:], rates[1:]) for rates in (decay.mid, decay.side)]
    seconds = [(1 / rates).where(rates > 1 / _LONGEST, torch.inf) for _, rates in curves]
    for (x, _), y, name, style in zip(curves, seconds, ("mid", "side"), ("-", ":"), strict=True):
        axes.plot(x, y.where(y.isfinite(), torch.nan), color=colour, linewidth=1.3, linestyle=style, label=name)
    finite = torch.cat(seconds)
    finite = finite[finite.isfinite()]
    if len(finite) < 2 * len(seconds[0]):
        axes.text(0.03, 0.04, f"gaps: over {_LONGEST:g} s", fontsize=6, transform=axes.transAxes, color=INK)
    axes.set_ylim(0, 1.3 * float(finite.max()) if len(finite) else _LONGEST)
    axes.legend(fontsize=6, frameon=False, loc="upper right", ncols=2, handlelength=1.2, borderpad=0.1)
    _log_frequency(axes, float(decay.hertz[-1]))
    _label(axes, "Hz", "T60 (s)")


def _draw_gains(axes: Axes, gains: Gains, colour: str) -> None:
    names, levels = gains.names, gains.levels_db
    axes.barh(names[::-1], levels[::-1], color=colour, height=0.5)
    axes.axvline(0, color=QUIET, linewidth=0.6)
    limit = max(6.0, *(1.3 * abs(level) for level in levels))
    for place, level in enumerate(levels[::-1]):
        axes.text(level, place, f" {level:+.1f} ", fontsize=7, va="center", ha="left" if level >= 0 else "right")
    axes.set_xlim(-1.3 * limit, 1.3 * limit)
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.set_xlabel("dB", fontsize=6.5, labelpad=1)
