"""Turns errors into texts that every file and terminal can hold."""

from __future__ import annotations


def readable(text: str) -> str:
    """Escapes the parts of a text that are not valid UTF-8, such as bytes of a file name, as `\\udcff`."""
    return text.encode("utf-8", "backslashreplace").decode()


def reason(error: BaseException) -> str:
    """Returns the message of an error, prefixed with its type if that is needed to understand it."""
    plain = isinstance(error, ValueError | OSError) and str(error) != ""
    return readable(str(error) if plain else f"{type(error).__name__}: {error}")
