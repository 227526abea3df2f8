"""Compares found graphs with the known processors of a mix."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixgraph.graph.types import MixGraph
from mixgraph.names import shown_name
from mixgraph.processors import registered
from mixgraph.recovery.agreement import Agreement, chain_keys
from mixgraph.recovery.equivalence import kind
from mixgraph.songs.text_files import read_json

Processor = tuple[str, str, str, str, int]
"""Level (`track` or `subgroup`), name, type, branch of the chain, and which of several of a type there it is."""

# Type of truth.json, in either of its forms -> our type. Others, such as polarity and plain sums, are left out.
_TYPES = {entry: name for name, processor in registered().items() for entry in processor.truth_names}


def our_type(entry: str) -> str:
    """Returns our type of an entry of truth.json or importance.json; the entry where there is none."""
    return _TYPES.get(entry, entry)


def of_kinds(processors: Iterable[Processor]) -> list[Processor]:
    """Maps the types of processors to those that truths use."""
    return sorted((level, name, kind(t), branch, rank) for level, name, t, branch, rank in processors)


def processors_of(graph: MixGraph) -> list[Processor]:
    """Returns the place and type of each processor of a graph."""
    return sorted((key.level, key.name, key.type, "/".join(key.branch), key.rank) for key in chain_keys(graph))


def in_places(processors: list[Processor]) -> list[Processor]:
    """Drops the positions in chains, as truth.json does: only the types of each track or subgroup are left."""
    return sorted({(level, name, kind(node_type), "", 0) for level, name, node_type, *_ in processors})


@dataclass(frozen=True)
class KnownProcessor:
    """One entry of a truth.json.

    Attributes:
        level: `track` or `subgroup`.
        name: the name of the track or subgroup.
        type: our name of the processor type.
        settings: pedalboard's settings by name; empty for an equalizer, which is several filters.
    """

    level: str
    name: str
    type: str
    settings: dict[str, float]


def read_truth(song: Path) -> list[Processor] | None:
    """Reads the processors of a song's truth.json; returns None if it has none.

    Raises:
        ValueError: a type is unknown.
    """
    known = read_settings(song)
    return None if known is None else sorted({(entry.level, entry.name, entry.type, "", 0) for entry in known})


def read_settings(song: Path) -> list[KnownProcessor] | None:
    """Reads the entries of a song's truth.json, without those that have no effect; returns None if it has none.

    Raises:
        ValueError: a type is unknown.
    """
    path = song / "truth.json"
    if not path.is_file():
        return None
    record = read_json(path)
    if "tracks" in record and "subgroups" in record:
        chains = {("track", Path(name).stem): chain for name, chain in record["tracks"].items()}
        chains |= {("subgroup", name): chain for name, chain in record["subgroups"].items()}
    else:
        chains = {
            ("subgroup", name.removeprefix("bus:")) if name.startswith("bus:") else ("track", name): chain
            for name, chain in record.items()
        }
    entries: list[KnownProcessor] = []
    for (level, name), chain in chains.items():
        for entry, settings in chain:
            if entry not in _TYPES:
                raise ValueError(f"{path}: {name}: one of {', '.join(_TYPES)} is needed, got {entry!r}")
            if not _does_nothing(entry, settings):
                entries.append(
                    KnownProcessor(
                        level, shown_name(name), _TYPES[entry], settings if isinstance(settings, dict) else {}
                    )
                )
    return entries


def _does_nothing(entry: str, settings: Any) -> bool:
    return (entry == "Pan" and settings.get("pos") == 0) or (entry == "Gain" and settings.get("gain_db") == 0)


def agreement(true: list[Processor], searched: list[Processor]) -> dict[str, dict[str, Any]]:
    """Computes precision, recall and F1 of each type, and of all types as `all`."""
    types = sorted({place[2] for place in (*true, *searched)})

    def of(kinds: set[str]) -> dict[str, Any]:
        ours, theirs = ({place for place in places if place[2] in kinds} for places in (true, searched))
        return Agreement(len(ours), len(theirs), len(ours & theirs)).to_dict()

    return {t: of({t}) for t in types} | {"all": of(set(types))}
