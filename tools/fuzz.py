"""Gives damaged and hostile files to every reader: each is read, or refused in one line; nothing else happens.

    python -m tools.fuzz                          # 40 files for each reader
    python -m tools.fuzz --examples 5000          # a long run
    python -m tools.fuzz --only song.yaml --seed 7

The files are valid ones with changes: bits, cut ends, inserted and repeated pieces; and, where the form of a file is
known (`tools.fuzz_changes`), values of other types, of absurd size or depth, missing and unknown keys, paths that lead
out of the folder. A reader may return, or raise a ValueError or OSError, or a MemoryError that names the file, for
what asks for more than there is. Any other exception, any process or pickle that is started or loaded, any file that is
changed outside of the folder, and more than the allowed time or memory is a finding; it is printed with the seed and
the number of its changes, and the exit code is 1.

With Atheris, where it can be installed, files are changed so that they reach code that no file has reached before:

    python -m tools.fuzz --atheris --only changes.json --examples 100000
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from mixgraph.cli.command_parser import CommandParser
from tools.bench.machine import command_line, measured
from tools.forks import CHANGES, WRITES
from tools.fuzz_changes import changed_file
from tools.fuzz_targets import KINDS, Target, make_targets
from tools.result_tables import write_table

SECONDS, GROWTH_GB, MOST_GB = 20.0, 1.0, 16.0
_REFUSALS = (ValueError, OSError)
_AT_A_TIME = 40
_FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "pickle.find_class", "socket.")
_FRAME = re.compile(r'File "([^"\n]+)", line (\d+)')


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
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES:
            changed = arguments[:1]
        else:
            changed = arguments[: CHANGES.get(event, 0)]
        for name in changed:
            path = "" if isinstance(name, int) else os.path.realpath(os.fsdecode(name))
            if path and not path.startswith((f"{self.folder}{os.sep}", "/dev/")) and "__pycache__" not in path:
                self.seen.append(f"changes {path}")

    @staticmethod
    def _late(number: int, frame: object) -> None:
        raise TimeoutExpired(f"took more than {SECONDS:.0f} s")


class TimeoutExpired(BaseException):
    """A reader took too long; no error that a reader handles."""


def example(target: Target, seed: int, number: int) -> bytes:
    """The hostile file of a number; the same for the same seed and valid file."""
    rng = random.Random(f"{seed} {target.name} {number}")
    return changed_file((target.folder / target.file).read_bytes(), target.form, rng)


def findings(target: Target, examples: Iterable[int], seed: int, watch: Watch) -> Iterator[str]:
    """Gives files to a reader, and yields one text for each thing that must not be, once for each place in the code."""
    known: set[str] = set()
    with opened(target) as folder:
        for number in examples:
            for text in given(target, folder, example(target, seed, number), watch):
                place = _place(text)
                if place not in known:
                    known.add(place)
                    yield f"{target.name}, --seed {seed}, example {number}:\n{text}"


@contextlib.contextmanager
def opened(target: Target) -> Iterator[Path]:
    """A copy of the folder of a target, whose valid file was read."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve() / "copy"
        shutil.copytree(target.folder, folder)
        target.read(folder)
        yield folder


def given(target: Target, folder: Path, data: bytes, watch: Watch) -> list[str]:
    """Gives a file to a reader; returns a text for each thing that must not be.

    Args:
        target: the reader.
        folder: the copy of its folder.
        data: the bytes of the file.
        watch: notes what the reader does.
    """
    (folder / target.file).write_bytes(data)
    trace = ""
    with watch.on(folder):
        try:
            target.read(folder)
        except _REFUSALS:
            pass
        except (Exception, TimeoutExpired) as error:
            if isinstance(error, MemoryError) and str(folder) in str(error):  # refused before anything was taken
                return list(watch.seen)
            trace = "".join(traceback.format_exception(error)[-3:])
    return [text for text in (trace, *watch.seen) if text]


@contextlib.contextmanager
def bounded_memory() -> Iterator[None]:
    """Lets what asks for absurdly much memory fail at once, in place of the machine."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (round(MOST_GB * 2**30), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _place(text: str) -> str:
    """Where in the code a finding is: the files and lines of a traceback; of others the beginning says it."""
    return " ".join(f"{file}:{line}" for file, line in _FRAME.findall(text)) or text[:200]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=40, help="files for each reader (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the changes (default: %(default)s)")
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="of readers; all of them by default")
    parser.add_argument("--only", action="append", help="name of a reader; all of them by default")
    parser.add_argument("--minutes", type=float, default=1e9, help="end after this time")
    parser.add_argument(
        "--atheris", action="store_true", help="let Atheris change the file of the one reader of --only"
    )
    parser.add_argument("--out", type=Path, help="JSON file for the table, as docs/results holds it")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Fuzzes all readers; returns 1 if there was a finding."""
    options = parse(arguments)
    torch.set_num_threads(1)
    if options.atheris:
        return _with_atheris(options)
    watch, counts = Watch(), Counter[str]()
    end = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as name, bounded_memory():
        readers = {
            kind: [t for t in make_targets(Path(name).resolve(), (kind,)) if not options.only or t.name in options.only]
            for kind in options.kind or KINDS
        }
        number = 0
        while number < options.examples and time.monotonic() < end:  # all readers in turn, so that the end cuts none
            some = min(_AT_A_TIME, options.examples - number)
            for kind, targets in readers.items():
                for target in targets:
                    for finding in findings(target, range(number, number + some), options.seed, watch):
                        counts[kind] += 1
                        sys.stdout.write(f"{finding}\n")
            number += some
    rows = [[kind, len(targets), number * len(targets), counts[kind]] for kind, targets in readers.items()]
    rows.append(["all", *(sum(int(row[column]) for row in rows) for column in (1, 2, 3))])
    sys.stdout.writelines(f"{row[0]}: {row[1]} readers, {row[2]} files, {row[3]} findings\n" for row in rows)
    if options.out is not None:
        run = measured(command_line("tools.fuzz", arguments), 1)
        write_table(options.out, "Damaged and hostile files", [run], ("of", "readers", "files", "findings"), rows)
    return int(any(counts.values()))


def _with_atheris(options: argparse.Namespace) -> int:
    """Lets Atheris change the file of one reader; it ends the process, and prints what it found."""
    import atheris

    with tempfile.TemporaryDirectory() as name, bounded_memory():
        with atheris.instrument_imports(include=["mixgraph"]):
            targets = make_targets(Path(name).resolve(), options.kind or ())
        (target,) = [target for target in targets if target.name in (options.only or ())]
        seeds = Path(name) / "seeds"
        seeds.mkdir()
        shutil.copy(target.folder / target.file, seeds)
        watch = Watch()
        with opened(target) as folder:

            def once(data: bytes) -> None:
                if texts := given(target, folder, data, watch):
                    raise RuntimeError("\n".join(texts))

            atheris.Setup([sys.argv[0], f"-runs={options.examples}", f"-seed={options.seed + 1}", str(seeds)], once)
            atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
