"""Predicts a graph from audio: the network's answers for several segments are averaged, thresholded and pruned.

Three questions: `estimate` for a song with its mix, `estimate_without_mix` with a reference, or with nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from mixgraph.estimators.cache import segment_starts
from mixgraph.estimators.examples import Console, console_data, console_of_subgroups
from mixgraph.estimators.features import FeatureExtractor
from mixgraph.estimators.module import EstimatorModule
from mixgraph.estimators.network import ONE_QUESTION, Answers
from mixgraph.estimators.questions import Question, ReferenceMix, without_mix
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
    length = module.task.num_samples
    starts = segment_starts(mix.shape[-1], length, max_segments)
    loud = [s for s in starts if float(cut(mix, s, length).square().mean().sqrt()) >= _SILENT_RMS]
    extract = FeatureExtractor(module.task.sample_rate)
    examples = [
        console_data(console, extract(cut(tracks, s, length), cut(mix, s, length), console.groups), module.task.types)
        for s in loud or starts[:1]
    ]
    return predict(module, console, examples, Question.OWN_MIX, threshold)


@torch.no_grad()
def reference_mix(module: EstimatorModule, reference: Tensor, max_segments: int = _SEGMENTS) -> ReferenceMix:
    """What a network sees of a reference, (2, any length), at the level of a search.

    Raises:
        ValueError: the reference is silent.
    """
    length = module.task.num_samples
    starts = segment_starts(reference.shape[-1], length, max_segments)
    loud = [s for s in starts if float(cut(reference, s, length).square().mean().sqrt()) >= _SILENT_RMS]
    if not loud:
        raise ValueError("reference: a mix that sounds is needed, got a silent one")
    extract = FeatureExtractor(module.task.sample_rate)
    parts = [extract.of_mix(reference[..., s : s + length]) for s in loud]
    statistics = torch.stack([part for _, part in parts]).mean(dim=0)
    return ReferenceMix(torch.cat([mels for mels, _ in parts], dim=-1), statistics)


@torch.no_grad()
def estimate_without_mix(
    module: EstimatorModule,
    console: Console,
    tracks: Tensor,
    reference: Tensor | None = None,
    max_segments: int = _SEGMENTS,
    threshold: float | None = None,
) -> Prediction:
    """Predicts a graph for tracks that have no mix: that of an engineer, or one with the style of a reference.

    Args:
        module: an estimator that answers more than one question, on any device.
        console: the full console of the song.
        tracks: (K, 2, L) in the console's order, at the level at which their sum has the loudness of a search.
        reference: a mix, (2, any length), at the level of a search; None asks without one.
        max_segments: the most segments that are averaged, of the tracks and of the reference.
        threshold: as for `estimate`.

    Raises:
        ValueError: the estimator knows songs with their own mixes alone, a silent reference, or a threshold that is no
            probability.
    """
    if not module.network_settings.questions:
        raise ValueError(ONE_QUESTION)
    length, dry_sum = module.task.num_samples, tracks.sum(dim=0)
    starts = segment_starts(dry_sum.shape[-1], length, max_segments)
    loud = [s for s in starts if float(cut(dry_sum, s, length).square().mean().sqrt()) >= _SILENT_RMS]
    style = None if reference is None else reference_mix(module, reference, max_segments)
    question = Question.NOTHING if style is None else Question.REFERENCE
    extract = FeatureExtractor(module.task.sample_rate)
    examples = [
        without_mix(
            console_data(console, extract.without_mix(cut(tracks, s, length), console.groups), module.task.types), style
        )
        for s in loud or starts[:1]
    ]
    return predict(module, console, examples, question, threshold)


@torch.no_grad()
def predict(
    module: EstimatorModule,
    console: Console,
    examples: Sequence[Data],
    question: Question = Question.OWN_MIX,
    threshold: float | None = None,
) -> Prediction:
    """Predicts from examples of segments of one song, whose answers are averaged.

    Raises:
        ValueError: a threshold that is no probability.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise ValueError(f"threshold: a probability, 0 to 1, is needed, got {threshold:g}")
    was_training = module.training
    module.eval()
    first = examples[0].to(module.device)
    answers = _mean(module.network(Batch.from_data_list(list(examples)).to(module.device)), len(examples))
    estimate = module.estimate(first, answers)
    module.train(was_training)
    bound = float(module.threshold_of(question)) if threshold is None else threshold
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
