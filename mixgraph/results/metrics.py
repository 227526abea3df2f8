"""The figures of a result, as metrics.json holds them: typed, written with the same keys everywhere, and read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args

from mixgraph.losses import Denominator, SongScore
from mixgraph.report.closeness import Closeness
from mixgraph.report.findings import Finding
from mixgraph.report.verdict import Verdict
from mixgraph.results.json_record import JsonRecord
from mixgraph.songs import SongWarning, TrackAlignment
from mixgraph.system.files import json_text, plain_json, write_atomically

METRICS = "metrics.json"
UNKNOWN_CODE = "unknown"
"""The code of warnings in a metrics.json that an earlier version wrote, which kept only their sentences."""
_MOST_SECONDS = 86400  # of a song
_LEAST_LEVEL = 1e-8  # less, or its inverse, no song within +60 dBFS can get
_MOST_COUNT = 10**9


@dataclass(frozen=True)
class TrackReading:
    """The way in which one track was read: its start, polarity and channels.

    Attributes:
        name: the name of the track.
        start_sample: the sample of the track's file, at the song's rate, that is aligned with the mix's first.
        polarity: 1, or -1 where the track was flipped.
        mono: whether the track's file is mono or has two equal channels; None in files that do not state it.
    """

    name: str
    start_sample: int
    polarity: int
    mono: bool | None = None


@dataclass(frozen=True, kw_only=True)
class SongReading:
    """The way in which a song was read, by which its graph can be rendered on the song's files again.

    Attributes:
        sample_rate: sample rate of the song, in Hz.
        num_samples: length of the song at that rate.
        level: the factor that the tracks and the mix were multiplied by.
        tracks: the tracks, in the order of the graph's inputs.
        file_hashes: the sha256 of every audio file by name: the mix's first (None where it is not known), then the
            tracks'. Empty where no file was read.
    """

    sample_rate: int
    num_samples: int
    level: float
    tracks: tuple[TrackReading, ...]
    file_hashes: Mapping[str, str | None]

    def to_dict(self) -> dict[str, Any]:
        """The reading as JSON can hold it."""
        tracks = [{name: value for name, value in asdict(track).items() if value is not None} for track in self.tracks]
        reading = {"sample_rate": self.sample_rate, "num_samples": self.num_samples, "level": self.level}
        return reading | {"tracks": tracks, "file_hashes": dict(self.file_hashes)}


@dataclass(frozen=True)
class SongFacts:
    """The name, the title and the licence of a song, as its files state them."""

    name: str
    title: str
    licence: str


@dataclass(frozen=True)
class Losses:
    """Whole-song match losses of three mixes: the plain sum of the dry tracks, the trained console, the found graph.

    Without a search there is no trained console, and its scores are those of the graph.
    """

    dry_sum: SongScore
    console: SongScore
    found: SongScore

    def to_dict(self) -> dict[str, Any]:
        """The scores as JSON gives them back; NaN and infinity are None."""
        return {score.name: plain_json(asdict(getattr(self, score.name))) for score in fields(self)}


@dataclass(frozen=True)
class SecondOpinion:
    """Full match losses by a front end that the search did not use, over the denominator that it used.

    Attributes:
        front_end: the name of that front end.
        dry_sum: losses of the plain sum of the dry tracks.
        console: losses of the trained console; those of the graph where there was no search.
        found: losses of the found graph.
    """

    front_end: str
    dry_sum: float
    console: float
    found: float


@dataclass(frozen=True)
class ProcessorCounts:
    """The number of processors in the console before pruning, and in the found graph."""

    console: int
    found: int


@dataclass(frozen=True, kw_only=True)
class Metrics(SongReading):
    """The figures of a result.

    Attributes:
        song: name, title and licence.
        alignment: the estimated offset and polarity of every track.
        warnings: warnings about the song; their code is UNKNOWN_CODE where an earlier version wrote the file.
        steps: steps of training; 0 where there was no search.
        audio_sample_rate: sample rate of mix_target and mix_found in Hz; losses are measured at `sample_rate`. None
            from an earlier version's file, for which it is `sample_rate`.
        planned_steps: planned steps of training, more than `steps` where the search was stopped.
        failure: the reason why training ended early; None where it did not.
        losses: match losses of the dry sum, the console and the found graph.
        front_end: the front end of the match loss.
        second_opinion: the losses by another front end; None from an earlier version's file.
        verdict: the closeness of the found mix, in words and figures; None from an earlier version's file.
        tolerance: the tolerance of pruning (paper eq. 7); None where nothing was pruned.
        denominator: the denominator of the loss in the search.
        within_tolerance: whether the found loss is at most the tolerance above the console's; None without pruning.
        num_processors: the numbers of processors in the console and in the found graph.
        pruning_ratio: the share of the console's processors that was removed.
        pruning_ratio_by_type, num_processors_by_type, num_console_processors_by_type: these figures by processor
            type; None from an earlier version's file.
    """

    song: SongFacts
    alignment: tuple[TrackAlignment, ...] = ()
    warnings: tuple[SongWarning, ...] = ()
    audio_sample_rate: int | None = None
    steps: int
    planned_steps: int
    failure: str | None = None
    losses: Losses
    front_end: str = "mel"
    second_opinion: SecondOpinion | None = None
    verdict: Verdict | None = None
    tolerance: float | None
    denominator: Denominator
    within_tolerance: bool | None
    num_processors: ProcessorCounts
    pruning_ratio: float
    pruning_ratio_by_type: Mapping[str, float] | None = None
    num_processors_by_type: Mapping[str, int] | None = None
    num_console_processors_by_type: Mapping[str, int] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The metrics as JSON can hold them, in the order in which metrics.json has them."""
        return {
            "song": asdict(self.song),
            **super().to_dict(),
            "audio_sample_rate": self.audio_sample_rate,
            "alignment": [asdict(track) for track in self.alignment],
            "warnings": [warning.text for warning in self.warnings],
            "warning_codes": [warning.code for warning in self.warnings],
            "steps": self.steps,
            "planned_steps": self.planned_steps,
            "failure": self.failure,
            "losses": self.losses.to_dict(),
            "front_end": self.front_end,
            "second_opinion": None if self.second_opinion is None else plain_json(asdict(self.second_opinion)),
            "verdict": None if self.verdict is None else self.verdict.to_dict(),
            "tolerance": self.tolerance,
            "denominator": self.denominator,
            "within_tolerance": self.within_tolerance,
            "num_processors": asdict(self.num_processors),
            "pruning_ratio": self.pruning_ratio,
            "pruning_ratio_by_type": self.pruning_ratio_by_type,
            "num_processors_by_type": self.num_processors_by_type,
            "num_console_processors_by_type": self.num_console_processors_by_type,
        }

    @property
    def searched_losses(self) -> dict[str, float]:
        """`dry_sum`, `console` and `found` -> the full match loss over the denominator of the search."""
        scores = {"dry_sum": self.losses.dry_sum, "console": self.losses.console, "found": self.losses.found}
        return {name: score.over(self.denominator)["full"] for name, score in scores.items()}

    @property
    def was_stopped(self) -> bool:
        """Whether the search ended before its last step."""
        return self.steps < self.planned_steps


def within_tolerance(
    console: SongScore, found: SongScore, tolerance: float | None, denominator: Denominator
) -> bool | None:
    """Whether a found graph's loss is at most the tolerance above the trained console's (paper eq. 7).

    Args:
        console: the trained console's score.
        found: the found graph's score.
        tolerance: the tolerance of pruning; None where nothing was pruned, for which the answer is None.
        denominator: the denominator of the loss in the search.
    """
    if tolerance is None:
        return None
    return found.over(denominator)["full"] <= console.over(denominator)["full"] + tolerance


def write_metrics(folder: Path, metrics: SongReading) -> None:
    """Writes metrics.json of a result, or of a graph that is saved without a search."""
    write_atomically(folder / METRICS, json_text(metrics.to_dict(), indent=1).encode())


def has_search(folder: Path) -> bool:
    """Whether metrics.json holds the figures of a result; that of a saved graph says only how the song was read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no JSON object.
    """
    return "losses" in JsonRecord.read(folder / METRICS)


def read_reading(folder: Path) -> SongReading:
    """Reads what metrics.json says about how the song was read, which saved graphs have, too.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a field is missing, of another type or absurd; the message names the file and the field.
    """
    return SongReading(**_reading(JsonRecord.read(folder / METRICS)))


def read_metrics(folder: Path) -> Metrics:
    """Reads metrics.json of a result. Files of earlier versions lack newer fields, see `Metrics`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a field is missing, of another type or absurd; the message names the file and the field.
    """
    record = JsonRecord.read(folder / METRICS)
    song, losses, counts = (record.record(name) for name in ("song", "losses", "num_processors"))
    steps = record.whole("steps", 0, _MOST_COUNT) if "steps" in record else 0
    return Metrics(
        **_reading(record),
        song=SongFacts(song.text("name"), song.text("title"), song.text("licence")),
        alignment=tuple(_alignment(track) for track in record.records("alignment", optional=True)),
        warnings=_warnings(record),
        audio_sample_rate=record.whole("audio_sample_rate", 1, 10**7) if record.has("audio_sample_rate") else None,
        steps=steps,
        planned_steps=record.whole("planned_steps", 0, _MOST_COUNT) if "planned_steps" in record else steps,
        failure=record.text("failure") if record.has("failure") else None,
        losses=Losses(*(_score(losses.record(score.name)) for score in fields(Losses))),
        front_end=record.text("front_end") if "front_end" in record else "mel",
        second_opinion=_second_opinion(record.record("second_opinion")) if record.has("second_opinion") else None,
        verdict=_verdict(record.record("verdict")) if record.has("verdict") else None,
        tolerance=record.number("tolerance") if record.has("tolerance") else None,
        denominator=record.choice("denominator", get_args(Denominator)) if "denominator" in record else "target",
        within_tolerance=record.flag("within_tolerance") if record.has("within_tolerance") else None,
        num_processors=ProcessorCounts(*(counts.whole(name, 0, _MOST_COUNT) for name in ("console", "found"))),
        pruning_ratio=record.number("pruning_ratio"),
        pruning_ratio_by_type=record.numbers_by_name("pruning_ratio_by_type"),
        num_processors_by_type=record.counts_by_name("num_processors_by_type"),
        num_console_processors_by_type=record.counts_by_name("num_console_processors_by_type"),
    )


def _reading(record: JsonRecord) -> dict[str, Any]:
    rate = record.whole("sample_rate", 1, 10**7)
    longest = _MOST_SECONDS * rate
    tracks = []
    for track in record.records("tracks", label="name"):
        mono = track.flag("mono") if "mono" in track else None
        start = track.whole("start_sample", -longest, longest)
        tracks.append(TrackReading(track.text("name"), start, track.choice("polarity", (1, -1)), mono))
    return {
        "sample_rate": rate,
        "num_samples": record.whole("num_samples", 1, longest),
        "level": record.number("level", _LEAST_LEVEL, 1 / _LEAST_LEVEL),
        "tracks": tuple(tracks),
        "file_hashes": record.texts_by_name("file_hashes"),
    }


def _alignment(track: JsonRecord) -> TrackAlignment:
    return TrackAlignment(
        offset_samples=track.whole("offset_samples", -(10**12), 10**12),
        polarity=track.choice("polarity", (1, -1)),
        confidence=track.number("confidence"),
        track=track.text("track"),
        applied=track.flag("applied"),
    )


def _warnings(record: JsonRecord) -> tuple[SongWarning, ...]:
    texts = record.texts("warnings", optional=True)
    codes = record.texts("warning_codes") if "warning_codes" in record else [UNKNOWN_CODE] * len(texts)
    if len(codes) != len(texts):
        raise record.error("warning_codes", f"a code for each of {len(texts)} warnings", codes)
    return tuple(SongWarning(code, text) for code, text in zip(codes, texts, strict=True))


def _score(score: JsonRecord) -> SongScore:
    return SongScore(
        loss=_parts(score.record("loss")),
        loss_prediction=_parts(score.record("loss_prediction")),
        windows=tuple(score.numbers("windows")),
        windows_prediction=tuple(score.numbers("windows_prediction")),
        window_samples=score.whole("window_samples", 1, 10**9),
    )


def _parts(loss: JsonRecord) -> dict[str, float]:
    return {part: loss.number(part) for part in ("full", *loss.values)}  # in their order, and the full one always


def _second_opinion(record: JsonRecord) -> SecondOpinion:
    losses = (record.number(name) for name in ("dry_sum", "console", "found"))
    return SecondOpinion(record.text("front_end"), *losses)


def _verdict(record: JsonRecord) -> Verdict:
    closeness = None
    if "level_db" in record:
        figures = {field.name: record.number(field.name) for field in fields(Closeness) if field.name != "octaves_db"}
        closeness = Closeness(octaves_db=record.numbers_by_name("octaves_db") or {}, **figures)
    findings = (
        Finding(*(finding.text(field.name) for field in fields(Finding))) for finding in record.records("findings")
    )
    return Verdict(record.text("words"), closeness, tuple(findings))
