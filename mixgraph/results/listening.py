"""Parts of a found graph, to listen to: tracks alone or muted, processors switched off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from mixgraph.names import did_you_mean, normal_form
from mixgraph.results.found_graph import FoundGraph


@dataclass(frozen=True)
class Listening:
    """The parts of a found graph that are rendered; all of it, where no part is named.

    Tracks are muted before their chains, so that a sidechain compressor with such a key gets silence, and compressors
    of later chains get the remaining tracks only.

    Attributes:
        solo: tracks and subgroups that are heard alone.
        mute: tracks and subgroups that are not heard; of those that are heard alone, too.
        bypass: processors, whose dry/wet weight becomes 0: of a type (`reverb`), of a chain (`track kick`), or a
            single one (`track kick: reverb`).
    """

    solo: Sequence[str] = ()
    mute: Sequence[str] = ()
    bypass: Sequence[str] = ()

    def apply(self, found_graph: FoundGraph, sources: Tensor) -> tuple[FoundGraph, Tensor, list[str]]:
        """Returns the graph and the sources to render in place of these, and a line on each change.

        Args:
            found_graph: the graph of a song.
            sources: (inputs, 2, L), at the tracks' own level.

        Raises:
            ValueError: a name that is no track, subgroup, chain or processor of the graph.
        """
        graph, notes = found_graph.graph, []
        rows = range(len(graph.inputs))
        alone = _rows(found_graph, self.solo, "solo") if self.solo else set(rows)
        muted = (set(rows) - alone) | _rows(found_graph, self.mute, "mute")
        if muted:
            sources = sources.clone()
            sources[sorted(muted)] = 0
            notes.append(f"Muted: {', '.join(graph.names[graph.inputs[row]] for row in sorted(muted))}.")
        if self.bypass:
            weights = found_graph.weights.clone()
            places = _processors(found_graph, self.bypass)
            weights[places] = 0
            found_graph = found_graph.with_parameters(weights=weights)
            labels = (graph.label(graph.processors[place]) for place in places)
            notes.append(f"Bypassed: {'; '.join(labels)}.")
        return found_graph, sources, notes


EVERYTHING = Listening()


def _rows(found_graph: FoundGraph, names: Sequence[str], option: str) -> set[int]:
    """Returns the rows of the sources of tracks and subgroups, by their names."""
    graph = found_graph.graph
    rows: dict[str, set[int]] = {}
    for row, (node, subgroup) in enumerate(zip(graph.inputs, graph.subgroups, strict=True)):
        for name in filter(None, (graph.names[node], subgroup)):
            rows.setdefault(normal_form(name), set()).add(row)
    return _select(rows, names, f"{option}: one of the tracks and subgroups {', '.join(rows)} is needed")


def _processors(found_graph: FoundGraph, names: Sequence[str]) -> list[int]:
    """Returns the indices in the weights of processors, by their names, in order."""
    graph = found_graph.graph
    places: dict[str, set[int]] = {}
    for place, node in enumerate(graph.processors):
        label = normal_form(graph.label(node))
        for name in (label, label.rpartition(": ")[0], graph.types[node]):
            places.setdefault(name, set()).add(place)
    examples = ", ".join(map(repr, list(places)[:3])) or "none, for it has no processors"
    needed = f"bypass: a type of processor, a chain or a processor of the graph is needed, such as {examples}"
    return sorted(_select(places, names, needed))


def _select(indices: Mapping[str, set[int]], names: Sequence[str], needed: str) -> set[int]:
    """Returns the indices of all names; a name that has none is refused with what is needed."""
    for name in names:
        if normal_form(name) not in indices:
            raise ValueError(f"{needed}, got {name!r}.{did_you_mean(normal_form(name), indices)}")
    return set().union(*(indices[normal_form(name)] for name in names))
