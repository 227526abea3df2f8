"""Builds a dataset of many tiny songs on a machine that fails: no good song is lost, none is there twice.

    python -m tools.many_songs --out songs.json               # 200 songs, and 16 that cannot be used
    python -m tools.many_songs --out songs.json --songs 20
    python -m tools.many_songs --out songs.json --table many_songs.json    # of what there is: a table of docs/results

While `build-dataset` works, its workers are killed, the build itself is killed, terminated and interrupted, a second
build is started beside it, and the disk (a small file system of its own, where one can be mounted) is filled. Each time
the same command is given again. A build that was faster than what was to happen to it gets one song more, until all
has happened. At the end every good song must be once in the table and once in the shards, every other one named with a
reason, and nothing left of the work. Songs whose workers were killed must have the files of a build in which nothing
happens.

The processes are forks of one that has loaded everything, and pictures are written, but not drawn.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml

from mixgraph.cli.command_parser import CommandParser
from mixgraph.dataset import QualityRules
from mixgraph.system.files import is_temporary, json_lines, write_atomically
from tools import chaos
from tools import figures as figure_files
from tools.disk import Disk
from tools.fault_cases import SHORTEST
from tools.faults import stopped
from tools.forks import Run, fork_workers, leave_pictures_blank, make_song, run, warm_up

_SECONDS = 1.0
_GOOD = "song_"
_DISK_MEGABYTES = 300
_MOST_RUNS = 100


def _remove(name: str) -> Callable[[Path], None]:
    return lambda song: (song / name).unlink()


def _text(name: str, text: str) -> Callable[[Path], None]:
    return lambda song: write_atomically(song / name, text.encode())


def _mix(value: float) -> Callable[[Path], None]:
    return lambda song: soundfile.write(song / "mix.wav", np.full((8000, 2), value), 8000, subtype="FLOAT")


def _cut(song: Path) -> None:
    (song / "tracks" / "kick.wav").write_bytes((song / "tracks" / "kick.wav").read_bytes()[:20])


CORRUPT: dict[str, Callable[[Path], None]] = {
    "no_mix": _remove("mix.wav"),
    "empty_track": _text("tracks/kick.wav", ""),
    "cut_track": _cut,
    "text_as_track": _text("tracks/noise.wav", "no audio"),
    "mix_of_nan": _mix(float("nan")),
    "silent_mix": _mix(0.0),
    "half_a_description": _text("song.yaml", "subgroups: {drums: ["),
    "unknown_track": _text("song.yaml", "subgroups: {drums: [kick.wav, snare.wav], rest: [noise.wav]}\n"),
}
"""What is wrong with the songs that cannot be used."""


class Events:
    """What happens to a build of good songs and others: each event once, when so many songs are done.

    `watch` is called all the time.
    """

    def __init__(self, folder: Path, words: list[str], disk: Disk, songs: int, rng: random.Random) -> None:
        self.folder, self.words, self.disk, self.rng = folder, words, disk, rng
        kinds = ["worker killed"] * max(2, songs // 10) + ["build killed"] * 3 + ["build terminated"] * 2
        kinds += ["build interrupted", "second build", *(["disk full"] * 2 if disk.mounted else [])]
        rng.shuffle(kinds)
        self.left = [(round(songs * (number + 0.5) / (len(kinds) + 1)), kind) for number, kind in enumerate(kinds)]
        self.happened: Counter[str] = Counter()
        self.killed: set[str] = set()
        self.problems: list[str] = []
        self._at = 0.0

    def watch(self, process: int, seconds: float) -> None:
        """Lets the next event happen, if it is its time."""
        if not self.left or seconds < self._at:
            return
        self._at = seconds + 0.05 + 0.1 * self.rng.random()  # so that searches are hit at any moment
        after, kind = self.left[0]
        done = len(list((self.folder / "data" / "results").glob("*/run_0")))
        workers = _children(process)
        at_work = {path.parent.name for path in (self.folder / "data" / "work").glob(f"{_GOOD}*/run_0")}
        if done < after or not workers or self._is_full:
            return
        if kind == "worker killed" and not at_work - self.killed:  # of corrupt songs, or of one that would be given up
            return
        self.left.pop(0)
        sys.stderr.write(f"{done} songs done: {kind}\n")
        self.happened[kind] += 1
        if kind == "worker killed":
            self.killed |= at_work
            _send(workers[0], signal.SIGKILL)
        elif kind == "disk full":
            self.disk.fill(self.rng.choice((0, 40_000)))
        elif kind == "second build":
            with stopped(process):  # else it may end before the second one ceases to wait for it
                second = run(self.folder, self.words, prepare=fork_workers)
            if second.code != 1 or "another build runs in" not in second.text:
                self.problems.append(f"a second build ended with {second.code}: {second.text[-300:]!r}")
        else:
            numbers = {"build killed": signal.SIGKILL, "build terminated": signal.SIGTERM}
            _send(process, numbers.get(kind, signal.SIGINT))
        self._at = seconds + 0.5

    @property
    def _is_full(self) -> bool:
        return (self.disk.folder / "ballast").exists()

    def after(self, ended: Run) -> None:
        """Frees the disk after a run, and judges how it ended."""
        if "Traceback" in ended.text and ended.code < 128:  # a signal may meet Python where it tells and goes on
            self.problems.append(f"a traceback: {ended.text.strip()[-500:]!r}")
        if self._is_full and ended.code == 1 and str(self.folder) not in ended.text:
            self.problems.append(f"the message of a full disk names no file: {ended.text.strip()[-300:]!r}")
        self.disk.free()
        self._at = 0.0


def _children(process: int) -> list[int]:
    children = []
    for tasks in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            children += [int(number) for number in tasks.read_text().split()]
    return children


def _send(process: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)


def make_good_song(folder: Path, number: int) -> str:
    """Writes a song that can be used, and returns its name."""
    name = f"{_GOOD}{number:03d}"
    make_song(folder / name, number, _SECONDS)
    return name


def make_songs(folder: Path, good: int, corrupt: int) -> tuple[list[str], list[str]]:
    """Writes songs, and returns the names of the good ones and of the others."""
    names = [make_good_song(folder, number) for number in range(good)]
    others = []
    for number in range(corrupt):
        what = list(CORRUPT)[number % len(CORRUPT)]
        others.append(f"{what}_{number}")
        make_song(folder / others[-1], 1000 + number, _SECONDS)
        CORRUPT[what](folder / others[-1])
    return names, others


def check(data: Path, good: list[str], others: list[str]) -> list[str]:
    """What is wrong with a dataset."""
    from mixgraph.shards import read_shards
    from mixgraph.shards.validate import validate_shards

    rows = json_lines((data / "songs.jsonl").read_text())
    times = Counter(row["song"] for row in rows)
    problems = [f"{name}: {times[name]} times in songs.jsonl" for name in (*good, *others) if times[name] != 1]
    status = {row["song"]: row for row in rows}
    problems += [f"{n}: {status[n]['status']}" for n in good if n in status and status[n]["status"] != "accepted"]
    for name in others:
        row = status.get(name, {})
        if row.get("status") not in ("failed", "rejected") or not row.get("reasons"):
            problems.append(f"{name}: is not named with a reason: {row}")
    in_shards = Counter(str(sample.meta["song"]) for sample in read_shards(data / "shards"))
    problems += [f"{name}: {in_shards[name]} times in the shards" for name in good if in_shards[name] != 1]
    problems += [f"{name}: in the shards" for name in others if in_shards[name]]
    problems += [f"shards: {problem}" for problem in validate_shards(data / "shards").problems]
    left = [path for path in data.rglob("*") if is_temporary(path) or path.name in ("work", ".lock")]
    return problems + [f"{path}: is left" for path in left]


def build(folder: Path, disk: Disk, songs: int, corrupt: int, compared: int, rng: random.Random) -> dict[str, Any]:
    """Builds the dataset while events happen; returns the figures, with what was wrong."""
    good, others = make_songs(folder / "songs", songs, corrupt)
    (folder / "short.yaml").write_text(yaml.safe_dump(SHORTEST))
    rules = [(rule.name, "1e9" if rule.name.startswith("max") else "0") for rule in QualityRules.rules()]
    lenient = [f"--{name.replace('_', '-')}={'0' if value == '0' else '1e9'}" for name, value in rules]
    words = ["build-dataset", "songs", "--config=short.yaml", "--workers=1", "--threads=1", *lenient]
    events = Events(folder, [*words, "--out=data"], disk, songs, rng)
    started, cpu, runs = time.monotonic(), _children_seconds(), 0
    for _ in range(_MOST_RUNS):
        ended = run(folder, events.words, prepare=fork_workers, watch=events.watch)
        runs += 1
        left, full = len(events.left), events._is_full
        events.after(ended)
        sys.stderr.write(f"run {runs} ended with {ended.code} after {ended.seconds:.0f} s, {left} events are left\n")
        if not full and ended.code == int(bool(others)) and (folder / "data" / "shards").is_dir():
            if not events.left:
                break
            good.append(make_good_song(folder / "songs", len(good)))
    figures = {
        "songs": len(good),
        "corrupt": corrupt,
        "runs": runs,
        "events": dict(events.happened),
        "events_left": len(events.left),
        "minutes": round((time.monotonic() - started) / 60, 1),
        "cpu_minutes": round((_children_seconds() - cpu) / 60, 1),
    }
    problems = events.problems + check(folder / "data", good, others)
    chosen = sorted(events.killed & set(good))[:compared]
    if chosen:
        run(folder, [*words, "--out=again", *(f"--match={name}" for name in chosen)], prepare=fork_workers)
        for name in chosen:
            files = [
                (folder / out / "results" / name / "run_0" / file)
                for file in chaos.COMPARED
                for out in ("data", "again")
            ]
            if any(a.read_bytes() != b.read_bytes() for a, b in zip(files[::2], files[1::2], strict=True)):
                problems.append(f"{name}: differs from a build in which nothing happens")
    return figures | {"compared": len(chosen), "problems": problems}


def _children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    figure_files.add_options(parser)
    parser.add_argument(
        "--songs", type=int, default=200, help="songs that can be used, at least (default: %(default)s)"
    )
    parser.add_argument("--corrupt", type=int, default=16, help="songs that cannot (default: %(default)s)")
    parser.add_argument("--compared", type=int, default=5, help="songs to compare (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the events (default: %(default)s)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Builds the dataset; returns 1 if something was not as promised."""
    options = parse(arguments)
    if options.table is not None:
        write_table(options.table, figure_files.read(options.out))
        return 0
    out = figure_files.only_out(options)
    this_run = figure_files.this_run("many_songs", arguments)
    with (
        tempfile.TemporaryDirectory() as name,
        closing(Disk(Path(name).resolve() / "disk", _DISK_MEGABYTES)) as disk,
    ):
        scratch = Path(name).resolve()
        make_song(scratch / "warm" / "song")
        warm_up(scratch / "warm", chaos.WORDS)
        leave_pictures_blank()
        folder = disk.folder / "work"
        folder.mkdir()
        figures = build(folder, disk, options.songs, options.corrupt, options.compared, random.Random(options.seed))
    write_atomically(out, json.dumps({"measured": [this_run]} | figures, indent=1).encode())
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")
    return int(bool(figures["problems"]))


def write_table(path: Path, figures: list[dict[str, Any]]) -> None:
    """Writes the table of the page: a column for each build."""
    events = dict.fromkeys(event for content in figures for event in content["events"])
    rows: list[list[object]] = [
        ["songs that can be used", *(content["songs"] for content in figures)],
        [f"corrupt songs, of {len(CORRUPT)} kinds", *(content["corrupt"] for content in figures)],
        *([event, *(content["events"].get(event, 0) for content in figures)] for event in events),
        ["times that the command was given", *(content["runs"] for content in figures)],
        ["minutes of one core", *(content["cpu_minutes"] for content in figures)],
        ["minutes of the clock", *(content["minutes"] for content in figures)],
        ["results compared with those of a build in which nothing happens", *(c["compared"] for c in figures)],
        ["not as promised", *(len(content["problems"]) for content in figures)],
    ]
    problems = [problem for content in figures for problem in content["problems"]]
    note = f"Not as promised: {'; '.join(problems)}." if problems else ""
    columns = ["what", *(f"build {number}" for number in range(1, len(figures) + 1))]
    figure_files.write_table(path, "Datasets built on a machine that fails", figures, columns, rows, note)


if __name__ == "__main__":
    sys.exit(main())
