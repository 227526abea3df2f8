"""Decides which songs of a dataset are accepted, rejected or failed, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mixgraph.dataset.agreement import SongRuns, read_runs
from mixgraph.dataset.quality import Measurements, QualityRules, measure
from mixgraph.dataset.sources import SongSource


@dataclass(frozen=True)
class Assessment:
    """One song with the results of its runs and the quality rules that they break.

    Attributes:
        source: the song.
        runs: the finished runs; None if every run failed.
        measurements: the measurements of the best run; None if every run failed.
        broken: the quality rules that the best run breaks, pairs (name, explanation).
        failures: the reasons of failed runs.
        unusable: all runs failed because of the song itself, which is then rejected.
    """

    source: SongSource
    runs: SongRuns | None
    measurements: Measurements | None
    broken: tuple[tuple[str, str], ...]
    failures: tuple[str, ...]
    unusable: bool = False

    @property
    def status(self) -> str:
        if self.runs is None:
            return "rejected" if self.unusable else "failed"
        return "rejected" if self.broken else "accepted"

    @property
    def best(self) -> Path:
        """The result folder of the best run, which becomes the sample."""
        if self.runs is None:
            raise ValueError(f"{self.source.name}: no run ended well, so none is the best")
        return self.runs.folders[self.runs.best]

    def to_dict(self) -> dict[str, Any]:
        """Returns the song's row of songs.jsonl."""
        return {
            "song": self.source.name,
            "status": self.status,
            "licence": self.source.licence,
            "artist": self.source.artist,
            "reasons": [text for _, text in self.broken] if self.runs else list(self.failures),
            "measurements": None if self.measurements is None else asdict(self.measurements),
            "search": None if self.runs is None else self.runs.to_dict(),
        }

    def rejection(self) -> dict[str, Any]:
        """Returns the song's row of rejected.jsonl."""
        if self.runs is None:
            return {"song": self.source.name, "run": None, "rules": {"usable": "; ".join(self.failures)}}
        return {"song": self.source.name, "run": self.best.name, "rules": dict(self.broken)}


def assess(
    source: SongSource,
    results: Sequence[tuple[int, Path]],
    rules: QualityRules,
    failures: Sequence[str] = (),
    unusable: bool = False,
) -> Assessment:
    """Applies the quality rules to the best run of a song.

    Args:
        source: the song that was searched.
        results: (number of the run, folder) of every successful run.
        rules: the rules that the best run must fulfil.
        failures: the reason of each failed run.
        unusable: the runs failed because of the song itself, which is then rejected.
    """
    if not results:
        return Assessment(source, None, None, (), tuple(failures), unusable)
    runs = read_runs(results)
    measurements = measure(runs.folders[runs.best], runs.metrics[runs.best])
    return Assessment(source, runs, measurements, tuple(rules.broken(measurements)), tuple(failures))


def quality_table(rules: QualityRules, songs: Sequence[Assessment]) -> list[dict[str, Any]]:
    """Returns a row for each rule: limit, default, reason, and how many songs break it (and how many only it)."""
    broken = Counter(name for song in songs for name, _ in song.broken)
    alone = Counter(song.broken[0][0] for song in songs if len(song.broken) == 1)
    return [
        {
            "rule": rule.name,
            "limit": getattr(rules, rule.name),
            "default": rule.default,
            "reason": rule.metadata["reason"],
            "rejected": broken[rule.name],
            "rejected_by_it_alone": alone[rule.name],
        }
        for rule in rules.rules()
    ]
