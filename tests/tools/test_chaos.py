"""Searches that are killed, really, and gone on with."""

import json
import signal

import pytest

from tools.chaos import Kill, is_killed, main, rows, unexpected
from tools.forks import Run, command_to_go_on
from tools.result_tables import read_table


@pytest.mark.long
def test_killed_searches_end_with_the_same_bytes(run_tool, tmp_path) -> None:
    out = tmp_path / "chaos.json"
    run_tool("chaos", "--out", str(out), "--writes=2", "--moments=1", "--signals=1")
    searches = json.loads(out.read_text())["searches"]
    assert {kind: number for kind, number, *_ in rows(searches)} == {
        "none": 1,
        "SIGKILL before a write": 2,
        "SIGKILL after a write": 2,
        "SIGKILL at a moment": 1,
        "SIGTERM at a moment": 1,
        "SIGINT twice at a moment": 1,
    }
    of_writes = [search for search in searches if "write" in search["kind"]]
    # each search was killed, and every second one again when it went on: what is refused is no kill
    assert [search["killed"] for search in of_writes] == [len(search["kills"]) for search in of_writes]
    assert sorted(search["killed"] for search in of_writes) == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("code", "text", "killed", "wrong"),
    [
        (0, "", False, False),
        (-signal.SIGKILL, "", True, False),
        (1, "result.path: result exists and is kept; choose another path", False, False),
        (1, "result.partial holds a search that did not end; go on with\n  python -m mixgraph fit", False, True),
        (70, "", False, True),
        (128 + signal.SIGTERM, "", True, True),  # it was not sent
    ],
)
def test_only_what_a_signal_ended_is_a_kill(code, text, killed, wrong) -> None:
    assert is_killed(code) == killed
    assert bool(unexpected(Kill(0), Run(code, text, (), 0.0))) == wrong


def test_a_signal_may_be_handled() -> None:
    sent = Kill(moment=0.5, signals=(signal.SIGINT, signal.SIGINT))
    assert is_killed(130)
    assert unexpected(sent, Run(130, "", (), 0.0)) == ""
    assert unexpected(sent, Run(143, "a\nb", (), 0.0)) == "exit code 143: b"


def test_the_table_has_the_searches_of_all_files_and_their_runs(tmp_path) -> None:
    run = {"command": "python -m tools.chaos --out a.json", "commit": "1234567", "machine": "x", "date": "2026-11-30"}
    kill = {"operation": 3, "after": False, "moment": 0.0, "signals": [9]}

    def search(kind: str, killed: int, problem: str = "") -> dict:
        return {"kind": kind, "kills": [kill] * 2, "killed": killed, "problem": problem}

    contents = [
        {"measured": [run], "operations": ["a"] * 9, "searches": [search("SIGKILL before a write", 2)]},
        {
            "measured": [run, run | {"commit": "7654321"}],
            "operations": ["a"] * 9,
            "searches": [search("SIGKILL before a write", 1, "trace.jsonl"), search("SIGKILL at a moment", 0)],
        },
    ]
    outs = []
    for number, content in enumerate(contents):
        outs.append(tmp_path / f"{number}.json")
        outs[-1].write_text(json.dumps(content))
    words = [word for out in outs for word in ("--out", str(out))]
    assert main([*words, "--table", str(tmp_path / "table.json")]) == 0
    table = read_table(tmp_path / "table.json")
    assert [measurement.commit for measurement in table.measured] == ["1234567", "7654321"]
    assert table.rows == (
        ("SIGKILL before a write", "2", "3", "1", "1"),
        ("SIGKILL at a moment", "1", "0", "0", "0"),
        ("all", "3", "3", "1", "1"),
    )
    assert "killed at 1 of them" in table.note
    assert table.note.endswith("Not as without a kill: SIGKILL before a write: trace.jsonl.")
    with pytest.raises(ValueError, match="one file is needed to measure, got 2"):
        main(words)
    outs[0].write_text(json.dumps(contents[0] | {"measured": []}))
    with pytest.raises(ValueError, match=r"0\.json: does not say by which run"):
        main([*words, "--table", str(tmp_path / "table.json")])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "x holds a search that did not end; go on with\n  python -m mixgraph fit --a 'b c'\nor",
            ["fit", "--a", "b c"],
        ),
        ("The search did not end. To go on:\n  python -m mixgraph fit x", ["fit", "x"]),
        ("To finish the search:\n  python -m mixgraph fit x", ["fit", "x"]),
        ("To search on from it:\n  python -m mixgraph fit x", None),  # of an estimate, which is done
        ("", None),
    ],
)
def test_the_command_that_goes_on_is_the_one_that_is_named(text, words) -> None:
    assert command_to_go_on(text) == words
