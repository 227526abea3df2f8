"""A mixing graph with trainable values, which pruning can shrink."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mixgraph.graph import GraphValues, MixGraph, batch_values, prune, song_values, unbatch
from mixgraph.processors import Processor, Processors
from mixgraph.search.optimizer import shrink_optimizer
from mixgraph.songs.song import Song


class TrainedGraph(nn.Module):
    """The parameters and dry/wet weights of a mixing graph, of one song or of several.

    Attributes:
        values: type -> name -> (nodes of the type, *shape), in trained coordinates.
        dry_wet_logits: logits of the dry/wet weights, (processors,).
        consoles: for each song, the graph before pruning.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._graph: MixGraph | None = None
        self.consoles: list[MixGraph] = []
        self.values = nn.ModuleDict()
        self.dry_wet_logits = nn.Parameter(torch.zeros(0))

    @property
    def graph(self) -> MixGraph:
        if self._graph is None:
            raise RuntimeError(
                "the module has no graph yet: call build(graph) or load, or fit with a song's datamodule"
            )
        return self._graph

    @property
    def initial_counts(self) -> list[dict[str, int]]:
        """For each song, the number of processors before pruning, by type."""
        return [console.count() for console in self.consoles]

    @property
    def weights(self) -> Tensor:
        """Dry/wet weights, (processors,)."""
        return torch.sigmoid(self.dry_wet_logits)

    def parameters_by_type(self) -> dict[str, dict[str, Tensor]]:
        """type -> name -> (nodes of the type, *shape), in trained coordinates."""
        parameters: dict[str, dict[str, Tensor]] = {}
        for node_type in self.graph.count():
            values = self.values[node_type]
            assert isinstance(values, nn.ParameterDict)
            parameters[node_type] = dict(values.items())
        return parameters

    @property
    def song_names(self) -> list[str]:
        """The songs of the graph, in order."""
        return [self.graph.names[i] for i in self.graph.outputs]

    def metric_suffixes(self) -> list[str]:
        """The suffix of the names of each song's logged values: `/SONG`, or an empty text if there is one song."""
        return [f"/{name}" for name in self.song_names] if self.graph.num_songs > 1 else [""]

    def song_number(self, song: Song) -> int:
        """Returns a song's number in the graph, by its name. A graph of one song serves any song with its tracks.

        Raises:
            ValueError: the graph is of several songs, and this is none of them.
        """
        names = self.song_names
        if len(names) > 1 and song.name not in names:
            raise ValueError(f"song: one of {', '.join(names)}, got {song.name}")
        return names.index(song.name) if len(names) > 1 else 0

    def part(self, song: Song) -> GraphValues:
        """Returns the graph of one song with its rows of the values; gradients flow through them."""
        return song_values(GraphValues(self.graph, self.parameters_by_type(), self.weights), self.song_number(song))

    def sample_initial_values(self, graph: MixGraph, processors: Processors, seed: int) -> None:
        """Takes a graph and draws its initial values; dry/wet weights are 0.5.

        Each song's values are drawn from the seed alone, so that they do not depend on the other songs.
        """
        parts = []
        for part in unbatch(graph):
            generator = torch.Generator().manual_seed(seed)
            counts = part.count()
            drawn = {t: processors[t].sample_initial_values(counts[t], generator) for t in sorted(counts)}
            parts.append(GraphValues(part, drawn, torch.full((len(part.processors),), 0.5)))
        values = batch_values(parts)
        self.load(graph, values.parameters, values.weights)

    @torch.no_grad()
    def init_from_mix(self, songs: Sequence[Song], processors: Processors) -> None:
        """Replaces drawn values by those that processors estimate from the songs' mixes.

        See `Processor.initial_values_from_mix`. Songs are in the order of the graph.
        """
        graph, first = self.graph, 0
        for number, song in enumerate(songs):
            for node in (node for node in graph.processors if graph.songs[node] == number):
                processor, values = processors[graph.types[node]], self.values[graph.types[node]]
                if type(processor).initial_values_from_mix is Processor.initial_values_from_mix:
                    continue
                assert isinstance(values, nn.ParameterDict)
                rows = [row - first for row in graph.sources[node]]
                together = bool(rows) and rows == list(range(rows[0], rows[-1] + 1))  # a slice does not copy them
                tracks = song.sources[rows[0] : rows[-1] + 1] if together else song.sources[rows]
                source = tracks[0] if len(rows) == 1 else tracks.sum(dim=0)
                for name, value in processor.initial_values_from_mix(source, song.mix).items():
                    values[name][graph.rows[node]] = value.to(values[name])
            first += len(song.sources)

    def load(self, graph: MixGraph, parameters: Mapping[str, Mapping[str, Tensor]], weights: Tensor) -> None:
        """Takes a graph with given values, e.g. a found graph to start from."""
        self._graph = graph
        self.consoles = unbatch(graph)
        self.values = nn.ModuleDict(
            {
                t: nn.ParameterDict({n: nn.Parameter(v.detach().clone()) for n, v in type_parameters.items()})
                for t, type_parameters in parameters.items()
            }
        )
        device = self.dry_wet_logits.device
        self.dry_wet_logits = nn.Parameter(torch.logit(weights.detach().float(), eps=1e-6))
        self.to(device)

    def shrink(self, keep: Sequence[int], optimizers: Iterable[Optimizer] = ()) -> None:
        """Removes all processors but `keep` (node numbers); values, logits and moments move with one index."""
        graph, index = prune(self.graph, keep)
        kept: dict[nn.Parameter, tuple[int, ...]] = {self.dry_wet_logits: index.processors}
        for node_type, rows in index.rows.items():
            kept |= dict.fromkeys(self.values[node_type].parameters(), rows)
        replaced = {old: nn.Parameter(old.detach()[list(rows)].clone()) for old, rows in kept.items()}
        for optimizer in optimizers:
            shrink_optimizer(optimizer, replaced, kept)
        self.dry_wet_logits = replaced[self.dry_wet_logits]
        for node_type in index.rows:
            values = self.values[node_type]
            assert isinstance(values, nn.ParameterDict)
            for name, old in list(values.items()):
                values[name] = replaced[old]
        self._graph = graph
