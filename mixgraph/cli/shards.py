"""`python -m mixgraph validate-shards DIR` and `rehydrate DIR --root SONGS`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mixgraph.cli.command_parser import CommandParser


def main(arguments: Sequence[str]) -> int:
    """Runs one of the commands; returns its exit code.

    Args:
        arguments: the command's name and its options.
    """
    name, *words = arguments
    if name == "validate-shards":
        parser = CommandParser(description="Checks a data set of shards completely.")
        parser.add_argument("folder", type=Path, metavar="DIR", help="folder of the data set, with its index.json")
        options = parser.parse_args(words)
        from mixgraph.shards.commands import validate  # loads torch, which the help does not need

        return validate(options.folder)
    parser = CommandParser(description="Finds the audio of shards without audio in your own copy of the songs.")
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of the data set")
    parser.add_argument("--root", type=Path, nargs="+", required=True, help="folders with the songs, at any depth")
    parser.add_argument("--out", type=Path, help="write the data set with its audio, and a card, to this folder")
    parser.add_argument("--date-published", help="such as 2026-11-29; as in the old card by default")
    options = parser.parse_args(words)
    from mixgraph.shards.commands import rehydrate

    return rehydrate(options.folder, options.root, options.out, options.date_published)
