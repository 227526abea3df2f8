"""Measures how much a search recovers of the graph that made a synthetic song."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from torch import Tensor

from mixgraph.graph import MixGraph
from mixgraph.recovery import compare_graphs
from mixgraph.recovery.agreement import markdown
from mixgraph.render import render_song
from mixgraph.songs.song import Song
from mixgraph.synthetic.song import SyntheticSong
from tools.bench.losses import common_losses

_LOSSES = {"dry_sum": "dry sum", "truth": "true graph", "console": "trained console", "found": "found graph"}


def recovery_of(
    synthetic: SyntheticSong, audio: Song, graph: MixGraph, searched: Mapping[str, float]
) -> dict[str, Any]:
    """Compares a found graph with the one that made the mix.

    Args:
        synthetic: the song with its graph.
        audio: the song as it was searched, at the level of its files.
        graph: the found graph.
        searched: the losses over the target's norm of the trained console (`console`) and the found graph (`found`).

    Returns:
        losses: match losses over the target's norm, of the plain sum of the tracks, the true graph, the trained console
        and the found graph; missed: labels of true processors that were not found, each with what removing it from the
        true graph costs; spurious: labels of processors that were found and are not true.
    """

    def dry_sum(sources: Tensor, first: int) -> Tensor:
        return sources.sum(dim=0)

    def true_mix(sources: Tensor, first: int) -> Tensor:
        return render_song(
            synthetic.graph, synthetic.processors, sources, synthetic.parameters, synthetic.weights, first=first
        )[0]

    renderers = {"dry_sum": dry_sum, "truth": true_mix}
    losses = {name: common_losses(audio, render)["loss_target"] for name, render in renderers.items()}
    comparison = compare_graphs(synthetic.graph, graph)
    increases = dict(zip(map(synthetic.graph.label, synthetic.graph.processors), synthetic.loss_increases, strict=True))
    return {
        "losses": losses | dict(searched),
        "missed": {label: increases[label] for label in comparison.missed},
        "spurious": list(comparison.spurious),
    }


def recovery_markdown(recoveries: Mapping[tuple[str, str], Sequence[dict[str, Any]]]) -> str:
    """Formats losses beside those of the true graph, and the missed and spurious processors, as Markdown.

    Args:
        recoveries: (song, configuration) -> what `recovery_of` returned for each seed.
    """
    rows = [
        (*key, *(f"{median(recovery['losses'][name] for recovery in seeds):.4f}" for name in _LOSSES))
        for key, seeds in recoveries.items()
    ]
    lines = [
        "## Recovery of synthetic songs",
        "",
        "Match loss over the target's norm, medians over seeds; then the processors that are in one graph only.",
        "",
        markdown(("song", "rules", *_LOSSES.values()), rows),
    ]
    for (song, name), seeds in recoveries.items():
        costs = {label: cost for recovery in seeds for label, cost in recovery["missed"].items()}
        for kind, why in (("missed", "removing it costs"), ("spurious", "")):
            counts = Counter(label for recovery in seeds for label in recovery[kind])
            for label, count in counts.most_common():
                cost = f" ({why} {costs[label]:.3f})" if why else ""
                lines.append(f"- {song}, {name}: {kind} in {count} of {len(seeds)} searches: {label}{cost}")
    return "\n".join(lines) + "\n"
