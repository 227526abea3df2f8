"""What an export format is, and the registry of formats."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from mixgraph.exports.report import ExportReport
from mixgraph.exports.source import ExportSource
from mixgraph.registry import Registry

Progress = Callable[[str], None]
"""Takes a line on what is being done."""


class ExportFormat(ABC):
    """Writes a found graph in one format. A subclass is a file of its own, decorated by `FORMATS.register`.

    Attributes:
        name: what users type behind `--to`.
        summary: the format in a line, for the help and the page.
        suffix: suffix of the file that the export is, such as `.dawproject`; `""` where it is a folder.
        needs_tracks: whether the tracks are read; where not, the source has no audio.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    suffix: ClassVar[str] = ""
    needs_tracks: ClassVar[bool] = True

    @abstractmethod
    def write(self, source: ExportSource, folder: Path, report: ExportReport, progress: Progress) -> None:
        """Writes all files.

        The folder has a temporary name and gets its own when this returns, or is removed when this raises. A format
        with a suffix writes the single file `project` with that suffix.

        Args:
            source: the found graph, its tracks and stems.
            folder: empty folder to write to.
            report: takes what is approximated and left out; its file is written afterwards.
            progress: takes a line on what is being done.

        Raises:
            ValueError: the format cannot hold the graph at all.
            OSError: a file cannot be written.
        """


FORMATS: Registry[ExportFormat] = Registry("export format")
