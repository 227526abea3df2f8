"""Moves a graph towards the statistics of a mix, by steps of the search and by pruning, without a target mix."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from mixgraph.graph.values import GraphValues
from mixgraph.processors import Processors, make_processors
from mixgraph.render import render_song
from mixgraph.search.run import search, without_device_messages
from mixgraph.search.settings import OptimizerSettings, RegularizerSettings
from mixgraph.shipped import neighbour
from mixgraph.songs.loudness import integrated_loudness
from mixgraph.songs.song import Song
from mixgraph.style.distance import StatisticsDistance, StatisticsWeights, statistics_distance
from mixgraph.style.mix_statistics import LEAST_SECONDS, MixStatistics, mix_statistics
from mixgraph.style.module import BruteForceButGains, StyleConsole, belongs_in_the_middle
from mixgraph.style.track_levels import (
    GAIN,
    HeldLevels,
    LevelsNotHeld,
    change_level,
    hold_levels,
    track_gains,
    track_levels,
)


@dataclass(frozen=True)
class RefineSettings:
    """The settings of a refinement; it takes `steps_per_stage` steps for each console stage and round.

    Attributes:
        steps_per_stage: the steps of a stage.
        console_stages: the stages before the first round of pruning.
        rounds: the rounds of pruning, each followed by a stage.
        tolerance: how far pruning may raise the distance above the lowest one, in dB.
        learning_rate: the rate of AdamW; over the last stage it falls to a tenth.
        sparsity_weight: the factor of the sum of dry/wet weights while pruning.
        clip_seconds: the length of the clips that are compared; the loudness range wants at least 3 s.
        level_bounds_db: the largest change of a track's level against the mix, down and up.
        most_panning_db: how far lead voices, basses and kick drums may move left against right, by their names.
        seed: seeds clips and orders of candidates.
        weights: the weight of each statistic in the distance.
    """

    steps_per_stage: int = 30
    console_stages: int = 3
    rounds: int = 2
    tolerance: float = 0.1
    learning_rate: float = 0.03
    sparsity_weight: float = 2e-3
    clip_seconds: float = 8.0
    level_bounds_db: tuple[float, float] = (-6.0, 6.0)
    most_panning_db: float = 3.0
    seed: int = 42
    weights: StatisticsWeights = field(default_factory=StatisticsWeights)

    def __post_init__(self) -> None:
        low, high = self.level_bounds_db
        if not low <= 0 <= high:
            raise ValueError(f"level_bounds_db: a number up to 0 and one from 0 are needed, got {low:g} and {high:g}")
        if not self.most_panning_db >= 0:
            raise ValueError(f"most_panning_db: at least 0 dB, got {self.most_panning_db:g}")
        if not self.clip_seconds >= LEAST_SECONDS:
            raise ValueError(f"clip_seconds: at least {LEAST_SECONDS} s, got {self.clip_seconds:g}")


REFINE = RefineSettings()
_GAIN_STAGING_WEIGHT = 5e-3  # distances in dB are about five times match losses
_LAST_RATE = 0.1
_MONO = 1e-4  # side against the whole, in power: -40 dB
_APART_DB = 1.0
_LOUDNESS_TRIES = 3
_LOUDNESS_LU = 0.1  # what loudness may be off


@dataclass(frozen=True, eq=False)
class Refined:
    """A refined graph.

    Attributes:
        values: the graph, pruned.
        before: the distance of the start's mix from the statistics that were wanted, of the whole song.
        after: that of the refined graph's mix.
        levels_db: track -> the change of its level against the mix, in LU; 0 where it is silent in the song.
        notes: what was held back, in words.
        steps: the number of steps of training.
        seconds: the time that all took.
    """

    values: GraphValues
    before: StatisticsDistance
    after: StatisticsDistance
    levels_db: dict[str, float]
    notes: tuple[str, ...]
    steps: int
    seconds: float


def refine(
    song: Song,
    start: GraphValues,
    target: MixStatistics,
    settings: RefineSettings = REFINE,
    processor_options: Mapping[str, dict[str, Any]] | None = None,
) -> Refined:
    """Moves a graph of a song towards the statistics of another mix, and prunes what they do not need.

    The song's own mix is not heard. Where the result is no nearer than the start, or its tracks cannot be brought into
    their bounds, the start is given back, with a note.

    Args:
        song: the song; its tracks are in the order of the graph's inputs.
        start: the graph of one song to start from.
        target: the statistics that are wanted, see `mix_statistics`. Their loudness counts, unless its weight is 0.
        settings: steps, pruning and bounds.
        processor_options: processor name -> constructor options that differ from the defaults.

    Raises:
        ValueError: a graph without processors or of other tracks, or a song that is silent or shorter than 0.4 s.
        FloatingPointError: training broke down.
    """
    began = time.perf_counter()
    _check(song, start)
    target = target.detach()
    processors = make_processors(song.sample_rate, dict(processor_options or {}))
    mix = _mix(start, processors, song.sources)
    if not bool(mix.any()):
        raise ValueError(f"{song.name}: a start that sounds is needed, got a graph whose mix is silent")
    before = statistics_distance(mix_statistics(mix, song.sample_rate), target, settings.weights)
    levels = track_levels(start, processors, song.sources, song.sample_rate).relative
    own = replace(song, mix=mix, groups=(), files=None)
    module = _search(own, start, target, settings, dict(processor_options or {}))
    found = module.part(own)
    values = GraphValues(
        found.graph,
        {t: {n: v.detach() for n, v in named.items()} for t, named in found.parameters.items()},
        found.weights.detach(),
    )
    try:
        held = hold_levels(values, processors, song.sources, song.sample_rate, levels, settings.level_bounds_db)
    except LevelsNotHeld as error:
        kept = f"{error}: the start was kept, without a refinement. HINT: wider bounds"
        held = HeldLevels(start, (0.0,) * len(levels), (kept[0].upper() + kept[1:],))
    if held.values is not start and held.notes and settings.weights.loudness_lufs:  # the loudness of the whole changed
        held = held_at_loudness(held, processors, song, levels, settings.level_bounds_db, float(target.loudness_lufs))
    values, changes, notes = held.values, held.changes_db, held.notes
    measured = mix_statistics(_mix(values, processors, song.sources), song.sample_rate)
    after = statistics_distance(measured, target, settings.weights)
    if values is not start and float(after.full) >= float(before.full):
        values, after, changes = start, before, (0.0,) * len(changes)
        notes = ("The refinement came no nearer within the bounds: the start was kept",)
    stages = settings.console_stages + settings.rounds
    return Refined(
        values=values,
        before=before,
        after=after,
        levels_db=dict(zip(song.tracks, changes, strict=True)),
        notes=notes,
        steps=stages * settings.steps_per_stage,
        seconds=time.perf_counter() - began,
    )


def _check(song: Song, start: GraphValues) -> None:
    graph = start.graph
    names = [graph.names[node] for node in graph.inputs]
    if graph.num_songs != 1 or names != list(song.tracks):
        raise ValueError(
            f"start: a graph of the tracks {', '.join(song.tracks)} is needed, in this order, got {', '.join(names)}"
        )
    if not graph.processors:
        raise ValueError("start: a graph with processors is needed, got none. HINT: put a gain on every track")
    if song.num_samples < LEAST_SECONDS * song.sample_rate:
        raise ValueError(f"{song.name}: a song of at least {LEAST_SECONDS} s is needed")


def held_at_loudness(
    held: HeldLevels,
    processors: Processors,
    song: Song,
    before: Sequence[float],
    bounds_db: tuple[float, float],
    loudness_lufs: float,
) -> HeldLevels:
    """Moves the gains of all tracks until the mix has a loudness, and holds their levels again.

    Compressors answer to the gains before them, so that both are repeated; bounds come first, and the loudness is
    reached as far as they allow.

    Args:
        held: the graph.
        processors: one module for each type.
        song: the song.
        before: see `hold_levels`.
        bounds_db: see `hold_levels`.
        loudness_lufs: the loudness that is wanted.
    """
    for _ in range(_LOUDNESS_TRIES):
        change = loudness_lufs - integrated_loudness(_mix(held.values, processors, song.sources), song.sample_rate)
        if not _LOUDNESS_LU < abs(change) < math.inf:
            break
        values = held.values
        for row in range(len(values.graph.inputs)):
            values = change_level(values, row, change)
        try:
            again = hold_levels(values, processors, song.sources, song.sample_rate, before, bounds_db)
        except LevelsNotHeld:
            break  # this is as far as they allow
        held = replace(again, notes=tuple(dict.fromkeys((*held.notes, *again.notes))))
    return held


@torch.no_grad()
def _mix(values: GraphValues, processors: Any, sources: Tensor) -> Tensor:
    return render_song(values.graph, processors, sources, values.parameters, values.weights)[0]


def _search(
    song: Song, start: GraphValues, target: MixStatistics, settings: RefineSettings, options: dict[str, dict[str, Any]]
) -> StyleConsole:
    module = StyleConsole(
        target,
        settings.weights,
        settings.level_bounds_db,
        settings.most_panning_db,
        sample_rate=song.sample_rate,
        initial_values="drawn",
        processors=options,
        seed=settings.seed,
        regularizers=RegularizerSettings(
            gain_staging_weight=_GAIN_STAGING_WEIGHT,
            sparsity_weight=settings.sparsity_weight,
            sparsity_ramp_steps=settings.steps_per_stage,
        ),
        optimizer=OptimizerSettings(
            learning_rate=settings.learning_rate, final_learning_rate=_LAST_RATE * settings.learning_rate
        ),
    )
    module.load(start.graph, start.parameters, start.weights)
    if float((song.mix[0] - song.mix[1]).square().mean()) < _MONO * float(song.mix.square().mean()):
        _move_apart(module)
    data = neighbour("datamodules").SongData(
        path=song.name,
        sample_rate=song.sample_rate,
        steps_per_stage=settings.steps_per_stage,
        scored_seconds=settings.clip_seconds,
        seed=settings.seed,
    )
    data.songs = (song,)  # in the place of what it would read
    pruning = neighbour("callbacks").IterativePruning(
        settings.console_stages,
        settings.rounds,
        tolerance=settings.tolerance,
        leave_one_out=False,
        seed=settings.seed,
    )
    pruning.sampler = BruteForceButGains("loss_increase")
    with without_device_messages():
        search(module, data, [pruning], pruning.num_stages, enable_progress_bar=False)
    return module


@torch.no_grad()
def _move_apart(module: StyleConsole) -> None:
    """Moves tracks out of the middle, by turns to the left and to the right: no width has a gradient in mono."""
    graph = module.graph
    free = [node for node in track_gains(graph).values() if not belongs_in_the_middle(graph.names[node])]
    for number, node in enumerate(free):
        side = _APART_DB * math.log(10) / 20 * (1 if number % 2 else -1)
        log_gains = module.parameters_by_type()[GAIN]["log_gain"]
        log_gains[graph.rows[node]] += log_gains.new_tensor((side, -side))
