"""Measures how well searches match, how sparse they are and what they recover: configurations against the peer's rules.

    python -m tools.fidelity SONG synthetic:6:0 --config ours= --out fidelity
    python -m tools.fidelity SONGS... --config ours= --config loose=--pruning.tolerance=0.05 --reference --out fidelity

A configuration is NAME=PARTS: YAML files and options of `python -m mixgraph fit`, separated by commas (a file by its
name alone, without `--config=`). `--reference`
adds the peer (the harness of tools/bench/peer, see `python -m tools.benchmark --help` for how to install it) by its own
rules, at equal steps, on the same songs and seeds. Every search is kept in OUT/searches.jsonl as it ends; with
`--keep` those that are there, made with the same code and settings, are not run again.

All losses are measured by one function on every side: clips from silence, all inside the song. What is written:
fidelity.md, fidelity.json, curves.png (loss and processors against steps) and ends.png (loss against pruning ratio).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from mixgraph.search.run import quiet_lightning
from mixgraph.system.files import json_text, write_atomically
from mixgraph.system.memory import keep_freed_memory
from tools.bench.fidelity.picture import draw_course, draw_ends
from tools.bench.fidelity.runs import REFERENCE, run_search
from tools.bench.fidelity.songs import contents, measured_song
from tools.bench.fidelity.table import Runs, against_reference, summarise, to_markdown
from tools.bench.kept_searches import FILE, Searches
from tools.bench.machine import machine, versions
from tools.bench.recipe import Recipe


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", nargs="+", help="folders of songs, or synthetic:TRACKS:SEED")
    parser.add_argument("--config", action="append", metavar="NAME=PARTS", help="(ours=, the defaults)")
    parser.add_argument("--reference", action="store_true", help="the peer's rules, too")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, nargs=3, default=[300, 4, 50], metavar=("CONSOLE", "ROUNDS", "STEPS"))
    parser.add_argument("--loss", type=float, help="over the target's norm: when it is reached is told, too")
    parser.add_argument("--threads", type=int, help="of torch; its default where left out")
    parser.add_argument("--keep", action="store_true", help="take the searches that OUT holds")
    parser.add_argument("--out", type=Path, help="folder for the report")
    options = parser.parse_args(arguments)
    console, rounds, steps = options.steps
    if min(console, rounds, steps) < 1 or console % steps:
        parser.error(f"--steps: at least 1 each, CONSOLE a multiple of STEPS, got {console} {rounds} {steps}")
    options.configurations = {}
    for given in options.config or ["ours="]:
        name, equals, parts = given.partition("=")
        if not equals or not name or name == REFERENCE or name in options.configurations:
            parser.error(f"--config: NAME=PARTS, each name once and not {REFERENCE}, is needed, got {given!r}")
        options.configurations[name] = _arguments(parts)
        refused = [a for a in options.configurations[name] if a.startswith(_NOT_HERE)]
        if refused:
            parser.error(f"--config {name}: {', '.join(refused)}: searches are measured without {', '.join(_NOT_HERE)}")
        if any(song.startswith("synthetic:") for song in options.songs) and "--data.loudness_lufs" in parts:
            parser.error(f"--config {name}: --data.loudness_lufs: synthetic songs are searched at their own level")
        try:
            found = _steps(options.configurations[name], options.steps)
        except ValueError as error:
            parser.error(f"--config {name}: {', '.join(_STAGES)}: whole numbers are needed ({error})")
        wanted = Recipe(*options.steps).total_steps
        if found != wanted:
            parser.error(
                f"--config {name}: {found} steps; a configuration may part the {wanted} steps of --steps otherwise, "
                f"but not change their number: {', '.join(_STAGES)}"
            )
    if options.keep and options.out is None:
        parser.error("--keep: there is nothing to take without --out")
    return options


_NOT_HERE = (
    *("--config=", "--start", "--budget", "--time.", "--trainer.", "--result.", "--progress.", "--ckpt_path"),
    *("--seed_everything", "--data.path", "--data.sample_rate", "--pruning.leave_one_out"),
)
_STAGES = ("data.steps_per_stage", "pruning.console_stages", "pruning.rounds")


def _steps(arguments: Sequence[str], steps: Sequence[int]) -> int:
    """The steps of a configuration whose options may say otherwise than CONSOLE ROUNDS STEPS."""
    console, rounds, each = steps
    given = dict(a.removeprefix("--").split("=", 1) for a in arguments if "=" in a)
    stage, stages, pruned = (
        int(given.get(k, v)) for k, v in zip(_STAGES, (each, console // each, rounds), strict=True)
    )
    return stage * (stages + pruned)


def _arguments(parts: str) -> list[str]:
    """Options of `fit` from `a.yaml,--x=b(c,c)`: commas in brackets part nothing."""
    found: list[str] = []
    depth, word = 0, ""
    for character in f"{parts},":
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            word = word.strip()
            found += [word] if word.startswith("--") else ["--config", word] if word else []
            word = ""
        else:
            word += character
    return found


def run(options: argparse.Namespace) -> Runs:
    """Runs what is missing, song by song and seed by seed, so that all rules meet the machine in the same state."""
    started = time.monotonic()

    def log(line: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - started:7.0f} s] {line}\n")
        sys.stderr.flush()

    path = options.out / FILE if options.out else None
    searches = Searches(path, machine(torch.get_num_threads())["date"], options.keep, log)
    configurations = dict(options.configurations) | ({REFERENCE: []} if options.reference else {})
    recipe = Recipe(*options.steps)
    runs: Runs = {}
    with TemporaryDirectory() as scratch:
        songs = [measured_song(given, Path(scratch)) for given in options.songs]
        twice = [song.name for i, song in enumerate(songs) if song.name in {other.name for other in songs[:i]}]
        if twice:
            raise ValueError(f"songs: a folder's name names its song, and two are named {', '.join(twice)}")
        for given, song in zip(options.songs, songs, strict=True):
            files = "" if song.truth is not None else contents(song.folder)  # else the name says all
            for seed in options.seeds:
                for name, arguments in configurations.items():
                    side = "peer" if name == REFERENCE else "ours"
                    parts = [Path(a).read_text(encoding="utf-8") for a in arguments if not a.startswith("--")]
                    key = {
                        "song": given if song.truth is not None else song.name,
                        "files": files,
                        "rules": side if side == "peer" else [a for a in arguments if a.startswith("--")] + parts,
                        "steps": options.steps,
                        "seed": seed,
                        "versions": versions(side),
                        "threads": torch.get_num_threads(),
                    }
                    found = searches.get(key)
                    if found is None:
                        answer = run_search(name, arguments, song.folder, song.truth, recipe, seed)
                        found = searches.add(key, answer)
                    runs.setdefault((song.name, name), []).append(found.answer)
                    log(
                        f"{song.name}, {name}, seed {seed}: loss {found.answer['loss_target']:.3f} / "
                        f"{found.answer['loss_prediction']:.3f}, pruning ratio {found.answer['pruning_ratio']:.3f}, "
                        f"{found.answer['seconds']:.0f} s{', kept' if found.earlier else ''}"
                    )
    return runs


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    keep_freed_memory()
    quiet_lightning()
    about = machine(torch.get_num_threads())
    runs = run(options)
    head = [
        f"{about['processor']}, {about['threads']} threads; {about['date']}; {Recipe(*options.steps)} steps; seeds "
        f"{', '.join(map(str, options.seeds))}; medians over seeds.",
        *([] if options.loss is None else [f"- stated loss: {options.loss:g} over the target's norm"]),
        *(f"- {name}: {' '.join(parts) or 'defaults'}" for name, parts in options.configurations.items()),
    ]
    text = to_markdown(runs, head, options.loss)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        summaries = summarise(runs, options.loss)
        report = {
            "about": about,
            "summaries": [{"song": song, "rules": name} | own for (song, name), own in summaries.items()],
            "against_reference": against_reference(summaries),
        }
        write_atomically(options.out / "fidelity.md", text.encode())
        write_atomically(options.out / "fidelity.json", json_text(report, 1).encode())
        draw_course(runs, options.out / "curves.png")
        draw_ends(runs, options.out / "ends.png")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
