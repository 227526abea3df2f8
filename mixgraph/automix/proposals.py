"""Proposes graphs for dry tracks: the likely one, and others that are drawn from what the network holds possible.

The first proposal keeps the processors whose probability is above the network's threshold, each with its dry/wet weight
times that probability. The others are drawn: a processor is kept with its probability, and the code of its settings is
moved by the spread that settings have around those the network predicts (measured on its validation set), times
`variety`: every parameter by a normal number, and by another one times a slope over its values, so that curves keep
their smoothness. Then one gain for all tracks brings the mix to the loudness of a search, and thresholds move along.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mixgraph.estimators import EstimatorModule
from mixgraph.estimators.examples import console_of_subgroups
from mixgraph.estimators.prediction import Prediction, estimate_without_mix
from mixgraph.estimators.questions import DRY_SUM_LUFS, Question
from mixgraph.graph import GraphValues, prune_values
from mixgraph.processors.thresholds import moved_thresholds
from mixgraph.render import render_song
from mixgraph.songs import Song
from mixgraph.songs.loudness import level_for

LOUDNESS_LUFS = DRY_SUM_LUFS
VARIETY = 0.5
_LOGIT_RANGE = 4.0


@dataclass(frozen=True, eq=False)
class Proposal:
    """A graph for a song without a mix.

    Attributes:
        number: 1 for the likely one.
        song: the song with its tracks at the level that brings the mix to the loudness of a search; its mix is the
            plain sum of the tracks.
        values: the graph with its parameters and weights.
        mix: (2, L), what the graph makes of the tracks.
        console_counts: type -> number of processors of the console that the graph is a part of.
    """

    number: int
    song: Song
    values: GraphValues
    mix: Tensor
    console_counts: dict[str, int]


def propose(
    estimator: EstimatorModule,
    song: Song,
    reference: Tensor | None = None,
    count: int = 1,
    seed: int = 0,
    variety: float = VARIETY,
    threshold: float | None = None,
) -> list[Proposal]:
    """Proposes graphs for a song.

    Args:
        estimator: a network that answers without the song's own mix.
        song: the song; its own mix is not heard, nor is the level that its tracks have by that mix.
        reference: a mix whose style is wanted, (2, any length), at the level of a search; None asks for none.
        count: the number of proposals.
        seed: seeds those that are drawn: all but the first.
        variety: how far the settings of those that are drawn may move; 0 leaves them as predicted.
        threshold: on the probability of keeping a processor, for the first; the network's own by default.

    Raises:
        ValueError: another sample rate than the network's, a network that needs the song's own mix, settings out of
            range, a silent reference, or a proposal whose mix is silent.
    """
    song, task = _without_its_mix(song), estimator.task
    if song.sample_rate != task.sample_rate:
        raise ValueError(f"song: {task.sample_rate} Hz is needed, as in training, got {song.sample_rate} Hz")
    if count < 1:
        raise ValueError(f"proposals: at least 1, got {count}")
    if not 0 <= variety <= 2:
        raise ValueError(f"variety: 0 to 2 is needed, got {variety:g}")
    console = console_of_subgroups(song.subgroups, task.track_chain, task.subgroup_chain, song.name)
    prediction = estimate_without_mix(estimator, console, song.sources, reference, threshold=threshold)
    question = Question.NOTHING if reference is None else Question.REFERENCE
    likely = prediction.graph if prediction.keep else prune_values(prediction.values, [_most_probable(prediction)])
    graphs = [likely]
    for number in range(1, count):
        generator = torch.Generator().manual_seed(1_000_003 * seed + number)
        graphs.append(drawn(estimator, prediction, question, generator, variety))
    counts = dict(console.graph.count())
    return [levelled(Proposal(i, song, g, song.mix, counts), estimator) for i, g in enumerate(graphs, start=1)]


def _without_its_mix(song: Song) -> Song:
    """A song with the plain sum of its tracks as the mix, at the level that tracks have where there is no mix."""
    dry_sum = song.sources.sum(dim=0)
    factor = level_for(dry_sum, song.sample_rate, LOUDNESS_LUFS).factor
    return replace(song, sources=song.sources * factor, mix=dry_sum * factor, level=song.level * factor)


def drawn(
    estimator: EstimatorModule, prediction: Prediction, question: Question, generator: torch.Generator, variety: float
) -> GraphValues:
    """Draws a graph from what a network holds possible; see the module's text."""
    graph, values = prediction.console.graph, prediction.values
    kept = torch.rand(len(prediction.probability), generator=generator) < prediction.probability
    nodes = [node for node, keep in zip(graph.processors, kept.tolist(), strict=True) if keep]
    parameters = {}
    for node_type, named in values.parameters.items():
        code = estimator.codes[node_type]
        numbers = code.encode({name: value.cpu() for name, value in named.items()})
        spread = (
            estimator.get_buffer(f"residual_{node_type}")[question] * estimator.get_buffer(f"spread_{node_type}")
        ).cpu()
        moves, first = torch.zeros(len(numbers), code.size), 0
        for width in code.widths.values():
            moves[:, first : first + width] = smooth_moves(len(numbers), width, generator)
            first += width
        numbers[:, : code.size] += variety * spread * moves
        parameters[node_type] = code.decode(numbers)
    types = [estimator.network.vocabulary[graph.types[node]] for node in graph.processors]
    spread = estimator.weight_spread.cpu()[types]
    logits = torch.logit(values.weights.clamp(0.01, 0.99))
    logits = logits + variety * spread * torch.randn(len(logits), generator=generator)
    weights = torch.sigmoid(logits.clamp(-_LOGIT_RANGE, _LOGIT_RANGE))
    return prune_values(GraphValues(graph, parameters, weights), nodes or [_most_probable(prediction)])


def smooth_moves(count: int, width: int, generator: torch.Generator) -> Tensor:
    """Draws moves of curves, (count, width): a normal number, and another one times a slope; their mean square is 1."""
    level, slope = torch.randn(2, count, 1, generator=generator)
    ramp = torch.linspace(-1, 1, width) if width > 1 else torch.zeros(1)
    return (level + slope * ramp) / math.sqrt(1 + float(ramp.square().mean()))


def _most_probable(prediction: Prediction) -> int:
    return prediction.console.graph.processors[int(prediction.probability.argmax())]


@torch.no_grad()
def levelled(proposal: Proposal, estimator: EstimatorModule) -> Proposal:
    """Brings a proposal's mix to the loudness of a search by one gain for all tracks; thresholds move along.

    Raises:
        ValueError: the mix is silent, or shorter than 0.4 s.
    """
    song, values, processors = proposal.song, proposal.values, estimator.processors.cpu()
    mix = render_song(values.graph, processors, song.sources, values.parameters, values.weights)[0]
    level = level_for(mix, song.sample_rate, LOUDNESS_LUFS)
    if level.warning is not None:
        raise ValueError(
            f"proposal {proposal.number}: a mix that sounds is needed, got one whose loudness cannot be measured "
            f"({level.warning.code}). HINT: another --seed, a smaller --variety, or a lower --threshold"
        )
    factor = level.factor
    moved = replace(song, sources=song.sources * factor, mix=song.mix * factor, level=song.level * factor)
    parameters = moved_thresholds(processors, values.parameters, 20 * math.log10(factor))
    return replace(proposal, song=moved, values=replace(values, parameters=parameters), mix=mix * factor)
