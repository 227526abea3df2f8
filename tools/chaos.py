"""Kills searches and goes on with them: graph, parameters, trace and metrics must be the same bytes as without a kill.

    python -m tools.chaos --out chaos.json                          # before and after every write, and at 100 moments
    python -m tools.chaos --out chaos.json --writes 4 --moments 2   # at a few of both

A search of a tiny song runs in a process of its own and is killed with SIGKILL before, or right after, a chosen file
operation that Python makes in its folder (an audit hook counts them), or at a random moment. Then the same command is
given again, and the command that its message names, until the search has ended. In every second search the process
that goes on is killed, too. SIGTERM and two SIGINTs are sent at random moments.

The processes are forks of one that has loaded everything, since loading takes longer than the search.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from mixgraph.system.files import write_atomically

COMPARED = ("graph.json", "parameters.safetensors", "trace.jsonl", "metrics.json")
RESULT = "result"
WORDS = ["fit", "song", f"--result.path={RESULT}", "--data.sample_rate=8000", "--data.steps_per_stage=2"]
WORDS += ["--data.scored_seconds=1", "--pruning.console_stages=2", "--pruning.rounds=2", "--trainer.accelerator=cpu"]
WORDS += ["--model.track_chain=esg", "--model.subgroup_chain=cg"]
_GO_ON = re.compile(r"^ *python -m mixgraph (fit .*)$", re.MULTILINE)
_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_MOST_RESTARTS = 6
_SLOWEST = 600.0  # seconds of one search


@dataclass(frozen=True)
class Kill:
    """When a search is killed: at a file operation, or some seconds after its start.

    Attributes:
        operation: number of the file operation, from 0; -1 for a moment.
        after: whether the operation is made before the process is killed.
        seconds: time after the start, for a moment.
        signals: what is sent at a moment.
    """

    operation: int = -1
    after: bool = False
    seconds: float = 0.0
    signals: tuple[int, ...] = (signal.SIGKILL,)


@dataclass
class Tally:
    """What came of the searches of one kind of kill.

    Attributes:
        kind: the kind of kill, in words.
        searches: number of searches.
        kills: number of processes that were ended.
        differing: number of results with another byte, or none.
        details: what went wrong, one line a search.
    """

    kind: str
    searches: int = 0
    kills: int = 0
    differing: int = 0
    details: list[str] = field(default_factory=list)


class Operations:
    """Counts the file operations of this process below a folder, and kills it at one of them."""

    def __init__(self, folder: Path, kill: Kill) -> None:
        self.folder = str(folder)
        self.kill = kill
        self.made: list[str] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[2], int):
            writes = bool(arguments[2] & _WRITES)
        else:
            writes = event in _CHANGES
        if not writes or not isinstance(arguments[0], str | os.PathLike | bytes):
            return
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if not path.startswith(f"{self.folder}{os.sep}"):
            return
        self.made.append(f"{event} {os.path.basename(path)}")
        if len(self.made) - 1 == self.kill.operation:
            if not self.kill.after:
                os.kill(os.getpid(), signal.SIGKILL)
            sys.setprofile(lambda *_: os.kill(os.getpid(), signal.SIGKILL))  # the next thing that this thread does


def make_song(folder: Path) -> None:
    """Writes a song of two tracks in two subgroups, 3 s at 8 kHz."""
    rng, t = np.random.default_rng(0), np.arange(24000) / 8000
    tracks = {"kick": np.sin(500 * t) * np.exp(-8 * (t % 0.5)), "noise": 0.2 * rng.standard_normal(len(t))}
    (folder / "tracks").mkdir(parents=True)
    for name, audio in tracks.items():
        soundfile.write(folder / "tracks" / f"{name}.wav", 0.5 * audio, 8000, subtype="FLOAT")
    mix = 0.4 * tracks["kick"][:, None] * [0.6, 0.5] + tracks["noise"][:, None] * [0.1, 0.3]
    soundfile.write(folder / "mix.wav", mix, 8000, subtype="FLOAT")
    (folder / "song.yaml").write_text("subgroups: {drums: [kick.wav], rest: [noise.wav]}\n")


def run(folder: Path, words: list[str], kill: Kill | None = None, written: Path | None = None) -> tuple[int, str]:
    """Runs `python -m mixgraph` with words in a folder, in a fork of this process.

    Args:
        folder: the working folder.
        words: the words of the command.
        kill: when the process is killed.
        written: file for the list of the file operations that were made, if the process ends by itself.

    Returns:
        The exit code, negative for the signal that ended the process, and what was printed.
    """
    printed = folder / "printed.txt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which compute nothing when this is called
        process = os.fork()
    if not process:
        _become(folder, words, kill, printed, written)
    started = time.monotonic()
    signals = list(kill.signals) if kill is not None and kill.operation < 0 else []
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        passed = time.monotonic() - started
        if done:
            return os.waitstatus_to_exitcode(status), printed.read_text(errors="replace")
        if signals and kill is not None and passed >= kill.seconds + 0.05 * (len(kill.signals) - len(signals)):
            os.kill(process, signals.pop(0))
        if passed > _SLOWEST:
            os.kill(process, signal.SIGKILL)
        time.sleep(0.002)


def _become(folder: Path, words: list[str], kill: Kill | None, printed: Path, written: Path | None) -> None:
    """Makes this fork a run of the program; it does not return."""
    code = 70
    try:
        from mixgraph.__main__ import main

        os.chdir(folder)
        output = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        operations = Operations(folder, kill or Kill())
        sys.addaudithook(operations)
        sys.argv = ["mixgraph", *words]
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
            if isinstance(end.code, str):
                sys.stderr.write(f"{end.code}\n")
        sys.stdout.flush()
        sys.stderr.flush()
        if written is not None:
            written.write_text("\n".join(operations.made))
    finally:
        os._exit(code)


def go_on(folder: Path, text: str) -> str:
    """Goes on with a search until it has ended, by the commands that the program names; returns what went wrong."""
    words = WORDS
    for _ in range(_MOST_RESTARTS):
        named = _GO_ON.search(text)
        words = shlex.split(named[1]) if named is not None else WORDS
        code, text = run(folder, words)
        if code == 0 or "exists and is kept" in text:
            return ""
        if _GO_ON.search(text) is None:
            return f"ended with {code}: {text.strip().splitlines()[-1] if text.strip() else 'nothing printed'}"
    return f"did not end after {_MOST_RESTARTS} runs"


def digest(folder: Path) -> dict[str, str]:
    """The hashes of the files of a result that are compared; "" where one is missing."""
    files = {name: folder / RESULT / name for name in COMPARED}
    return {name: hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else "" for name, p in files.items()}


def attempt(scratch: Path, kills: list[Kill], reference: dict[str, str], tally: Tally) -> None:
    """Runs one search that is killed once or more, goes on with it, and compares its result."""
    folder = scratch / "search"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(scratch / "song", folder / "song")
    text, words, problem = "", WORDS, ""
    for kill in kills:
        code, text = run(folder, words, kill)
        tally.kills += code != 0
        named = _GO_ON.search(text)
        if named is None and code:  # killed: the same command says how to go on, or does
            continue
        words = shlex.split(named[1]) if named is not None else WORDS
        allowed = (0, -signal.SIGKILL) if signal.SIGKILL in kill.signals else (0, 128 + kill.signals[0])
        if code not in (*allowed, 1):
            problem = f"exit code {code}"
    problem = problem or go_on(folder, text)
    after = digest(folder)
    differing = [name for name in COMPARED if after[name] != reference[name]]
    tally.searches += 1
    if problem or differing:
        tally.differing += 1
        tally.details.append(f"{[asdict(kill) for kill in kills]}: {problem or ', '.join(differing)}")


def plan(
    operations: int, seconds: float, options: argparse.Namespace, rng: random.Random
) -> Iterator[tuple[str, list[Kill]]]:
    """Lists the searches to kill, by the kind of kill, mixed, so that a run that ends early has some of each."""

    def again(number: int) -> list[Kill]:
        return [Kill(operation=rng.randrange(operations))] if number % 2 else []

    writes: list[tuple[str, list[Kill]]] = []
    chosen = range(operations) if options.writes < 0 else sorted(rng.sample(range(operations), options.writes))
    for number, operation in enumerate(chosen):
        writes.append(("SIGKILL before a write", [Kill(operation), *again(number)]))
        writes.append(("SIGKILL after a write", [Kill(operation, after=True), *again(number)]))
    moments = [Kill(seconds=rng.uniform(0, seconds)) for _ in range(options.moments)]
    killed = [("SIGKILL at a moment", [kill, *again(number)]) for number, kill in enumerate(moments)]
    terms = (signal.SIGTERM,), (signal.SIGINT, signal.SIGINT)
    for kind, signals in zip(("SIGTERM at a moment", "SIGINT twice at a moment"), terms, strict=True):
        killed += [(kind, [Kill(seconds=rng.uniform(0, seconds), signals=signals)]) for _ in range(options.signals)]
    searches = writes + killed
    rng.shuffle(searches)
    yield from searches


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON file with the figures, written after each search")
    parser.add_argument("--writes", type=int, default=-1, help="file operations to kill at; all of them by default")
    parser.add_argument("--moments", type=int, default=100, help="random moments of SIGKILL (default: %(default)s)")
    parser.add_argument("--signals", type=int, default=10, help="moments of SIGTERM and SIGINT (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of operations and moments (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=None, help="end after this time")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Runs all searches; returns 1 if one of them lost or changed something."""
    options = parse(arguments)
    out, end = options.out.resolve(), time.monotonic() + 60 * (options.minutes or 1e9)
    import mixgraph.cli.training  # noqa: F401, before the forks

    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name).resolve()
        make_song(scratch / "song")
        whole, tallies = Tally("none"), dict[str, Tally]()
        seconds, made = _reference(scratch)
        reference = digest(scratch / "search")
        attempt(scratch, [], reference, whole)
        _save(out, made, whole)
        for kind, kills in plan(len(made), seconds, options, random.Random(options.seed)):
            if time.monotonic() > end:
                break
            attempt(scratch, kills, reference, tallies.setdefault(kind, Tally(kind)))
            _save(out, made, whole, *tallies.values())
    for tally in (whole, *tallies.values()):
        sys.stdout.write(f"{tally.kind}: {tally.searches} searches, {tally.kills} kills, {tally.differing} differ\n")
        sys.stdout.writelines(f"  {line}\n" for line in tally.details)
    return int(any(tally.differing for tally in (whole, *tallies.values())))


def _save(out: Path, operations: list[str], *tallies: Tally) -> None:
    figures = {"operations": operations, "kinds": [asdict(tally) for tally in tallies]}
    write_atomically(out, json.dumps(figures, indent=1).encode())


def _reference(scratch: Path) -> tuple[float, list[str]]:
    """Runs the search without a kill; returns its seconds and file operations."""
    folder = scratch / "search"
    shutil.copytree(scratch / "song", folder / "song")
    started = time.monotonic()
    code, text = run(folder, WORDS, written=scratch / "operations")
    if code:
        raise RuntimeError(f"the search without a kill ended with {code}:\n{text}")
    return time.monotonic() - started, (scratch / "operations").read_text().splitlines()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
