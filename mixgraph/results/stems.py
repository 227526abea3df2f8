"""Stems of a found graph: every track and every subgroup as it sounds behind its chain.

The stems of a subgroup's tracks sum to the subgroup's input. Those of subgroups and return buses, and of tracks that
are in no subgroup, sum to the mix, together with a last stem, the rest: what a chain on the mix itself adds. What a
track sends to a return bus is heard in the stem of the bus.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from mixgraph.graph import INPUT, MIX, OUTPUT, MixGraph
from mixgraph.graph.types import SEND
from mixgraph.graph.values import GraphValues, upstream_values
from mixgraph.names import file_names
from mixgraph.render import BLOCK
from mixgraph.results.found_graph import FoundGraph
from mixgraph.results.publish import FolderKind, unlisted
from mixgraph.songs import write_audio
from mixgraph.system.files import json_text, parse_json, write_atomically

StemLevel = Literal["track", "subgroup", "return", "rest"]
STEM_LIST = "stems.json"
REST = "rest"
_FOLDERS = {"track": "tracks", "subgroup": "subgroups", "return": "returns"}
_AUDIBLE = 1e-5  # of the mix's peak, -100 dB: a rest below it is rounding


def _foreign(entries: list[Path]) -> list[Path]:
    return unlisted(entries, STEM_LIST, lambda text: [str(row["file"]) for row in parse_json(text)["stems"]])


STEMS = FolderKind("folder of stems", _foreign, is_whole=lambda folder: (folder / STEM_LIST).is_file())


@dataclass(frozen=True)
class StemPlace:
    """The place of a stem in the mix.

    Attributes:
        level: `"track"`, `"subgroup"` or `"return"`; `"rest"` for what a chain on the mix adds to their sum.
        name: name of the track, the subgroup or the return bus.
        into: name of the subgroup that the stem is a part of; `""` for the mix.
        ends: (node, outlet) pairs of the graph whose sum it is; none for the rest.
    """

    level: StemLevel
    name: str
    into: str
    ends: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Stem:
    """A rendered stem: its place, and its audio, (2, L), at the tracks' own level."""

    place: StemPlace
    audio: Tensor


def stem_places(graph: MixGraph) -> list[StemPlace]:
    """Returns the stems of one song's graph, without the rest: tracks, subgroups, returns, in the order of nodes."""
    leaving: dict[int, dict[tuple[int, int], list[int]]] = {}  # head of a chain -> outlets that leave it -> to where
    for (source, destination), (outlet, inlet) in zip(graph.edges, graph.ports, strict=True):
        head = graph.chain_head(source)
        if inlet == 0 and (graph.types[destination] == OUTPUT or graph.chain_head(destination) != head):
            leaving.setdefault(head, {}).setdefault((source, outlet), []).append(destination)
    places = []
    for head, outlets in sorted(leaving.items()):
        level = _level(graph, head)
        if level is None:
            continue
        heard = {end: to for end, to in outlets.items() if graph.types[end[0]] != SEND} or outlets
        sums = {to for destinations in heard.values() for to in destinations}
        at_top = any(graph.types[to] == OUTPUT or _level(graph, to) is None for to in sums)
        into = "" if at_top else graph.names[min(sums)]
        places.append(StemPlace(level, graph.names[head], into, tuple(sorted(heard))))
    return sorted(places, key=lambda place: list(_FOLDERS).index(place.level))


def _level(graph: MixGraph, head: int) -> StemLevel | None:
    """Returns the level of the chain behind a head; None for the mix's own, or another sum of sums."""
    if graph.types[head] == INPUT:
        return "track"
    if graph.types[head] != MIX:  # a processor that several chains feed sums them
        return "subgroup"
    level = graph.level(head)
    return "return" if level == "return" else "subgroup" if level == "subgroup" else None


def render_stem(found_graph: FoundGraph, sources: Tensor, place: StemPlace, block: int = BLOCK) -> Tensor:
    """Renders one stem of `stem_places`, (2, L), from all dry tracks, (inputs, 2, L), both at the tracks' own level."""
    values = GraphValues(found_graph.graph, found_graph.parameters, found_graph.weights)
    part, rows = upstream_values(values, place.ends)
    parameters = {node_type: dict(named) for node_type, named in part.parameters.items()}
    alone = replace(
        found_graph, graph=part.graph, parameters=parameters, weights=part.weights, loss_increases=None, metrics=None
    )
    return alone.render(sources[list(rows)], block)


def render_stems(
    found_graph: FoundGraph, sources: Tensor, block: int = BLOCK, mix: Tensor | None = None
) -> Iterator[Stem]:
    """Renders the stems of a graph, one after the other: tracks, subgroups, return buses, and the rest if there is one.

    Compressors that listen to another track hear it, whole, in the stems, too. The stems of tracks sum to the input of
    their subgroup (`into`), all others to the mix. Takes about the time of three renderings.

    Args:
        found_graph: the graph of a song.
        sources: dry tracks, (inputs, 2, L), at their own level.
        block: length of a block in samples, see `FoundGraph.render`.
        mix: what the graph renders, where it is known, (2, L).
    """
    mix = found_graph.render(sources, block) if mix is None else mix
    rest = mix.clone()
    for place in stem_places(found_graph.graph):
        audio = render_stem(found_graph, sources, place, block)
        if place.into == "":
            rest -= audio
        yield Stem(place, audio)
    if float(rest.abs().max()) > _AUDIBLE * float(mix.abs().max()):
        yield Stem(StemPlace("rest", REST, "", ()), rest)


def write_stems(folder: Path, stems: Iterable[Stem], sample_rate: int) -> list[str]:
    """Writes stems to an empty folder, as stereo float32 WAV files of one length, and their list, stems.json.

    Returns:
        Lines of text on what was written.

    Raises:
        OSError: a file cannot be written.
    """
    rows: list[dict[str, Any]] = []
    taken: dict[str, set[str]] = {}
    for stem in stems:
        place = stem.place
        (name,) = file_names([place.name], taken.setdefault(place.level, set())) if place.level != "rest" else (REST,)
        below = f"{_FOLDERS[place.level]}/" if place.level in _FOLDERS else ""
        file = write_audio(folder / f"{below}{name}.wav", stem.audio, sample_rate).path.relative_to(folder)
        peak = float(stem.audio.abs().max())
        row = {name: value for name, value in asdict(place).items() if name != "ends"}
        rows.append({**row, "file": file.as_posix(), "peak": peak})
    content = {"sample_rate": sample_rate, "sums": _SUMS, "stems": rows}
    write_atomically(folder / STEM_LIST, json_text(content, indent=1).encode())
    counts = {level: sum(row["level"] == level for row in rows) for level in _FOLDERS}
    listed = ", ".join(f"{count} {_FOLDERS[level]}" for level, count in counts.items() if count)
    notes = [f"Stems: {listed}. Tracks sum to their subgroup's input, the others to the mix."]
    if any(row["level"] == "rest" for row in rows):
        notes.append(f"{REST}.wav: what the chain on the mix itself adds to the sum of the others.")
    return notes


_SUMS = (
    "stems of one subgroup's tracks sum to the subgroup's input, before its chain; those whose `into` is empty sum to "
    "the mix"
)
