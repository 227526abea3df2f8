"""`python -m mixgraph evaluate-demixer CHECKPOINT STEMS...`: scores a trained demixer on songs with known stems."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mixgraph.cli.command_parser import CommandParser

if TYPE_CHECKING:
    from torch import Tensor

    from mixgraph.demixing.stem_songs import StemSong

_DESCRIPTION = (
    "Scores a demixer on songs whose stems are known: the signal-to-distortion ratio of every target over the whole "
    "song, beside what the mix itself and ideal masks reach. Each STEMS is a song, a folder of stems, or a folder of "
    "such folders, as for a training; silent targets are skipped, and counted."
)


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    parser = CommandParser(description=_DESCRIPTION)
    parser.add_argument("checkpoint", type=Path, help="of a demixer (fit --config demixer.yaml)")
    parser.add_argument("stems", type=Path, nargs="+", metavar="STEMS", help="song, stems, or a folder of them")
    parser.add_argument("--songs", nargs="+", metavar="NAME", help="only songs of these names")
    parser.add_argument("--no-ceilings", action="store_true", help="leave ideal masks out")
    parser.add_argument("--museval", action="store_true", help="museval's figures, too, in a table of their own")
    parser.add_argument("--cache-dir", type=Path, default=Path(".mixgraph_cache"), help="for sums of tracks")
    parser.add_argument("--out", type=Path, help="JSON file of all scores")
    parser.add_argument(
        "--pictures",
        type=Path,
        metavar="FOLDER",
        help="a picture a song: spectrograms of the true stems, of the estimates, and of the errors",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace that file, and pictures of these songs")
    options = parser.parse_args(arguments)
    if options.out is not None and options.out.exists() and not options.overwrite:
        raise FileExistsError(f"out: {options.out} exists and is kept; choose another name or give --overwrite")

    # What follows loads torch and Lightning, which the help above does without.
    from mixgraph.demixing.evaluation import evaluate_songs, summary, table
    from mixgraph.demixing.module import load_demixer
    from mixgraph.demixing.stem_songs import find_stem_songs, name_of, read_stem_song
    from mixgraph.names import visible
    from mixgraph.shipped import song_path
    from mixgraph.system.files import write_atomically

    module = load_demixer(options.checkpoint)
    folders = [folder for root in options.stems for folder in find_stem_songs(song_path(root), module.targets)]
    if options.songs is not None:
        names = [name_of(folder) for folder in folders]
        if unknown := sorted(set(options.songs) - set(names)):
            raise ValueError(f"songs: some of {', '.join(names)}, got {', '.join(unknown)}")
        folders = [folder for folder in folders if name_of(folder) in options.songs]
    songs = [read_stem_song(folder, module.targets, module.sample_rate, options.cache_dir) for folder in folders]
    for note in (note for song in songs for note in song.notes):
        sys.stdout.write(f"{visible(note)}\n")
    draw = None
    if options.pictures is not None:
        draw = _pictures(options.pictures, [song.name for song in songs], module.targets, options.overwrite)
    scores = []
    for score in evaluate_songs(module, songs, not options.no_ceilings, options.museval, draw):
        scores.append(score)
        sys.stdout.write(f"{visible(score.song)} is scored ({len(scores)} of {len(songs)}).\n")
        sys.stdout.flush()
    report = summary(module.targets, scores)
    for line in table(report):
        sys.stdout.write(f"{visible(line)}\n")
    if options.out is not None:
        write_atomically(options.out, (json.dumps(report, indent=1) + "\n").encode())
    return 0


def _pictures(
    folder: Path, names: Sequence[str], targets: Sequence[str], overwrite: bool
) -> Callable[[StemSong, Tensor, Tensor], None]:
    """Returns what draws a song's true stems and estimates to a file of the folder.

    Raises:
        FileExistsError: there is a picture that may not be replaced.
        OSError: the folder cannot be made.
    """
    from mixgraph.names import file_names
    from mixgraph.report.figures import save_figure
    from mixgraph.report.ragged_spectrogram import ragged_stems_figure

    files = [folder / f"{name}.png" for name in file_names(names)]  # songs of several folders may have one name
    if kept := [file for file in files if file.exists() and not overwrite]:
        raise FileExistsError(f"pictures: {kept[0]} exists and is kept; choose another folder or give --overwrite")
    folder.mkdir(parents=True, exist_ok=True)
    next_file = iter(files)

    def draw(song: StemSong, true: Tensor, estimates: Tensor) -> None:
        stems = {name: (true[row], estimates[row]) for row, name in enumerate(targets)}
        save_figure(ragged_stems_figure(stems, song.sample_rate), next(next_file))

    return draw
