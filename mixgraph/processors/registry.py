"""The registry: processors are found by name or letter, so that a new one is one file."""

from __future__ import annotations

import itertools

from mixgraph.processors.base import Processor
from mixgraph.registry import load_plugins, name_hint

FIRST_TYPE_ID, OUTSIDE_TYPE_ID = 3, 1000
"""Type ids of processors begin here: after input, mix and output; those of processors outside this package."""

_REGISTRY: dict[str, type[Processor]] = {}


def register(processor: type[Processor]) -> type[Processor]:
    """Class decorator that makes a processor known under its name, its letter and, where declared, its type id.

    Raises:
        ValueError: the name, the letter or the type id is taken by another class, or the type id is below 3.
    """
    if "type_id" not in vars(processor):
        processor.type_id = None  # a type id that is inherited does not count
    type_id = processor.type_id
    if type_id is not None and type_id < FIRST_TYPE_ID:
        raise ValueError(f"processor {processor.__name__}: type_id: {FIRST_TYPE_ID} or more is needed, got {type_id}")
    for other in _REGISTRY.values():
        if type_id is not None and type_id == other.type_id:
            taken_ids = {kind.type_id for kind in _REGISTRY.values()}
            free = next(i for i in itertools.count(OUTSIDE_TYPE_ID) if i not in taken_ids)
            raise ValueError(
                f"processor {processor.__name__}: type_id {type_id} is taken by {other.__name__}. HINT: {free} is free"
            )
        if processor.name == other.name or processor.letter == other.letter:
            raise ValueError(
                f"processor {processor.__name__}: name {processor.name!r} or letter {processor.letter!r} is taken by "
                f"{other.__name__}; choose another"
            )
    _REGISTRY[processor.name] = processor
    return processor


def registered() -> dict[str, type[Processor]]:
    """Returns the class of every known processor by name, in alphabetical order."""
    return dict(sorted(_REGISTRY.items()))


def processor_type(name: str) -> type[Processor]:
    """Returns the processor class of a name. Where it is unknown, installed plugins are imported first.

    Raises:
        ValueError: the name is unknown; the message lists the known ones.
    """
    if name not in _REGISTRY:
        load_plugins()
    if name not in _REGISTRY:
        known_names = sorted(_REGISTRY)
        raise ValueError(
            f"unknown processor type {name!r}; known are {', '.join(known_names)}. {name_hint(name, known_names)}"
        )
    return _REGISTRY[name]


def types_from_letters(chain: str, whole: str = "") -> tuple[str, ...]:
    """Returns the processor names of a chain of letters such as `"ecnsgdr"`; messages show `whole` as the chain.

    Raises:
        ValueError: an unknown letter; the message lists the known ones.
    """
    by_letter = _types_by_letter()
    if not by_letter.keys() >= set(chain):
        load_plugins()
        by_letter = _types_by_letter()
    for letter in chain:
        if letter not in by_letter:
            known_letters = ", ".join(f"{key} ({name})" for key, name in sorted(by_letter.items()))
            raise ValueError(
                f"unknown processor letter {letter!r} in chain {whole or chain!r}; known are {known_letters}. "
                "HINT: one of yours needs --import MODULE"
            )
    return tuple(by_letter[letter] for letter in chain)


def _types_by_letter() -> dict[str, str]:
    return {processor.letter: name for name, processor in _REGISTRY.items()}
