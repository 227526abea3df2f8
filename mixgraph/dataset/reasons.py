"""Why something failed, as a text that every file and terminal can hold."""

from __future__ import annotations


def readable(text: str) -> str:
    """The text with what no file of text can hold written out: bytes of a name that are not UTF-8, as `\\udcff`."""
    return text.encode("utf-8", "backslashreplace").decode()


def reason(error: BaseException) -> str:
    """What an error says; with its type in front where the type is needed to understand it."""
    plain = isinstance(error, ValueError | OSError) and str(error) != ""
    return readable(str(error) if plain else f"{type(error).__name__}: {error}")
