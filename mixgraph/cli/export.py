"""`python -m mixgraph export RESULT --to FORMAT --out PATH`: a found graph as files for a studio."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from mixgraph.cli.command_parser import CommandParser

_DESCRIPTION = (
    "Writes a found graph as files for a studio. What a format cannot carry, or carries nearly, is listed in the "
    "export's export_report.txt. The tracks must be those of the search, by their content."
)
_EXAMPLE = "example:\n  python -m mixgraph export results/demo_potassium --to sheet --out demo_sheet"
FORMAT_NAMES = {
    "stems": "every track, subgroup and return behind its chain, and the mix, as WAV files: for any DAW",
    "impulses": "impulse responses of what is linear in every chain, as WAV files: for convolver plug-ins",
    "sheet": "settings in the units of plug-ins: text, CSV, JSON, and pictures of equalizers; no audio",
    "dawproject": "one .dawproject file: printed stems, and beside them the live mixer with built-in devices",
    "reaper": "a REAPER project with our own effects, in which everything is live, and printed stems, muted",
}
"""The formats that the help explains; a test compares them with the registry, whose import loads torch."""


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
        allow_changed=options.changed_tracks == "allow",
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
    formats = "\n".join(f"  {name:<11} {text}" for name, text in FORMAT_NAMES.items())
    parser = CommandParser(
        description="\n".join(textwrap.wrap(_DESCRIPTION, 80)),
        epilog=f"formats:\n{formats}\n\n{_EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("result", type=Path, help="result folder of a search")
    add("--to", required=True, metavar="FORMAT", help=f"one of {', '.join(FORMAT_NAMES)}; see below")
    add("--out", type=Path, required=True, metavar="PATH", help="folder to write; for dawproject a file")
    add("--tracks", type=Path, metavar="DIR", help="folder of the song or its tracks (default: where the search was)")
    add(
        "--sample-rate",
        default="file",
        metavar="HZ",
        help="rate of the session in Hz; file (default): that of the track files; search: at which the graph was found",
    )
    add("--bits", choices=("float", "24"), default="float", help="samples of tracks and stems (default: float)")
    add(
        "--changed-tracks",
        choices=("refuse", "allow"),
        default="refuse",
        help="tracks of another content than in the search (default: refuse)",
    )
    add("--overwrite", action="store_true", help="replace an earlier export")
    return parser
