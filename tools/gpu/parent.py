"""Runs the sections one after the other, each in a separate process with a time limit, and keeps their results."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

from tools.bench.machine import ROOT
from tools.gpu.plan import SECTIONS, Section
from tools.gpu.report import LOG, Ran, write
from tools.gpu.rows import Row, RowFile

PROBE_SECONDS = 90.0
LEAST_SECONDS = 15.0  # a section is only started if so much time is left: importing torch takes seconds
WORTHWHILE_SECONDS = 30.0  # the least time that a section gets, if so much is left
_LOOK_SECONDS = 2.0  # the interval at which the file of a running section is read
_DYING_SECONDS = 10.0  # the time to wait for a killed process: one that hangs in the driver may not end


@dataclass(frozen=True)
class Options:
    """The options of a check.

    Attributes:
        out: the folder of the results.
        device: `"cuda"` or `"cpu"`.
        quick: make everything small, which only tests that it runs.
        minutes: the time limit of all sections together.
        sections: the names of the sections to run.
    """

    out: Path
    device: str
    quick: bool
    minutes: float
    sections: Sequence[str]


@dataclass(frozen=True)
class Ending:
    """The end of a process: how many seconds it ran, and the reason of its failure or ""."""

    seconds: float
    reason: str


def run_process(
    command: Sequence[str], limit: float, log: IO[bytes], while_waiting: Callable[[], None] = lambda: None
) -> Ending:
    """Runs a command in a new process group, which is killed completely after `limit` seconds and at the end.

    Args:
        command: the command, which runs in the repository's root.
        limit: the seconds after which the command is killed.
        log: the file for everything that the command prints.
        while_waiting: a function to call every two seconds.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    reason = ""
    try:
        while True:
            left = limit - (time.monotonic() - started)
            if left <= 0:
                reason = f"killed after {limit:.0f} s, its limit"
                break
            try:
                code = process.wait(min(_LOOK_SECONDS, left))
            except subprocess.TimeoutExpired:
                while_waiting()
                continue
            if code < 0:
                reason = f"its process was ended by {signal.Signals(-code).name}"
            elif code > 0:
                reason = f"its process ended with {code}"
            break
    finally:
        _kill_group(process)
    return Ending(time.monotonic() - started, reason)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kills a process and all processes that it started."""
    with suppress(ProcessLookupError):  # the whole group has ended already
        os.killpg(process.pid, signal.SIGKILL)
    try:
        process.wait(_DYING_SECONDS)
    except subprocess.TimeoutExpired:
        sys.stderr.write(f"Process {process.pid} does not end although it was killed; going on without it.\n")


class Check:
    """A run of some sections.

    Args:
        options: the options of the command line.
        log: a function that is called with lines about the progress.
    """

    def __init__(self, options: Options, log: Callable[[str], None]) -> None:
        self.options, self.log = options, log
        self.started = time.monotonic()
        self.about: dict[str, Any] = {"error": ""}
        self.ran: list[Ran] = []

    def run(self) -> str:
        """Runs all sections, writes the results whenever there are new ones, and returns the Markdown."""
        self.options.out.mkdir(parents=True, exist_ok=True)
        before = signal.signal(signal.SIGTERM, _end)
        try:
            with (
                tempfile.TemporaryDirectory(prefix="gpu_check_") as folder,
                (self.options.out / LOG).open("wb") as log_file,
            ):
                self._probe(Path(folder), log_file)
                for section in SECTIONS:
                    if section.name in self.options.sections:
                        self._section(section, Path(folder), log_file)
            return write(self.options.out, self.about, self.ran)
        finally:
            signal.signal(signal.SIGTERM, before)

    def _probe(self, folder: Path, log_file: IO[bytes]) -> None:
        path = folder / "probe.json"
        command = [sys.executable, "-m", "tools.gpu.probe", self.options.device, str(path)]
        limit = min(PROBE_SECONDS, max(WORTHWHILE_SECONDS, 60 * self.options.minutes))
        ending = run_process(command, limit, log_file)
        if path.exists():
            self.about = json.loads(path.read_text(encoding="utf-8"))
        else:
            self.about = {"error": f"asking for the device: {ending.reason or 'no answer'}"}
        self.about |= {
            "arguments": {"device": self.options.device, "quick": self.options.quick, "minutes": self.options.minutes},
            "probe_seconds": ending.seconds,
        }
        self.log(f"{self.about.get('device', 'unknown device')}; {self.about['error'] or 'it answers'}")
        write(self.options.out, self.about, self.ran)

    def _section(self, section: Section, folder: Path, log_file: IO[bytes]) -> None:
        left = 60 * self.options.minutes - (time.monotonic() - self.started)
        limit = left if self.options.quick else self._share(section, left)
        if self.about["error"]:
            self._skip(section, self.about["error"])
        elif left < LEAST_SECONDS:
            self._skip(section, "no time left")
        else:
            self._run(section, limit, folder, log_file)

    def _share(self, section: Section, left: float) -> float:
        """Returns the section's share of the seconds that are left for it and all later ones."""
        coming = [other for other in SECTIONS if other.name in self.options.sections]
        coming = coming[coming.index(section) :]
        share = left * section.seconds / sum(other.seconds for other in coming)
        return min(left, max(share, WORTHWHILE_SECONDS))

    def _skip(self, section: Section, reason: str) -> None:
        row = Row(section.name, "all of the section", status="skipped", reason=reason)
        self.ran.append(Ran(section, "skipped", reason=reason, rows=(row,)))
        self.log(f"{section.name}: skipped: {reason}")
        write(self.options.out, self.about, self.ran)

    def _run(self, section: Section, limit: float, folder: Path, log_file: IO[bytes]) -> None:
        self.log(f"{section.name}: at most {limit:.0f} s")
        rows = RowFile(folder / f"{section.name}.jsonl")
        num_reported = 0
        started = time.monotonic()

        def look() -> None:
            nonlocal num_reported
            rows_so_far = tuple(rows.read())
            if len(rows_so_far) > num_reported:
                num_reported = len(rows_so_far)
                running = Ran(section, "ok", time.monotonic() - started, limit, "still running", rows_so_far)
                write(self.options.out, self.about, [*self.ran, running])

        log_file.write(f"\n===== {section.name}\n".encode())
        log_file.flush()
        command = [sys.executable, "-m", "tools.gpu.section", section.name, "--out", str(rows.path)]
        command += ["--device", self.options.device, "--until", f"{time.monotonic() + limit:.1f}"]
        try:
            ending = run_process(command + ["--quick"] * self.options.quick, limit, log_file, look)
        except BaseException:  # such as Ctrl-C or a signal
            look()
            raise
        all_rows = rows.read()
        if ending.reason:
            all_rows.append(Row(section.name, "all of the section", status="failed", reason=ending.reason))
        self.ran.append(
            Ran(section, "failed" if ending.reason else "ok", ending.seconds, limit, ending.reason, tuple(all_rows))
        )
        bad = sum(row.status == "failed" for row in all_rows)
        self.log(f"{section.name}: {len(all_rows)} rows, {bad} failed, {ending.seconds:.0f} s{_because(ending.reason)}")
        write(self.options.out, self.about, self.ran)

    @property
    def well(self) -> bool:
        """True if something was measured and no row failed."""
        rows = [row for section in self.ran for row in section.rows]
        return any(row.status == "ok" for row in rows) and not any(row.status == "failed" for row in rows)


def _because(reason: str) -> str:
    return f", {reason}" if reason else ""


def _end(number: int, frame: FrameType | None) -> None:
    """Turns a signal into an exception, so that started processes are killed on the way out."""
    sys.exit(128 + number)
