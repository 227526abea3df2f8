"""From the outcome of a search to its figures."""

from __future__ import annotations

from torch import Tensor

from mixgraph.losses import SongScore, second_target
from mixgraph.pruning import SongRecord
from mixgraph.report.verdict import Verdict, judge
from mixgraph.results.metrics import (
    Losses,
    Metrics,
    ProcessorCounts,
    SecondOpinion,
    SongFacts,
    TrackReading,
    within_tolerance,
)
from mixgraph.results.outcome import SongOutcome


def measure(outcome: SongOutcome, found_mix: Tensor, dry_sum: Tensor) -> Metrics:
    """Measures losses before and after pruning beside those of the dry sum, ratios of pruning, and the verdict.

    Args:
        outcome: the song and the graph that was found for it.
        found_mix: (2, L), the mix that the found graph makes.
        dry_sum: (2, L), the sum of the song's tracks.
    """
    song, search, target = outcome.song, outcome.search, outcome.target
    record = SongRecord() if search is None else search.record
    score = target.score(found_mix)
    console = record.console_score or score
    counts, initial_counts = outcome.values.graph.count(), outcome.console.count()
    initial, left = sum(initial_counts.values()), sum(counts.values())
    tracks = zip(song.tracks, song.placements, song.mono, strict=True)
    return Metrics(
        song=SongFacts(song.name, song.title, song.licence),
        sample_rate=song.sample_rate,
        num_samples=song.num_samples,
        level=song.level,
        tracks=tuple(TrackReading(name, start, polarity, mono) for name, (start, polarity), mono in tracks),
        file_hashes=dict(song.file_hashes),
        alignment=song.alignment,
        warnings=song.warnings,
        steps=0 if search is None else search.steps,
        planned_steps=0 if search is None else search.planned_steps,
        failure=None if search is None else search.failure or None,
        losses=Losses(target.score(dry_sum), console, score),
        front_end=target.match.front_end.name,
        second_opinion=_second_opinion(outcome, record, found_mix, dry_sum),
        verdict=_judge(outcome, found_mix, score.loss["full"]),
        tolerance=record.tolerance,
        denominator=outcome.denominator,
        within_tolerance=_within_tolerance(outcome, record, found_mix, console, score),
        num_processors=ProcessorCounts(console=initial, found=left),
        pruning_ratio=1 - left / initial if initial else 0.0,
        pruning_ratio_by_type={t: 1 - counts.get(t, 0) / n for t, n in initial_counts.items()},
        num_processors_by_type={t: counts.get(t, 0) for t in initial_counts},
        num_console_processors_by_type=dict(initial_counts),
    )


def _within_tolerance(
    outcome: SongOutcome, record: SongRecord, found_mix: Tensor, console: SongScore, found: SongScore
) -> bool | None:
    """Compares losses in the unit of the tolerance, which is that of the search's reduction."""
    if outcome.target.match.reduction == "mean":
        return within_tolerance(console, found, record.tolerance, outcome.denominator)
    if record.tolerance is None or record.console_loss is None:
        return None
    return outcome.target.bounded_loss(found_mix)[0] <= record.console_loss + record.tolerance


def _second_opinion(outcome: SongOutcome, record: SongRecord, found_mix: Tensor, dry_sum: Tensor) -> SecondOpinion:
    second = second_target(outcome.target)

    def loss(mix: Tensor) -> float:
        return second.score(mix).over(outcome.denominator)["full"]

    found = loss(found_mix)
    console = found if record.console_second_loss is None else record.console_second_loss
    return SecondOpinion(second.match.front_end.name, loss(dry_sum), console, found)


def _judge(outcome: SongOutcome, found_mix: Tensor, loss: float) -> Verdict:
    def loss_without(row: int) -> float:
        return outcome.target.score(outcome.render_without(row)).loss["full"]

    return judge(outcome.song, found_mix, loss, loss_without)
