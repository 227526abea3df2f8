"""Scores predictions against the true graphs: which processors, their settings, and how close the mix is; as tables."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from statistics import fmean, median
from typing import Any

import torch
from torch import Tensor

from mixgraph.estimators.cache import checked_audio
from mixgraph.estimators.examples import Console, console_of
from mixgraph.estimators.prediction import Prediction
from mixgraph.graph import GraphValues, prune_values
from mixgraph.losses import SongTarget, make_match_loss
from mixgraph.processors import Processors
from mixgraph.recovery import Agreement, ParameterErrors, QuantityError, compare_graphs, parameter_errors
from mixgraph.recovery.agreement import markdown, matched_keys
from mixgraph.render import render_song
from mixgraph.shards import GraphSample

HEADLINES = (
    ("gain_panning", "left"),
    ("gain_panning", "right"),
    ("gain_panning", "balance"),
    ("stereo_imager", "side"),
    ("equalizer", "response"),
    ("equalizer", "shape"),
    ("compressor", "threshold"),
    ("compressor", "ratio"),
    ("compressor", "time constant"),
    ("compressor", "curve"),
    ("noisegate", "threshold"),
    ("noisegate", "ratio"),
    ("noisegate", "time constant"),
    ("noisegate", "curve"),
    ("delay", "tap delay"),
    ("delay", "tap level"),
    ("reverb", "T60 mid"),
    ("reverb", "T60 side"),
    ("reverb", "colour"),
)


@dataclass(frozen=True, eq=False)
class TestSong:
    """A whole song of a test set with its true graph.

    Attributes:
        key: the key of its sample.
        true: the graph that made the mix.
        console: the full console of the song.
        tracks: (K, 2, L) at the level of the search, in the console's order.
        mix: the mix, (2, L), at the same level.
        settings_known: whether the true graph's settings are those of the mix; other effects have no errors.
    """

    __test__ = False  # for pytest: not a test

    key: str
    true: GraphValues
    console: Console
    tracks: Tensor
    mix: Tensor
    settings_known: bool = True


def read_test_song(sample: GraphSample, sample_rate: int, track_chain: str, subgroup_chain: str) -> TestSong:
    """Reads a sample with all its audio as a test song.

    Raises:
        ValueError: the sample has no audio, another sample rate, or processors with other options.
    """
    audio = checked_audio(sample, sample_rate)
    console = console_of(sample.graph, track_chain, subgroup_chain)
    length = audio.num_samples
    tracks = audio.tracks(0, length)[list(console.order)]
    true = GraphValues(sample.graph, sample.parameters, sample.weights)
    return TestSong(sample.key, true, console, tracks, audio.mix(0, length), sample.settings_known)


Method = Callable[[TestSong], Prediction]


@dataclass
class MethodScore:
    """The score of one method on a test set.

    Attributes:
        name: name of the method.
        agreement: counts over all processors of all songs, of which F1 is computed.
        types: the same counts for each processor type.
        losses: the match loss of each song, rendered from the prediction, before any search.
        errors: parameter errors on all processors of the true graphs, even on those that were not predicted.
    """

    name: str
    agreement: Agreement = field(default_factory=lambda: Agreement(0, 0, 0))
    types: dict[str, Agreement] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)
    errors: list[QuantityError] = field(default_factory=list)

    def error_means(self) -> dict[tuple[str, str], tuple[str, float, float]]:
        """Maps (type, quantity) to unit, median error and mean error."""
        return {(s.type, s.quantity): (s.unit, s.median, s.mean) for s in ParameterErrors(tuple(self.errors)).summary()}

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "all": self.agreement.to_dict(),
            "types": {t: a.to_dict() for t, a in sorted(self.types.items())},
            "match_loss": {"mean": fmean(self.losses.values()), "median": median(self.losses.values())},
            "match_losses": self.losses,
            "parameter_errors": [asdict(s) for s in ParameterErrors(tuple(self.errors)).summary()],
        }


class Judge:
    """Scores the predictions of several methods on the same songs.

    Args:
        processors: one module for each type.
        sample_rate: the sample rate in Hz.
    """

    def __init__(self, processors: Processors, sample_rate: int) -> None:
        self.processors = processors
        self.match = make_match_loss(sample_rate)

    def score(
        self, songs: Iterable[TestSong], methods: Mapping[str, Method], settings_of: Collection[str]
    ) -> list[MethodScore]:
        """Applies all methods to all songs; a song is needed only while it is scored.

        Args:
            songs: the songs with their true graphs.
            methods: maps the name of a method to the function that predicts a song's graph.
            settings_of: the methods whose parameter errors are measured (all baselines have the same).

        Raises:
            ValueError: there are no songs.
        """
        scores = [MethodScore(name) for name in methods]
        for song in songs:
            target = SongTarget(self.match, song.mix)
            for score, method in zip(scores, methods.values(), strict=True):
                self._add(score, song, target, method(song), score.name in settings_of)
        if not scores or not scores[0].losses:
            raise ValueError("songs: at least one is needed, got none")
        return scores

    def _add(
        self, score: MethodScore, song: TestSong, target: SongTarget, prediction: Prediction, settings: bool
    ) -> None:
        estimate = prediction.graph
        comparison = compare_graphs(song.true.graph, estimate.graph)
        score.agreement = _sum(score.agreement, comparison.overall)
        for t, agreement in comparison.types.items():
            score.types[t] = _sum(score.types.get(t, Agreement(0, 0, 0)), agreement)
        score.losses[song.key] = target.score(self.render(song, estimate)).loss["full"]
        if settings and song.settings_known:
            used = prune_values(prediction.values, true_nodes(song))
            sources = song.tracks[_inverse(song.console.order)]  # in order of the true graph's inputs
            score.errors += parameter_errors(song.true, used, self.processors, sources).values

    @torch.no_grad()
    def render(self, song: TestSong, values: GraphValues) -> Tensor:
        """Renders the song's tracks, in the console's order, by a graph; returns (2, L)."""
        return render_song(values.graph, self.processors, song.tracks, values.parameters, values.weights)[0]


def true_nodes(song: TestSong) -> tuple[int, ...]:
    """The console's processors that are also in the true graph."""
    ours, theirs = matched_keys(song.true.graph, song.console.graph)
    return tuple(sorted(theirs[key] for key in ours))


def true_on_console(song: TestSong, values: GraphValues) -> Prediction:
    """Predicts exactly the true processors, with values for the full console."""
    nodes = true_nodes(song)
    keep = torch.tensor([float(node in nodes) for node in song.console.graph.processors])
    return Prediction(song.console, keep, nodes, values)


def _sum(a: Agreement, b: Agreement) -> Agreement:
    return Agreement(a.true + b.true, a.found + b.found, a.matched + b.matched)


def _inverse(order: tuple[int, ...]) -> list[int]:
    return [order.index(row) for row in range(len(order))]


def format_scores(scores: list[MethodScore]) -> str:
    """Formats scores as Markdown tables: of methods, of F1 by type, of parameter errors."""

    def share(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    rows = [
        (
            s.name,
            share(s.agreement.f1),
            share(s.agreement.precision),
            share(s.agreement.recall),
            f"{s.agreement.found / len(s.losses):.1f}",
            f"{fmean(s.losses.values()):.3f}",
            f"{median(s.losses.values()):.3f}",
        )
        for s in scores
    ]
    head = ("method", "F1", "precision", "recall", "processors a song", "match loss, mean", "median")
    types = sorted({t for s in scores for t in s.types})
    by_type = [(s.name, *(share(s.types[t].f1) if t in s.types else "-" for t in types)) for s in scores]
    measured = [s for s in scores if s.errors]
    means = [s.error_means() for s in measured]
    headlines = [key for key in HEADLINES if any(key in m for m in means)]
    units = {key: m[key][0] for m in means for key in m}
    errors = [
        (
            f"{t}: {quantity}",
            units[t, quantity],
            *(f"{m[t, quantity][2]:.3g}" if (t, quantity) in m else "-" for m in means),
        )
        for t, quantity in headlines
    ]
    return "\n".join(
        [
            markdown(head, rows),
            "F1 of each type:\n",
            markdown(("method", *types), by_type),
            "Mean error on the processors of the truth, predicted as kept or not:\n",
            markdown(("quantity", "unit", *(s.name for s in measured)), errors),
        ]
    )
