"""Texts from others are read in bounded time and memory."""

import os
from itertools import pairwise

import pytest
import yaml

from mixgraph.songs.text_files import read_json, read_yaml
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
        ("a: !!int ' 1" + ":1" * 400_000 + "'", "a number of more than 1000 digits"),
        ("a: !!int '\N{ARABIC-INDIC DIGIT ONE}" + ":1" * 400_000 + "'", "a number of more than 1000 digits"),
        ("a: !!float ' 1" + ":1" * 400_000 + "'", "a number of more than 1000 digits"),
        ("a: 0x" + "f" * 900_000, "a number of more than 1000 digits"),
        ("#" * 1_000_001, "more than 1000000 characters"),
    ],
    ids=["aliases", "merged", "many", "itself", "deep", "base_60", "tagged", "space", "digit", "float", "hex", "long"],
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
    with pytest.raises(ValueError, match=r"graph\.json: at most 250,000,000 bytes of text are read, got 32,.*HINT"):
        read_text(path)


@pytest.mark.skipif(os.name != "posix", reason="other systems have no pipes with names")
def test_a_device_or_a_pipe_is_not_read(tmp_path) -> None:
    """Its length is 0, as the system has it, and reading it never ends."""
    (tmp_path / "zero").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    for name in ("zero", "pipe"):
        for read in (read_text, read_yaml, read_json):
            with pytest.raises(ValueError, match=rf"{name}: a file is needed, got a device or a pipe\. HINT"):
                read(tmp_path / name)


def test_a_text_is_what_python_reads(tmp_path) -> None:
    path = tmp_path / "text"
    path.write_bytes("ä\r\nb\rc\n\u2028".encode() + b"\xff")
    assert read_text(path, errors="replace") == path.read_text(encoding="utf-8", errors="replace")
    with pytest.raises(UnicodeDecodeError):
        read_text(path)
