"""Every table on the pages is what the command makes of the committed results, and every result says its source."""

import json
import subprocess
from pathlib import Path

import pytest

from tools import result_tables
from tools.bench.machine import command_line
from tools.result_tables import ROOT, pages, read_table, strange_commits, with_tables, write_table

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
        ({"measured": [MEASURED | {"command": "python -m x --out=/a"}]}, ".*command without absolute paths"),
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
    changed, unchecked = "docs/page.md\n1 pages changed\n", "commits were not checked: there is no whole history\n"
    assert capsys.readouterr().out == f"{changed}{unchecked}{changed}0 pages changed\n{unchecked}"


def test_commits_are_in_the_history_and_have_the_module_of_their_command() -> None:
    assert strange_commits(ROOT / "docs" / "results", ROOT) in ([], None)  # None: a shallow clone, or no git


def test_a_commit_of_another_branch_and_one_without_the_module_are_told(tmp_path: Path) -> None:
    root, results = tmp_path / "root", tmp_path / "results"
    (root / "tools").mkdir(parents=True)
    results.mkdir()

    def git(*words: str) -> str:
        name = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        return subprocess.run(["git", *name, *words], cwd=root, capture_output=True, text=True, check=True).stdout[:9]

    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--message=first")
    first = git("rev-parse", "HEAD")
    (root / "tools" / "x.py").touch()
    git("add", "tools")
    git("commit", "--quiet", "--message=tool")
    second = git("rev-parse", "HEAD")
    git("commit", "--quiet", "--amend", "--message=tool, amended")
    runs = {"a": first, "b": second, "c": git("rev-parse", "HEAD")}
    for name, commit in runs.items():
        run = MEASURED | {"command": "python -m tools.x --out a", "commit": commit}
        write_table(results / f"{name}.json", "A title", [run], ("a", "b"), [(1, 2.5)], "A note.")
    assert strange_commits(results, root) == [
        f"b.json: commit {second} is not in the history",
        f"a.json: commit {first} has no tools.x",
    ]
    assert strange_commits(results, root / "tools") is None
    table = read_table(results / "a.json")
    assert (table.title, table.columns, table.rows, table.note) == ("A title", ("a", "b"), (("1", "2.5"),), "A note.")
    with pytest.raises(ValueError, match="A title: rows of 2 cells are needed"):
        write_table(results / "a.json", "A title", [MEASURED], ("a", "b"), [(1,)])


def test_a_command_is_told_without_what_it_writes_and_without_folders_of_the_machine() -> None:
    words = ["--out", "/a/b.json", "--only", "1 track", "--out=c.json", "--results", "/songs/x=/y/z", "w/v=u", "--kept"]
    told = "python -m tools.x --only '1 track' --results x=z w/v=u --kept"
    assert command_line("tools.x", words) == told
    assert command_line("tools.x", ["--table", "a", "--out", "b"], ("--out", "--table")) == "python -m tools.x"
