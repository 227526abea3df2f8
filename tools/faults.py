"""Lets the machine fail while commands write: nothing half-written passes for whole, and going on gives the same files.

    python -m tools.faults --out faults.json                     # every command, at 4 of its file operations
    python -m tools.faults --out faults.json --operations -1     # at all of them
    python -m tools.faults --out faults.json --only fit --only damage

From a chosen file operation of a command on, the disk is full (a small file system of its own, which is filled), or
files may not grow beyond some size (RLIMIT_FSIZE, in which also a place without the right to mount one fails really).
The folder is read-only, or memory is limited. Then there must be one line that names a file, every file under its own
name must be whole or as it was before, and the same command, or the one that is named, must give the files of a run
without a fault. A checkpoint is cut at every tenth of its length, and single bits of it are changed: it must be refused
by its name. Two processes start one command at the same time: one must do it, and the other name the place.

The processes are forks of one that has loaded everything, and pictures are written, but not drawn.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import random
import re
import resource
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from mixgraph.checkpoints import read_checkpoint
from mixgraph.system.files import write_atomically
from tools import chaos
from tools.forks import Run, fork_workers, leave_pictures_blank, make_song, run, warm_up

_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000  # CLONE_NEWNS, CLONE_NEWUSER
_READ_ONLY, _REMOUNT, _REC, _PRIVATE = 1, 32, 16384, 1 << 18  # MS_RDONLY, MS_REMOUNT, MS_REC, MS_PRIVATE
_DETACH = 2  # MNT_DETACH
_DISK_MEGABYTES = 96
_LEFT = (0, 8192)  # bytes that a full disk has room for, and that a file may have: nothing, and the half of some file
_MEMORY_MEGABYTES = (0, 16, 64)
_BITS = 500
_GO_ON = re.compile(r"^ *python -m mixgraph (.*)$", re.MULTILINE)
_GO_ON_TRAINING = re.compile(r"--ckpt_path (\S+?\.ckpt)")
_LOGS = re.compile(r"/version_\d+/")
"""The logs of trainings, a folder for each process."""
_NOT_MADE = re.compile(r"(\S+) could not be made")
_KEPT = "exists and is kept"
_TEMPORARY = re.compile(r"(^|/)(\.[^/]*|[^/]*\.partial|work|printed\.txt)(/|$)")
"""Names of what is not whole: hidden ones, unfinished work of searches and of builds."""


@dataclass(frozen=True)
class Case:
    """A command that writes.

    Attributes:
        name: the name of the case.
        words: the words of the command.
        exclusive: whether a second process is refused while a first one works at the same place.
    """

    name: str
    words: tuple[str, ...]
    exclusive: bool = True


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


class Disk:
    """A small file system of this process, or, where none can be mounted, a folder.

    Attributes:
        folder: its folder.
        mounted: whether it is a file system of its own.
    """

    def __init__(self, folder: Path, megabytes: int = _DISK_MEGABYTES) -> None:
        self.folder = folder
        folder.mkdir()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.mounted = self._unshare() and self._mount(b"tmpfs", 0, f"size={megabytes}m".encode()) == 0
        self._ballast = folder / "ballast"

    def _unshare(self) -> bool:
        user, group = os.geteuid(), os.getegid()
        flags = _NEW_MOUNTS | (_NEW_USER if user else 0)
        if self._libc.unshare(flags) != 0:
            return False
        if user:  # who mounts in a name space of users of its own
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"0 {user} 1")
            Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        return self._libc.mount(b"none", b"/", None, _REC | _PRIVATE, None) == 0

    def _mount(self, kind: bytes, flags: int, data: bytes | None = None) -> int:
        return int(self._libc.mount(b"tmpfs", os.fsencode(self.folder), kind, flags, data))

    def fill(self, left: int) -> None:
        """Fills the disk, but for some bytes."""
        with self._ballast.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(1 << 20))
        with self._ballast.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        os.truncate(self._ballast, self._ballast.stat().st_size - left)

    def free(self) -> None:
        """Gives the room back."""
        self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        """Takes the file system away."""
        if self.mounted:
            self._libc.umount2(os.fsencode(self.folder), _DETACH)

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Nothing can be written on the disk."""
        if self._mount(b"tmpfs", _REMOUNT | _READ_ONLY) != 0:
            raise OSError(ctypes.get_errno(), "cannot be made read-only", str(self.folder))
        try:
            yield
        finally:
            self._mount(b"tmpfs", _REMOUNT)


def tree(folder: Path) -> dict[str, str]:
    """The files of a folder, as hashes; a link as where it leads."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            files[path.relative_to(folder).as_posix()] = os.readlink(path)
        elif path.is_file():
            files[path.relative_to(folder).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return files


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
            named = _GO_ON.search(text) if "To go on" in text or "go on with" in text or "goes on" in text else None
            words = list(self.case.words) if named is None else shlex.split(named[1])
            if option := _GO_ON_TRAINING.search(text):
                words += ["--ckpt_path", option[1]]
            again = run(self.folder, words, prepare=fork_workers)
            text = again.text
            said += text
            if again.code == 0 or (_KEPT in text and _GO_ON.search(text) is None):
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
    for moment in (0.0, 0.5) if trial.case.name == "fit" else (0.0,):
        second: list[Run] = []
        trial.renew()

        def watch(process: int, seconds: float, moment: float = moment, second: list[Run] = second) -> None:
            begun = moment == 0.0 or any(_TEMPORARY.search(name) for name in tree(trial.folder))
            if not second and begun:
                second.append(run(trial.folder, list(trial.case.words), prepare=fork_workers))

        first = run(trial.folder, list(trial.case.words), prepare=fork_workers, watch=watch)
        ended = [first, *second]
        tally.tries += 1
        tally.stopped += sum(one.code != 0 for one in ended)
        wrong = [text for one in ended for text in trial._message(one)]
        after = tree(trial.folder)
        wrong += [f"{name} differs" for name, digest in trial.stable.items() if after.get(name) != digest]
        wrong += [f"{name} is left" for name in after if name not in trial.whole]
        if all(one.code for one in ended):
            wrong.append(f"none did it: {first.text[-200:]!r}")
        tally.wrong += [f"second after {moment}: {what}" for what in wrong[:1]]


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


def make_cases(prepared: Path) -> list[Case]:
    """Makes what commands read, in a folder, and lists the commands."""
    make_song(prepared / "song")
    ended = run(prepared, chaos.WORDS)
    if ended.code:
        raise RuntimeError(f"the search of a tiny song ended with {ended.code}:\n{ended.text}")
    settings = {
        "model": {"track_chain": "g", "subgroup_chain": "g"},
        "data": {"sample_rate": 8000, "steps_per_stage": 2, "scored_seconds": 1.0},
        "pruning": {"console_stages": 1, "rounds": 1, "leave_one_out": False},
        "trainer": {"accelerator": "cpu"},
    }
    (prepared / "short.yaml").write_text(yaml.safe_dump(settings))
    sweep = {
        "method": "bayes",
        "run_cap": 2,
        "metric": {"name": "search/found_loss", "goal": "minimize"},
        "parameters": {"pruning.tolerance": {"min": 0.01, "max": 0.1}},
        "command": ["python", "-m", "mixgraph", "fit", "--config", "short.yaml", "--data.path", "song", "${args}"],
    }
    (prepared / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    demixer = [
        *("--config=demixer.yaml", "--data.path=stems", "--data.left_out=[song_1]", "--data.batch_size=1"),
        *("--data.chunk_seconds=0.4", "--data.steps_per_epoch=2", "--data.whitening_batches=1"),
        *("--model.transform.num_bands=14", "--model.transform.low_hz=150.0", "--model.transform.slice_samples=256"),
        *("--model.transform.sample_rate=8000", "--model.network.width=4", "--trainer.accelerator=cpu"),
        *("--trainer.enable_progress_bar=false", "--trainer.max_epochs=2", "--trainer.log_every_n_steps=1"),
    ]
    for number in range(2):
        _make_stems(prepared / "stems" / f"song_{number}", number)
    song = ("--tracks", "song")
    return [
        Case("render", ("render", "result", *song, "--out", "mix.wav", "--stems", "printed")),
        Case("export to stems", ("export", "result", *song, "--to", "stems", "--out", "export")),
        Case("export to sheet", ("export", "result", *song, "--to", "sheet", "--out", "export")),
        Case("export to impulses", ("export", "result", *song, "--to", "impulses", "--out", "export")),
        Case("export to reaper", ("export", "result", *song, "--to", "reaper", "--out", "export")),
        Case(
            "export to dawproject",
            ("export", "result", *song, "--to", "dawproject", "--out", "export.dawproject"),
            exclusive=False,
        ),
        Case("report", ("report", "result", *song, "--out", "page.html"), exclusive=False),
        Case("estimate", ("estimate", "song", "--out", "estimated")),
        Case("search with a cache", _renamed([*chaos.WORDS, *_CACHE])),
        Case("build-dataset", ("build-dataset", "song", "--config=short.yaml", "--out=data", "--workers=1")),
        Case("sweep", ("sweep", "sweep.yaml", "--offline", "--out=tried", "--workers=1")),
        Case("demixer", ("fit", *demixer)),
        Case("fit", _renamed(chaos.WORDS)),
    ]


_CACHE = ("--data.memory_limit_gb=0.0000001", "--data.cache_dir=cache")


def _renamed(words: list[str]) -> tuple[str, ...]:
    """The words of a search whose result is not the one that is there for the other commands."""
    return tuple(word.replace(f"={chaos.RESULT}", "=found") for word in words)


def _make_stems(folder: Path, seed: int) -> None:
    import numpy as np
    import soundfile

    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number, name in enumerate(("vocals", "drums", "bass", "other")):
        tone = np.sin(np.arange(16000) * (0.1 + 0.2 * number)) * rng.random()
        audio = 0.2 * tone[:, None] + 0.02 * rng.standard_normal((16000, 2))
        soundfile.write(folder / f"{name}.wav", audio, 8000, subtype="FLOAT")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON file with the figures, written after each fault")
    parser.add_argument("--operations", type=int, default=4, help="of each command, -1 for all (default: %(default)s)")
    parser.add_argument("--only", action="append", help="name of a command, or damage; all of them by default")
    parser.add_argument("--fault", action="append", choices=FAULTS, help="all of them by default")
    parser.add_argument("--table", type=Path, help="only put the figures of OUT into this table of a page")
    parser.add_argument("--seed", type=int, default=0, help="of operations and bits (default: %(default)s)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Lets every fault happen; returns 1 if something was not as promised."""
    options = parse(arguments)
    out, rng = options.out.resolve(), random.Random(options.seed)
    if options.table is not None:
        write_table(options.table, json.loads(out.read_text()))
        return 0
    tallies: list[Tally] = []
    with tempfile.TemporaryDirectory() as name, closing(Disk(Path(name).resolve() / "disk")) as disk:
        scratch = Path(name).resolve()
        if not disk.mounted:
            sys.stdout.write("No file system can be mounted here: full disks and read-only ones are left out.\n")
        make_song(scratch / "warm" / "song")
        warm_up(scratch / "warm", chaos.WORDS)
        leave_pictures_blank()
        make_song(scratch / "song")
        (scratch / "prepared").mkdir()
        cases = make_cases(scratch / "prepared")
        if options.only is None or "damage" in options.only:
            tallies.append(damage(scratch, disk, rng))
            _tell(tallies[-1])
        for case in cases:
            if options.only is not None and case.name not in options.only:
                continue
            trial = Trial(case, scratch / "prepared", disk)
            for fault in _faults_of(case, disk, options.fault):
                tally = Tally(fault, case.name)
                number = trial.operations if options.operations < 0 else min(options.operations, trial.operations)
                FAULTS[fault](trial, sorted(rng.sample(range(trial.operations), number)), tally)
                tallies.append(tally)
                _tell(tally)
                write_atomically(out, json.dumps([asdict(tally) for tally in tallies], indent=1).encode())
    return int(any(tally.wrong for tally in tallies))


def write_table(path: Path, tallies: list[dict[str, Any]]) -> None:
    """Puts the figures into a table of a page; who ran them, where and when is filled in by hand."""
    table, rows = json.loads(path.read_text()), []
    for fault in dict.fromkeys(tally["fault"] for tally in tallies):
        of_fault = [tally for tally in tallies if tally["fault"] == fault]
        counts = [len(of_fault), *(sum(t[name] for t in of_fault) for name in ("tries", "stopped"))]
        rows.append([fault, *map(str, counts), str(sum(len(t["wrong"]) for t in of_fault))])
    write_atomically(path, (json.dumps(table | {"rows": rows}, indent=1) + "\n").encode())


def _faults_of(case: Case, disk: Disk, asked: list[str] | None) -> Iterator[str]:
    for fault in asked or FAULTS:
        if fault in _NEED_DISK and not disk.mounted:
            continue
        if fault == "limit of memory" and case.name not in _MEMORY_CASES:
            continue
        yield fault


def _tell(tally: Tally) -> None:
    figures = f"{tally.tries} tries, {tally.stopped} ended with an error, {len(tally.wrong)} wrong"
    sys.stdout.write(f"{tally.case}, {tally.fault}: {figures}\n")
    sys.stdout.writelines(f"  {line}\n" for line in tally.wrong)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
