"""Draws the console of a search, and the graph that was found of it below (paper Figure 2)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from mixgraph.graph import MixGraph
from mixgraph.report.drawing.draw import Drawing


@dataclass(frozen=True, eq=False)
class ConsoleAndFound:
    """A console and the graph that is left of it.

    Attributes:
        title: the title of the song.
        console: the graph before pruning.
        console_weights: its dry/wet weights, (processors,); None where they are not known.
        found: the graph after pruning.
        found_weights: its dry/wet weights, (processors,).
        losses: the match losses of both, as their search had them; None where there was no search.
        settings: node of the found graph -> the text of its settings.
        silent: rows of silent sources, which are not drawn.
    """

    title: str
    console: MixGraph
    console_weights: Tensor | None
    found: MixGraph
    found_weights: Tensor | None
    losses: tuple[float, float] | None = None
    settings: Mapping[int, str] = field(default_factory=dict)
    silent: Collection[int] = ()

    def drawings(self) -> list[Drawing]:
        """Returns the drawing of the console and that of the found graph, with the processors of each as a title."""
        count, left = len(self.console.processors), len(self.found.processors)
        losses = "" if self.losses is None else f", loss {self.losses[0]:.3f} to {self.losses[1]:.3f}"
        head, found_head = (
            f"{self.title}: console, {_processors(count)}",
            f"{self.title}: found graph, {_processors(left)}{losses}",
        )
        found = Drawing(self.found, self.found_weights, found_head, self.silent, settings=self.settings)
        return [Drawing(self.console, self.console_weights, head, self.silent), found]


def _processors(count: int) -> str:
    return f"{count} processor{'' if count == 1 else 's'}"
