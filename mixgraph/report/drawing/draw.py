"""Drawings of mixing graphs: SVG written here, PNG through matplotlib, from the same scene (paper figure 2)."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, PathPatch
from matplotlib.path import Path as Outline
from torch import Tensor

from mixgraph.graph.types import MixGraph
from mixgraph.names import visible
from mixgraph.report.drawing.lettering import choose_fonts, font, printable
from mixgraph.report.drawing.scene import Box, Curve, Label, Scene, make_scene
from mixgraph.system.files import write_atomically

__all__ = [
    "PICTURE_SUFFIXES",
    "Drawing",
    "draw_figure",
    "draw_svg",
    "draw_svg_together",
    "draw_together",
    "figure_bytes",
    "printable",
    "save_drawing",
]

PICTURE_SUFFIXES = (".svg", ".png")
_EDGE_COLOUR = "#7C8189"
_POINTS_PER_PIXEL = 0.72  # at the 100 dots per inch that scenes are laid out for
_MAX_PIXELS = 20_000  # pixels of a PNG's longer side, at most


def draw_svg(
    graph: MixGraph,
    weights: Tensor | None = None,
    title: str = "",
    settings: Mapping[int, str] | None = None,
    silent: Collection[int] = (),
) -> str:
    """An SVG document of its own, which can also stand inside an HTML page (it defines no ids and no styles).

    Args:
        graph: any graph.
        weights: dry/wet weight of each processor, (len(graph.processors),), in 0..1.
        title: the title above the drawing.
        settings: node -> the text of its settings, shown as a tooltip.
        silent: rows of silent sources: they are listed by name, and nodes that only they reach are not drawn.

    Raises:
        ValueError: weights have another shape or are out of range, a processor type is not registered, or a row of
            `silent` does not exist.
    """
    return draw_svg_together([Drawing(graph, weights, title, silent, settings=settings)], title or "mixing graph")


def draw_svg_together(drawings: Sequence[Drawing], name: str) -> str:
    """Several drawings in one SVG document, one below the other; as `draw_svg`.

    Args:
        drawings: at least one.
        name: the name of the document, which a browser shows.
    """
    scenes = [drawing.scene() for drawing in _some(drawings)]
    width, height = max(scene.width for scene in scenes), sum(scene.height for scene in scenes)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_number(width)} {_number(height)}" '
        f'width="{_number(width)}" height="{_number(height)}" '
        f'font-family="DejaVu Sans, Verdana, sans-serif" role="img">',
        f"<title>{_escaped(name)}</title>",
        f'<rect width="{_number(width)}" height="{_number(height)}" fill="#FFFFFF"/>',
    ]
    top = 0.0
    for scene in scenes:
        body = _svg_body(scene)
        lines += [f'<g transform="translate(0 {_number(top)})">', *body, "</g>"] if top else body
        top += scene.height
    return "\n".join([*lines, "</svg>", ""])


def _svg_body(scene: Scene) -> list[str]:
    """The elements of a drawing, without what is around them."""
    lines = [
        *map(_svg_shape, scene.background),
        f'<g fill="none" stroke="{_EDGE_COLOUR}" stroke-width="1.3">',
        *map(_svg_curve, scene.curves),
        "</g>",
        *map(_svg_shape, scene.marks),
    ]
    for group in scene.nodes:
        lines.append(f'<g class="node" data-node="{group.node}" data-type="{_escaped(group.type)}">')
        lines.append(f"<title>{_escaped(group.title)}</title>")
        lines += map(_svg_shape, group.shapes)
        lines.append("</g>")
    return [*lines, *map(_svg_shape, scene.labels)]


def draw_figure(
    graph: MixGraph, weights: Tensor | None = None, title: str = "", silent: Collection[int] = ()
) -> Figure:
    """The same drawing as a matplotlib figure of 100 pixels an inch, without pyplot; arguments as in `draw_svg`.

    Characters that no installed font has are drawn as their code points, see `lettering`.
    """
    return draw_together([Drawing(graph, weights, title, silent)])


@dataclass(frozen=True, eq=False)
class Drawing:
    """One of several graphs in a figure; the fields are the arguments of `draw_svg`, and `make_scene`'s letters."""

    graph: MixGraph
    weights: Tensor | None = None
    title: str = ""
    silent: Collection[int] = ()
    letters: Mapping[int, str] | None = None
    settings: Mapping[int, str] | None = None

    def scene(self) -> Scene:
        """Lays the graph out."""
        weights = _listed(self.graph, self.weights)
        return make_scene(self.graph, weights, self.title, self.settings, self.silent, self.letters)

    def printable(self) -> Drawing:
        """The same with names that the fonts here can show."""
        names, subgroups = (tuple(map(printable, texts)) for texts in (self.graph.names, self.graph.subgroups))
        return replace(self, graph=replace(self.graph, names=names, subgroups=subgroups), title=printable(self.title))


def _some(drawings: Sequence[Drawing]) -> Sequence[Drawing]:
    if not drawings:
        raise ValueError("drawings: at least one is needed, got none")
    return drawings


def draw_together(drawings: Sequence[Drawing], columns: int = 1) -> Figure:
    """Several drawings in one figure, row by row, each at its own size; arguments as in `draw_figure`.

    Raises:
        ValueError: there are none, and as `draw_svg`.
    """
    if columns < 1:
        raise ValueError(f"columns: at least one is needed, got {columns}")
    scenes = [drawing.printable().scene() for drawing in _some(drawings)]
    rows = [scenes[first : first + columns] for first in range(0, len(scenes), columns)]
    width = max(sum(scene.width for scene in row) for row in rows)
    height = sum(max(scene.height for scene in row) for row in rows)
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    top = 0.0
    for row in rows:
        left = 0.0
        for scene in row:
            place = left / width, 1 - (top + scene.height) / height, scene.width / width, scene.height / height
            axes = figure.add_axes(place)
            axes.set_axis_off()
            axes.set_xlim(0, scene.width)
            axes.set_ylim(scene.height, 0)
            _plot(axes, scene)
            left += scene.width
        top += max(scene.height for scene in row)
    return figure


def save_drawing(
    path: Path,
    graph: MixGraph,
    weights: Tensor | None = None,
    title: str = "",
    settings: Mapping[int, str] | None = None,
    silent: Collection[int] = (),
) -> None:
    """Writes a drawing to `.svg` (with settings), or to `.png` at twice the pixels (less if a side would pass 20,000).

    Raises:
        ValueError: another suffix, and as `draw_svg`.
    """
    suffix = path.suffix.lower()
    if suffix == ".svg":
        write_atomically(path, draw_svg(graph, weights, title, settings, silent).encode())
        return
    if suffix not in PICTURE_SUFFIXES:
        raise ValueError(f"{path}: suffix {' or '.join(PICTURE_SUFFIXES)} is needed, got {path.suffix!r}")
    figure = draw_figure(graph, weights, title, silent)
    longest = 100 * max(figure.get_size_inches())
    write_atomically(path, figure_bytes(figure, ".png", dpi=100 * min(2.0, _MAX_PIXELS / longest)))


def figure_bytes(figure: Figure, suffix: str, dpi: float | None = None) -> bytes:
    """A figure as a PNG or SVG file, without dates: the same figure gives the same bytes.

    Args:
        figure: any matplotlib figure.
        suffix: `".png"` or `".svg"`.
        dpi: dots per inch of a PNG; the figure's own by default.
    """
    if suffix not in PICTURE_SUFFIXES:
        raise ValueError(f"suffix: {' or '.join(PICTURE_SUFFIXES)} is needed, got {suffix!r}")
    metadata = {"Software": None} if suffix == ".png" else {"Date": None, "Creator": None}
    buffer = io.BytesIO()
    choose_fonts(figure)
    engine = figure.get_layout_engine() if suffix == ".png" and dpi in (None, figure.dpi) else None
    if engine is not None:  # it works once, in place of in a first drawing that `savefig` would throw away
        FigureCanvasAgg(figure)
        engine.execute(figure)
        figure.set_layout_engine(None)
    with matplotlib.rc_context({"svg.hashsalt": "mixgraph", "svg.fonttype": "path"}):
        figure.savefig(buffer, format=suffix[1:], dpi=dpi or figure.dpi, metadata=metadata)
    if engine is not None:
        figure.set_layout_engine(engine)
    return buffer.getvalue()


def _listed(graph: MixGraph, weights: Tensor | None) -> Sequence[float] | None:
    if weights is None:
        return None
    if tuple(weights.shape) != (len(graph.processors),):
        raise ValueError(f"weights: ({len(graph.processors)},) is needed, one a processor, got {tuple(weights.shape)}")
    values: list[float] = weights.detach().cpu().tolist()
    for node, value in zip(graph.processors, values, strict=True):
        if not 0 <= value <= 1:
            raise ValueError(f"weights: 0 to 1 is needed, got {value:g} at {graph.label(node)}")
    return values


# ------------------------------------------------------------------------------------------------------------- SVG


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _escaped(text: str) -> str:
    """Text for XML, with what XML cannot hold (control characters, half characters) written out."""
    return escape(visible(" ".join(text.split())))


def _svg_shape(shape: Box | Label) -> str:
    if isinstance(shape, Label):
        bold = ' font-weight="bold"' if shape.bold else ""
        anchor = f' text-anchor="{shape.anchor}"' if shape.anchor != "start" else ""
        return (
            f'<text x="{_number(shape.x)}" y="{_number(shape.y)}" font-size="{_number(shape.size)}" '
            f'fill="{shape.colour}"{anchor}{bold}>{_escaped(shape.text)}</text>'
        )
    radius = f' rx="{_number(shape.radius)}"' if shape.radius else ""
    stroke = f' stroke="{shape.stroke}"' if shape.stroke else ""
    return (
        f'<rect x="{_number(shape.x)}" y="{_number(shape.y)}" width="{_number(shape.width)}" '
        f'height="{_number(shape.height)}"{radius} fill="{shape.fill}"{stroke}/>'
    )


def _svg_curve(curve: Curve) -> str:
    path = "M" + " ".join(map(_number, curve.start))
    for points in curve.segments:
        path += ("L" if len(points) == 1 else "C") + " ".join(_number(value) for point in points for value in point)
    dashes = ' stroke-dasharray="5 3"' if curve.dashed else ""
    return f'<path d="{path}"{dashes}/>'


# ------------------------------------------------------------------------------------------------------ matplotlib


def _plot(axes: Axes, scene: Scene) -> None:
    for order, box in enumerate(scene.background):
        _plot_shape(axes, box, 1 + order * 1e-6)
    for curve in scene.curves:
        vertices = [curve.start, *(point for points in curve.segments for point in points)]
        codes = [Outline.MOVETO]
        for points in curve.segments:
            codes += [Outline.LINETO] if len(points) == 1 else [Outline.CURVE4] * 3
        looks: dict[str, Any] = {"edgecolor": _EDGE_COLOUR, "linewidth": 1.3 * _POINTS_PER_PIXEL, "zorder": 2}
        looks["linestyle"] = (0, (4, 2.5)) if curve.dashed else "solid"
        axes.add_patch(PathPatch(Outline(vertices, codes), facecolor="none", **looks))
    shapes = [*scene.marks, *(shape for group in scene.nodes for shape in group.shapes), *scene.labels]
    for order, shape in enumerate(shapes):
        _plot_shape(axes, shape, 3 + order * 1e-6)  # as in SVG, later shapes are in front


def _plot_shape(axes: Axes, shape: Box | Label, order: float) -> None:
    if isinstance(shape, Label):
        axes.text(
            shape.x,
            shape.y,
            printable(shape.text, shape.bold),
            fontproperties=font(shape.bold),
            fontsize=shape.size * _POINTS_PER_PIXEL,
            color=shape.colour,
            horizontalalignment={"start": "left", "middle": "center", "end": "right"}[shape.anchor],
            verticalalignment="baseline",
            parse_math=False,
            zorder=order,
        )
        return
    looks: dict[str, Any] = {
        "facecolor": shape.fill,
        "edgecolor": shape.stroke or "none",
        "linewidth": _POINTS_PER_PIXEL if shape.stroke else 0,
        "zorder": order,
    }
    if 2 * shape.radius == shape.width:
        axes.add_patch(Circle((shape.x + shape.radius, shape.y + shape.radius), shape.radius, **looks))
        return
    style = f"round,pad=0,rounding_size={shape.radius}" if shape.radius else "square,pad=0"
    axes.add_patch(FancyBboxPatch((shape.x, shape.y), shape.width, shape.height, boxstyle=style, **looks))
