"""`python -m mixgraph prune-demixer CHECKPOINT SONGS --out CHECKPOINT`: a smaller demixer, trained on."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mixgraph.cli.command_parser import CommandParser

if TYPE_CHECKING:
    from mixgraph.demixing import Demixer
    from mixgraph.demixing.pruning import ChannelPruning
    from mixgraph.demixing.stem_songs import StemSong

_DESCRIPTION = (
    "Removes the channels of a trained demixer that matter least, so that its network is really smaller, and trains it "
    "on. SONGS are those of its training. The checkpoint that it writes is used like any other. What a stopped run had "
    "reached is beside it, in a file with the ending .pruning, from which the same command goes on."
)
_KEEP_SECONDS = 60.0


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    from mixgraph.system.locks import locked

    options = _parser().parse_args(arguments)
    if not options.out.name or options.out.is_dir():
        raise ValueError(f"out: the name of a file is needed, got {options.out}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    lock = options.out.with_name(f".{options.out.name}.lock")
    busy = "out: {} is in use by {}; wait for its end, or choose another name"
    with locked(lock, lambda holder: busy.format(options.out, holder)):
        return _prune(options)


def _prune(options: argparse.Namespace) -> int:
    """Prunes with these options, at a place that this process holds."""
    if options.out.exists() and not options.overwrite:
        raise FileExistsError(f"out: {options.out} exists and is kept; choose another name or give --overwrite")

    # These imports load torch and Lightning, which the help does not need.
    from datamodules import StemData
    from mixgraph.demixing import load_demixer
    from mixgraph.demixing.pruning import ChannelPruning, PruningSettings, save_demixer
    from mixgraph.names import visible
    from mixgraph.search.run import quiet_lightning
    from mixgraph.system.files import file_sha256, write_atomically
    from mixgraph.system.memory import keep_freed_memory

    quiet_lightning()
    keep_freed_memory()
    settings = PruningSettings(
        options.share,
        options.strategy,
        options.steps,
        options.turns,
        options.importance_batches,
        options.learning_rate,
    )
    demixer = load_demixer(options.checkpoint)
    data = StemData(
        [str(root) for root in options.songs],
        left_out=options.left_out,
        batch_size=options.batch_size,
        chunk_seconds=options.chunk_seconds,
        cache_dir=str(options.cache_dir),
        seed=options.seed,
    )
    data.prepare(demixer.targets, demixer.sample_rate)
    about = {
        "checkpoint": file_sha256(options.checkpoint),
        "songs": [[song.name for song in songs] for songs in data.training_songs],
        "batches": [options.batch_size, options.chunk_seconds, options.seed],
    }
    run = ChannelPruning(demixer, settings, data.batch, about)
    kept = options.out.with_name(f"{options.out.name}.pruning")
    if kept.exists():
        run.resume(kept)
        _say(f"{visible(str(kept))}: goes on at step {run.step} of {settings.steps}")
    else:
        write_atomically(kept, run.state())  # before the work, so that a place that cannot be written is known
    songs = data.validation_songs
    before = _median_sdr_db(demixer, songs)
    _advance(run, kept, settings.steps)
    after = _median_sdr_db(run.demixer, songs)
    save_demixer(run.demixer, options.out)
    kept.unlink()
    share = run.num_parameters / run.parameters_before
    _say(f"{run.parameters_before:,} parameters became {run.num_parameters:,}, {100 * share:.1f} % of them")
    if before is not None and after is not None:
        names = ", ".join(song.name for song in songs)
        _say(f"median SDR in the middle of {visible(names)}, 30 s at most: {before:.2f} dB before, {after:.2f} dB now")
    _say(visible(str(options.out)))
    return 0


def _advance(run: ChannelPruning, kept: Path, steps: int) -> None:
    """Prunes and trains to the end, with a progress bar; keeps what is reached after each pruning and each minute."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from mixgraph.system.files import write_atomically

    console = Console(stderr=True)
    words = TextColumn("{task.description}", markup=False)
    columns = (words, BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task("pruning", total=steps, completed=run.step)
        mark, count = time.monotonic(), run.num_parameters
        while (loss := run.advance()) is not None:
            bars.update(task, completed=run.step, description=f"{run.num_parameters:,} parameters, loss {loss:.3f}")
            if run.num_parameters < count or time.monotonic() - mark > _KEEP_SECONDS:
                write_atomically(kept, run.state())
                mark, count = time.monotonic(), run.num_parameters


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _median_sdr_db(demixer: Demixer, songs: Sequence[StemSong]) -> float | None:
    """The median over songs and targets of excerpts, as in validations; None without songs."""
    from datamodules.stems import read_excerpt
    from mixgraph.demixing.scores import song_sdr_db

    ratios = []
    for song in songs:
        excerpt = read_excerpt(song, 30.0)
        estimates = demixer.separate(excerpt.mix)
        ratios += [song_sdr_db(*pair) for pair in zip(excerpt.targets, estimates, strict=True)]
    known = [ratio for ratio in ratios if ratio is not None]
    return statistics.median(known) if known else None


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=_DESCRIPTION)
    add = parser.add_argument
    add("checkpoint", type=Path, help="of a demixer (fit --config demixer.yaml)")
    add("songs", type=Path, nargs="+", metavar="SONGS", help="folders of songs, as for a training")
    add("--out", type=Path, required=True, metavar="CHECKPOINT", help="file to write (.ckpt)")
    add("--share", type=float, default=0.5, help="of the parameters that may stay (%(default)s)")
    add(
        "--strategy",
        choices=("once", "in_turns", "while_training"),
        default="in_turns",
        help="prune before all training, prune and train in turns (default), or a little at a time while training",
    )
    add("--steps", type=int, default=500, help="training steps in all (%(default)s)")
    add("--turns", type=int, default=4, help="prunings of in_turns (%(default)s)")
    add("--importance-batches", type=int, default=16, help="that say which channels matter (%(default)s)")
    add("--learning-rate", type=float, default=1e-3, help="falls to a hundredth (%(default)s)")
    add("--left-out", nargs="+", metavar="SONG", help="songs that are not trained but scored on; else every seventh")
    add("--batch-size", type=int, default=4, help="(%(default)s)")
    add("--chunk-seconds", type=float, default=1.5, help="(%(default)s)")
    add("--seed", type=int, default=42, help="of the chunks (%(default)s)")
    add("--cache-dir", type=Path, default=Path(".mixgraph_cache"), help="for sums of tracks")
    add("--overwrite", action="store_true", help="replace an existing file")
    return parser
