"""The list of what the paper has, docs/paper.md, lacks nothing, and every item has a command or a test that exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ITEMS = {"Equations": 28, "Algorithms": 3, "Tables": 6, "Figures": 18}
PAGE = (ROOT / "docs" / "paper.md").read_text()
NOTHING_TO_RUN = {"Tables": {4}, "Figures": {1}}  # a summary of the literature, and a drawing without data


def rows_of(heading: str) -> list[list[str]]:
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section is not None
    lines = [line for line in section[1].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def numbers(item: str) -> list[int]:
    """The numbers that an item begins with: `7, 15 to 18 spectrograms` has five."""
    head = re.match(r"[\d, to]+", item)
    parts = [] if head is None else re.findall(r"(\d+)(?: to (\d+))?", head[0])
    return [n for first, last in parts for n in range(int(first), int(last or first) + 1)]


@pytest.mark.parametrize("heading", ITEMS)
def test_every_item_has_a_place_and_what_holds_it(heading: str) -> None:
    rows = rows_of(heading)
    assert sorted(n for row in rows for n in numbers(row[0])) == [*range(1, ITEMS[heading] + 1)]
    for item, place, held_by, *_ in rows:
        if set(numbers(item)) & NOTHING_TO_RUN.get(heading, set()):
            assert place.startswith("none: "), item
        else:
            assert "`" in place, item  # code, or a command
        tests = re.findall(r"`(tests/[\w/]+\.py)`", held_by)
        assert tests, item
        assert [path for path in tests if not (ROOT / path).is_file()] == [], item
