"""Hostile files for every reader, and what a finding looks like."""

import json
from pathlib import Path

import pytest

from tools.fuzz import Watch, example, findings, main
from tools.fuzz_changes import FORMS
from tools.fuzz_targets import Target
from tools.result_tables import read_table


def test_readers_of_songs_and_texts_take_or_refuse_hostile_files(capsys, tmp_path) -> None:
    out = tmp_path / "fuzzed.json"
    words = ["--kind", "songs", "--kind", "texts", "--examples", "1"]
    assert main([*words, "--out", str(out)]) == 0, capsys.readouterr().out
    table = read_table(out)
    assert table.measured[0].command == f"python -m tools.fuzz {' '.join(words)}"
    assert table.rows[-1] == ("all", "25", "25", "0")


@pytest.mark.long
def test_every_reader_takes_or_refuses_many_hostile_files(capsys) -> None:
    assert main(["--examples", "8", "--seed", "1"]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("form", ["json", "lines", "yaml", "tar"])
def test_forms_give_the_values_of_a_file_and_the_file_again(form) -> None:
    value = {"a.json": {"b": [1, 2.5, None]}, "c.txt": "text"}
    encoded = FORMS[form].encode([value] if form == "lines" else value)
    assert FORMS[form].encode(FORMS[form].decode(encoded)) == encoded


def test_what_a_reader_must_not_do_is_found(tmp_path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file.json").write_text(json.dumps({"a": [1, 2], "b": {"c": "d"}}))
    escaped, kept = tmp_path / "escaped", tmp_path / "kept"
    kept.touch()

    def read(copy: Path) -> None:
        data = (copy / "file.json").read_bytes()
        if b'"b"' not in data:
            kept.unlink(missing_ok=True)
        if b'"a"' not in data:
            escaped.write_text("x")
        if b'"c"' not in data:
            raise KeyError("c")
        json.loads(data)

    target = Target("a reader", tmp_path / "folder", "file.json", read, "json")
    assert example(target, 3, 5) == example(target, 3, 5) != example(target, 3, 6)
    told = list(findings(target, range(200), 0, Watch()))
    assert len(told) == 3  # each place once
    assert any(f"changes {kept}" in text for text in told)
    assert any("KeyError: 'c'" in text for text in told)
    assert any(f"changes {escaped}" in text for text in told)


def test_the_same_line_of_another_file_is_another_place(tmp_path) -> None:
    """The readers of two formats fail on the seventh line of their files."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file.json").write_text(json.dumps({"a": 1, "b": 2}))
    readers = {name: compile("\n" * 6 + "raise KeyError(1)", f"{name}.py", "exec") for name in ("one", "other")}

    def read(copy: Path) -> None:
        data = (copy / "file.json").read_bytes()
        if data != (tmp_path / "folder" / "file.json").read_bytes():
            exec(readers["one" if len(data) % 2 else "other"])

    told = list(findings(Target("two readers", tmp_path / "folder", "file.json", read, "json"), range(20), 0, Watch()))
    assert sorted("one.py" in text for text in told) == [False, True]
