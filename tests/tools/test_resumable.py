"""Tools whose work goes on: exit codes and what is said, by themselves and as commands of mixgraph."""

import signal
import sys

import pytest

from mixgraph import __main__ as entry
from tools.resumable import run_resumable

AGAIN = "this goes on from here:\n  python -m mixgraph paper-tables --out 'two words'\n"


def works(failed: int = 0, number: int | None = None, error: Exception | None = None) -> int:
    if number is not None:
        signal.raise_signal(number)
    if error is not None:
        raise error
    return failed


@pytest.mark.parametrize("as_command", [False, True])
@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [
        ({}, 0, ""),
        ({"failed": 2}, 1, ""),
        ({"number": signal.SIGINT}, 130, f"paper_tables: stopped; {AGAIN}"),
        ({"number": signal.SIGTERM}, 143, f"paper_tables: terminated; {AGAIN}"),
        ({"error": ValueError("songs: none")}, "paper_tables: songs: none", ""),
        (
            {"error": MemoryError()},
            "paper_tables: there is too little memory. HINT: shorter songs or fewer of them",
            "",
        ),
        ({"error": RuntimeError("a fault of ours")}, None, ""),
    ],
    ids=["done", "failures", "Ctrl-C", "SIGTERM", "refused", "memory", "fault"],
)
def test_a_tool_ends_as_promised(ending, code, said, as_command, monkeypatch, capsys) -> None:
    monkeypatch.setattr("mixgraph.registry._imported", {})
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def tool(*_: object) -> None:
        run_resumable("paper-tables", ["--out", "two words"], lambda: works(**ending))

    monkeypatch.setattr(entry, "_run", tool)
    try:
        with pytest.raises(RuntimeError if code is None else SystemExit) as end:
            entry.main() if as_command else tool()
    finally:
        signal.signal(signal.SIGINT, before)
    if code is not None:
        assert str(end.value.code).startswith(str(code))
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("words", [["songs"], ["songs", "--import", "json"]], ids=["taken out before", "as given"])
def test_the_command_that_goes_on_names_the_modules_that_are_trusted(words, monkeypatch, capsys) -> None:
    monkeypatch.setattr("mixgraph.registry._imported", {"json": None})
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(SystemExit):
        run_resumable("build-dataset", [*words, "--", "--x=1"], lambda: works(number=signal.SIGTERM))
    assert "  python -m mixgraph build-dataset --import=json songs -- --x=1\n" in capsys.readouterr().err
