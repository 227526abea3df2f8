"""Kills searches and goes on with them: graph, parameters, trace and metrics must be the same bytes as without a kill.

    python -m tools.chaos --out chaos.json                          # before and after every write, and at 100 moments
    python -m tools.chaos --out chaos.json --writes 4 --moments 2   # at a few of both
    python -m tools.chaos --out chaos.json --table killed.json      # of what there is: a table of docs/results

A search of a tiny song runs in a process of its own and is killed with SIGKILL before, or right after, a chosen file
operation that Python makes in its folder (an audit hook counts them), or at a random moment. Then the same command is
given again, and the command that its message names, until the search has ended. In every second search the process
that goes on is killed, too: at one of as many operations as were left to the first. SIGTERM and two SIGINTs are sent
at random moments. A kill is counted where a process was ended by a signal; a search may end before its moment comes.

A run that was stopped goes on when the same command is given again. The processes are forks of one that has loaded
everything, since loading takes longer than the search; pictures are written, but not drawn.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mixgraph.cli.command_parser import CommandParser
from mixgraph.results import CHECKPOINT
from mixgraph.system.files import write_atomically
from tools import figures as figure_files
from tools.forks import Run, command_to_go_on, leave_pictures_blank, make_song, run, warm_up

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
_COLUMNS = ("how", "searches", "kills", "killed twice", "results with another byte, or none")
_KEPT = "exists and is kept"
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
        killed: number of processes that a signal ended.
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


def is_killed(code: int) -> bool:
    """Whether an exit code is that of a process that a signal ended, at once or in its own way."""
    return code < 0 or code in (128 + signal.SIGINT, 128 + signal.SIGTERM)


def unexpected(kill: Kill, ended: Run) -> str:
    """Says what is wrong with the exit code of a process that was to be killed; "" if nothing is."""
    first = kill.signals[0]
    allowed = (0, -first) if first == signal.SIGKILL else (0, -first, 128 + first)
    if ended.code in allowed or (ended.code == 1 and _KEPT in ended.text):  # the latter: its result has its name
        return ""
    return f"exit code {ended.code}: {_last_line(ended.text)}"


def next_words(folder: Path, text: str) -> list[str]:
    """Returns the command that goes on with a search, as a user learns it: the search names it, or refuses and does."""
    named = command_to_go_on(text)
    if named is None and (folder / f"{RESULT}.partial" / CHECKPOINT).exists():  # SIGKILL leaves no time for a message
        named = command_to_go_on(run(folder, WORDS).text)
    return WORDS if named is None else named


def go_on(folder: Path, text: str) -> str:
    """Goes on with a search until it has ended, by the commands that the program names; returns what went wrong."""
    for _ in range(_MOST_RESTARTS):
        named = command_to_go_on(text)
        ended = run(folder, WORDS if named is None else named)
        text = ended.text
        if ended.code == 0 or _KEPT in text:
            return ""
        if command_to_go_on(text) is None:
            return f"ended with {ended.code}: {_last_line(text)}"
    return f"did not end after {_MOST_RESTARTS} runs"


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else "nothing printed"


def digest(folder: Path) -> dict[str, str]:
    """The hashes of the files of a result that are compared; "" where one is missing."""
    files = {name: folder / RESULT / name for name in COMPARED}
    return {name: hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else "" for name, p in files.items()}


def attempt(scratch: Path, search: Search, reference: dict[str, str], seconds: float) -> Outcome:
    """Runs one search that is killed once or more, goes on with it, and compares its result."""
    folder = scratch / "search"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(scratch / "song", folder / "song")
    text, problem = "", ""
    outcome = Outcome(search.kind, [asdict(kill) for kill in search.kills])
    for number, kill in enumerate(search.kills):
        ended = kill_and_run(folder, next_words(folder, text) if number else WORDS, kill, seconds)
        text = ended.text
        outcome.killed += is_killed(ended.code)
        problem = problem or unexpected(kill, ended)
    problem = problem or go_on(folder, text)
    after = digest(folder)
    outcome.problem = problem or ", ".join(name for name in COMPARED if after[name] != reference[name])
    return outcome


def plan(operations: int, options: argparse.Namespace) -> list[Search]:
    """Lists the searches to kill, mixed, so that a run that ends early has some of each kind."""
    rng = random.Random(options.seed)

    def again(number: int, passed: float) -> tuple[Kill, ...]:
        left = max(1, round((1 - passed) * operations))
        return (Kill(operation=rng.randrange(left)),) if number % 2 else ()

    searches: list[Search] = []
    chosen = range(operations) if options.writes < 0 else sorted(rng.sample(range(operations), options.writes))
    for number, operation in enumerate(chosen):
        for kind, after in ((KINDS[1], False), (KINDS[2], True)):
            searches.append(Search(kind, (Kill(operation, after=after), *again(number, operation / operations))))
    for number in range(options.moments):
        moment = rng.random()
        searches.append(Search(KINDS[3], (Kill(moment=moment), *again(number, moment))))
    signals: tuple[tuple[int, ...], ...] = ((signal.SIGTERM,), (signal.SIGINT, signal.SIGINT))
    for kind, sent in zip(KINDS[4:], signals, strict=True):
        searches += [Search(kind, (Kill(moment=rng.random(), signals=sent),)) for _ in range(options.signals)]
    rng.shuffle(searches)
    return [Search(KINDS[0]), *searches]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    figure_files.add_options(parser)
    parser.add_argument("--writes", type=int, default=-1, help="file operations to kill at; all of them by default")
    parser.add_argument("--moments", type=int, default=100, help="random moments of SIGKILL (default: %(default)s)")
    parser.add_argument("--signals", type=int, default=10, help="moments of SIGTERM and SIGINT (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of operations and moments (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=1e9, help="end after this time")
    parser.add_argument("--pictures", action="store_true", help="draw the pictures, too, which takes twice as long")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Runs the searches that OUT lacks; returns 1 if one of all lost or changed something."""
    options = parse(arguments)
    if options.table is not None:
        write_table(options.table, figure_files.read(options.out))
        return 0
    out, end = figure_files.only_out(options), time.monotonic() + 60 * options.minutes
    this_run = figure_files.this_run("chaos", arguments)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name).resolve()
        make_song(scratch / "song")
        warm_up(scratch, WORDS)
        if not options.pictures:
            leave_pictures_blank()
        whole = _reference(scratch)
        reference = digest(scratch / "search")
        about = {"seed": options.seed, "operations": list(whole.operations), "reference": reference}
        figures = json.loads(out.read_text()) if out.is_file() else about | {"measured": [], "searches": []}
        if changed := [key for key, value in about.items() if figures[key] != value]:
            raise ValueError(f"{out}: is of other searches ({', '.join(changed)}); name another --out")
        if this_run not in figures["measured"]:
            figures["measured"].append(this_run)
        done = [(row["kind"], row["kills"]) for row in figures["searches"]]
        for search in plan(len(whole.operations), options):
            kills = json.loads(json.dumps([asdict(kill) for kill in search.kills]))
            if time.monotonic() > end:
                break
            if (search.kind, kills) in done:
                continue
            figures["searches"].append(asdict(attempt(scratch, search, reference, whole.seconds)))
            write_atomically(out, json.dumps(figures, indent=1).encode())
    for row in rows(figures["searches"]):
        sys.stdout.write("{}: {} searches, {} kills, {} killed twice, {} differ\n".format(*row))
    problems = [search for search in figures["searches"] if search["problem"]]
    sys.stdout.writelines(f"  {search['kind']} {search['kills']}: {search['problem']}\n" for search in problems)
    return int(bool(problems))


def rows(searches: list[dict[str, Any]]) -> list[tuple[str, int, int, int, int]]:
    """Counts searches, kills, searches with two kills, and results that differ, by the kind of kill."""
    counted = []
    for kind in KINDS:
        some = [search for search in searches if search["kind"] == kind]
        kills = [search["killed"] for search in some]
        differing = sum(bool(search["problem"]) for search in some)
        counted.append((kind, len(some), sum(kills), sum(number > 1 for number in kills), differing))
    return [row for row in counted if row[1]]


def write_table(path: Path, figures: list[dict[str, Any]]) -> None:
    """Writes the table of the page.

    Raises:
        ValueError: the searches made other file operations, so that they cannot stand in one table.
    """
    if any(content["operations"] != figures[0]["operations"] for content in figures):
        raise ValueError("--out: the searches of these files make other file operations. HINT: measure them again")
    searches = [search for content in figures for search in content["searches"]]
    counts = [row for row in rows(searches) if row[0] != KINDS[0]]
    totals = [sum(column) for column in zip(*(row[1:] for row in counts), strict=True)]
    firsts = [search["kills"][0] for search in searches if search["kills"]]
    places = {(kill["operation"], kill["after"]) for kill in firsts if kill["operation"] >= 0}
    number = len(figures[0]["operations"])
    note = (
        f"The search makes {number} file operations, so that there are {2 * number} places before and after one; "
        f"the first process of a search was killed at {len(places)} of them. A kill is a process that a signal ended; "
        f"where there are fewer kills than searches, the process ended before its moment came."
    )
    if problems := [f"{search['kind']}: {search['problem']}" for search in searches if search["problem"]]:
        note += f" Not as without a kill: {'; '.join(problems)}."
    figure_files.write_table(
        path, "Searches that were killed and gone on with", figures, _COLUMNS, [*counts, ("all", *totals)], note
    )


def _reference(scratch: Path) -> Run:
    """Runs the search without a kill."""
    shutil.copytree(scratch / "song", scratch / "search" / "song")
    whole = run(scratch / "search", WORDS)
    if whole.code:
        raise RuntimeError(f"the search without a kill ended with {whole.code}:\n{whole.text}")
    return whole


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
