"""Predicts a graph from audio: the network's answers for several segments are averaged, thresholded and pruned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Batch

from mixgraph.estimators.cache import segment_starts
from mixgraph.estimators.examples import Console, console_data, console_of_subgroups
from mixgraph.estimators.features import FeatureExtractor
from mixgraph.estimators.module import EstimatorModule
from mixgraph.estimators.network import Answers
from mixgraph.graph import GraphValues, prune_values
from mixgraph.songs.clips import cut
from mixgraph.songs.song import Song

_SEGMENTS = 6
_SILENT_RMS = 10 ** (-60 / 20)


@dataclass(frozen=True, eq=False)
class Prediction:
    """A predicted graph.

    Attributes:
        console: the full console, of which the graph is a part.
        probability: the probability that each of the console's processors is in the graph, (processors,).
        keep: the nodes of the console that are in the graph.
        values: the full console with parameters and weights for every processor, under the condition that it is kept.
    """

    console: Console
    probability: Tensor
    keep: tuple[int, ...]
    values: GraphValues

    @property
    def graph(self) -> GraphValues:
        """The kept processors with their values; their weights are multiplied by the probability that they are kept.

        Otherwise a processor that the network places in two chains at once would act twice with its full weight.
        """
        expected = GraphValues(self.values.graph, self.values.parameters, self.values.weights * self.probability)
        return prune_values(expected, self.keep)


@torch.no_grad()
def estimate(
    module: EstimatorModule,
    console: Console,
    tracks: Tensor,
    mix: Tensor,
    max_segments: int = _SEGMENTS,
    threshold: float | None = None,
) -> Prediction:
    """Predicts the graph that made a mix of tracks.

    The network's answers (logits, standardised numbers) are averaged over segments of the length it was trained on,
    evenly spread; silent ones are left out.

    Args:
        module: a trained estimator, on any device.
        console: the full console of the song.
        tracks: (K, 2, L) at the level of a search, in the console's order.
        mix: (2, L).
        max_segments: the most segments that are averaged.
        threshold: the probability from which a processor is kept; the module's threshold by default.

    Raises:
        ValueError: a threshold that is no probability.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise ValueError(f"threshold: a probability, 0 to 1, is needed, got {threshold:g}")
    length = module.task.num_samples
    starts = segment_starts(mix.shape[-1], length, max_segments)
    loud = [s for s in starts if float(cut(mix, s, length).square().mean().sqrt()) >= _SILENT_RMS]
    extract = FeatureExtractor(module.task.sample_rate)
    examples = [
        console_data(console, extract(cut(tracks, s, length), cut(mix, s, length), console.groups), module.task.types)
        for s in loud or starts[:1]
    ]
    was_training = module.training
    module.eval()
    first = examples[0].to(module.device)
    answers = _mean(module.network(Batch.from_data_list(examples).to(module.device)), len(examples))
    estimate = module.estimate(first, answers)
    module.train(was_training)
    bound = float(module.threshold) if threshold is None else threshold
    probability = estimate.keep.cpu()
    graph = console.graph
    keep = tuple(node for node, p in zip(graph.processors, probability.tolist(), strict=True) if p > bound)
    parameters = {t: {n: v.cpu() for n, v in values.items()} for t, values in estimate.parameters.items()}
    return Prediction(console, probability, keep, GraphValues(graph, parameters, estimate.weights.cpu()))


def _mean(answers: Answers, count: int) -> Answers:
    """Averages the answers for `count` segments of one song, which are in order."""

    def mean(value: Tensor) -> Tensor:
        return value.unflatten(0, (count, -1)).mean(dim=0)

    return Answers(
        mean(answers.keep),
        mean(answers.weight),
        {t: mean(v) for t, v in answers.codes.items()},
        {t: mean(v) for t, v in answers.positions.items()},
    )


def estimate_song(
    module: EstimatorModule, song: Song, max_segments: int = _SEGMENTS, threshold: float | None = None
) -> Prediction:
    """Predicts the graph of a song; see `estimate`.

    Raises:
        ValueError: the song was read at another sample rate than the module was trained at.
    """
    if song.sample_rate != module.task.sample_rate:
        raise ValueError(f"song: {module.task.sample_rate} Hz is needed, as in training, got {song.sample_rate} Hz")
    chains = module.task.track_chain, module.task.subgroup_chain
    console = console_of_subgroups(song.subgroups, *chains, song.name)
    return estimate(module, console, song.sources, song.mix, max_segments, threshold)


def nodes_of(console: Console, keep: Sequence[bool]) -> tuple[int, ...]:
    """The console's processors for which `keep`, (processors,), is true."""
    return tuple(node for node, kept in zip(console.graph.processors, keep, strict=True) if kept)
