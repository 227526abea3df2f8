"""Writes names in pictures with the installed fonts; characters that no font has become code points.

Pictures are set in DejaVu Sans, which comes with matplotlib and has no Chinese, Japanese or Korean characters and few
emoji. Where another installed font has a character, matplotlib takes it from there; else its code point is written:
`[U+9F13 8D1D]`, so that two names do not become one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text

from mixgraph.names import visible

_FONT = "DejaVu Sans"
_NO_LETTERS = re.compile(r"Last Resort|Color Emoji|^cm[a-z]+10$|STIX(Size|NonUnicode)")  # signs for alphabets, bitmaps


def printable(text: str, bold: bool = False) -> str:
    """Writes a text in one line, with code points for characters that no installed font has."""
    parts: list[str] = []
    lacking: list[str] = []
    for c in (*visible(" ".join(text.split())), ""):
        if c and not _is_lacking(c, bold):
            parts += [*_code_points(lacking), c]
            lacking = []
        elif c:
            lacking.append(c)
    return "".join([*parts, *_code_points(lacking)])


def lacking_characters(texts: Iterable[str]) -> str:
    """Returns the characters of texts that no installed font has, without repeats, in order."""
    every = (c for text in texts for c in visible(" ".join(text.split())))
    return "".join(c for c in dict.fromkeys(every) if _is_lacking(c, False) or _is_lacking(c, True))


def font(bold: bool = False) -> FontProperties:
    """Returns the font of pictures."""
    return FontProperties(family=_FONT, weight="bold" if bold else "normal")


def choose_fonts(figure: Figure) -> None:
    """Lets matplotlib draw what its own font lacks with other fonts: their families are added to the texts."""
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if text.get_text().isascii():
            continue
        bold = text.get_fontweight() in ("bold", 700)
        characters = [c for c in dict.fromkeys(text.get_text()) if c != "\n" and not _has(_FONT, bold, c)]
        families = dict.fromkeys(_family_with(c, bold) for c in characters)
        if any(families):
            text.set_fontfamily([_FONT, *(family for family in families if family is not None)])


def _code_points(characters: list[str]) -> list[str]:
    return ["[U+" + " ".join(f"{ord(c):04X}" for c in characters) + "]"] if characters else []


def _is_lacking(c: str, bold: bool) -> bool:
    return not _has(_FONT, bold, c) and _family_with(c, bold) is None


@lru_cache(maxsize=4096)
def _family_with(c: str, bold: bool) -> str | None:
    """The first installed family, sans-serif ones first, whose face of this weight has a character."""
    entries = (entry for entry in fontManager.ttflist if _NO_LETTERS.search(entry.name) is None)

    def rank(entry: FontEntry) -> tuple[bool, str, str]:
        return "sans" not in entry.name.lower(), entry.name, entry.fname

    for entry in sorted(entries, key=rank):
        if get_font(entry.fname).get_char_index(ord(c)) and _has(entry.name, bold, c):
            return entry.name
    return None


def _has(family: str, bold: bool, c: str) -> bool:
    return get_font(_face(family, bold)).get_char_index(ord(c)) != 0


@lru_cache
def _face(family: str, bold: bool) -> str:
    return findfont(FontProperties(family=family, weight="bold" if bold else "normal"))
