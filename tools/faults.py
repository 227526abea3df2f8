"""Lets the machine fail while commands write: nothing half-written passes for whole, and going on gives the same files.

    python -m tools.faults --out faults.json                     # every command, at 4 of its file operations
    python -m tools.faults --out faults.json --operations -1     # at all of them
    python -m tools.faults --out faults.json --only fit --only damage
    python -m tools.faults --out faults.json --out more.json --table machine_faults.json    # a table of docs/results

From a chosen file operation of a command on, the disk is full (a small file system of its own, which is filled), or
files may not grow beyond some size (RLIMIT_FSIZE, in which also a place without the right to mount one fails really).
The folder is read-only, or memory is limited. Then there must be one line that names a file, every file under its own
name must be whole or as it was before, and the same command, or the one that is named, must give the files of a run
without a fault. A checkpoint is cut at every tenth of its length, and single bits of it are changed: it must be refused
by its name. Two processes start one command at the same time: one must do it, and the other name the place; of a
report, a figure and an export of a DAWproject, both may write the same file.

The processes are forks of one that has loaded everything, and pictures are written, but not drawn.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mixgraph.checkpoints import read_checkpoint
from mixgraph.cli.command_parser import CommandParser
from mixgraph.system.files import write_atomically
from tools import chaos
from tools import figures as figure_files
from tools.disk import Disk
from tools.fault_cases import Case, make_cases
from tools.forks import Run, command_to_go_on, fork_workers, leave_pictures_blank, make_song, run, warm_up

_LEFT = (0, 8192)  # bytes that a full disk has room for, and that a file may have: nothing, and the half of some file
_MEMORY_MEGABYTES = (0, 16, 64)
_BITS = 500
_GO_ON_TRAINING = re.compile(r"--ckpt_path (\S+?\.ckpt)")
_LOGS = re.compile(r"/version_\d+/")
"""The logs of trainings, a folder for each process."""
_NOT_MADE = re.compile(r"(\S+) could not be made")
_KEPT = "exists and is kept"
_COLUMNS = ("fault", "commands", "tries", "ended with an error", "not as promised")
_TEMPORARY = re.compile(r"(^|/)(\.[^/]*|[^/]*\.partial|work|printed\.txt)(/|$)")
"""Names of what is not whole: hidden ones, unfinished work of searches and of builds."""


@dataclass
class Tally:
    """What came of one fault in one command.

    Attributes:
        fault: the fault.
        case: the command.
        tries: how often it happened.
        stopped: how often the command ended with an error.
        wrong: what was not as promised, one line a try.
    """

    fault: str
    case: str
    tries: int = 0
    stopped: int = 0
    wrong: list[str] = field(default_factory=list)


def tree(folder: Path) -> dict[str, str]:
    """The files of a folder, which may change meanwhile, as hashes; a link as where it leads."""
    files = {}
    for place, folders, names in os.walk(folder):
        for path in (Path(place, name) for name in (*folders, *names)):
            with suppress(FileNotFoundError):  # a command that works here has just taken it away
                if path.is_symlink():
                    files[path.relative_to(folder).as_posix()] = os.readlink(path)
                elif path.is_file():
                    files[path.relative_to(folder).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return dict(sorted(files.items()))


class Trial:
    """A command, what it writes without a fault, and the folder in which it is tried."""

    def __init__(self, case: Case, prepared: Path, disk: Disk) -> None:
        self.case, self.prepared, self.disk = case, prepared, disk
        self.folder = disk.folder / "work"
        self.before = tree(prepared)
        runs, trees = [], []
        for _ in range(2):
            self.renew()
            runs.append(run(self.folder, list(case.words), prepare=fork_workers))
            trees.append(tree(self.folder))
            if runs[-1].code:
                raise RuntimeError(f"{case.name} ended with {runs[-1].code} without a fault:\n{runs[-1].text}")
        self.whole = trees[0]
        self.operations = len(runs[0].operations)
        self.stable = {name: digest for name, digest in trees[0].items() if trees[1].get(name) == digest}

    def renew(self) -> None:
        """Makes the folder as it is before the command."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.prepared, self.folder, symlinks=True)

    def start(
        self, act: Callable[[int], None] = lambda number: None, prepare: Callable[[], None] = lambda: None
    ) -> Run:
        """Runs the command with a fault."""

        def prepared() -> None:
            fork_workers()
            prepare()

        return run(self.folder, list(self.case.words), act, prepared)

    def judge(self, ended: Run, tally: Tally, fault: str) -> None:
        """Judges what a fault left, and what going on makes of it."""
        tally.tries += 1
        tally.stopped += ended.code != 0
        wrong = [*self._message(ended), *self._half_written()]
        if tree(self.folder) != self.before:  # else going on is what was done without a fault
            wrong += self._go_on(ended)
        tally.wrong += [f"{fault}: {what}" for what in wrong[:1]]

    def _message(self, ended: Run) -> Iterator[str]:
        if ended.code == 0:
            return
        if "Traceback" in ended.text:
            yield f"a traceback, {ended.text.strip().splitlines()[-1]}"
        names = [name for path in (*self.whole, *self.case.words) for name in Path(path).parts]
        if not any(name in ended.text for name in names if len(name) > 2):
            yield f"the message names no file: {ended.text.strip()[-300:]!r}"

    def _half_written(self) -> Iterator[str]:
        for name, digest in tree(self.folder).items():
            known = digest in (self.before.get(name), self.whole.get(name))
            unfinished = bool(_TEMPORARY.search(name) or _LOGS.search(name))
            unfinished |= name.endswith(".ckpt") and _is_whole(self.folder / name)  # of an earlier epoch
            if not known and not unfinished and (name in self.stable or name not in self.whole):
                yield f"{name} is neither whole nor as before"

    def _go_on(self, ended: Run) -> Iterator[str]:
        text = said = ended.text
        for _ in range(3):
            named = command_to_go_on(text)
            words = list(self.case.words) if named is None else named
            if option := _GO_ON_TRAINING.search(text):
                words += ["--ckpt_path", option[1]]
            again = run(self.folder, words, prepare=fork_workers)
            text = again.text
            said += text
            if again.code == 0 or (_KEPT in text and command_to_go_on(text) is None):
                break
        else:
            yield f"it does not go on: {text.strip()[-300:]!r}"
            return
        after = tree(self.folder)
        told = set(_NOT_MADE.findall(said))  # a page that has no room is no reason to lose a search: it is said
        differing = [n for n, digest in self.stable.items() if after.get(n) != digest and Path(n).name not in told]
        differing = [name for name in differing if not _LOGS.search(name)]
        left = [name for name in after if name not in self.whole and not _LOGS.search(name)]
        if differing or left:
            yield f"after going on {', '.join(differing) or 'nothing'} differs, {', '.join(left) or 'nothing'} is left"


def _is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint has all that was written."""
    try:
        read_checkpoint(checkpoint)
    except ValueError:
        return False
    return True


def limit_files(left: int) -> None:
    """Lets no file of this process grow beyond a size."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (left, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def limit_memory(megabytes: int) -> None:
    """Lets this process take so much more memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + (megabytes << 20)
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _at(operation: int, fault: Callable[[], None]) -> Callable[[int], None]:
    """Lets a fault happen at a file operation."""
    return lambda number: fault() if number == operation else None


def full_disk(trial: Trial, operations: list[int], tally: Tally) -> None:
    for number, operation in enumerate(operations):
        left = _LEFT[number % 2]
        trial.renew()
        ended = trial.start(_at(operation, partial(trial.disk.fill, left)))
        trial.disk.free()
        trial.judge(ended, tally, f"{left} bytes from operation {operation} on")


def file_sizes(trial: Trial, operations: list[int], tally: Tally) -> None:
    for number, operation in enumerate(operations):
        left = _LEFT[number % 2]
        trial.renew()
        ended = trial.start(_at(operation, partial(limit_files, left)))
        trial.judge(ended, tally, f"{left} bytes from operation {operation} on")


def read_only(trial: Trial, operations: list[int], tally: Tally) -> None:
    trial.renew()
    with trial.disk.read_only():
        ended = trial.start()
    trial.judge(ended, tally, "read-only")
    if ended.code == 0:
        tally.wrong.append("it ended without an error")


def memory(trial: Trial, operations: list[int], tally: Tally) -> None:
    for megabytes in _MEMORY_MEGABYTES:
        trial.renew()
        ended = trial.start(prepare=partial(limit_memory, megabytes))
        trial.judge(ended, tally, f"{megabytes} MB more")


def two_at_once(trial: Trial, operations: list[int], tally: Tally) -> None:
    moments = (0.0, 0.5) if trial.case.name == "fit" else (0.5,) if trial.case.waits else (0.0,)
    for moment in moments:
        second: list[Run] = []
        trial.renew()

        def watch(process: int, seconds: float, moment: float = moment, second: list[Run] = second) -> None:
            begun = moment == 0.0 or any(_TEMPORARY.search(name) for name in tree(trial.folder))
            if not second and begun:
                with stopped(process) if trial.case.waits else nullcontext():
                    second.append(run(trial.folder, list(trial.case.words), prepare=fork_workers))

        first = run(trial.folder, list(trial.case.words), prepare=fork_workers, watch=watch)
        ended = [first, *second]
        tally.tries += 1
        tally.stopped += sum(one.code != 0 for one in ended)
        wrong = [*problems_of_two(trial.case, ended), *(text for one in ended for text in trial._message(one))]
        after = tree(trial.folder)
        wrong += [f"{name} differs" for name, digest in trial.stable.items() if after.get(name) != digest]
        wrong += [f"{name} is left" for name in after if name not in trial.whole]
        tally.wrong += [f"second after {moment}: {what}" for what in wrong[:1]]


@contextmanager
def stopped(process: int) -> Iterator[None]:
    """Stops a process for a while, so that it does not end meanwhile."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def problems_of_two(case: Case, ended: list[Run]) -> Iterator[str]:
    """Yields what is wrong with how two processes ended that started the same command at the same time."""
    if len(ended) < 2:
        yield "the first ended before a second could start"
    elif all(one.code for one in ended):
        yield f"none did it: {ended[0].text[-200:]!r}"
    elif case.exclusive and not any(one.code for one in ended):
        yield "both did it"


FAULTS: dict[str, Callable[[Trial, list[int], Tally], None]] = {
    "full disk": full_disk,
    "limit of file size": file_sizes,
    "read-only": read_only,
    "limit of memory": memory,
    "two at once": two_at_once,
}
_NEED_DISK = ("full disk", "read-only")
_MEMORY_CASES = ("fit", "render")


def damage(scratch: Path, disk: Disk, rng: random.Random) -> Tally:
    """Cuts a checkpoint of a search at every tenth, and changes bits of it; each must be refused by its name."""
    tally, folder = Tally("cut, or a bit changed", "checkpoint"), disk.folder / "damage"
    shutil.copytree(scratch / "song", folder / "song")
    whole = run(folder, chaos.WORDS)
    last = max(number for number, made in enumerate(whole.operations) if re.search(r"rename .*\.ckpt", made))
    shutil.rmtree(folder / chaos.RESULT)
    stopped = run(folder, chaos.WORDS, act=chaos.Kill(last, after=True).act)
    checkpoint = folder / f"{chaos.RESULT}.partial" / "stage.ckpt"
    good = checkpoint.read_bytes()
    read_checkpoint(checkpoint)
    damaged = [(f"cut at {tenth} tenths", good[: len(good) * tenth // 10]) for tenth in range(10)]
    for _ in range(_BITS):
        at, bit = rng.randrange(len(good)), rng.randrange(8)
        changed = bytearray(good)
        changed[at] ^= 1 << bit
        damaged.append((f"bit {bit} of byte {at}", bytes(changed)))
    go_on = [*chaos.WORDS, "--ckpt_path", str(checkpoint)]
    for number, (what, content) in enumerate(damaged):
        checkpoint.write_bytes(content)
        tally.tries += 1
        if number % 4 == 0 and number < 24:  # by the command that the user would give
            ended = run(folder, go_on)
            refused = ended.code == 1 and "stage.ckpt" in ended.text and "Traceback" not in ended.text
        else:
            try:
                read_checkpoint(checkpoint)
                refused = False
            except ValueError as error:
                refused = "stage.ckpt" in str(error)
        tally.stopped += refused
        if not refused or checkpoint.read_bytes() != content:
            tally.wrong.append(f"{what}: it is not refused, or not kept")
    checkpoint.write_bytes(good)
    ended = run(folder, go_on)
    if stopped.code >= 0 or ended.code:
        tally.wrong.append(f"with the good one it does not go on: {ended.text[-300:]!r}")
    shutil.rmtree(folder)
    return tally


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    figure_files.add_options(parser)
    parser.add_argument("--operations", type=int, default=4, help="of each command, -1 for all (default: %(default)s)")
    parser.add_argument("--only", action="append", help="name of a command, or damage; all of them by default")
    parser.add_argument("--fault", action="append", choices=FAULTS, help="all of them by default")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no other fault after this time")
    parser.add_argument("--seed", type=int, default=0, help="of operations and bits (default: %(default)s)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Lets every fault happen; returns 1 if something was not as promised."""
    options = parse(arguments)
    if options.table is not None:
        write_table(options.table, figure_files.read(options.out))
        return 0
    out, rng, end = figure_files.only_out(options), random.Random(options.seed), time.monotonic() + 60 * options.minutes
    this_run = figure_files.this_run("faults", arguments)
    tallies: list[Tally] = []

    def tell(tally: Tally) -> None:
        tallies.append(tally)
        figures = {"measured": [this_run], "tallies": [asdict(tally) for tally in tallies]}
        write_atomically(out, json.dumps(figures, indent=1).encode())
        _tell(tally)

    with tempfile.TemporaryDirectory() as name, closing(Disk(Path(name).resolve() / "disk")) as disk:
        scratch = Path(name).resolve()
        if not disk.mounted:
            sys.stdout.write("No file system can be mounted here: full disks and read-only ones are left out.\n")
        make_song(scratch / "warm" / "song")
        warm_up(scratch / "warm", chaos.WORDS)
        leave_pictures_blank()
        make_song(scratch / "song")
        (scratch / "prepared").mkdir()
        cases = make_cases(scratch / "prepared", options.only or ())
        if ("damage" in options.only) if options.only else not options.fault:
            tell(damage(scratch, disk, rng))
        for case in cases:
            faults = [] if options.only and case.name not in options.only else _faults_of(case, disk, options.fault)
            if not faults or time.monotonic() > end:
                continue
            trial = Trial(case, scratch / "prepared", disk)
            number = trial.operations if options.operations < 0 else min(options.operations, trial.operations)
            for fault in faults:
                if time.monotonic() < end:
                    tally = Tally(fault, case.name)
                    FAULTS[fault](trial, sorted(rng.sample(range(trial.operations), number)), tally)
                    tell(tally)
    return int(any(tally.wrong for tally in tallies))


def write_table(path: Path, figures: list[dict[str, Any]]) -> None:
    """Writes the table of the page.

    Raises:
        ValueError: two files hold the same fault of the same command.
    """
    tallies = [tally for content in figures for tally in content["tallies"]]
    times = Counter((tally["fault"], tally["case"]) for tally in tallies)
    if twice := [f"{fault} in {case}" for (fault, case), number in times.items() if number > 1]:
        raise ValueError(f"--out: {', '.join(twice)}: is in several of these files. HINT: name the one that holds")
    rows = []
    for fault in dict.fromkeys(tally["fault"] for tally in tallies):
        some = [tally for tally in tallies if tally["fault"] == fault]
        sums = [sum(tally[name] for tally in some) for name in ("tries", "stopped")]
        rows.append([fault, ", ".join(t["case"] for t in some), *sums, sum(len(t["wrong"]) for t in some)])
    wrong = [f"{tally['case']}, {tally['fault']}, {line}" for tally in tallies for line in tally["wrong"]]
    note = f"Not as promised: {'; '.join(wrong)}." if wrong else ""
    figure_files.write_table(path, "Commands on a machine that fails", figures, _COLUMNS, rows, note)


def _faults_of(case: Case, disk: Disk, asked: list[str] | None) -> list[str]:
    faults = [fault for fault in asked or FAULTS if disk.mounted or fault not in _NEED_DISK]
    return [fault for fault in faults if fault != "limit of memory" or case.name in _MEMORY_CASES]


def _tell(tally: Tally) -> None:
    figures = f"{tally.tries} tries, {tally.stopped} ended with an error, {len(tally.wrong)} wrong"
    sys.stdout.write(f"{tally.case}, {tally.fault}: {figures}\n")
    sys.stdout.writelines(f"  {line}\n" for line in tally.wrong)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
