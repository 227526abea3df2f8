"""The registry: processors are found by name or letter, so that a new one is one file."""

from __future__ import annotations

from mixgraph.processors.base import Processor

_REGISTRY: dict[str, type[Processor]] = {}


def register(processor: type[Processor]) -> type[Processor]:
    """Class decorator that makes a processor known under its name and letter.

    Raises:
        ValueError: the name or the letter is taken by another class.
    """
    for known in _REGISTRY.values():
        if processor.name == known.name or processor.letter == known.letter:
            raise ValueError(
                f"processor {processor.__name__}: name {processor.name!r} or letter {processor.letter!r} is taken by "
                f"{known.__name__}; choose another"
            )
    _REGISTRY[processor.name] = processor
    return processor


def registered() -> dict[str, type[Processor]]:
    """Name -> class of every known processor, in alphabetical order."""
    return dict(sorted(_REGISTRY.items()))


def processor_type(name: str) -> type[Processor]:
    if name not in _REGISTRY:
        raise ValueError(f"unknown processor type {name!r}; known are {', '.join(sorted(_REGISTRY))}")
    return _REGISTRY[name]


def types_from_letters(chain: str, whole: str = "") -> tuple[str, ...]:
    """Processor names of a chain of letters such as `"ecnsgdr"`; `whole` is what a message shows of it.

    Raises:
        ValueError: an unknown letter; the message lists the known ones.
    """
    by_letter = {processor.letter: name for name, processor in _REGISTRY.items()}
    for letter in chain:
        if letter not in by_letter:
            known = ", ".join(f"{key} ({name})" for key, name in sorted(by_letter.items()))
            raise ValueError(f"unknown processor letter {letter!r} in chain {whole or chain!r}; known are {known}")
    return tuple(by_letter[letter] for letter in chain)
