"""Names from files as text: in one Unicode form, so that equal names meet, and without control characters.

A disk may hold `é` as one character or as two (`e` and an accent), whatever a song.yaml has; and a name may hold
escape sequences, which a terminal obeys. Names are therefore taken through `shown_name` where they are read.
"""

from __future__ import annotations

import re
import reprlib
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"  # part of words in some scripts, and of emoji
_ACTING = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, formats (such as right-to-left overrides), surrogates, line ends
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])", re.IGNORECASE)  # no names of files on Windows
_LONGEST_FILE_NAME = 150  # bytes: systems take 255, a suffix and a number included
_MOST_SHOWN = 200  # characters of a value in a message


def normal_form(name: str) -> str:
    """Returns the name in Unicode's composed form (NFC), in which names are compared."""
    return unicodedata.normalize("NFC", name)


def visible(text: str) -> str:
    r"""Returns the text with control characters and their like written out: the escape character is `\x1b`."""
    return "".join(c.encode("unicode_escape").decode("ascii") if _acts(c) else c for c in text)


def visible_lines(text: str) -> str:
    """Writes control characters out as `visible` does, but keeps line ends and tabs, for messages of several lines."""
    return "".join(part if part in "\n\t" else visible(part) for part in re.split(r"([\n\t])", text))


def shown_name(name: str) -> str:
    """Converts a name to the form of graphs, results and messages: composed, with control characters written out."""
    return visible(normal_form(name))


def file_names(names: Iterable[str], taken: set[str] | None = None) -> list[str]:
    """Converts names to names of files, without a suffix, that any system takes and that differ in more than case.

    Args:
        names: any names.
        taken: names of files that are in use, in lower case; those that are returned are added.

    >>> file_names(["vox/lead", "VOX_lead", "nul", ""])
    ['vox_lead', 'VOX_lead 2', 'nul_', '_']
    """
    taken = set() if taken is None else taken
    chosen = []
    for name in names:
        plain = re.sub(r'[\x00-\x1f<>:"/\\|?*]', "_", shown_name(name)).strip(" .")
        plain = plain.encode()[:_LONGEST_FILE_NAME].decode(errors="ignore").rstrip(" .") or "_"
        plain += "_" if _DEVICE.fullmatch(plain.partition(".")[0].rstrip()) else ""
        number, free = 1, plain
        while free.casefold() in taken:
            number += 1
            free = f"{plain} {number}"
        taken.add(free.casefold())
        chosen.append(free)
    return chosen


def spreadsheet_cell(value: Any) -> Any:
    """A value for a table of CSV: a name that a spreadsheet would take for a formula gets a ' before it.

    >>> [spreadsheet_cell(value) for value in ("=1+1", "-lead", "-9.01", "kick", 2)]
    ["'=1+1", "'-lead", '-9.01', 'kick', 2]
    """
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def shown_value(value: Any) -> str:
    """Formats a value from a file for a message: as Python writes it, shortened."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = _MOST_SHOWN
    try:
        return short.repr(value)
    except ValueError:  # a whole number of more digits than Python writes
        return f"{type(value).__name__}, too long to show"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Ends a message about an unknown name with the known ones that it begins, or is close to: two, one, or nothing.

    >>> did_you_mean("demmo.yaml", ["base.yaml", "demo.yaml"])
    ' HINT: did you mean demo.yaml?'
    >>> did_you_mean("VOCALS", ["vocals", "drums"])
    ' HINT: did you mean vocals?'
    >>> did_you_mean("--songs", ["--songs-per-engineer", "--out"])
    ' HINT: did you mean --songs-per-engineer?'
    """
    by_form: dict[str, str] = {}
    for candidate in known:
        by_form.setdefault(candidate.casefold(), candidate)
    form = name.casefold()
    begun = [candidate for candidate in by_form if form and candidate.startswith(form)]
    meant = [by_form[candidate] for candidate in begun[:2] or get_close_matches(form, list(by_form), n=2)]
    return f" HINT: did you mean {' or '.join(meant)}?" if meant else ""


def uninterpolated(value: Any) -> Any:
    """A value for a configuration whose texts are taken as they are: `${x}` is a folder's name, no other setting's.

    A backslash before it would do for OmegaConf, but jsonargparse looks for `${x}` whatever is before it.
    """
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", lambda match: 2 * match[1] + "${oc.decode:'\"$\"'}{", value)
    if isinstance(value, dict):
        return {key: uninterpolated(item) for key, item in value.items()}
    if isinstance(value, list):
        return [uninterpolated(item) for item in value]
    return value


def _acts(c: str) -> bool:
    noncharacter = ord(c) & 0xFFFE == 0xFFFE  # XML cannot hold it
    return noncharacter or (unicodedata.category(c) in _ACTING and c not in _JOINERS)
