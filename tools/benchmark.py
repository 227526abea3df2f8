"""Times mixgraph against a peer, on the same console, clips, machine, threads and malloc settings.

    python -m tools.benchmark --out benchmark                                     everything: hours with the peer
    python -m tools.benchmark --parts step trial --tracks 8 --no-peer
    python -m tools.benchmark --parts search --songs A B --whole-peer-search --extrapolate-songs C D --out benchmark
    python -m tools.benchmark --parts schedule --no-peer --threads 1 --out schedules    the paper's Figure 9
    python -m tools.benchmark --quick --no-peer

The peer is the harness of ours in `tools/bench/peer` over `grafx` 0.6.0, its processors and renderer. To install it:

    pip install "setuptools>=77,<82"
    pip install --no-build-isolation -e ".[benchmark]"

(torchlpc, which grafx needs, comes as source and is built against the torch that is there, with gcc and ninja; in an
isolated build it would meet another torch. setuptools 77 also builds mixgraph itself.)

Each side runs in worker processes, one with glibc's malloc as it is (`default`) and one that keeps freed memory
(`tuned`: what `python -m mixgraph` does by itself); they take turns, and the others wait meanwhile. Searches, which are
long, are written to OUT/searches.jsonl as they end; a run with `--keep` takes what is there instead of running it again
and marks it in the table.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mixgraph.cli.command_parser import CommandParser
from mixgraph.system.files import write_atomically
from tools.bench.cases import DEMO, Case, Kind
from tools.bench.kept_searches import FILE, Searches
from tools.bench.machine import machine
from tools.bench.recipe import Recipe
from tools.bench.speed.parts import PARTS
from tools.bench.speed.picture import draw, growth
from tools.bench.speed.pool import Pool, Runner
from tools.bench.speed.schedules import REMARK as SCHEDULE_REMARK
from tools.bench.speed.settings import Settings
from tools.bench.speed.table import Row, to_json, to_markdown

DEFAULT, TUNED = "default", "tuned"
SCHEDULE = "schedule"
KINDS: tuple[Kind, ...] = ("stereo", "mono")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=tuple(PARTS), default=list(PARTS))
    parser.add_argument("--tracks", nargs="+", type=int, help="consoles to measure (8 24; schedule: 4 8 16 32 64)")
    parser.add_argument("--shares", nargs="+", type=float, default=[1.0, 0.3], help="of processors left, in `step`")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="of synthetic tracks")
    parser.add_argument("--seconds", type=float, help="of the synthetic songs (30)")
    parser.add_argument("--sample-rate", type=int, default=30000, help="in Hz; the peer knows 30000 only")
    parser.add_argument("--songs", nargs="+", type=Path, default=[DEMO], help="real songs, for `step`, `search`")
    parser.add_argument("--extrapolate-songs", nargs="+", type=Path, default=[], help="more, for `search`")
    parser.add_argument("--search-steps", nargs=3, type=int, metavar=("CONSOLE", "ROUNDS", "STEPS"))
    parser.add_argument("--seeds", nargs="+", type=int, help="of the searches (0 1 2)")
    parser.add_argument("--whole-peer-search", action="store_true", help="run it on --songs, not extrapolate: hours")
    parser.add_argument("--keep", action="store_true", help="take the searches that OUT/searches.jsonl holds")
    parser.add_argument("--sweep-tracks", nargs="+", type=int, help="(2 4 8 16 32 64 128)")
    parser.add_argument("--sweep-seconds", nargs="+", type=float, help="lengths of songs (10 30 60 120)")
    parser.add_argument("--malloc", nargs="+", choices=(DEFAULT, TUNED), help="(both)")
    parser.add_argument("--peer", action=argparse.BooleanOptionalAction, help="(where grafx is installed)")
    parser.add_argument("--peer-timeout", type=float, default=300.0, help="seconds a measurement of the peer may take")
    parser.add_argument("--repeats", type=int, help="(3)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of either side")
    parser.add_argument("--quick", action="store_true", help="two tracks, two seconds, one repeat: does it run?")
    parser.add_argument(
        "--out", type=Path, help="folder for benchmark.md, benchmark.json, growth.png and searches.jsonl"
    )
    options = parser.parse_args(arguments)
    if options.keep and options.out is None:
        parser.error("--keep: there is nothing to take without --out")
    if options.search_steps is not None:
        try:
            Recipe.checked(options.search_steps, "--search-steps")
        except ValueError as error:
            parser.error(str(error))
    installed = importlib.util.find_spec("grafx") is not None
    if options.peer and not installed:
        parser.error("--peer: grafx is not installed; see the commands above, or say --no-peer")
    options.peer = installed if options.peer is None else options.peer
    return options


def settings_of(options: argparse.Namespace, searches: Searches) -> Settings:
    """Makes the settings from the options; the defaults depend on --quick."""
    quick = options.quick
    seconds = options.seconds or (4.0 if quick else 30.0)
    tracks = 2 if quick else 8
    return Settings(
        base=Case(seconds=seconds, sample_rate=options.sample_rate, tracks=tracks, kind=options.kinds[0]),
        tracks=options.tracks or ([2] if quick else [8, 24]),
        kinds=options.kinds,
        shares=options.shares[:1] if quick else options.shares,
        repeats=options.repeats or (1 if quick else 3),
        trials=(2, 1) if quick else (12, 2),
        songs=[str(path.resolve()) for path in options.songs],
        extrapolate_songs=[str(path.resolve()) for path in options.extrapolate_songs],
        recipe=Recipe(*(options.search_steps or ((2, 1, 1) if quick else (300, 4, 50)))),
        whole_peer_search=options.whole_peer_search,
        seeds=options.seeds or ([0] if quick else [0, 1, 2]),
        searches=searches,
        schedule_tracks=options.tracks or ([2] if quick else [4, 8, 16, 32, 64]),
        sweep_tracks=options.sweep_tracks or ([2, 4] if quick else [2, 4, 8, 16, 32, 64, 128]),
        sweep_shares=[1.0, 0.3] if quick else [1.0, 0.6, 0.3, 0.1],
        sweep_clips=[2.4, 3.8] if quick else [2.4, 3.8, 6.6, 12.2],
        sweep_seconds=options.sweep_seconds or ([2.0, 4.0] if quick else [10.0, 30.0, 60.0, 120.0]),
    )


def runners_of(options: argparse.Namespace) -> list[Runner]:
    mallocs = options.malloc or ([TUNED] if options.quick else [DEFAULT, TUNED])
    sides = ("ours", "peer") if options.peer else ("ours",)
    return [Runner(side, malloc) for malloc in mallocs for side in sides]  # type: ignore[arg-type]


def remarks_of(options: argparse.Namespace, settings: Settings) -> list[str]:
    remarks = [
        f"Clips of {settings.base.clip_seconds:g} s, synthetic songs of {settings.base.seconds:g} s at "
        f"{settings.base.sample_rate} Hz, full console ecnsgdr; tracks are never silent, with two different channels "
        f"(stereo) or two equal ones (mono). Each is measured {settings.repeats} times; searches have the seeds "
        f"{', '.join(map(str, settings.seeds))}.",
        "Malloc: glibc's as it is (default), or freed memory is kept (tuned: MALLOC_MMAP_THRESHOLD_, "
        "MALLOC_TRIM_THRESHOLD_, MALLOC_TOP_PAD_), for both sides alike.",
    ]
    if SCHEDULE in options.parts:
        remarks.append(SCHEDULE_REMARK)
    if not options.peer:
        return [*remarks, "The peer was not run."]
    remarks.append(
        "Ours: mixgraph's defaults. The peer: grafx 0.6.0 in the harness of tools/bench/peer, flashfftconv off; a "
        "trial is a whole-song evaluation with masks on the full console, without early stop."
    )
    if "search" in options.parts:
        remarks.append(
            "Searches (hybrid; tolerance 0.03 for ours, 0.01 for the peer, the default of each) are of the same audio "
            "at the level of its files, with the same seeds. Ours trains and prunes by the loss over the target's "
            "norm, the peer by that over the prediction's; both are measured on what either found, by one function: "
            "3.8 s clips from silence, all inside the song; by the published protocol the last clips reach beyond its "
            "end, where the target counts as silent, which counts against every tail of a song that was cut. A "
            "training step is all of training over all steps, ours with Lightning. "
            "EXTRAPOLATED: medians times the counts below the table. Rounds after those that were run are taken to "
            "remove nothing more; a peer that was not run is taken to have our search's processors and the fewest "
            "trials that its rules can have."
        )
    return remarks


def run(options: argparse.Namespace, log: Callable[[str], None]) -> str:
    """Measures the chosen parts; returns the Markdown."""
    about = machine(options.threads)
    path = options.out / FILE if options.out else None
    settings = settings_of(options, Searches(path, about["date"], options.keep, log))
    rows: list[Row] = []
    text = ""
    with Pool(runners_of(options), options.threads, options.peer_timeout, log) as pool:
        for part in options.parts:
            rows += PARTS[part](pool, settings)
            text = write(options.out, rows, about, remarks_of(options, settings))  # finished parts are kept
    return text


def write(folder: Path | None, rows: list[Row], about: dict[str, Any], remarks: list[str]) -> str:
    """Writes the reports if a folder is given, and returns the Markdown."""
    growing = growth(rows)
    for name, of_runners in growing.items():
        powers = ", ".join(f"{p['all']:.2f} ({runner}; {p['last']:.2f} at the end)" for runner, p in of_runners.items())
        remarks = [*remarks, f"Sweep, {name}: the cost grows with the power {powers}; 1 is linear."]
    text = to_markdown(rows, about, remarks)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "benchmark.md", text.encode())
        write_atomically(folder / "benchmark.json", to_json(rows, about, remarks, growing).encode())
        if any(row.part == "sweep" for row in rows):
            draw(rows, folder / "growth.png")
    return text


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    started = time.monotonic()

    def log(line: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - started:7.1f} s] {line}\n")
        sys.stderr.flush()

    sys.stdout.write(run(options, log))


if __name__ == "__main__":
    main()
