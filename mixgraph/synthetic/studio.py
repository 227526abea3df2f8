"""Mixes dry tracks by a sparse console whose processors are the effects of `mixgraph.effects`, not our own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mixgraph.graph import MixGraph, prune
from mixgraph.losses import MatchLoss, SongTarget
from mixgraph.processors.usage import RandomSettings
from mixgraph.songs.loudness import level_for
from mixgraph.synthetic.balance import Balance
from mixgraph.synthetic.devices import Device, draw_bus, draw_device, panned


@dataclass(frozen=True, eq=False)
class StudioMix:
    """Tracks, and their mix by other effects.

    Attributes:
        graph: which types of processors there were, and where; what stands behind the last sum is not in it.
        sources: the tracks after scaling, (tracks, 2, L).
        mix: (2, L).
        loss_increases: the loss increase on leaving each effect out, (processors,); None if not measured.
        settings: the settings of each processor in words, (processors,), then those behind the last sum.
    """

    graph: MixGraph
    sources: Tensor
    mix: Tensor
    loss_increases: tuple[float, ...] | None
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Studio:
    """Mixes by other effects.

    Attributes:
        match: the loss that decides which effects matter.
        loudness_lufs: loudness that the sum of the tracks, and then the mix, is brought to.
        least_increase: leaving any effect out raises the match loss by at least this much, or it is removed; None
            measures and removes nothing.
        balance: how loud tracks shall be, where the engineer listens; None draws their gains at random.
    """

    match: MatchLoss
    loudness_lufs: float
    least_increase: float | None
    balance: Balance | None = None

    def mix(
        self, console: MixGraph, keep: Collection[int], sources: Tensor, generator: torch.Generator
    ) -> StudioMix | None:
        """Mixes the tracks, (tracks, 2, L), by the kept processors of a console; None if no effect is audible."""
        rate = self.match.sample_rate
        graph, _ = prune(console, keep)
        sources = sources * self._level(sources.sum(dim=0))
        draw = RandomSettings(generator)
        devices: dict[int, Device] = {}

        def choose(node: int, signal: np.ndarray) -> Device:
            if self.balance is None or not self.balance.sets(graph, node):
                return draw_device(graph.types[node], signal, rate, draw)
            return panned(self.balance.gain_db(graph.names[node], torch.from_numpy(signal).float()), draw)

        signals = _run(graph, devices, sources.double().numpy(), choose)
        bus = draw_bus(signals[graph.outputs[0]], rate, draw)
        mix = _through(bus, signals[graph.outputs[0]])
        factor = self._level(torch.from_numpy(mix).float())
        if self.least_increase is None:
            return self._result(graph, devices, bus, sources * factor, mix * factor, None)
        target = SongTarget(self.match, torch.from_numpy(mix * factor).float())
        increases = {}
        for node in graph.processors:
            without = _through(bus, _without(graph, devices, signals, node))
            # With all effects the loss is 0: the increase is the loss itself.
            increases[node] = target.score(torch.from_numpy(without * factor).float()).loss["full"]
        loud = [node for node in graph.processors if increases[node] >= self.least_increase]
        if not loud:
            return None
        kept, index = prune(graph, loud)
        of = {node: graph.processors[i] for node, i in zip(kept.processors, index.processors, strict=True)}
        chosen = {node: devices[before] for node, before in of.items()}
        signals = _run(kept, chosen, sources.double().numpy(), choose)  # all are chosen
        mix = _through(bus, signals[kept.outputs[0]])
        factor = self._level(torch.from_numpy(mix).float())
        measured = tuple(increases[of[node]] for node in kept.processors)
        return self._result(kept, chosen, bus, sources * factor, mix * factor, measured)

    def _level(self, signal: Tensor) -> float:
        return level_for(signal, self.match.sample_rate, self.loudness_lufs).factor

    def _result(
        self,
        graph: MixGraph,
        devices: Mapping[int, Device],
        bus: list[Device],
        sources: Tensor,
        mix: np.ndarray,
        increases: tuple[float, ...] | None,
    ) -> StudioMix:
        settings = tuple(f"{graph.label(node)}: {devices[node].text}" for node in graph.processors)
        behind = tuple(f"behind the sum: {device.text}" for device in bus)
        return StudioMix(graph, sources, torch.from_numpy(mix).float(), increases, settings + behind)


def _run(
    graph: MixGraph,
    devices: dict[int, Device],
    sources: np.ndarray,
    choose: Callable[[int, np.ndarray], Device],
) -> dict[int, np.ndarray]:
    """Every node's output, float64; effects that are not in `devices` yet are chosen for what enters them."""
    signals: dict[int, np.ndarray] = {}
    for node in graph.topological_order:
        if node in graph.inputs:
            signals[node] = sources[graph.rows[node]]
            continue
        signal = sum(signals[p] for p in graph.predecessors[node])
        assert isinstance(signal, np.ndarray)
        if node in graph.processors:
            if node not in devices:
                devices[node] = choose(node, signal)
            signal = devices[node].run(signal)
        signals[node] = signal
    return signals


def _without(
    graph: MixGraph, devices: Mapping[int, Device], signals: Mapping[int, np.ndarray], left_out: int
) -> np.ndarray:
    """The output of the graph where one effect lets its input through; only what comes after it is made again."""
    changed: dict[int, np.ndarray] = {}
    for node in graph.topological_order:
        before = graph.predecessors[node]
        if node != left_out and not any(p in changed for p in before):
            continue
        signal = sum(changed.get(p, signals[p]) for p in before)
        assert isinstance(signal, np.ndarray)
        changed[node] = devices[node].run(signal) if node in devices and node != left_out else signal
    return changed.get(graph.outputs[0], signals[graph.outputs[0]])


def _through(devices: list[Device], signal: np.ndarray) -> np.ndarray:
    for device in devices:
        signal = device.run(signal)
    return signal
