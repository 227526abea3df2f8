"""Measures a reference state of instruments from multitrack songs, for searches from a mix alone.

    python -m tools.measure_reference SONGS... --out reference.json

Songs are folders of any layout, or of stems. The file names them with their licences; it has no audio in it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mixgraph.blind.measure import INSTRUMENTS, SAMPLE_RATE, measure_reference
from mixgraph.blind.reference import write_reference
from mixgraph.cli.command_parser import CommandParser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the tool; returns its exit code."""
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path, nargs="+", metavar="SONG", help="folder of a multitrack song")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--instruments", nargs="+", default=INSTRUMENTS, help=f"names ({' '.join(INSTRUMENTS)})")
    parser.add_argument("--sample-rate", type=int, default=SAMPLE_RATE, help=f"in Hz ({SAMPLE_RATE})")
    parser.add_argument("--cache", type=Path, default=Path(".mixgraph_cache"), help="folder for sums of tracks")
    options = parser.parse_args(arguments)
    reference = measure_reference(options.songs, options.cache, options.instruments, options.sample_rate)
    write_reference(options.out, reference)
    for name, state in reference.instruments.items():
        spread = f"{state.loudness_lu:+.1f} LU against the whole (spread {state.loudness_spread_lu:.1f})"
        sys.stdout.write(f"{name}: {spread}, {len(state.songs)} songs\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
