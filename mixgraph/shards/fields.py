"""The fields of a sample in a shard, the limits of their sizes, and a safe reader of JSON.

A sample is a few files of a tar whose names are `KEY.FIELD`. A shard holds nothing else. It may come from
an untrusted source: sizes are compared with the limits below before anything is read, and nothing is ever unpickled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson

from mixgraph.system.files import json_text

GRAPH, PARAMETERS, TRACE, META = "graph.json", "params.safetensors", "trace.json", "meta.json"
DRY, MIX = "dry.flac", "mix.flac"
REQUIRED = (GRAPH, PARAMETERS, TRACE, META)
AUDIO = (DRY, MIX)
"""Both or none of them."""

_MIB = 1 << 20
LIMITS: dict[str, int] = {
    GRAPH: 8 * _MIB,
    PARAMETERS: 128 * _MIB,
    TRACE: 32 * _MIB,
    META: 4 * _MIB,
    DRY: (8 << 30) - 1,  # the largest size that a ustar header can hold; audio is not read into memory as a whole
    MIX: 1 << 30,
}
"""Bytes that a field may have."""

UNKNOWN_LIMIT = 1 << 30
MAX_FIELDS = 16
"""Files of one sample; more are refused, whatever they are called."""

MAX_SAMPLE_RATE = 768_000
MAX_SAMPLES = 1 << 33
KEY = re.compile(r"[A-Za-z0-9_-]{1,80}")
SPLIT = re.compile(r"[a-z][a-z0-9_]{0,31}")
SHARD = re.compile(rf"{SPLIT.pattern}/[0-9]{{6}}\.tar")
"""Where a shard stands in its folder; nothing else is opened, whatever an index says."""


def parse_json(data: bytes, where: str, strict: bool = False) -> Any:
    """Decodes JSON from an untrusted source to plain values.

    Args:
        data: the JSON text as UTF-8; the caller must have bounded its size.
        where: the shard, sample and field, for error messages.
        strict: also refuse objects that repeat a key (slower).

    Raises:
        ValueError: the text is not UTF-8 or not JSON, is nested too deeply, or has NaN or infinity.
    """

    if not strict:  # several times as fast; a refused text is read again below, which raises with the reason
        with suppress(orjson.JSONDecodeError):
            return orjson.loads(data)

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not a number of JSON")

    try:
        return json.loads(data.decode(), parse_constant=refuse, object_pairs_hook=_unique if strict else None)
    except RecursionError as error:
        raise ValueError(f"{where}: not JSON that can be read: nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"{where}: not JSON: {error}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(key for key in keys if keys.count(key) > 1)!r} is given twice")
    return values


def to_json(value: Any) -> bytes:
    """Encodes values as one line of JSON; equal values give equal bytes. NaN and infinity become null."""
    return json_text(value, separators=(",", ":")).encode() + b"\n"


def check_key(key: str) -> str:
    """Checks the key of a sample, and returns it.

    Raises:
        ValueError: the key has other characters than letters, digits, `_` and `-` (a dot would start the field's
            name), or more than 80 of them.
    """
    if not isinstance(key, str) or not KEY.fullmatch(key):
        raise ValueError(f"key: 1 to 80 letters, digits, _ or - are needed, got {key!r}")
    return key


def check_fields(fields: Mapping[str, bytes] | Mapping[str, int]) -> None:
    """Checks names and sizes of a sample's fields.

    Args:
        fields: name -> the bytes of the field, or their number.

    Raises:
        ValueError: a field is missing, unknown or too large, or there is one audio field without the other.
    """
    missing = [name for name in REQUIRED if name not in fields]
    unknown = sorted(set(fields) - set(LIMITS))
    audio = [name for name in AUDIO if name in fields]
    if missing:
        raise ValueError(f"fields: {', '.join(missing)} missing, got {', '.join(sorted(fields)) or 'none'}")
    if unknown:
        raise ValueError(f"fields: unknown: {', '.join(unknown)}; known are {', '.join(LIMITS)}")
    if len(audio) == 1:
        raise ValueError(f"fields: {' and '.join(AUDIO)} are needed together, got {audio[0]} alone")
    for name, value in fields.items():
        check_size(name, value if isinstance(value, int) else len(value))


def check_size(name: str, size: int) -> None:
    """Raises ValueError if a field is larger than its limit."""
    limit = LIMITS.get(name, UNKNOWN_LIMIT)
    if size > limit:
        raise ValueError(f"{name}: at most {limit:,} bytes are allowed, got {size:,}")
