"""Mixes dry tracks by a sparse console with random settings, and removes processors that hardly change the mix.

Both kinds of synthetic songs are made here: songs of formulas (`song`) and samples of real tracks (`sample`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mixgraph.graph import GraphValues, MixGraph, prune, prune_values
from mixgraph.losses import MatchLoss, SongTarget
from mixgraph.processors import Processor, Processors
from mixgraph.processors.thresholds import moved_thresholds
from mixgraph.pruning import SongEvaluator, leave_one_out
from mixgraph.render import render_song
from mixgraph.songs.loudness import level_for

_BELOW_PEAK = 0.98  # slightly below the peak, since the detectors' floor does not move with the level

DrawSettings = Callable[[int, Processor, Tensor], tuple[dict[str, Tensor], float]]
"""(Node of the console, processor, signal (2, L) that enters it) -> (name -> (*shape), dry/wet weight)."""


@dataclass(frozen=True)
class MixRules:
    """The rules of mixing in which the kinds of synthetic songs differ.

    Attributes:
        loudness_lufs: loudness that the sum of the tracks, and then the mix, is brought to; None leaves levels alone.
        peak: the highest amplitude that the mix may have; louder mixes have their tracks turned down. None: no limit.
        most_passes: the maximal number of passes that measure loss increases and remove processors; None has no limit.
        least_increase: removing any processor raises the match loss by at least this much, or it is removed.
    """

    loudness_lufs: float | None
    peak: float | None
    most_passes: int | None
    least_increase: float


@dataclass(frozen=True, eq=False)
class Mixed:
    """Tracks, a graph, and the mix of the tracks by the graph.

    Attributes:
        values: the graph with its parameters and weights.
        console_nodes: the console's node that each processor of the graph comes from, (processors,).
        sources: the tracks after scaling, (tracks, 2, L).
        mix: (2, L).
        loss_increases: the loss increase on removing each processor (paper eq. 9), (processors,); None if not measured.
    """

    values: GraphValues
    console_nodes: tuple[int, ...]
    sources: Tensor
    mix: Tensor
    loss_increases: tuple[float, ...] | None = None

    def weak(self, least_increase: float) -> list[int]:
        """Nodes of the console whose removal raises the loss by less than `least_increase`."""
        pairs = zip(self.console_nodes, self.loss_increases or (), strict=True)
        return [node for node, increase in pairs if not increase >= least_increase]


@dataclass(frozen=True, eq=False)
class Mixer:
    """Mixes by rules.

    Attributes:
        processors: one module for each type.
        match: the loss that decides which processors matter.
        rules: the rules of mixing.
    """

    processors: Processors
    match: MatchLoss
    rules: MixRules

    @torch.no_grad()
    def mix(self, console: MixGraph, keep: Collection[int], sources: Tensor, draw: DrawSettings) -> Mixed:
        """Draws the settings of each kept processor for the signal that reaches it, so that thresholds fit it."""
        graph, index = prune(console, keep)
        nodes = tuple(console.processors[i] for i in index.processors)
        console_node = dict(zip(graph.processors, nodes, strict=True))
        sources = sources * self._level(sources.sum(dim=0))
        signals: dict[int, Tensor] = {}
        drawn: dict[int, dict[str, Tensor]] = {}
        weights: dict[int, float] = {}
        for node in graph.topological_order:
            if node in graph.inputs:
                signals[node] = sources[graph.rows[node]]
                continue
            signal = torch.stack([signals[p] for p in graph.predecessors[node]]).sum(dim=0)
            if node in console_node:
                processor = self.processors[graph.types[node]]
                drawn[node], weights[node] = draw(console_node[node], processor, signal)
                wet = processor(signal.unsqueeze(0), {name: v.unsqueeze(0) for name, v in drawn[node].items()})[0]
                signal = self._blended(signal, wet, weights[node])
            signals[node] = signal
        parameters = {
            t: {name: torch.stack([drawn[i][name] for i in graph.nodes_of(t)]) for name in drawn[graph.nodes_of(t)[0]]}
            for t in graph.count()
        }
        factor = self._level(signals[graph.outputs[0]])
        if self.rules.loudness_lufs is not None:
            parameters = moved_thresholds(self.processors, parameters, 20 * math.log10(factor))
        values = GraphValues(graph, parameters, torch.tensor([weights[i] for i in graph.processors]))
        return self.rendered(values, nodes, sources * factor)

    def _level(self, signal: Tensor) -> float:
        """The factor that brings a signal to the loudness of the rules."""
        loudness = self.rules.loudness_lufs
        return 1.0 if loudness is None else level_for(signal, self.match.sample_rate, loudness).factor

    def _blended(self, dry: Tensor, wet: Tensor, weight: float) -> Tensor:
        # Both ways differ by rounding only; each is kept so that known seeds give the same songs as before.
        return dry + weight * (wet - dry) if self.rules.loudness_lufs is None else torch.lerp(dry, wet, weight)

    @torch.no_grad()
    def rendered(self, values: GraphValues, console_nodes: tuple[int, ...], sources: Tensor) -> Mixed:
        """Renders the mix; if it would exceed the peak, the tracks are turned down, and thresholds with them."""
        while True:
            mix = render_song(values.graph, self.processors, sources, values.parameters, values.weights)[0]
            peak = self.rules.peak
            if peak is None or float(mix.abs().max()) <= peak:
                return Mixed(values, console_nodes, sources, mix)
            factor = _BELOW_PEAK * peak / float(mix.abs().max())
            sources = sources * factor
            moved = moved_thresholds(self.processors, values.parameters, 20 * math.log10(factor))
            values = replace(values, parameters=moved)

    def measured(self, mixed: Mixed) -> Mixed:
        """Measures the loss increase of every processor (paper eq. 9) and returns the mix with them."""
        graph, parameters, weights = mixed.values.graph, mixed.values.parameters, mixed.values.weights
        target = SongTarget(self.match, mixed.mix)
        evaluator = SongEvaluator(graph, self.processors, parameters, weights, mixed.sources, target)
        increases = leave_one_out(evaluator, len(graph.processors))
        return replace(mixed, loss_increases=tuple(-1.0 if i is None else i for i in increases))

    def pruned(self, mixed: Mixed, is_enough: Callable[[MixGraph], bool]) -> Mixed:
        """Removes processors whose loss increase is too small, in passes, as long as enough of the graph is left.

        Args:
            mixed: the mix with its loss increases.
            is_enough: decides whether a graph is worth another pass.

        Returns:
            The mix of the remaining graph; its loss increases are those of the last measurement.
        """
        passes = 1
        while weak := mixed.weak(self.rules.least_increase):
            mixed = self._without(mixed, weak)
            if passes == self.rules.most_passes or not is_enough(mixed.values.graph):
                return mixed
            mixed, passes = self.measured(mixed), passes + 1
        return mixed

    def _without(self, mixed: Mixed, weak: Collection[int]) -> Mixed:
        kept = [i for i, node in enumerate(mixed.console_nodes) if node not in weak]
        values = prune_values(mixed.values, [mixed.values.graph.processors[i] for i in kept])
        rendered = self.rendered(values, tuple(mixed.console_nodes[i] for i in kept), mixed.sources)
        increases = mixed.loss_increases or ()
        return replace(rendered, loss_increases=tuple(increases[i] for i in kept))
