"""How the chains of a console are written: a letter a processor, brackets behind what splits."""

from __future__ import annotations

from dataclasses import dataclass

from mixgraph.processors import processor_type, types_from_letters


@dataclass(frozen=True)
class Link:
    """A processor of a chain; a splitter also has the chains behind its outlets."""

    type: str
    branches: tuple[tuple[Link, ...], ...] = ()


def read_chain(letters: str) -> tuple[Link, ...]:
    """Reads the processors of a chain; `build_console` documents how chains are written.

    Raises:
        ValueError: an unknown letter, one that would cut the chain or needs a key, or a splitter without its chains.
    """
    chain, rest = _read_links(letters, letters)
    if rest:
        raise ValueError(f"chain {letters!r}: {rest!r} is left over; brackets stand behind a splitter, as in t(c,sg)")
    return chain


def _read_links(text: str, whole: str) -> tuple[tuple[Link, ...], str]:
    """Reads the links at the start of a text; returns them, and the rest, which starts with a comma or a bracket."""
    links: list[Link] = []
    while text and text[0] not in "(,)":
        (node_type,) = types_from_letters(text[0], whole)
        processor, letter, text = processor_type(node_type), text[0], text[1:]
        if processor.cuts:
            raise ValueError(
                f"chain {whole!r}: {letter} ({node_type}) would cut it when it is removed; returns have sends"
            )
        if processor.inlets > 1:
            raise ValueError(f"chain {whole!r}: {letter} ({node_type}) needs a key; `sidechains` names it")
        branches: list[tuple[Link, ...]] = []
        opened = text[:1] == "(" and processor.outlets > 1
        while opened and text[:1] == ("," if branches else "("):
            branch, text = _read_links(text[1:], whole)
            branches.append(branch)
        if len(branches) != (processor.outlets if processor.outlets > 1 else 0) or (opened and text[:1] != ")"):
            commas = "," * (processor.outlets - 1)
            needed = f"{letter}(...{commas}...) with a chain for each of {', '.join(processor.outlet_names)} is needed"
            raise ValueError(f"chain {whole!r}: {node_type}: {needed}; a chain may be empty")
        text = text[1:] if opened else text
        links.append(Link(node_type, tuple(branches)))
    return tuple(links), text
