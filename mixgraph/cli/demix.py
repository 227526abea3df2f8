"""`python -m mixgraph demix CHECKPOINT MIX --out FOLDER`: takes a mix apart into stems."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mixgraph.cli.command_parser import CommandParser

_DESCRIPTION = (
    "Takes a mix apart into the targets of a trained demixer. Files of any length are read, separated and written in "
    "stretches. Stems are float32 WAV files of the mix's own sample rate, length and channels; demix.json says what "
    "was done."
)


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    options = _parser().parse_args(arguments)

    # These imports load torch and Lightning, which the help does not need.
    import torch
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from mixgraph.demixing import blend, load_demixer
    from mixgraph.demixing.files import demix_file, read_gains
    from mixgraph.names import visible
    from mixgraph.search.run import quiet_lightning
    from mixgraph.songs.decode import audio_seconds
    from mixgraph.system.files import file_sha256

    quiet_lightning()
    blends = dict(options.blend)
    if len(blends) < len(options.blend):
        raise ValueError("blend: one checkpoint a target is allowed, got a target twice")
    gains = None if options.gains is None else read_gains(options.gains)
    demixer = load_demixer(options.checkpoint)
    about = {"checkpoint": {"file": options.checkpoint.name, "sha256": file_sha256(options.checkpoint)}}
    if blends:
        demixer = blend(demixer, {target: load_demixer(path) for target, path in blends.items()})
        about["blended"] = {target: {"file": path.name, "sha256": file_sha256(path)} for target, path in blends.items()}
    has_gpu = torch.cuda.is_available()
    if options.device == "cuda" and not has_gpu:
        raise ValueError("device: cuda needs a GPU that torch finds, got none. HINT: --device cpu")
    demixer.to("cuda" if has_gpu and options.device != "cpu" else "cpu")
    console = Console(stderr=True)
    words = TextColumn("{task.description}", markup=False)
    columns = (words, BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task(visible(options.mix.name), total=audio_seconds(options.mix))
        demixed = demix_file(
            demixer,
            options.mix,
            options.out,
            gains,
            options.overwrite,
            progress=lambda seconds: bars.update(task, completed=seconds),
            about=about,
        )
    lines = [*demixed.notes]
    if demixed.distance_db is not None:
        lines.append(f"the stems' sum differs from the mix by {demixed.distance_db:.1f} dB relative to the mix")
    seconds = demixed.samples / demixed.sample_rate
    shown = f"{seconds:.1f} s" if seconds >= 0.1 else f"{demixed.samples} samples"
    lines.append(f"{demixed.folder}: {', '.join(demixed.files.values())}: {shown} at {demixed.sample_rate} Hz")
    for line in lines:
        sys.stdout.write(f"{visible(line)}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=_DESCRIPTION)
    add = parser.add_argument
    add("checkpoint", type=Path, help="of a demixer (fit --config demixer.yaml)")
    add("mix", type=Path, help="audio file of one or two channels")
    add("--out", type=Path, required=True, metavar="FOLDER", help="folder to write")
    add(
        "--gains",
        metavar="TARGET=DB,...",
        help="also write remix.wav, with targets at other levels: --gains vocals=-6,drums=3; -inf leaves one out",
    )
    add(
        "--blend",
        action="append",
        type=_blend,
        default=[],
        metavar="TARGET=CHECKPOINT",
        help="separate a target with another checkpoint of the same transform; may be given for several targets",
    )
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto (default) is a GPU where there is one")
    add("--overwrite", action="store_true", help="replace an earlier folder of stems")
    return parser


def _blend(text: str) -> tuple[str, Path]:
    """Reads TARGET=CHECKPOINT; the first sign of equality parts them."""
    target, parted, path = text.partition("=")
    if not target or not parted or not path:
        raise argparse.ArgumentTypeError(f"TARGET=CHECKPOINT is needed, such as vocals=best.ckpt, got {text!r}")
    return target, Path(path)
