"""The last stage of a build: shards and the dataset card, made of the accepted songs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from mixgraph.dataset import may_share_audio
from mixgraph.dataset.assessment import Assessment
from mixgraph.dataset.reasons import reason
from mixgraph.shards import Index, assign_splits, pack_result, write_shards
from mixgraph.songs import Song, load_song

Audio = Literal["none", "free", "all"]
_SHOWN = 200  # the most left-out songs that the card lists
_READ_WITH = (
    "sample_rate",
    "layout",
    "loudness_lufs",
    "apply_alignment",
    "subgrouping",
    "cache_dir",
    "memory_limit_gb",
)


@dataclass(frozen=True)
class Packaged:
    """The outcome of packaging songs.

    Attributes:
        index: the index of the shards; None if no song could be packaged, which leaves the folder unchanged.
        failures: song -> the reason why it could not be packaged.
    """

    index: Index | None
    failures: dict[str, str]


def write_samples(
    out: Path,
    name: str,
    songs: Sequence[Assessment],
    settings: dict[str, Any],
    audio: Audio,
    excerpt_seconds: float | None,
    console: Console,
) -> Packaged:
    """Writes the shards; the same songs and results give the same bytes.

    A song that cannot be packaged is left out, and the reason is returned.

    Args:
        out: the folder of the shards.
        name: the name of the dataset.
        songs: the accepted songs, in order of names.
        settings: the settings of the search, by which songs are read again.
        audio: the songs whose audio is included: none, those whose licence is known to allow it, or all.
        excerpt_seconds: the length of the samples; None for whole songs.
        console: the console on which warnings are printed.
    """
    failures: dict[str, str] = {}
    with_audio = {s.source.name for s in songs if audio == "all" or (audio == "free" and _is_free(s))}
    unfree = [s.source.name for s in songs if s.source.name in with_audio and not _is_free(s)]
    if unfree:
        console.print(
            f"Warning: the shards hold audio of {', '.join(unfree)}, whose licences are not known to allow passing it "
            "on. Keep these shards to yourself unless you know better.",
            highlight=False,
        )
    splits = assign_splits((s.source.name, s.source.artist) for s in songs)

    def packed(song: Assessment) -> Iterator[tuple[str, dict[str, bytes]]]:
        runs = song.runs
        assert runs is not None  # accepted songs have runs
        return pack_result(
            song.best,
            _read(song, settings) if song.source.name in with_audio else None,
            dataset=name,
            artist=song.source.artist,
            audio=song.source.name in with_audio,
            confidence=runs.confidence,
            extra_meta={
                "best_run": runs.runs[runs.best],
                "num_runs": len(runs.runs),
                "run_losses": list(runs.losses),
                "agreement": runs.agreement,
            },
            excerpt_seconds=excerpt_seconds,
        )

    def samples() -> Iterator[tuple[str, str, dict[str, bytes]]]:
        for song in songs:
            try:
                of_song = list(packed(song))  # all samples of a song, or none
            except Exception as error:  # an error in one song does not stop the others
                failures[song.source.name] = reason(error)
                continue
            for key, fields in of_song:
                yield splits[song.source.name], key, fields

    there = samples()
    first = next(there, None)
    if first is None:
        return Packaged(None, failures)
    return Packaged(write_shards(chain([first], there), out), failures)


def as_failed(song: Assessment, why: str | None) -> Assessment:
    """Returns the song marked as failed if there is a reason `why`, else unchanged."""
    return song if why is None else replace(song, runs=None, failures=(f"its result cannot be packaged: {why}",))


def describe_choice(
    quality: Sequence[dict[str, Any]], songs: Sequence[Assessment], unreadable: Sequence[str], runs: int
) -> dict[str, Any]:
    """Returns the card's facts on the choice of samples: rules and their effect, songs left out and why, runs.

    Args:
        quality: the table of the quality rules.
        songs: all songs with their verdicts.
        unreadable: the names of songs whose files could not be read.
        runs: the number of searches of each song.
    """
    rules = [
        {
            "rule": row["rule"].replace("_", " "),
            "limit": f"{row['limit']:g}",
            "songs left out": row["rejected"],
            "by this rule alone": row["rejected_by_it_alone"],
            "what and why": row["reason"],
        }
        for row in quality
    ]
    left_out = [
        {"song": song.source.name, "why": "; ".join(song.rejection()["rules"].values())}
        if song.status == "rejected"
        else {"song": song.source.name, "why": "its search failed"}
        for song in songs
        if song.status != "accepted"
    ] + [{"song": name, "why": "its files could not be read"} for name in unreadable]
    several = (
        f"{runs} searches a song, with different seeds. The one with the lowest match loss over the whole song (of "
        "equal ones, with the fewest processors) is the sample. `confidence` of a processor is the share of the runs "
        "that keep a processor of its type on its track or subgroup."
    )
    single = "One search a song, so that `confidence` is null."
    listed = left_out[:_SHOWN]
    if len(left_out) > _SHOWN:
        listed.append({"song": f"{len(left_out) - _SHOWN} more", "why": "see songs.jsonl of the build"})
    return {"rules": rules, "left_out": listed, "runs": several if runs > 1 else single}


def _is_free(song: Assessment) -> bool:
    """True if both the licence in the song's files now and that at the time of the search allow copies."""
    assert song.runs is not None
    searched = song.runs.metrics[song.runs.best].song
    return may_share_audio(song.source.licence) and may_share_audio(searched.licence)


def _read(song: Assessment, settings: dict[str, Any]) -> Song:
    return load_song(song.source.folder, **{key: settings["data"][key] for key in _READ_WITH})
