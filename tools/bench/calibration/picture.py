"""The reliability diagram: the share of processors that is right, against the probability that was told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mixgraph.report.figures import save_figure
from tools.bench.calibration.fit import Judgement


def draw_reliability(judgements: Mapping[str, Judgement], path: Path) -> None:
    """Draws the bins of each set of processors, with the number of processors beside each point.

    Args:
        judgements: by the name of the set.
        path: the file to write.
    """
    figure = Figure(figsize=(4.6, 4.4), dpi=120, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot((0, 1), (0, 1), color="#8A93A0", linewidth=0.9, linestyle="--")
    for name, judgement in judgements.items():
        x, y = [one.probability for one in judgement.bins], [one.right for one in judgement.bins]
        error = judgement.expected_calibration_error
        axes.plot(x, y, "o-", linewidth=1.4, markersize=5, label=f"{name}: error {error:.2f}")
        for one in judgement.bins:
            place = one.probability, one.right
            axes.annotate(str(one.count), place, (4, -10), textcoords="offset points", fontsize=8)
    axes.set(xlim=(0, 1), ylim=(-0.02, 1.02), xlabel="probability that was told", ylabel="share that is right")
    axes.legend(loc="upper left", fontsize=8)
    save_figure(figure, path)
