"""The auxiliary targets of a search: what groups of subgroups give to the mix, compared with stems of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixgraph.graph import MixGraph
from mixgraph.graph.outputs import SplitOutputs, split_outputs
from mixgraph.losses import MatchLoss, SongTarget
from mixgraph.processors import Processors
from mixgraph.render import RenderPlan
from mixgraph.render.schedule import Method
from mixgraph.search.plans import PlanCache
from mixgraph.songs.song import Song


class GroupTargets:
    """The groups of the songs of a search, and its graph with an output for each of them.

    Args:
        songs: the songs, in the order of the graph.
    """

    def __init__(self, songs: Sequence[Song]) -> None:
        self.songs = tuple(songs)
        self.names = [
            {subgroup: number for number, group in enumerate(song.groups) for subgroup in group.subgroups}
            for song in songs
        ]
        self.loudest: Tensor | None = None
        self._whole: MixGraph | None = None
        self._split: SplitOutputs | None = None
        self._plans = PlanCache()

    def measure(self, match: MatchLoss) -> None:
        """Measures the level of each target, below which no denominator of its loss falls; see `MatchLoss.forward`."""
        targets = [SongTarget(match, group.target, max_bytes=0) for song in self.songs for group in song.groups]
        levels = [target.loudest for target in targets if target.loudest is not None]
        self.loudest = torch.stack(levels)

    def split(self, graph: MixGraph) -> SplitOutputs:
        """Returns the graph with an output for each group, and one for the rest; see `graph.outputs.split_outputs`."""
        if self._split is None or self._whole is not graph:
            self._whole, self._split = graph, split_outputs(graph, self.names)
        return self._split

    def plan(
        self,
        graph: MixGraph,
        processors: Processors,
        block: int,
        mono: Sequence[int] = (),
        silent: Sequence[int] = (),
        method: Method = "auto",
    ) -> RenderPlan:
        """Returns the plan of the graph with an output for each group, see `make_plan`."""
        return self._plans.plan(self.split(graph).graph, processors, block, mono, silent, method)

    def starts(self, graph: MixGraph, starts: Tensor | None) -> Tensor | None:
        """Returns the start of a clip for each output, from its starts for each song."""
        return None if starts is None else torch.stack([starts[song] for song in self.split(graph).songs])

    def mixes(self, graph: MixGraph, outputs: Tensor) -> Tensor:
        """Returns the mix of each song, (songs, 2, L), from what the outputs give, (outputs, 2, L)."""
        songs = self.split(graph).songs
        rows = [[row for row, of in enumerate(songs) if of == song] for song in range(len(self.songs))]
        return torch.stack([torch.stack([outputs[row] for row in of_song]).sum(0) for of_song in rows])

    def loss(self, graph: MixGraph, match: MatchLoss, outputs: Tensor, targets: Tensor) -> Tensor:
        """Returns the sum of the match losses of all groups.

        Args:
            graph: the graph of the search.
            match: the match loss.
            outputs: (outputs, 2, L), what the outputs give.
            targets: (groups of all songs, 2, L).
        """
        split, first = self.split(graph), [0]
        for song in self.songs:
            first.append(first[-1] + len(song.groups))
        places = [
            (row, first[song] + group)
            for row, (song, group) in enumerate(zip(split.songs, split.groups, strict=True))
            if group is not None
        ]
        loudest = None if self.loudest is None else torch.stack([self.loudest[group] for _, group in places])
        rendered = torch.stack([outputs[row] for row, _ in places])
        return match(rendered, torch.stack([targets[group] for _, group in places]), loudest).full.sum()
