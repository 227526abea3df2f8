"""The results of a search, or a prediction, for one song, before they are measured and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mixgraph.graph import GraphValues, MixGraph
from mixgraph.losses import Denominator, SongTarget
from mixgraph.processors import Processors
from mixgraph.pruning import SongRecord
from mixgraph.render import render_blocks, render_song
from mixgraph.songs import Song


@dataclass(frozen=True, eq=False)
class SearchRun:
    """The course of the search for a song's graph.

    Attributes:
        record: the record of the song's pruning.
        log: rows of log.csv.
        steps: steps of training.
        planned_steps: planned steps of training, more than `steps` where the search was stopped.
        failure: the reason why training ended early; empty where it did not.
    """

    record: SongRecord
    log: Sequence[Mapping[str, Any]]
    steps: int
    planned_steps: int
    failure: str = ""


@dataclass(frozen=True, eq=False)
class SongOutcome:
    """A song and the graph that was found for it.

    Attributes:
        song: the song as it was read.
        values: the graph, its parameters and its dry/wet weights; without gradients, on any device.
        processors: the modules that render the graph, on the device of the values.
        processor_options: processor name -> constructor arguments that differ from the defaults.
        console: the graph before pruning, that this one is a part of.
        target: the song's mix as the match loss sees it.
        denominator: the denominator of the match loss in the search.
        block: length of a block in samples, for renderings of whole songs.
        mono: rows of the sources that are rendered as one channel.
        search: the course of the search; None for a graph that was not searched for.
    """

    song: Song
    values: GraphValues
    processors: Processors
    processor_options: Mapping[str, Mapping[str, Any]]
    console: MixGraph
    target: SongTarget
    denominator: Denominator
    block: int
    mono: Sequence[int] = ()
    search: SearchRun | None = None

    @torch.no_grad()
    def render(self) -> Tensor:
        """Renders the song with the graph: (2, L), on the CPU, at the song's level."""
        values = self.values.parameters, self.values.weights
        mix = render_song(self.values.graph, self.processors, self.song.sources, *values, self.block, self.mono)
        return mix[0].cpu()

    @torch.no_grad()
    def render_without(self, row: int) -> Tensor:
        """Renders the song with one track, a row of the sources, muted."""
        weights = self.values.weights

        def read(start: int, stop: int) -> Tensor:
            sources = self.song.sources[..., start:stop].to(weights.device, weights.dtype, copy=True)
            sources[row] = 0
            return sources

        length = self.song.num_samples
        pieces = render_blocks(self.values, self.processors, read, length, block=self.block, mono=self.mono)
        return torch.cat(list(pieces), dim=-1)[0].cpu()

    @property
    def loss_increases(self) -> Tensor | None:
        """Rises of the loss when each processor is removed, (processors,); None unless all were measured."""
        increases = None if self.search is None else self.search.record.loss_increases
        if increases is None or None in increases:
            return None
        return torch.tensor(increases, dtype=torch.float64)
