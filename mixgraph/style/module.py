"""The search towards statistics of a mix: a console whose loss is their distance, in training and in trials."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from mixgraph.losses import MatchLoss, SongScore, SongTarget
from mixgraph.losses.whole_song import Reader
from mixgraph.pruning.proposals import Trials
from mixgraph.pruning.samplers import BruteForce
from mixgraph.search.module import ConsoleModule
from mixgraph.songs.song import Song
from mixgraph.songs.subgroup_rule import subgroup_of, words_of
from mixgraph.style.distance import WEIGHTS, StatisticsDistance, StatisticsWeights, statistics_distance
from mixgraph.style.mix_statistics import MixStatistics, mix_statistics
from mixgraph.style.track_levels import GAIN, blended_gains, track_gains

CENTRED = ("lead_vocals", "bass")
"""Subgroups of the rule on names that belong in the middle; so does a kick drum."""
_READ_AT_ONCE = 1 << 18


def belongs_in_the_middle(name: str) -> bool:
    """Whether the name of a track or subgroup is one of a lead voice, a bass or a kick drum.

    >>> [name for name in ("04_KickIn", "LeadVox", "bass", "backing_vox", "snare") if belongs_in_the_middle(name)]
    ['04_KickIn', 'LeadVox', 'bass']
    """
    return subgroup_of(name) in CENTRED or any(word.startswith("kick") for word in words_of(name))


class BruteForceButGains(BruteForce):
    """Tries every processor but gains: nothing but a match with the song's own mix could tell that one is not needed.

    Not registered: a search with a target has no use for it.

    Args:
        order: name of a registered order.
    """

    name = "brute_force_but_gains"

    def trials(self, round_index: int, types: Sequence[str], weights: Sequence[float], rng: random.Random) -> Trials:
        candidates = [index for index, node_type in enumerate(types) if node_type != GAIN]
        rng.shuffle(candidates)
        return self.order.trials(candidates, types, weights)


class StatisticsTarget(SongTarget):
    """Statistics that the mix of a whole song is compared with, in the place of a mix.

    Args:
        match: the match loss of the search; it is not used.
        mix: (2, L), the mix that the search starts from.
        statistics: the statistics that are wanted.
        weights: the weight of each in the distance.
    """

    def __init__(self, match: MatchLoss, mix: Tensor, statistics: MixStatistics, weights: StatisticsWeights) -> None:
        super().__init__(match, mix, floor=False, max_bytes=0)
        self.statistics, self.statistics_weights = statistics, weights

    @torch.no_grad()
    def distance(self, mix: Tensor | Reader) -> StatisticsDistance:
        """Measures the distance of a whole mix, (2, L), or of one that a function reads."""
        if not isinstance(mix, Tensor):
            starts = range(0, self.num_samples, _READ_AT_ONCE)
            mix = torch.cat([mix(start, min(start + _READ_AT_ONCE, self.num_samples)) for start in starts], -1)
        measured = mix_statistics(mix, self.match.sample_rate)
        return statistics_distance(measured, self.statistics, self.statistics_weights)

    def bounded_loss(
        self, mix: Tensor | Reader, bound: float | None = None, ceilings: Sequence[float] | None = None
    ) -> tuple[float, bool]:
        """Computes the distance, which is known at the song's end only."""
        return float(self.distance(mix).full), False

    def windows(self, mix: Tensor | Reader) -> list[float]:
        """Returns the distance, as that of one window."""
        return [float(self.distance(mix).full)]

    def score(self, mix: Tensor | Reader) -> SongScore:
        """Returns the distance as the loss of all parts."""
        full = float(self.distance(mix).full)
        parts = dict.fromkeys(("full", "lr", "mid", "side"), full)
        return SongScore(parts, parts, (full,), (full,), self.num_samples)


class StyleConsole(ConsoleModule):
    """Trains a graph of one song so that the statistics of its mix approach others; `load` gives it the start.

    The song's mix is that of the start. A clip of it differs from the whole in its statistics, a quiet verse from a
    song; the target of each clip differs from the whole target by as much, so that the song keeps its course.

    Args:
        target: the statistics that are wanted.
        weights: the weight of each in the distance.
        level_bounds_db: the largest change of a track's gain down and up, against the median change of all tracks.
        most_panning_db: how far the gain of what belongs in the middle (lead voices, basses, kick drums) may move left
            against right.
        settings: arguments of `ConsoleModule`.
    """

    def __init__(
        self,
        target: MixStatistics,
        weights: StatisticsWeights = WEIGHTS,
        level_bounds_db: tuple[float, float] = (-6.0, 6.0),
        most_panning_db: float = math.inf,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.wanted, self.statistics_weights, self.level_bounds_db = target, weights, level_bounds_db
        self.most_panning_db = most_panning_db
        self._start: MixStatistics | None = None
        self._start_gains: dict[str, float] = {}
        self._start_balances: dict[tuple[str, str], float] = {}

    def target(self, song: Song) -> StatisticsTarget:
        """Returns the statistics that are wanted, as the target of the song."""
        target = self._targets.get(song)
        if not isinstance(target, StatisticsTarget):
            target = StatisticsTarget(self.match, song.mix, self.wanted, self.statistics_weights)
            self._targets[song] = target
        return target

    def second_loss(self, song: Song) -> float:
        """Returns the distance; there is no second opinion on it."""
        return self.score(song).loss["full"]

    def compare(self, mixes: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Returns the distance of a clip, and its parts; targets are clips of the start's mix."""
        assert self._start is not None
        with torch.no_grad():
            course = mix_statistics(targets[0], self.sample_rate).plus(self._start, -1.0)
        distance = statistics_distance(
            mix_statistics(mixes[0], self.sample_rate), self.wanted.plus(course), self.statistics_weights
        )
        return {name: value.reshape(1) for name, value in {"full": distance.full, **distance.parts}.items()}

    def on_fit_start(self) -> None:
        super().on_fit_start()
        (song,) = self._songs()
        self._start = mix_statistics(song.mix, self.sample_rate)
        self._start_gains, self._start_balances = self._gain_levels(), self._balances()

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self._hold_gains()
        self._hold_balances()

    @torch.no_grad()
    def _gain_levels(self) -> dict[str, float]:
        """Name of each track that has a gain -> what the gain does to its level, in dB."""
        graph, weights = self.graph, self.weights
        levels = {}
        for node in track_gains(graph).values():
            log_gain = self._log_gains()[graph.rows[node]]
            gains = blended_gains(log_gain, weights[graph.processors.index(node)])
            levels[graph.names[node]] = 10 * math.log10(float(gains.square().mean()))
        return levels

    def _log_gains(self) -> Tensor:
        values = self.values[GAIN]
        assert isinstance(values, nn.ParameterDict)
        log_gains: Tensor = values["log_gain"]
        return log_gains

    @torch.no_grad()
    def _hold_gains(self) -> None:
        """Moves gains that have left their bounds back, as far as the wet gain can."""
        graph, levels = self.graph, self._gain_levels()
        changes = {name: level - self._start_gains[name] for name, level in levels.items()}
        if not changes:
            return
        common = median(changes.values()) if len(changes) > 1 else 0.0
        low, high = self.level_bounds_db
        for node in track_gains(graph).values():
            change = changes[graph.names[node]] - common
            if low <= change <= high:
                continue
            log_gain, weight = self._log_gains()[graph.rows[node]], self.weights[graph.processors.index(node)]
            factor = 10 ** ((min(max(change, low), high) - change) / 20)
            wet = (blended_gains(log_gain, weight) * factor - (1 - weight)) / weight
            log_gain.copy_(wet.clamp(1e-3, 10).log())

    @torch.no_grad()
    def _balances(self) -> dict[tuple[str, str], float]:
        """Level and name of the gains of what belongs in the middle -> their left over right, in dB."""
        graph, weights, balances = self.graph, self.weights, {}
        for node in graph.nodes_of(GAIN):
            if belongs_in_the_middle(graph.names[node]):
                weight = weights[graph.processors.index(node)]
                left, right = blended_gains(self._log_gains()[graph.rows[node]], weight).tolist()
                balances[graph.level(node), graph.names[node]] = 20 * math.log10(left / right)
        return balances

    @torch.no_grad()
    def _hold_balances(self) -> None:
        """Moves the gains of what belongs in the middle back there, as far as it left it; their power stays."""
        graph, balances = self.graph, self._balances()
        for node in graph.nodes_of(GAIN):
            place = graph.level(node), graph.names[node]
            if place not in balances:
                continue
            moved = balances[place] - self._start_balances[place]
            if abs(moved) <= self.most_panning_db:
                continue
            back = (abs(moved) - self.most_panning_db) * math.copysign(math.log(10) / 40, moved)
            log_gain, weight = self._log_gains()[graph.rows[node]], self.weights[graph.processors.index(node)]
            gains = blended_gains(log_gain, weight)
            turned = gains * gains.new_tensor((-back, back)).exp()
            turned *= (gains.square().sum() / turned.square().sum()).sqrt()
            wet = (turned - (1 - weight)) / weight
            log_gain.copy_(wet.clamp(1e-3, 10).log())
