"""Judges a demixer on songs whose stems are known: song-level ratios, and what masks could reach at best."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixgraph.demixing.ideal_masks import ideal_estimates
from mixgraph.demixing.module import Demixer
from mixgraph.demixing.scores import is_silent, leakage_db, loudness_difference_lu, song_sdr_db
from mixgraph.demixing.stem_songs import StemSong

DEMIXER, MIX = "demixer", "mix as it is"
IDEAL = {
    "ratio mask, sliCQT": ("ratio", True),
    "phase-aware mask, sliCQT": ("phase-aware", True),
    "ratio mask, STFT": ("ratio", False),
    "phase-aware mask, STFT": ("phase-aware", False),
}
COLUMNS = (DEMIXER, MIX, *IDEAL)
SONG_LEVEL = "song-level SDR in dB (Music Demixing Challenge 2021)"
STEMS = "loudness against the true stem, and the other targets' power in it in dB of its own"
FRAMES = "median SDR of frames of 1 s in dB (museval, BSS Eval v4)"


@dataclass(frozen=True)
class SongScores:
    """The scores of one song.

    Attributes:
        song: its name.
        seconds: its length.
        sdr_db: estimate (of COLUMNS) -> target -> ratio of the whole song; None for a silent target.
        frames_db: target -> museval's median over frames; empty where it was not asked for.
        loudness_lu: target -> how much louder the demixer's estimate is than the target, in LU.
        leakage_db: target -> power of other targets in the estimate, in dB of that of its own.
    """

    song: str
    seconds: float
    sdr_db: dict[str, dict[str, float | None]]
    frames_db: dict[str, float | None] = field(default_factory=dict)
    loudness_lu: dict[str, float | None] = field(default_factory=dict)
    leakage_db: dict[str, float | None] = field(default_factory=dict)


def evaluate_songs(
    module: Demixer,
    songs: Iterable[StemSong],
    ceilings: bool = True,
    museval: bool = False,
    draw: Callable[[StemSong, Tensor, Tensor], None] | None = None,
) -> Iterator[SongScores]:
    """Separates songs and scores them, one after the other.

    Args:
        module: the demixer.
        songs: with the module's targets, at its sample rate.
        ceilings: whether ideal masks are scored, too.
        museval: whether museval's figures are computed, which takes about the time of the song.
        draw: takes every song with its true targets and the estimates, (targets, 2, time) each.

    Raises:
        ValueError: a song has none of the targets.
        ModuleNotFoundError: museval is asked for and not installed.
    """
    if museval and find_spec("museval") is None:
        raise ModuleNotFoundError("museval: is not installed. HINT: pip install 'mixgraph[museval]'", name="museval")
    songs = list(songs)
    for song in songs:  # before any of them takes its time
        if not any(song.is_heard(row) for row in range(len(module.targets))):
            raise ValueError(f"{song.folder}: stems of {', '.join(module.targets)} are needed, got none with sound")
    for song in songs:
        stems = torch.stack([song.read(row, 0, song.num_samples) for row in range(len(song.sources))])
        targets, mix = stems[:-1], stems.sum(0)
        if all(is_silent(target) for target in targets):
            raise ValueError(f"{song.folder}: stems of {', '.join(module.targets)} are needed, got none with sound")
        found = module.separate(mix)
        if draw is not None:
            draw(song, targets, found)
        sdr_db = {DEMIXER: _ratios(module.targets, targets, found)}
        sdr_db[MIX] = _ratios(module.targets, targets, mix.expand_as(targets))
        for name, (rule, on_slices) in IDEAL.items() if ceilings else ():
            transform = module.transform if on_slices else None
            ideal = ideal_estimates(targets, mix, rule, transform, module.sample_rate)  # type: ignore[arg-type]
            sdr_db[name] = _ratios(module.targets, targets, ideal)
        frames_db = _frames(module.targets, targets, found, module.sample_rate) if museval else {}
        heard = [row for row, target in enumerate(targets) if not is_silent(target)]
        loudness_lu: dict[str, float | None] = dict.fromkeys(module.targets)
        leakage: dict[str, float | None] = dict.fromkeys(module.targets)
        for row in heard:
            name = module.targets[row]
            loudness_lu[name] = loudness_difference_lu(targets[row], found[row], module.sample_rate)
            leakage[name] = leakage_db(targets, row, found[row], heard)
        seconds = song.num_samples / song.sample_rate
        yield SongScores(song.name, seconds, sdr_db, frames_db, loudness_lu, leakage)


def _ratios(names: Sequence[str], targets: Tensor, estimates: Tensor) -> dict[str, float | None]:
    return {
        name: song_sdr_db(target, estimate) for name, target, estimate in zip(names, targets, estimates, strict=True)
    }


def _frames(names: Sequence[str], targets: Tensor, estimates: Tensor, sample_rate: int) -> dict[str, float | None]:
    import museval

    heard = [row for row, target in enumerate(targets) if not is_silent(target)]
    references, answers = (stems[heard].transpose(1, 2).double().numpy() for stems in (targets, estimates))
    ratios, *_ = museval.evaluate(references, answers, win=sample_rate, hop=sample_rate)
    medians: dict[str, float | None] = dict.fromkeys(names)
    for row, frames in zip(heard, ratios, strict=True):
        known = np.asarray(frames)[np.isfinite(frames)]
        medians[names[row]] = float(np.median(known)) if len(known) else None
    return medians


def summary(targets: Sequence[str], scores: Sequence[SongScores]) -> dict[str, Any]:
    """All scores as JSON takes them, with medians over songs by target and over all; silent targets are counted."""
    columns = [column for column in COLUMNS if any(column in song.sdr_db for song in scores)]
    silent = [
        f"{song.song}: {name}" for song in scores for name, value in song.sdr_db[DEMIXER].items() if value is None
    ]

    def medians(rows: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
        by_target = {name: [value for row in rows if (value := row.get(name)) is not None] for name in targets}
        every = [value for values in by_target.values() for value in values]
        found = {name: statistics.median(values) if values else None for name, values in by_target.items()}
        return found | {"all": statistics.median(every) if every else None}

    return {
        "measure": SONG_LEVEL,
        "targets": list(targets),
        "songs": [
            {
                "song": song.song,
                "seconds": round(song.seconds, 3),
                "sdr_db": _rounded(song.sdr_db),
                "loudness_lu": _rounded(song.loudness_lu),
                "leakage_db": _rounded(song.leakage_db),
            }
            for song in scores
        ],
        "median_db": _rounded({column: medians([song.sdr_db[column] for song in scores]) for column in columns}),
        "silent": silent,
        "museval": {
            "measure": FRAMES,
            "songs": [{"song": song.song, "sdr_db": _rounded(song.frames_db)} for song in scores],
            "median_db": _rounded(medians([song.frames_db for song in scores])),
        }
        if any(song.frames_db for song in scores)
        else None,
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return round(value, 3) if isinstance(value, float) and math.isfinite(value) else value


def table(report: dict[str, Any]) -> list[str]:
    """Lines of text: a table of song-level ratios, and another one of museval's where there are any."""
    columns = list(report["median_db"])
    lines = [report["measure"]]
    rows = [
        [song["song"], target, *(_shown(song["sdr_db"][column][target]) for column in columns)]
        for song in report["songs"]
        for target in report["targets"]
    ]
    rows += [
        ["median", target, *(_shown(report["median_db"][column][target]) for column in columns)]
        for target in (*report["targets"], "all")
    ]
    lines += _aligned(["song", "target", *columns], rows)
    count = len(report["silent"])
    lines.append(f"Silent and skipped: {count}{': ' if count else ''}{', '.join(report['silent'])}")
    rows = [
        [song["song"], target, _loudness(song, target), _shown(song["leakage_db"][target])]
        for song in report["songs"]
        for target in report["targets"]
    ]
    lines += ["", STEMS, *_aligned(["song", "target", "louder by (LU)", "leakage (dB)"], rows)]
    if report["museval"] is not None:
        frames = report["museval"]
        rows = [
            [song["song"], target, _shown(song["sdr_db"].get(target))]
            for song in frames["songs"]
            for target in report["targets"]
        ]
        rows += [["median", target, _shown(value)] for target, value in frames["median_db"].items()]
        lines += ["", frames["measure"], *_aligned(["song", "target", DEMIXER], rows)]
    return lines


def _shown(value: float | None) -> str:
    return "silent" if value is None else f"{value:.2f}"


def _loudness(song: dict[str, Any], target: str) -> str:
    difference = song["loudness_lu"][target]
    is_heard = song["sdr_db"][DEMIXER][target] is not None
    return "unknown" if difference is None and is_heard else _shown(difference)  # of a song shorter than a block


def _aligned(header: list[str], rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    return [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    ]
