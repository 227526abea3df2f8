"""Saving of matplotlib figures."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from mixgraph.report.drawing.draw import PICTURE_SUFFIXES, figure_bytes
from mixgraph.system.files import write_atomically


def save_figure(figure: Figure, path: Path, dpi: float | None = None) -> None:
    """Writes a figure to `.png` or `.svg`: whole or not at all, without dates, the same bytes for the same figure.

    Raises:
        ValueError: another suffix.
    """
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise ValueError(f"{path}: suffix {' or '.join(PICTURE_SUFFIXES)} is needed, got {path.suffix!r}")
    write_atomically(path, figure_bytes(figure, path.suffix.lower(), dpi))
