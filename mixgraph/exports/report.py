"""export_report.txt: what an export approximates, what it leaves out, and which files it has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mixgraph.names import visible
from mixgraph.results.publish import unlisted

REPORT = "export_report.txt"
_MARK = "mixgraph export: "
_FILES = "Files:"


class ExportReport:
    """Collects the lines of an export's report, while a format writes its files.

    Args:
        format_name: name of the format.
        title: title of the song.
    """

    def __init__(self, format_name: str, title: str) -> None:
        self.format_name, self.title = format_name, title
        self._notes: list[str] = []
        self._approximated: list[str] = []
        self._left_out: list[str] = []

    def note(self, *lines: str) -> None:
        """Adds lines that a user must know to use the files: levels, rates, how tracks were read."""
        self._notes += lines

    def approximated(self, place: str, text: str) -> None:
        """Says that the format carries something nearly; `place` is the processor, as `track kick: equalizer`."""
        self._approximated.append(f"{place}: {text}")

    def left_out(self, place: str, text: str) -> None:
        """Says that the format cannot carry something, and where it is to be found instead."""
        self._left_out.append(f"{place}: {text}")

    def lines(self) -> list[str]:
        """The report without its files, a line each; the first names the format and the song."""
        lines = [f"{_MARK}{self.format_name}", f"Song: {self.title}", *self._notes]
        for head, entries in (("Approximated:", self._approximated), ("Left out:", self._left_out)):
            lines += ["", head, *(f"  {entry}" for entry in entries or ["nothing"])]
        return [visible(line) for line in lines]

    def summary(self) -> list[str]:
        """A few lines for the terminal: the notes, and how much is approximated and left out."""
        counts = [f"{len(self._approximated)} approximated", f"{len(self._left_out)} left out"]
        return [*self._notes, f"Processors and parts: {', '.join(counts)}; {REPORT} names them."]

    def text(self, files: Sequence[str]) -> str:
        """The whole report, with the names of all files of the export."""
        return "\n".join([*self.lines(), "", _FILES, *(f"  {file}" for file in sorted(files))]) + "\n"


def foreign_entries(entries: Sequence[Path]) -> list[Path]:
    """Returns the files of a folder that no export wrote, by the folder's report; all entries where it has none.

    A file that somebody put into a folder of an export counts, also in a folder within.
    """
    return unlisted(entries, REPORT, _listed)


def _listed(text: str) -> list[str]:
    if not text.startswith(_MARK):
        raise ValueError(f"{_MARK} is needed")
    return [line.strip() for line in text.partition(f"\n{_FILES}\n")[2].splitlines()]
