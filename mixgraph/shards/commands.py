"""The commands `python -m mixgraph validate-shards` and `python -m mixgraph rehydrate`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mixgraph.shards.fields import DRY, META, MIX, to_json
from mixgraph.shards.flac import encode_flac, peak_scale
from mixgraph.shards.index import load_index
from mixgraph.shards.read import read_raw, shard_paths
from mixgraph.shards.rehydrate import SongFinder
from mixgraph.shards.sample import GraphSample, RawSample, SampleAudio, decode_sample
from mixgraph.shards.texts import read_texts
from mixgraph.shards.validate import validate_shards
from mixgraph.shards.write import write_shards


def validate(folder: Path) -> int:
    """Checks a data set of shards and prints its problems; returns the exit code, 1 if there are any."""
    report = validate_shards(folder)
    _say(report.summary())
    return 1 if report.problems else 0


def rehydrate(folder: Path, roots: Sequence[Path], out: Path | None, date_published: str | None) -> int:
    """Finds the audio of a data set without audio and, if `out` is given, writes a copy with audio; returns 0.

    Args:
        folder: the folder of the data set.
        roots: folders that hold the songs, at any depth.
        out: the folder for the copy with audio; None only looks for the audio.
        date_published: the date on the new card; None keeps that of the old card.

    Raises:
        FileNotFoundError: audio files are missing; the message lists all of them.
        ValueError: the data set is damaged, or has audio already.
    """
    load_index(folder)
    texts = read_texts(folder)
    if date_published is not None:
        texts = replace(texts, date_published=date_published)
    finder = SongFinder(roots)
    missing, count = {}, 0
    for shard in shard_paths(folder):
        for raw in read_raw(shard):
            sample = decode_sample(raw)
            count += 1
            lines = finder.locate(sample.meta)[1] if sample.audio is None else []
            if lines:
                missing[sample.key] = lines
    if missing:
        raise FileNotFoundError(finder.message(missing))
    _say(f"{folder}: the audio of all {count} samples was found")
    if out is not None:
        from mixgraph.shards.card import write_card  # slow: loads matplotlib

        write_card(out, texts, index=write_shards(_with_audio(folder, finder), out))
        _say(f"{out}: written, with audio")
    return 0


def _with_audio(folder: Path, finder: SongFinder) -> Iterator[tuple[str, str, dict[str, bytes]]]:
    for shard in shard_paths(folder):
        for raw in read_raw(shard):
            if raw.audio:
                raise ValueError(f"{raw.where}: has audio already; rehydrate writes sets that have none")
            sample = finder.rehydrate(decode_sample(raw))
            assert sample.audio is not None
            yield shard.parent.name, raw.key, add_audio(raw, sample, sample.audio)


def add_audio(raw: RawSample, sample: GraphSample, audio: SampleAudio) -> dict[str, bytes]:
    """Returns the fields of a sample with audio, byte for byte as `pack_result(..., audio=True)` makes them."""
    tracks, mix = audio.tracks(0, audio.num_samples), audio.mix(0, audio.num_samples)
    scales = [peak_scale(part) for part in (*tracks, mix)]
    scaled_tracks = [track | {"scale": scale} for track, scale in zip(sample.meta["tracks"], scales[:-1], strict=True)]
    meta = sample.meta | {"tracks": scaled_tracks, "mix": sample.meta["mix"] | {"scale": scales[-1]}}
    audio_fields = {
        DRY: encode_flac(tracks, scales[:-1], audio.sample_rate),
        MIX: encode_flac([mix], scales[-1:], audio.sample_rate),
    }
    return {**raw.fields, META: to_json(meta), **audio_fields}


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
