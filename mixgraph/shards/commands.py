"""`python -m mixgraph validate-shards` and `rehydrate`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mixgraph.files import error_line
from mixgraph.shards.fields import DRY, META, MIX, to_json
from mixgraph.shards.flac import encode_flac, peak_scale
from mixgraph.shards.index import load_index
from mixgraph.shards.read import read_raw, shard_paths
from mixgraph.shards.rehydrate import SongFinder
from mixgraph.shards.sample import GraphSample, RawSample, SampleAudio, decode_sample
from mixgraph.shards.texts import read_texts
from mixgraph.shards.validate import validate_shards
from mixgraph.shards.write import write_shards


def main(arguments: Sequence[str]) -> int | str:
    """Runs a command; returns an exit code, or what is wrong with the input."""
    run = {"validate-shards": _validate, "rehydrate": _rehydrate}[arguments[0]]
    try:
        return run(arguments[1:])
    except ValueError as error:
        return f"mixgraph: {error}"
    except OSError as error:
        return f"mixgraph: {error_line(error)}"


def _validate(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="mixgraph validate-shards", description="Checks a data set of shards completely."
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of the data set, with its index.json")
    found = validate_shards(parser.parse_args(arguments).folder)
    _say(found.summary())
    return 1 if found.problems else 0


def _rehydrate(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="mixgraph rehydrate", description="Finds the audio of shards without audio in your own copy of the songs."
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of the data set")
    parser.add_argument("--root", type=Path, nargs="+", required=True, help="folders with the songs, at any depth")
    parser.add_argument("--out", type=Path, help="write the data set with its audio, and a card, to this folder")
    parser.add_argument("--date-published", help="such as 2026-11-29; as in the old card by default")
    options = parser.parse_args(arguments)
    load_index(options.folder)
    texts = read_texts(options.folder)
    if options.date_published is not None:
        texts = replace(texts, date_published=options.date_published)
    finder = SongFinder(options.root)
    missing, count = {}, 0
    for shard in shard_paths(options.folder):
        for raw in read_raw(shard):
            sample = decode_sample(raw)
            count += 1
            lines = finder.locate(sample.meta)[1] if sample.audio is None else []
            if lines:
                missing[sample.key] = lines
    if missing:
        raise FileNotFoundError(finder.message(missing))
    _say(f"{options.folder}: the audio of all {count} samples was found")
    if options.out is not None:
        from mixgraph.shards.card import write_card  # matplotlib, for one

        write_card(options.out, texts, index=write_shards(_with_audio(options.folder, finder), options.out))
        _say(f"{options.out}: written, with audio")
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
    """The fields of a sample with its audio: what `pack_result` makes with audio, byte for byte."""
    tracks, mix = audio.tracks(0, audio.num_samples), audio.mix(0, audio.num_samples)
    scales = [peak_scale(part) for part in (*tracks, mix)]
    named = [track | {"scale": scale} for track, scale in zip(sample.meta["tracks"], scales[:-1], strict=True)]
    meta = sample.meta | {"tracks": named, "mix": sample.meta["mix"] | {"scale": scales[-1]}}
    audio_fields = {
        DRY: encode_flac(tracks, scales[:-1], audio.sample_rate),
        MIX: encode_flac([mix], scales[-1:], audio.sample_rate),
    }
    return {**raw.fields, META: to_json(meta), **audio_fields}


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
