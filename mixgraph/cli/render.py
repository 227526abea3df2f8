"""`python -m mixgraph render RESULT --tracks DIR --out FILE`: renders tracks with a found graph."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mixgraph.cli.command_parser import CommandParser

_DESCRIPTION = (
    "Renders a found graph on tracks. A track's file is found by the content that it had in the search, by its name in "
    "the graph and by its file's name; what is not found by name is said. The tracks of the search give a mix as long "
    "as that of the search, others one as long as the longest track; shorter tracks are followed by silence."
)


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.out is None and options.stems is None:
        parser.error("--out FILE, for the mix, or --stems DIR, or both are needed")

    # These imports load torch, which the help does not need.
    import soundfile

    from mixgraph.names import visible
    from mixgraph.render import BLOCK
    from mixgraph.results.listening import Listening
    from mixgraph.results.rendering import render_result
    from mixgraph.results.stems import STEM_LIST
    from mixgraph.shipped import song_path

    block = BLOCK if options.block is None else options.block
    listening = Listening(options.solo, options.mute, options.bypass)
    tracks = song_path(options.tracks)
    maps = dict(options.map)
    if len(maps) < len(options.map):
        parser.error("argument --map: one file a track is allowed, got a track twice")
    rendering = render_result(
        options.result,
        tracks,
        options.out,
        block,
        options.overwrite,
        listening,
        options.stems,
        options.sample_rate,
        maps,
        options.changes,
    )
    lines = list(rendering.notes)
    if rendering.stems is not None:
        lines.append(f"{rendering.stems}: stems, listed in {STEM_LIST}")
    if rendering.written is not None:
        about = soundfile.info(str(rendering.written.path))
        lines += [rendering.written.warning] if rendering.written.warning else []
        lines.append(
            f"{rendering.written.path}: {about.duration:.1f} s at {about.samplerate} Hz{rendering.rate_remark}"
        )
    for line in lines:
        sys.stdout.write(f"{visible(line)}\n")
    return 0


def _parser() -> CommandParser:
    parser = CommandParser(description=_DESCRIPTION)
    parser.add_argument("result", type=Path, help="result folder of a search")
    parser.add_argument("--tracks", type=Path, required=True, help="folder of a song, or of its tracks alone")
    parser.add_argument("--out", type=Path, help="audio file to write (.flac or .wav)")
    parser.add_argument(
        "--stems",
        type=Path,
        metavar="DIR",
        help="folder to write stems to: each track and each subgroup behind its chain, WAV files that sum to the mix",
    )
    parser.add_argument(
        "--map",
        action="append",
        type=_map,
        default=[],
        metavar="TRACK=FILE",
        help='the file of a track, for stems of another song: --map "kick=BD.wav"; --map "kick=" leaves it silent',
    )
    parser.add_argument("--solo", nargs="+", default=(), metavar="NAME", help="tracks or subgroups to hear alone")
    parser.add_argument("--mute", nargs="+", default=(), metavar="NAME", help="tracks or subgroups to leave out")
    parser.add_argument(
        "--bypass",
        nargs="+",
        default=(),
        metavar="NAME",
        help='processors to switch off: a type (reverb), a chain ("track kick"), or one ("track kick: reverb")',
    )
    parser.add_argument("--changes", type=Path, metavar="FILE", help="changes.json that the result's page saved")
    parser.add_argument(
        "--sample-rate",
        type=_rate,
        default="file",
        metavar="file|search|HZ",
        help="of what is written: the highest one of the tracks' files (the default), that of the search, or Hz",
    )
    parser.add_argument("--block", type=int, help="samples a block; any size gives the same mix")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    return parser


def _rate(text: str) -> int | str:
    """Reads a sample rate, or a rule for it."""
    if text in ("file", "search"):
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"file, search or a number of Hz is needed, got {text!r}") from None


def _map(text: str) -> tuple[str, str]:
    """Reads TRACK=FILE; the last sign of equality parts them."""
    track, parted, file = text.rpartition("=")
    if not parted or not track:
        raise argparse.ArgumentTypeError(f"TRACK=FILE is needed, such as kick=BD.wav, got {text!r}")
    return track, file
