"""Every table on the pages is what the command makes of the committed results, and every result says its source."""

import json
from pathlib import Path

import pytest

from tools import result_tables
from tools.result_tables import ROOT, pages, read_table, with_tables

RESULTS = sorted((ROOT / "docs" / "results").glob("*.json"))
MEASURED = {"command": "python -m x", "commit": "0123abc", "machine": "2 cores", "date": "2026-11-28"}


def write(folder: Path, **changes: object) -> Path:
    content = {"title": "Losses", "measured": [MEASURED], "columns": ["song", "loss"], "rows": [["a", "0.5"]]}
    path = folder / "losses.json"
    path.write_text(json.dumps(content | changes))
    return path


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_every_result_says_its_source_and_is_on_a_page(path: Path) -> None:
    assert read_table(path).measured
    marks = f"<!-- table: {path.stem} -->"
    assert sum(marks in page.read_text() for page in pages(ROOT)) == 1


@pytest.mark.parametrize("page", pages(ROOT), ids=lambda page: page.name)
def test_the_tables_of_every_page_are_what_the_command_makes(page: Path) -> None:
    text = page.read_text()
    assert with_tables(text, page, ROOT / "docs" / "results") == text


def test_a_table_with_its_source(tmp_path: Path) -> None:
    write(tmp_path, note="Seed 0.")
    page = tmp_path / "docs" / "page.md"
    old = "Text.\n\n<!-- table: losses -->\nold\n<!-- end of table -->\nMore.\n"
    new = with_tables(old, page, tmp_path)
    assert new == (
        "Text.\n\n<!-- table: losses -->\n\n| song | loss |\n| --- | --- |\n| a | 0.5 |\n\nSeed 0.\n\n"
        "*Measured by `python -m x` (commit 0123abc, 2 cores, 2026-11-28); [data](../losses.json).*\n\n"
        "<!-- end of table -->\nMore.\n"
    )
    assert with_tables(new, page, tmp_path) == new


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"measured": [MEASURED | {"command": ""}]}, "losses.json: measured.command: what was run is needed"),
        ({"measured": [MEASURED | {"commit": "main"}]}, "losses.json: measured.commit: a git hash"),
        ({"measured": [MEASURED | {"date": "yesterday"}]}, "losses.json: measured.date: YYYY-MM-DD"),
        ({"measured": []}, "losses.json: Losses: at least one measurement"),
        ({"rows": [["a"]]}, "losses.json: Losses: rows of 2 cells are needed"),
        ({"colour": "red"}, "losses.json: .*colour"),
    ],
)
def test_results_without_a_source_are_refused(changes: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        read_table(write(tmp_path, **changes))


def test_the_check_ends_with_1_where_a_page_is_out_of_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs" / "results").mkdir(parents=True)
    write(tmp_path / "docs" / "results")
    for name in ("README.md", "CHANGELOG.md"):
        (tmp_path / name).write_text("Nothing.\n")
    (tmp_path / "docs" / "page.md").write_text("<!-- table: losses -->\n<!-- end of table -->\n")
    monkeypatch.setattr(result_tables, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match="1"):
        result_tables.main(["--check"])
    result_tables.main([])
    result_tables.main(["--check"])
    assert capsys.readouterr().out == "docs/page.md\n1 pages changed\n" * 2 + "0 pages changed\n"
