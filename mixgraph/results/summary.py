"""The most important figures of a result, as text for people."""

from __future__ import annotations

from pathlib import Path

from mixgraph.report.verdict import verdict_lines, what_tracks_are
from mixgraph.results.contents import CONSOLE_DRAWING, INCREASES, RESULT_FILES
from mixgraph.results.metrics import Metrics


def summarise(folder: Path, metrics: Metrics) -> str:
    """Writes losses, processors, the verdict and the folder's files, in a line each."""
    losses, counts = metrics.searched_losses, metrics.num_processors
    lines = []
    if metrics.was_stopped:
        lines.append(f"Stopped after {metrics.steps} of {metrics.planned_steps} steps, with the graph as it was.")
    lines += [
        f"Match loss: dry sum {losses['dry_sum']:.3f}, console {losses['console']:.3f}, "
        f"found graph {losses['found']:.3f}.",
        f"Processors: {counts.found} of {counts.console} left ({metrics.pruning_ratio:.0%} pruned).",
    ]
    if metrics.within_tolerance is False:
        lines.append(
            f"The found graph is {losses['found'] - losses['console']:.3f} above the console, more than the tolerance "
            f"of {metrics.tolerance:g}. HINT: lower pruning.tolerance, or train longer between rounds."
        )
    lines += head_lines(metrics)
    files = [*RESULT_FILES, *(name for name in (CONSOLE_DRAWING, INCREASES) if (folder / name).is_file())]
    return "\n".join([*lines, f"Result in {folder}: {', '.join(files)}."])


def head_lines(metrics: Metrics) -> list[str]:
    """Writes the verdict, the loss by a front end that the search did not use, and what tracks are that are not dry."""
    verdict, rate = metrics.verdict, metrics.audio_sample_rate
    lines = what_tracks_are(metrics.warnings)
    lines += [] if verdict is None else verdict_lines(verdict, metrics.losses.found.loss["full"])
    if rate not in (None, metrics.sample_rate):
        lines.append(
            f"mix_target and mix_found have {rate} Hz; losses and pictures are of {metrics.sample_rate} Hz, at which "
            "the graph was searched."
        )
    second = metrics.second_opinion
    if second is not None:
        lines.append(
            f"Second opinion (match loss by the front end {second.front_end}, not by {metrics.front_end}): dry sum "
            f"{second.dry_sum:.3f}, console {second.console:.3f}, found graph {second.found:.3f}."
        )
        losses = metrics.searched_losses
        if losses["found"] < losses["dry_sum"] and second.found >= second.dry_sum:
            lines.append(
                "  WARNING: it hears no match: by its measure the dry sum is as close. HINT: listen to mix_found, and "
                f"search with --model.loss.front_end={second.front_end}"
            )
    return lines
