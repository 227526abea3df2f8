"""The texts of a data set's card that do not follow from its samples."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixgraph.shards.croissant import CITATION
from mixgraph.shards.fields import parse_json
from mixgraph.shards.statistics import markdown
from mixgraph.system.files import read_text

_DATE = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")
_CHOICE = "\n## How songs were chosen\n\n"
_MOST_BYTES = 1 << 26


@dataclass(frozen=True)
class CardTexts:
    """The texts of a card.

    Attributes:
        name: the name of the data set; if empty, that of its folder.
        description: a paragraph that describes the data set to people.
        date_published: a date such as 2026-11-29; left out of croissant.json if empty. The current date is never used,
            so that equal inputs give equal bytes.
        cite_as: the publication to cite, as BibTeX.
        choice: a section in Markdown on how songs were chosen, see `choice_section`.
    """

    name: str = ""
    description: str = ""
    date_published: str = ""
    cite_as: str = CITATION
    choice: str = ""

    def __post_init__(self) -> None:
        if self.date_published and not _DATE.fullmatch(self.date_published):
            raise ValueError(f"date_published: a date such as 2026-11-29 is needed, got {self.date_published!r}")


def read_texts(folder: Path) -> CardTexts:
    """Reads the texts of a data set's card, for the card of a derived data set; defaults if there is no card.

    Raises:
        ValueError: the card is damaged.
    """
    record: Any = {}
    croissant, readme = folder / "croissant.json", folder / "README.md"
    for path in (croissant, readme):
        if path.is_file() and path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"{path}: at most {_MOST_BYTES:,} bytes are allowed, got {path.stat().st_size:,}")
    if croissant.is_file():
        record = parse_json(croissant.read_bytes(), str(croissant))
        if not isinstance(record, dict):
            raise ValueError(f"{croissant}: an object is needed, got {type(record).__name__}")
    keys = {"name": "name", "description": "description", "datePublished": "date_published", "citeAs": "cite_as"}
    known = {ours: record[theirs] for theirs, ours in keys.items() if isinstance(record.get(theirs), str)}
    text = read_text(readme) if readme.is_file() else ""
    return CardTexts(**known, choice=text[text.index(_CHOICE) :] if _CHOICE in text else "")


def choice_section(quality: Mapping[str, Any]) -> str:
    """Returns the section of a card on how songs were chosen and what was left out; "" if `quality` is empty.

    Args:
        quality: title -> a table (a list of records, or a mapping) or a text.
    """
    parts = []
    for title, value in quality.items():
        rows: list[list[str]] = []
        if isinstance(value, Mapping):
            rows = [["", ""], *([str(key), str(item)] for key, item in value.items())]
        elif isinstance(value, list | tuple) and value and all(isinstance(record, Mapping) for record in value):
            keys = list(dict.fromkeys(key for record in value for key in record))
            rows = [[str(key) for key in keys], *([str(record.get(key, "")) for key in keys] for record in value)]
        shown = markdown(rows) if rows else str(value) if value not in ([], ()) else "none"
        parts.append(f"### {str(title).replace('_', ' ').capitalize()}\n\n{shown}\n")
    return _CHOICE + "\n".join(parts) if parts else ""
