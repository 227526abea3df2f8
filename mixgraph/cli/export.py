"""`python -m mixgraph export RESULT --to FORMAT --out PATH`: a found graph as files for a studio."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

_DESCRIPTION = (
    "Writes a found graph as files for a studio. What a format cannot carry, or carries nearly, is listed in the "
    "export's export_report.txt. The tracks must be those of the search, by their content."
)
FORMAT_NAMES = ("stems", "impulses", "sheet", "dawproject", "reaper")
"""The formats that the help names; a test compares them with the registry, whose import loads torch."""


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    options = _parser().parse_args(arguments)

    # These imports load torch, which the help does not need.
    from mixgraph.exports.run import export_result
    from mixgraph.exports.settings import ExportSettings
    from mixgraph.names import visible

    settings = ExportSettings(
        sample_rate=int(options.sample_rate) if options.sample_rate.isdecimal() else options.sample_rate,
        bits=options.bits,
        allow_changed=options.allow_changed,
    )

    def progress(line: str) -> None:
        sys.stderr.write(f"{visible(line)}\n")

    exported = export_result(
        options.result, options.to, options.out, options.tracks, settings, options.overwrite, progress
    )
    for line in (*exported.lines, f"{exported.path}: written; {exported.report}: what it holds"):
        sys.stdout.write(f"{visible(line)}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=_DESCRIPTION)
    add = parser.add_argument
    add("result", type=Path, help="result folder of a search")
    add("--to", required=True, metavar="FORMAT", help=f"one of {', '.join(FORMAT_NAMES)}")
    add("--out", type=Path, required=True, metavar="PATH", help="folder or file to write")
    add("--tracks", type=Path, metavar="DIR", help="folder of the song or its tracks (default: where the search was)")
    add(
        "--sample-rate",
        default="file",
        metavar="HZ",
        help="rate of the audio in Hz; file (default): that of the track files; search: at which the graph was found",
    )
    add("--bits", choices=("float", "24"), default="float", help="samples of printed audio (default: float)")
    add("--allow-changed", action="store_true", help="accept tracks that are not the files of the search")
    add("--overwrite", action="store_true", help="replace an earlier export")
    return parser
