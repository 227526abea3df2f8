"""Kills searches and goes on with them: graph, parameters, trace and metrics must be the same bytes as without a kill.

    python -m tools.chaos --out chaos.json                          # before and after every write, and at 100 moments
    python -m tools.chaos --out chaos.json --writes 4 --moments 2   # at a few of both
    python -m tools.chaos --out chaos.json --table killed.json      # of what there is: a table of a page

A search of a tiny song runs in a process of its own and is killed with SIGKILL before, or right after, a chosen file
operation that Python makes in its folder (an audit hook counts them), or at a random moment. Then the same command is
given again, and the command that its message names, until the search has ended. In every second search the process
that goes on is killed, too. SIGTERM and two SIGINTs are sent at random moments.

A run that was stopped goes on when the same command is given again. The processes are forks of one that has loaded
everything, since loading takes longer than the search; pictures are written, but not drawn.
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
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mixgraph.system.files import write_atomically
from tools.forks import Run, leave_pictures_blank, make_song, run, warm_up

COMPARED = ("graph.json", "parameters.safetensors", "trace.jsonl", "metrics.json")
RESULT = "result"
WORDS = ["fit", "song", f"--result.path={RESULT}", "--data.sample_rate=8000", "--data.steps_per_stage=2"]
WORDS += ["--data.scored_seconds=1", "--pruning.console_stages=2", "--pruning.rounds=2", "--trainer.accelerator=cpu"]
WORDS += ["--model.track_chain=esg", "--model.subgroup_chain=cg"]
KINDS = (
    "none",
    "SIGKILL before a write",
    "SIGKILL after a write",
    "SIGKILL at a moment",
    "SIGTERM at a moment",
    "SIGINT twice at a moment",
)
_GO_ON = re.compile(r"^ *python -m mixgraph (fit .*)$", re.MULTILINE)
_MOST_RESTARTS = 6
_BETWEEN_SIGNALS = 0.05  # seconds


@dataclass(frozen=True)
class Kill:
    """When a search is killed: at a file operation, or at a moment.

    Attributes:
        operation: number of the file operation, from 0; -1 for a moment.
        after: whether the operation is made before the process is killed.
        moment: for a moment, the part of the search's time that has passed.
        signals: what is sent at a moment.
    """

    operation: int = -1
    after: bool = False
    moment: float = 0.0
    signals: tuple[int, ...] = (signal.SIGKILL,)

    def act(self, number: int) -> None:
        """Kills this process at the file operation."""
        if number != self.operation:
            return
        if not self.after:
            os.kill(os.getpid(), signal.SIGKILL)
        sys.setprofile(lambda *_: os.kill(os.getpid(), signal.SIGKILL))  # the next thing that this thread does


@dataclass(frozen=True)
class Search:
    """A search that is killed, and gone on with.

    Attributes:
        kind: the kind of kill.
        kills: the kills, one a process.
    """

    kind: str
    kills: tuple[Kill, ...] = ()


@dataclass
class Outcome:
    """What came of a search.

    Attributes:
        kind: the kind of kill.
        kills: the kills, as JSON.
        killed: number of processes that were ended.
        problem: what went wrong, or which files of the result differ; "" if all is well.
    """

    kind: str
    kills: list[dict[str, Any]]
    killed: int = 0
    problem: str = ""


def kill_and_run(folder: Path, words: list[str], kill: Kill, seconds: float) -> Run:
    """Runs a search that is killed; `seconds` is how long it takes without."""
    signals = list(kill.signals) if kill.operation < 0 else []

    def watch(process: int, passed: float) -> None:
        at = kill.moment * seconds + _BETWEEN_SIGNALS * (len(kill.signals) - len(signals))
        if signals and passed >= at:
            os.kill(process, signals.pop(0))

    return run(folder, words, act=kill.act, watch=watch)


def go_on(folder: Path, text: str) -> str:
    """Goes on with a search until it has ended, by the commands that the program names; returns what went wrong."""
    for _ in range(_MOST_RESTARTS):
        named = _GO_ON.search(text)
        ended = run(folder, shlex.split(named[1]) if named is not None else WORDS)
        text = ended.text
        if ended.code == 0 or "exists and is kept" in text:
            return ""
        if _GO_ON.search(text) is None:
            return f"ended with {ended.code}: {text.strip().splitlines()[-1] if text.strip() else 'nothing printed'}"
    return f"did not end after {_MOST_RESTARTS} runs"


def digest(folder: Path) -> dict[str, str]:
    """The hashes of the files of a result that are compared; "" where one is missing."""
    files = {name: folder / RESULT / name for name in COMPARED}
    return {name: hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else "" for name, p in files.items()}


def attempt(scratch: Path, search: Search, reference: dict[str, str], seconds: float) -> Outcome:
    """Runs one search that is killed once or more, goes on with it, and compares its result."""
    folder = scratch / "search"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(scratch / "song", folder / "song")
    text, words, problem = "", WORDS, ""
    outcome = Outcome(search.kind, [asdict(kill) for kill in search.kills])
    for kill in search.kills:
        ended = kill_and_run(folder, words, kill, seconds)
        text = ended.text
        outcome.killed += ended.code != 0
        named = _GO_ON.search(text)
        if named is None and ended.code:  # killed: the same command says how to go on, or does
            continue
        words = shlex.split(named[1]) if named is not None else WORDS
        sigkill = signal.SIGKILL in kill.signals
        allowed = (0, -signal.SIGKILL) if sigkill else (0, 128 + kill.signals[0])
        if ended.code not in (*allowed, 1):
            problem = f"exit code {ended.code}"
    problem = problem or go_on(folder, text)
    after = digest(folder)
    outcome.problem = problem or ", ".join(name for name in COMPARED if after[name] != reference[name])
    return outcome


def plan(operations: int, options: argparse.Namespace) -> list[Search]:
    """Lists the searches to kill, mixed, so that a run that ends early has some of each kind."""
    rng = random.Random(options.seed)

    def again(number: int) -> tuple[Kill, ...]:
        return (Kill(operation=rng.randrange(operations)),) if number % 2 else ()

    searches: list[Search] = []
    chosen = range(operations) if options.writes < 0 else sorted(rng.sample(range(operations), options.writes))
    for number, operation in enumerate(chosen):
        searches.append(Search(KINDS[1], (Kill(operation), *again(number))))
        searches.append(Search(KINDS[2], (Kill(operation, after=True), *again(number))))
    searches += [Search(KINDS[3], (Kill(moment=rng.random()), *again(n))) for n in range(options.moments)]
    signals: tuple[tuple[int, ...], ...] = ((signal.SIGTERM,), (signal.SIGINT, signal.SIGINT))
    for kind, sent in zip(KINDS[4:], signals, strict=True):
        searches += [Search(kind, (Kill(moment=rng.random(), signals=sent),)) for _ in range(options.signals)]
    rng.shuffle(searches)
    return [Search(KINDS[0]), *searches]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON file with the figures, written after each search")
    parser.add_argument("--writes", type=int, default=-1, help="file operations to kill at; all of them by default")
    parser.add_argument("--moments", type=int, default=100, help="random moments of SIGKILL (default: %(default)s)")
    parser.add_argument("--signals", type=int, default=10, help="moments of SIGTERM and SIGINT (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of operations and moments (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=1e9, help="end after this time")
    parser.add_argument("--pictures", action="store_true", help="draw the pictures, too, which takes twice as long")
    parser.add_argument("--table", type=Path, help="only write this table of the page, of what OUT holds")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Runs the searches that OUT lacks; returns 1 if one of all lost or changed something."""
    options = parse(arguments)
    out, end = options.out.resolve(), time.monotonic() + 60 * options.minutes
    if options.table is not None:
        write_table(options.table, json.loads(out.read_text()))
        return 0
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name).resolve()
        make_song(scratch / "song")
        warm_up(scratch, WORDS)
        if not options.pictures:
            leave_pictures_blank()
        whole = _reference(scratch)
        reference = digest(scratch / "search")
        about = {"seed": options.seed, "operations": list(whole.operations), "reference": reference}
        figures = json.loads(out.read_text()) if out.is_file() else about | {"searches": []}
        if changed := [key for key, value in about.items() if figures[key] != value]:
            raise ValueError(f"{out}: is of other searches ({', '.join(changed)}); name another --out")
        done = [(row["kind"], row["kills"]) for row in figures["searches"]]
        for search in plan(len(whole.operations), options):
            kills = json.loads(json.dumps([asdict(kill) for kill in search.kills]))
            if time.monotonic() > end:
                break
            if (search.kind, kills) in done:
                continue
            figures["searches"].append(asdict(attempt(scratch, search, reference, whole.seconds)))
            write_atomically(out, json.dumps(figures, indent=1).encode())
    for row in rows(figures):
        sys.stdout.write("{}: {} searches, {} kills, {} differ\n".format(*row))
    problems = [search for search in figures["searches"] if search["problem"]]
    sys.stdout.writelines(f"  {search['kind']} {search['kills']}: {search['problem']}\n" for search in problems)
    return int(bool(problems))


def rows(figures: dict[str, Any]) -> list[tuple[str, int, int, int]]:
    """Counts searches, kills, and results that differ, by the kind of kill."""
    searches, kills, differing = Counter[str](), Counter[str](), Counter[str]()
    for search in figures["searches"]:
        searches[search["kind"]] += 1
        kills[search["kind"]] += search["killed"]
        differing[search["kind"]] += bool(search["problem"])
    return [(kind, searches[kind], kills[kind], differing[kind]) for kind in KINDS if searches[kind]]


def write_table(path: Path, figures: dict[str, Any]) -> None:
    """Puts the figures into a table of a page; who ran them, where and when is filled in by hand."""
    table = json.loads(path.read_text())
    counts = [row for row in rows(figures) if row[0] != KINDS[0]]
    counts.append(("all", sum(row[1] for row in counts), sum(row[2] for row in counts), sum(row[3] for row in counts)))
    points = {
        (search["kills"][0]["operation"], search["kills"][0]["after"])
        for search in figures["searches"]
        if search["kills"] and search["kills"][0]["operation"] >= 0
    }
    number = len(figures["operations"])
    table["rows"] = [[str(cell) for cell in row] for row in counts]
    table["note"] = (
        f"The search makes {number} file operations, so that there are {2 * number} places before and after one; "
        f"{len(points)} of them were tried first in a search, and others in processes that went on."
    )
    write_atomically(path, (json.dumps(table, indent=1) + "\n").encode())


def _reference(scratch: Path) -> Run:
    """Runs the search without a kill."""
    shutil.copytree(scratch / "song", scratch / "search" / "song")
    whole = run(scratch / "search", WORDS)
    if whole.code:
        raise RuntimeError(f"the search without a kill ended with {whole.code}:\n{whole.text}")
    return whole


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
