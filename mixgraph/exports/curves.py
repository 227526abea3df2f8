"""The picture of an equalizer: its curve, and the bands that make it."""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mixgraph.report.bands import BandFit, bands_db
from mixgraph.report.drawing.draw import figure_bytes, printable
from mixgraph.report.drawing.palette import INK, QUIET

_CURVE, _FITTED = "#0072B2", "#D55E00"
_TICKS = {20: "20", 50: "50", 100: "100", 200: "200", 500: "500"}
_TICKS |= {1000: "1k", 2000: "2k", 5000: "5k", 10000: "10k", 20000: "20k"}


def curve_picture(fit: BandFit, title: str) -> bytes:
    """Draws a curve, its bands together, and each band faintly, as a PNG."""
    figure = Figure(figsize=(7.5, 4.2), dpi=120, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.axhline(0, color=QUIET, linewidth=0.7)
    for band in fit.bands:
        axes.plot(fit.hertz, bands_db([band], fit.hertz, fit.sample_rate), color=QUIET, linewidth=0.8, alpha=0.7)
    axes.plot(fit.hertz, fit.curve_db, color=_CURVE, linewidth=1.0, label="curve of the equalizer")
    name = f"{len(fit.bands)} band{'s' * (len(fit.bands) != 1)} and {fit.gain_db:+.1f} dB"
    axes.plot(fit.hertz, fit.fitted_db, color=_FITTED, linewidth=2.0, label=name)
    numbered = [fit.gain_db + bands_db(fit.bands, np.array([band.hertz]), fit.sample_rate)[0] for band in fit.bands]
    for i, (band, level) in enumerate(zip(fit.bands, numbered, strict=True), start=1):
        if fit.hertz[0] <= band.hertz <= fit.hertz[-1]:
            axes.plot(band.hertz, level, "o", color=_FITTED, markersize=5)
            axes.annotate(str(i), (band.hertz, level), (0, 6), textcoords="offset points", ha="center", color=INK)
    axes.set_xscale("log")
    axes.set_xlim(fit.hertz[0], fit.hertz[-1])
    inside = [hz for hz in _TICKS if fit.hertz[0] <= hz <= fit.hertz[-1]]
    axes.set_xticks(inside, [_TICKS[hz] for hz in inside])
    axes.minorticks_off()
    levels = np.concatenate((fit.curve_db, fit.fitted_db))
    axes.set_ylim(max(-40.0, min(-6.0, 1.1 * levels.min())), min(40.0, max(6.0, 1.2 * levels.max())))
    axes.grid(color=QUIET, alpha=0.3, linewidth=0.5)
    axes.set_xlabel("Hz")
    axes.set_ylabel("dB")
    axes.set_title(printable(title), fontsize=11, loc="left")
    axes.legend(loc="best", fontsize=8)
    return figure_bytes(figure, ".png")
