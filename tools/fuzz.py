"""Gives damaged and hostile files to every reader: each is read, or refused in one line; nothing else happens.

    python -m tools.fuzz                          # 40 files for each reader
    python -m tools.fuzz --examples 5000          # a long run
    python -m tools.fuzz --only song.yaml --seed 7

The files are valid ones with changes: bits, cut ends, inserted and repeated pieces; and, where the file is JSON or
YAML, values of other types, of absurd size or depth, missing and unknown keys, paths that lead out of the folder. A
reader may return, or raise a ValueError or OSError. Any other exception, any process or pickle that is started or
loaded, any file that is changed outside of the reader's folder, and more than the allowed time or memory is a finding;
it is printed with the seed that makes the same file again, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from mixgraph.system.files import write_atomically

SECONDS, GROWTH_GB = 20.0, 1.0
_REFUSALS = (ValueError, OSError)
_FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "pickle.find_class", "socket.")
_FRAME = re.compile(r'File "([^"\n]+)", line (\d+)')
_CHANGES = {
    "os.rename": 2,
    "os.link": 2,
    "os.symlink": 2,
    "os.remove": 1,
    "os.mkdir": 1,
    "os.rmdir": 1,
    "os.truncate": 1,
}
"""Event -> how many of its first arguments are paths that it changes."""
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
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


@dataclass(frozen=True)
class Target:
    """A reader, and a file that it reads.

    Attributes:
        name: the name of the target on the command line.
        folder: the folder with a valid file, and all that the reader needs beside it.
        file: the path of that file in the folder.
        read: reads the file in a copy of the folder, which it is given.
        structured: `json` or `yaml`, where values of the file are changed besides its bytes.
    """

    name: str
    folder: Path
    file: str
    read: Callable[[Path], object]
    structured: str = ""


class Watch:
    """Notes what a reader must not do, while it is on; and stops a reader that takes too long."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.seen: list[str] = []
        sys.addaudithook(self._event)
        signal.signal(signal.SIGPROF, self._late)

    @contextlib.contextmanager
    def on(self, folder: Path) -> Iterator[None]:
        self.folder, self.seen = folder, []
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            self.folder = None
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
            if grown > GROWTH_GB:
                self.seen.append(f"took {grown:.1f} GB of memory")

    def _event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        if event.startswith(_FORBIDDEN):
            self.seen.append(f"{event} {arguments!r:.200}")
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES:
            changed = arguments[:1]
        else:
            changed = arguments[: _CHANGES.get(event, 0)]
        for name in changed:
            path = "" if isinstance(name, int) else os.path.realpath(os.fsdecode(name))
            if path and not path.startswith((f"{self.folder}{os.sep}", "/dev/")) and "__pycache__" not in path:
                self.seen.append(f"changes {path}")

    @staticmethod
    def _late(number: int, frame: object) -> None:
        raise TimeoutExpired(f"took more than {SECONDS:.0f} s")


class TimeoutExpired(BaseException):
    """A reader took too long; no error that a reader handles."""


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
        places: list[tuple[Any, Any]] = []
        _collect(root, places)
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


def _collect(holder: Any, places: list[tuple[Any, Any]]) -> None:
    keys = holder if isinstance(holder, dict) else range(len(holder))
    for key in list(keys):
        places.append((holder, key))
        if isinstance(holder[key], dict | list):
            _collect(holder[key], places)


def example(target: Target, seed: int, number: int) -> bytes:
    """The hostile file of a number; the same for the same seed."""
    rng = random.Random(f"{seed} {target.name} {number}")
    data = (target.folder / target.file).read_bytes()
    if not target.structured or rng.random() < 0.4:
        return changed_bytes(data, rng)
    if target.structured == "yaml":
        return yaml.safe_dump(changed_values(yaml.safe_load(data), rng), allow_unicode=True).encode("utf-8", "replace")
    return json.dumps(changed_values(json.loads(data), rng)).encode()


def findings(target: Target, examples: int, seed: int, watch: Watch) -> Iterator[str]:
    """Gives files to a reader, and yields one text for each thing that must not be, once for each place in the code."""
    known: set[str] = set()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve() / "copy"
        shutil.copytree(target.folder, folder)
        target.read(folder)  # the valid file is read
        for number in range(examples):
            (folder / target.file).write_bytes(example(target, seed, number))
            trace = ""
            with watch.on(folder):
                try:
                    target.read(folder)
                except _REFUSALS:
                    pass
                except (Exception, TimeoutExpired) as error:
                    trace = "".join(traceback.format_exception(error)[-3:])
            for text in filter(None, (trace, *watch.seen)):
                place = _place(text)
                if place not in known:
                    known.add(place)
                    yield f"{target.name}, --seed {seed}, example {number}:\n{text}"


def _place(text: str) -> str:
    """Where in the code a finding is: the files and lines of a traceback; of others the beginning says it."""
    return " ".join(f"{file}:{line}" for file, line in _FRAME.findall(text)) or text[:200]


def make_targets(folder: Path) -> list[Target]:
    """Makes valid files of every kind, by a search of a tiny song, and lists their readers."""
    from mixgraph.blind.reference import SHIPPED, read_reference
    from mixgraph.checkpoints import read_checkpoint, sealed
    from mixgraph.cli.config_paths import read_saved_config
    from mixgraph.results.changes import read_changes
    from mixgraph.results.demix_record import read_demix_record
    from mixgraph.results.found_graph import load_result
    from mixgraph.results.metrics import read_metrics
    from mixgraph.shards import load_index, pack_result, read_shards, write_shards
    from mixgraph.shards.validate import validate_shards
    from mixgraph.songs import load_song
    from tools.chaos import WORDS
    from tools.forks import make_song, run

    make_song(folder / "work" / "song")
    search = run(folder / "work", WORDS)
    if search.code:
        raise RuntimeError(f"the search of a tiny song ended with {search.code}:\n{search.text}")
    result, files = folder / "work" / "result", folder / "files"
    files.mkdir()
    found = load_result(result)
    changes = {
        "format": "mixgraph changes",
        "version": 1,
        "graph": "x",
        "processors": {"a": {"gain": 1.0}},
        "mute": ["a"],
    }
    (files / "changes.json").write_text(json.dumps(_marked(changes)))
    (files / "demix.json").write_text(json.dumps(_demixed()))
    shutil.copy(SHIPPED, files / "reference.json")
    torch.save({"state_dict": {"a": torch.zeros(3)}, "mixgraph": "{}"}, files / "plain.ckpt")
    (files / "stage.ckpt").write_bytes(sealed((files / "plain.ckpt").read_bytes()))
    samples = [("train", *s) for s in pack_result(result, None, dataset="Tiny", artist="A", audio=False)]
    write_shards(samples, folder / "shards")
    (shard,) = (folder / "shards").rglob("*.tar")
    shard_name = shard.relative_to(folder / "shards").as_posix()

    def shards(copy: Path) -> object:
        return validate_shards(copy).problems, list(read_shards(copy))

    def song(copy: Path) -> object:
        return load_song(copy, sample_rate=found.sample_rate)

    return [
        Target("graph.json", result, "graph.json", load_result, "json"),
        Target("parameters.safetensors", result, "parameters.safetensors", load_result),
        Target("metrics.json", result, "metrics.json", lambda copy: (load_result(copy), read_metrics(copy)), "json"),
        Target("config.yaml", result, "config.yaml", lambda copy: read_saved_config(copy / "config.yaml"), "yaml"),
        Target(
            "timings.json",
            result,
            "timings.json",
            lambda copy: (load_result(copy).timings(), load_result(copy).config()),
            "json",
        ),
        Target("song.yaml", folder / "work" / "song", "song.yaml", song, "yaml"),
        Target("mix.wav", folder / "work" / "song", "mix.wav", song),
        Target("changes.json", files, "changes.json", lambda copy: read_changes(copy / "changes.json"), "json"),
        Target("demix.json", files, "demix.json", read_demix_record, "json"),
        Target("reference.json", files, "reference.json", lambda copy: read_reference(copy / "reference.json"), "json"),
        Target("plain.ckpt", files, "plain.ckpt", lambda copy: read_checkpoint(copy / "plain.ckpt")),
        Target("stage.ckpt", files, "stage.ckpt", lambda copy: read_checkpoint(copy / "stage.ckpt")),
        Target("index.json", folder / "shards", "index.json", lambda copy: (load_index(copy), shards(copy)), "json"),
        Target("shard", folder / "shards", shard_name, shards),
    ]


def _marked(changes: dict[str, Any]) -> dict[str, Any]:
    from mixgraph.results.changes import FORMAT, VERSION

    return changes | {"format": FORMAT, "version": VERSION}


def _demixed() -> dict[str, Any]:
    from mixgraph.results.demix_record import MARK

    stems = {name: {"file": f"{name}.flac"} for name in ("vocals", "drums")}
    rates = {"sample_rate": 44100, "network_sample_rate": 44100, "samples": 1000, "sum_distance_db": -20.0}
    return {"format": MARK, "stems": stems, "mix": "mix.wav", "checkpoint": {"file": "best.ckpt"}, "notes": [], **rates}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=40, help="files for each reader (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the changes (default: %(default)s)")
    parser.add_argument("--only", action="append", help="name of a reader; all of them by default")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Fuzzes all readers; returns 1 if there was a finding."""
    options = parse(arguments)
    torch.set_num_threads(1)
    watch, counts = Watch(), {}
    with tempfile.TemporaryDirectory() as name:
        targets = make_targets(Path(name).resolve())
        for target in targets:
            if options.only and target.name not in options.only:
                continue
            counts[target.name] = 0
            for finding in findings(target, options.examples, options.seed, watch):
                counts[target.name] += 1
                sys.stdout.write(f"{finding}\n")
            sys.stdout.write(f"{target.name}: {options.examples} files, {counts[target.name]} findings\n")
            sys.stdout.flush()
    if options.out is not None:
        write_atomically(options.out, json.dumps({"examples": options.examples, "findings": counts}).encode())
    return int(any(counts.values()))


if __name__ == "__main__":
    sys.exit(main())
