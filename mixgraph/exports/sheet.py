"""The sheet: the settings of a found graph in units of the studio, as text and JSON."""

from __future__ import annotations

from pathlib import Path

from mixgraph.exports.formats import FORMATS, ExportFormat, Progress
from mixgraph.exports.report import ExportReport
from mixgraph.exports.source import ExportSource
from mixgraph.system.files import json_text, write_atomically


@FORMATS.register
class Sheet(ExportFormat):
    """Settings to type into plug-ins."""

    name = "sheet"
    summary = "settings in units of the studio, as text and JSON"
    needs_tracks = False

    def write(self, source: ExportSource, folder: Path, report: ExportReport, progress: Progress) -> None:
        write_atomically(folder / "settings.txt", source.found_graph.settings_table().encode())
        write_atomically(folder / "settings.json", json_text(source.found_graph.settings(), indent=1).encode())
