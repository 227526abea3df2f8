"""`python -m mixgraph render RESULT --tracks DIR --out FILE`: renders tracks with a found graph."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

_DESCRIPTION = (
    "Renders a found graph on tracks. A track's file is found by the content that it had in the search, by its name in "
    "the graph and by its file's name; what is not found by name is said. The tracks of the search give a mix as long "
    "as that of the search, others one as long as the longest track; shorter tracks are followed by silence."
)


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION)
    parser.add_argument("result", type=Path, help="result folder of a search")
    parser.add_argument("--tracks", type=Path, required=True, help="folder of a song, or of its tracks alone")
    parser.add_argument("--out", type=Path, required=True, help="audio file to write (.flac or .wav)")
    parser.add_argument("--solo", nargs="+", default=(), metavar="NAME", help="tracks or subgroups to hear alone")
    parser.add_argument("--mute", nargs="+", default=(), metavar="NAME", help="tracks or subgroups to leave out")
    parser.add_argument(
        "--bypass",
        nargs="+",
        default=(),
        metavar="NAME",
        help='processors to switch off: a type (reverb), a chain ("track kick"), or one ("track kick: reverb")',
    )
    parser.add_argument("--block", type=int, help="samples a block; any size gives the same mix")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    options = parser.parse_args(arguments)

    # These imports load torch, which the help does not need.
    import soundfile

    from mixgraph.names import visible
    from mixgraph.render import BLOCK
    from mixgraph.results.listening import Listening
    from mixgraph.results.rendering import render_result
    from mixgraph.shipped import song_path

    block = BLOCK if options.block is None else options.block
    listening = Listening(options.solo, options.mute, options.bypass)
    tracks = song_path(options.tracks)
    rendering = render_result(options.result, tracks, options.out, block, options.overwrite, listening)
    written, about = rendering.written, soundfile.info(str(rendering.written.path))
    summary = f"{written.path}: {about.duration:.1f} s at {about.samplerate} Hz, at which the graph was found"
    for line in (*rendering.notes, *([written.warning] if written.warning else []), summary):
        sys.stdout.write(f"{visible(line)}\n")
    return 0
