"""Colours, letters and order of the processor types: the same in every picture."""

from __future__ import annotations

import zlib
from collections.abc import Collection

from mixgraph.graph.records import node_letter
from mixgraph.processors import registered

__all__ = ["INK", "PAPER", "QUIET", "node_letter", "text_colour", "type_colour", "type_label", "type_order"]

INK, QUIET, PAPER = "#222222", "#8A8A8A", "#FFFFFF"
"""Text and outlines, secondary text and lines, background."""

# Colour-blind safe (after Okabe and Ito 2008, with a dark grey for the yellow, which is lost on white).
_COLOURS = {
    "equalizer": "#0072B2",
    "compressor": "#D55E00",
    "noisegate": "#4D4D4D",
    "stereo_imager": "#56B4E9",
    "gain_panning": "#E69F00",
    "delay": "#009E73",
    "reverb": "#CC79A7",
}
_MORE_COLOURS = (
    "#882255",
    "#44AA99",
    "#999933",
    "#332288",
    "#88CCEE",
    "#661100",
    "#AA4499",
    "#117733",
    "#CC6677",
    "#6699CC",
    "#EE7733",
    "#0077BB",
    "#EE3377",
    "#009988",
    "#DDCC77",
    "#762A83",
    "#33BBEE",
    "#CC3311",
    "#1B7837",
    "#BBBBBB",
)
_FIRST_TURN = 10  # the type id that follows those of the usual console


def type_order(types: Collection[str]) -> list[str]:
    """Returns types without repeats: those of the usual console in chain order, then others alphabetically."""
    usual = list(_COLOURS)
    return sorted(set(types), key=lambda t: (usual.index(t) if t in usual else len(usual), t))


def type_colour(node_type: str) -> str:
    """`#RRGGBB` of a type: white for inputs, mixes and outputs; further processors in turn, by their type ids."""
    if node_type in _COLOURS:
        return _COLOURS[node_type]
    if node_type not in registered():
        return PAPER
    type_id = registered()[node_type].type_id
    turn = zlib.crc32(node_type.encode()) if type_id is None else type_id
    return _MORE_COLOURS[(turn - _FIRST_TURN) % len(_MORE_COLOURS)]


def text_colour(background: str) -> str:
    """Ink or paper, whichever reads better on the colour `#RRGGBB` (its relative luminance, as sRGB defines it)."""
    red, green, blue = (int(background[i : i + 2], 16) / 255 for i in (1, 3, 5))
    luminance = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2
    return INK if luminance > 0.25 else PAPER


def type_label(node_type: str) -> str:
    """A type's name in words, e.g. `gain/panning`."""
    kind = registered().get(node_type)
    return (kind.label if kind else "") or node_type.replace("_", " ")
