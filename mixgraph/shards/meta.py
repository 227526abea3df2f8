"""`meta.json` of a sample: its song, its audio files and how they were read, and how well the graph fits.

Every record has the same keys in every sample, so that tools can infer one schema from many files; unknown values are
null. The sample rate is in Hz, positions and lengths are in samples at that rate.

    key, dataset, song, title, artist, licence       texts; artist may be null
    sample_rate, level                               `level`: the factor on the files' audio; the graph expects it
    num_samples, song_num_samples, excerpt_start     of this sample; of its song; where in the song it starts
    tracks    [{name, file, sha256, start_sample, polarity, mono, scale}], in order of the graph's inputs; `file` is
              relative to the song's folder, `scale` is that of dry.flac (null without audio)
    mix       {file, sha256, scale}
    losses    null, or {dry_sum, console, found: {loss, loss_prediction: {full, lr, mid, side}, windows,
              windows_prediction, window_samples}}: over both denominators, see `losses.SongScore`
    num_processors {console, found}, pruning_ratio, types [{type, console, found, pruning_ratio}]
    loss_increases, confidence                       null, or one value a processor
    tool, config_sha256, config                      version; the settings of the search, without paths
    extra                                            what the builder of the data set adds; `unknown_settings` is true
                                                     where parameters and weights are not those of the mix
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from mixgraph.graph.types import MixGraph
from mixgraph.shards.config import config_hash
from mixgraph.shards.fields import MAX_SAMPLE_RATE, MAX_SAMPLES, check_key

UNKNOWN_SETTINGS = "unknown_settings"
META_VERSION = 1
try:
    TOOL = f"mixgraph {version('mixgraph')}"
except PackageNotFoundError:  # a checkout that was not installed
    TOOL = "mixgraph"
_PARTS = ("full", "lr", "mid", "side")
_LOSSES = ("dry_sum", "console", "found")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(r"(?![A-Za-z]:)[^/\\\0]+(/[^/\\\0]+)*")
_TEXT = 10_000
_MOST = 100_000
_CONFIG = 1 << 20


def check_meta(meta: Any, where: str) -> dict[str, Any]:
    """Checks every field of a decoded meta.json; returns it.

    Raises:
        ValueError: a field is missing, unknown, of another type or out of range; the message names the first.
    """
    try:
        _record(meta, _FIELDS)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    if meta["schema_version"] > META_VERSION:
        raise ValueError(f"{where}: made by a newer mixgraph: schema {meta['schema_version']}; upgrade")
    if meta["num_samples"] + meta["excerpt_start"] > meta["song_num_samples"]:
        raise ValueError(f"{where}: excerpt_start: the excerpt ends after its song")
    if meta["config_sha256"] != config_hash(meta["config"]):
        raise ValueError(f"{where}: config_sha256: it is not that of config")
    scales = [track["scale"] for track in meta["tracks"]] + [meta["mix"]["scale"]]
    if len({scale is None for scale in scales}) > 1:
        raise ValueError(f"{where}: scale: all tracks and the mix have one, or none of them")
    return meta


def check_fit(meta: Mapping[str, Any], graph: MixGraph, where: str) -> None:
    """Checks a meta.json against its graph, after `check_meta`.

    Raises:
        ValueError: tracks, counts or numbers of values differ from the graph's, or the graph is of several songs.
    """
    if graph.num_songs != 1:
        raise ValueError(f"{where}: a graph of one song is needed, got {graph.num_songs} songs")
    inputs = [graph.names[i] for i in graph.inputs]
    names = [track["name"] for track in meta["tracks"]]
    if names != inputs:
        raise ValueError(f"{where}: tracks: those of the graph's inputs are needed, {inputs}, got {names}")
    count = len(graph.processors)
    counts = {entry["type"]: entry["found"] for entry in meta["types"] if entry["found"]}
    if meta["num_processors"]["found"] != count or counts != graph.count():
        raise ValueError(f"{where}: types: the graph has {graph.count()}, got {counts}")
    for name in ("loss_increases", "confidence"):
        if meta[name] is not None and len(meta[name]) != count:
            raise ValueError(f"{where}: {name}: {count} values are needed, one a processor, got {len(meta[name])}")


def type_records(counts: Mapping[str, int], console: Mapping[str, int] | None) -> list[dict[str, Any]]:
    """Returns the processors of each type as uniform records; `console` has their numbers before pruning, if known."""
    types = sorted({*counts, *(console or {})})
    records: list[dict[str, Any]] = []
    for node_type in types:
        left, before = counts.get(node_type, 0), None if console is None else console.get(node_type, 0)
        ratio = 1 - left / before if before else None
        records.append({"type": node_type, "console": before, "found": left, "pruning_ratio": ratio})
    return records


# Checks do not name the field: the caller prepends it to a message, so that no text is built for valid values.
Check = Callable[[Any], None]


def _fail(needed: str, value: Any) -> ValueError:
    shown = repr(value)
    return ValueError(f"{needed} is needed, got {shown if len(shown) <= 60 else shown[:57] + '...'}")


def _record(value: Any, fields: Mapping[str, Check]) -> None:
    if not isinstance(value, dict):
        raise _fail("an object", value)
    if value.keys() != fields.keys():
        missing, unknown = sorted(fields.keys() - value.keys()), sorted(value.keys() - fields.keys())
        raise ValueError(f"missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}")
    for name, check in fields.items():
        try:
            check(value[name])
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error


def _object(fields: Mapping[str, Check]) -> Check:
    return lambda value: _record(value, fields)


def _list(check: Check, most: int = _MOST, least: int = 0) -> Check:
    def checked(value: Any) -> None:
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise _fail(f"a list of {least} to {most} values", value)
        for i, item in enumerate(value):
            try:
                check(item)
            except ValueError as error:
                raise ValueError(f"[{i}]: {error}") from error

    return checked


def _or_null(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def _text(least: int = 0, most: int = _TEXT) -> Check:
    def checked(value: Any) -> None:
        if not isinstance(value, str) or not least <= len(value) <= most:
            raise _fail(f"a text of {least} to {most} characters", value)

    return checked


def _whole(low: int, high: int) -> Check:
    def checked(value: Any) -> None:
        if type(value) is not int or not low <= value <= high:
            raise _fail(f"a whole number from {low} to {high}", value)

    return checked


def _number(low: float = -1e300, high: float = 1e300) -> Check:  # 1e999 is infinity for Python's JSON
    def checked(value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise _fail(f"a number from {low:g} to {high:g}", value)

    return checked


def _numbers(low: float = -1e300, high: float = 1e300, null: bool = False) -> Check:
    """Checks for a list of numbers, or nulls if `null`; by type first, since nearly all lists are valid."""
    check_number = _number(low, high)
    check_list = _list(_or_null(check_number) if null else check_number)
    kinds = {float, int, type(None)} if null else {float, int}

    def checked(value: Any) -> None:
        if isinstance(value, list) and 0 < len(value) <= _MOST and set(map(type, value)) <= kinds:
            known = [number for number in value if number is not None]
            if not known or low <= min(known) <= max(known) <= high:
                return
        check_list(value)

    return checked


def _scale(value: Any) -> None:
    if not isinstance(value, float) or math.frexp(value)[0] != 0.5 or not 2.0**-60 <= value <= 2.0**60:
        raise _fail("a power of two from 2**-60 to 2**60", value)


def _true_or_false(value: Any) -> None:
    if not isinstance(value, bool):
        raise _fail("true or false", value)


def _sign(value: Any) -> None:
    if type(value) is not int or value not in (1, -1):
        raise _fail("1 or -1", value)


def _sha256(value: Any) -> None:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise _fail("a sha256 in 64 hexadecimal digits", value)


def _key(value: Any) -> None:
    check_key(value)


def _relative_file(value: Any) -> None:
    if not isinstance(value, str) or not _FILE.fullmatch(value) or ".." in value.split("/") or "." in value.split("/"):
        raise _fail("a file name relative to the song's folder", value)


def _extra(value: Any, depth: int = 4) -> None:
    if isinstance(value, dict | list) and depth == 0:
        raise _fail("a value that is not nested deeper", value)
    if isinstance(value, dict):
        _record(value, dict.fromkeys(value, lambda item: _extra(item, depth - 1)))
    elif isinstance(value, list):
        for item in value:
            _extra(item, depth - 1)
    elif isinstance(value, str):
        _text()(value)
    elif isinstance(value, float):
        _number()(value)


def _extra_object(value: Any) -> None:
    if not isinstance(value, dict):
        raise _fail("an object", value)
    _extra(value)


_PARTS_OF_LOSS = _object({part: _or_null(_number()) for part in _PARTS})
_SCORE = _object(
    {
        "loss": _PARTS_OF_LOSS,
        "loss_prediction": _PARTS_OF_LOSS,
        "windows": _numbers(null=True),
        "windows_prediction": _numbers(null=True),
        "window_samples": _whole(1, MAX_SAMPLES),
    }
)
_COUNT = _whole(0, 1_000_000)
_FIELDS: dict[str, Check] = {
    "schema_version": _whole(1, 1_000_000),
    "key": _key,
    "dataset": _text(1),
    "song": _text(1),
    "title": _text(),
    "artist": _or_null(_text(1)),
    "licence": _text(),
    "sample_rate": _whole(1000, MAX_SAMPLE_RATE),
    "level": _number(1e-12, 1e12),
    "num_samples": _whole(1, MAX_SAMPLES),
    "song_num_samples": _whole(1, MAX_SAMPLES),
    "excerpt_start": _whole(0, MAX_SAMPLES),
    "tracks": _list(
        _object(
            {
                "name": _text(),
                "file": _or_null(_relative_file),
                "sha256": _or_null(_sha256),
                "start_sample": _whole(-MAX_SAMPLES, MAX_SAMPLES),
                "polarity": _sign,
                "mono": _true_or_false,
                "scale": _or_null(_scale),
            }
        ),
        10_000,
        1,
    ),
    "mix": _object({"file": _or_null(_relative_file), "sha256": _or_null(_sha256), "scale": _or_null(_scale)}),
    "losses": _or_null(_object(dict.fromkeys(_LOSSES, _SCORE))),
    "num_processors": _object({"console": _or_null(_COUNT), "found": _COUNT}),
    "pruning_ratio": _or_null(_number(-1e6, 1)),
    "types": _list(
        _object(
            {
                "type": _text(1, 100),
                "console": _or_null(_COUNT),
                "found": _COUNT,
                "pruning_ratio": _or_null(_number(-1e6, 1)),
            }
        )
    ),
    "loss_increases": _or_null(_numbers()),
    "confidence": _or_null(_numbers(0, 1, null=True)),
    "tool": _text(1, 100),
    "config_sha256": _sha256,
    "config": _text(0, _CONFIG),
    "extra": _extra_object,
}
FIELD_NAMES: Sequence[str] = tuple(_FIELDS)
