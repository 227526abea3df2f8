"""Changes files for `tools.fuzz`: their bytes, and the values of those whose form is known."""

from __future__ import annotations

import copy
import io
import json
import random
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import yaml

_TEXT = "\0json"
"""The only key of a mapping that stands for a text of JSON, so that the values in the text are changed, too."""
_ODD: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        1.5,
        -0.0,
        1e308,
        10**30,
        float("nan"),
        float("inf"),
        "",
        "x",
        "../../x",
        "/etc/passwd",
    ),
    *("\0", "\x1b[31m", "é\u202e", "${oc.env:HOME}", "a" * 5000, [], {}, [[]], {"": {}}, ["x"] * 500, [0.5, "x"]),
)
_ODD_YAML = ("2001-99-99", "2001-01-01T25:61:61Z", "0b", "0x_", "1:99999999", "!!binary x", "!!timestamp x", "? [a]")
"""Texts that YAML takes for dates, numbers and tags, and cannot make."""


@dataclass(frozen=True)
class Form:
    """The form of a file: how its bytes become values that can be changed, and bytes again."""

    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]


def changed_bytes(data: bytes, rng: random.Random) -> bytes:
    """A copy of a file with one to four changes: of bits, bytes and pieces."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, size = rng.randrange(len(changed) + 1), rng.choice((1, 4, 8, 64, 1000))
        kind = rng.randrange(7)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[at : at + size] = rng.randbytes(size)
        elif kind == 2:
            del changed[at : at + size]
        elif kind == 3:
            changed[at:at] = changed[: rng.randrange(len(changed) + 1)][:size]
        elif kind == 4:
            del changed[at:]
        elif kind == 5:  # a length or a count near the start
            at = rng.randrange(min(len(changed), 100) + 1)
            changed[at : at + 4] = rng.choice(
                (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f")
            )
        else:
            changed[at:at] = rng.choice((b"[" * 3000, b'{"a":' * 3000, b"&a [*a]", b"!!python/name:os.system ", b"\0"))
    return bytes(changed)


def changed_values(value: Any, rng: random.Random) -> Any:
    """A copy of a structure in which one to three values or keys are others."""
    root = [copy.deepcopy(value)]
    for _ in range(rng.randint(1, 3)):
        places = list_places(root)
        holder, key = rng.choice(places)
        kind = rng.randrange(5)
        if kind == 0 and holder is not root:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[rng.choice(("unknown", "", "../x", "class_path", "0"))] = holder.pop(key)
        elif kind == 2 and isinstance(holder, list) and holder is not root:
            holder.insert(key, copy.deepcopy(holder[key]))
        elif kind == 3 and holder is not root:
            holder[key] = copy.deepcopy(rng.choice(places)[0])
        else:
            holder[key] = copy.deepcopy(rng.choice(_ODD))
    return root[0]


def list_places(holder: Any) -> list[tuple[Any, Any]]:
    """Lists every value of a structure by what holds it and the key, or index, that it has there."""
    places: list[tuple[Any, Any]] = []
    for key in list(holder if isinstance(holder, dict) else range(len(holder))):
        places.append((holder, key))
        if isinstance(holder[key], dict | list):
            places += list_places(holder[key])
    return places


def changed_file(data: bytes, form: str, rng: random.Random) -> bytes:
    """A copy of a file with changes of its bytes or, if its form is known, of its values.

    Args:
        data: the bytes of a valid file.
        form: a name in FORMS, or "".
        rng: the source of random numbers.
    """
    if not form or rng.random() < 0.4:
        return changed_bytes(data, rng)
    if form == "yaml" and rng.random() < 0.2:
        lines = data.decode().splitlines()
        at = rng.randrange(len(lines))
        lines[at] = f"{lines[at].partition(':')[0]}: {rng.choice(_ODD_YAML)}"
        return "\n".join(lines).encode()
    return FORMS[form].encode(changed_values(FORMS[form].decode(data), rng))


def _opened(value: Any) -> Any:
    """A copy of a structure in which texts of JSON objects are open to changes."""
    if isinstance(value, dict):
        return {key: _opened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_opened(item) for item in value]
    if isinstance(value, str) and value.startswith("{"):
        return {_TEXT: json.loads(value)}
    return value


def _closed(value: Any) -> Any:
    """The inverse of `_opened`."""
    if isinstance(value, dict):
        if value.keys() == {_TEXT}:
            return json.dumps(value[_TEXT], default=str)
        return {key: _closed(item) for key, item in value.items()}
    return [_closed(item) for item in value] if isinstance(value, list) else value


def _lines(data: bytes) -> list[Any]:
    return [json.loads(line) for line in data.decode().split("\n") if line]


def _to_lines(values: Any) -> bytes:
    rows = values if isinstance(values, list) else [values]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _yaml(value: Any) -> bytes:
    return yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "replace")


def _checkpoint(data: bytes) -> Any:
    content = torch.load(io.BytesIO(data), weights_only=True)
    return _opened({key: dict(value) if isinstance(value, dict) else value for key, value in content.items()})


def _to_checkpoint(content: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(_closed(content), stream)
    return stream.getvalue()


def _header(data: bytes) -> Any:
    """The header of a safetensors file, and its tensors as text."""
    length = int.from_bytes(data[:8], "little")
    return {"header": _opened(json.loads(data[8 : 8 + length])), "tensors": data[8 + length :].decode("latin-1")}


def _to_header(content: Any) -> bytes:
    parts = content if isinstance(content, dict) else {}
    header = json.dumps(_closed(parts.get("header")), default=str).encode()
    tensors = str(parts.get("tensors", "")).encode("latin-1", "replace")
    return len(header).to_bytes(8, "little") + header + tensors


def _members(data: bytes) -> Any:
    """The members of a tar file by name: JSON as values, others as texts."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        contents = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}  # type: ignore[union-attr]
    return {
        name: json.loads(content) if name.endswith(".json") else content.decode("latin-1")
        for name, content in contents.items()
    }


def _to_members(contents: Any) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT, errors="replace") as tar:
        for name, content in (contents if isinstance(contents, dict) else {}).items():
            is_text = isinstance(content, str) and not str(name).endswith(".json")
            data = content.encode("latin-1", "replace") if is_text else json.dumps(content).encode()
            member = tarfile.TarInfo(str(name)[:90].replace("\0", ""))
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return stream.getvalue()


FORMS = {
    "json": Form(json.loads, lambda value: json.dumps(value).encode()),
    "lines": Form(_lines, _to_lines),
    "yaml": Form(yaml.safe_load, _yaml),
    "checkpoint": Form(_checkpoint, _to_checkpoint),
    "safetensors": Form(_header, _to_header),
    "tar": Form(_members, _to_members),
}
