"""Texts from others are read in bounded time and memory."""

from itertools import pairwise

import pytest
import yaml

from mixgraph.system.files import parse_yaml, read_text

LETTERS = "abcdefghij"


def nested(form: str) -> str:
    """Each line stands for nine times the values of the line before."""
    lines = [f"{b}: &{b} {form % ', '.join([f'*{a}'] * 9)}" for a, b in pairwise(LETTERS)]
    return "\n".join(["a: &a {k: 1, l: 2}", *lines])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (nested("[%s]"), "more than 10000 values"),
        (nested("{<<: [%s]}"), "more than 10000 values"),
        ("a: 1\n" * 6000, "more than 10000 values"),
        ("a: &a {b: *a}", "an alias inside of what it stands for"),
        ("a: " + "[" * 900 + "]" * 900, "nested more than 20 levels deep"),
        ("a: 1" + ":1" * 400_000, "a number of more than 1000 digits"),
        ("a: !!int '1" + ":1" * 400_000 + "'", "a number of more than 1000 digits"),
        ("a: 0x" + "f" * 900_000, "a number of more than 1000 digits"),
        ("#" * 1_000_001, "more than 1000000 bytes"),
    ],
    ids=["aliases", "merged", "many", "itself", "deep", "base 60", "tagged", "hexadecimal", "long"],
)
def test_yaml_that_stands_for_more_than_it_says_is_refused(text, message) -> None:
    with pytest.raises(ValueError, match=message):
        parse_yaml(text)


def test_other_yaml_is_what_it_was() -> None:
    text = "a: &a {k: 1, t: 2001-01-01, x: [1:30, 0x1f, null, yes, 1.5]}\nb: {<<: *a, k: '2'}\nc: !!set {d, e}\n"
    assert parse_yaml(text) == yaml.safe_load(text)


def test_a_text_that_would_fill_the_memory_is_not_read(tmp_path) -> None:
    path = tmp_path / "graph.json"
    with path.open("wb") as file:
        file.truncate(30 << 30)  # takes no space on the disk
    with pytest.raises(ValueError, match="at most 250 MB of text are read, got 32212 MB"):
        read_text(path)
