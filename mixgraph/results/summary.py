"""The few figures of a result that matter, for a person."""

from __future__ import annotations

from pathlib import Path

from mixgraph.report.verdict import verdict_lines
from mixgraph.results.contents import RESULT_FILES
from mixgraph.results.metrics import Metrics


def summarise(folder: Path, metrics: Metrics) -> str:
    """Losses, processors, the verdict and the folder's files, a line each."""
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
    if metrics.verdict is not None:
        lines += verdict_lines(metrics.verdict, metrics.losses.found.loss["full"])
    return "\n".join([*lines, f"Result in {folder}: {', '.join(RESULT_FILES)}."])
