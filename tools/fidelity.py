"""Measures how well searches match, how sparse they are and what they recover: configurations against the peer's rules.

Its options, and what it writes: `tools/options.py`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch

from mixgraph.search.run import quiet_lightning
from mixgraph.shipped import configuration
from mixgraph.system.files import json_text, write_atomically
from mixgraph.system.memory import keep_freed_memory
from tools.bench.fidelity.picture import draw_course, draw_ends
from tools.bench.fidelity.recovery import recovery_markdown
from tools.bench.fidelity.report import losses_after_steps, to_markdown
from tools.bench.fidelity.runs import PEER, Rules, check_estimates, run_search
from tools.bench.fidelity.songs import MeasuredSong, SyntheticOptions, digest_of_files, measured_song
from tools.bench.fidelity.table import Runs, against_peer, summarise
from tools.bench.kept_searches import FILE, Search, Searches
from tools.bench.machine import machine, versions
from tools.bench.recipe import Recipe
from tools.options import fidelity_parser

SYNTHETIC = "synthetic:"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = fidelity_parser()
    options = parser.parse_args(arguments)
    try:
        options.recipe = Recipe.checked(options.steps, "--steps", least_rounds=0)
        options.configurations = _configurations(options)
    except ValueError as error:
        parser.error(str(error))
    if options.keep and options.out is None:
        parser.error("--keep: there is nothing to take without --out")
    if options.recovery and not any(song.startswith(SYNTHETIC) for song in options.songs):
        parser.error("--recovery: no song is synthetic:TRACKS:SEED, of which alone the graph is known")
    return options


def _configurations(options: argparse.Namespace) -> dict[str, list[str]]:
    """Returns the arguments of each configuration by its name.

    Raises:
        ValueError: a configuration cannot be measured.
    """
    configurations: dict[str, list[str]] = {}
    for text in options.config or ["ours="]:
        name, equals, parts = text.partition("=")
        if not equals or not name or name == PEER or name in configurations:
            raise ValueError(f"--config: NAME=PARTS, each name once and not {PEER}, is needed, got {text!r}")
        configurations[name] = _arguments(parts)
        refused = [a for a in configurations[name] if a.startswith(_NOT_HERE)]
        if refused:
            raise ValueError(
                f"--config {name}: {', '.join(refused)}: searches are measured without {', '.join(_NOT_HERE)}"
            )
        if any(song.startswith(SYNTHETIC) for song in options.songs) and "--data.loudness_lufs" in parts:
            raise ValueError(f"--config {name}: --data.loudness_lufs: synthetic songs are searched at their own level")
        try:
            steps = _steps(configurations[name], options.recipe)
        except ValueError as error:
            raise ValueError(f"--config {name}: {', '.join(_STAGES)}: whole numbers are needed ({error})") from error
        if steps != options.recipe.total_steps:
            raise ValueError(
                f"--config {name}: {steps} steps; a configuration may part the {options.recipe.total_steps} steps of "
                f"--steps otherwise, but not change their number: {', '.join(_STAGES)}"
            )
    return configurations


_NOT_HERE = (
    *("--config=", "--start", "--budget", "--time.", "--trainer.", "--result.", "--progress.", "--ckpt_path"),
    *("--seed_everything", "--data.path", "--data.sample_rate", "--pruning.leave_one_out"),
)
_STAGES = ("data.steps_per_stage", "pruning.console_stages", "pruning.rounds")


def _steps(arguments: Sequence[str], recipe: Recipe) -> int:
    """Returns the steps of a configuration, whose options take precedence over the recipe."""
    values = dict(a.removeprefix("--").split("=", 1) for a in arguments if "=" in a)
    by_recipe = recipe.round_steps, recipe.console_steps // recipe.round_steps, recipe.rounds
    stage_steps, console_stages, rounds = (
        int(values.get(key, value)) for key, value in zip(_STAGES, by_recipe, strict=True)
    )
    return stage_steps * (console_stages + rounds)


def _arguments(parts: str) -> list[str]:
    """Splits `a.yaml,--x=b(c,c)` into options of `fit` at the commas outside of brackets."""
    arguments: list[str] = []
    depth, word = 0, ""
    for character in f"{parts},":
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            word = word.strip()
            arguments += [word] if word.startswith("--") else ["--config", word] if word else []
            word = ""
        else:
            word += character
    return arguments


def run(options: argparse.Namespace) -> Runs:
    """Runs the missing searches; all rules take turns on each song and seed, so that the machine's state is alike."""
    started = time.monotonic()

    def log(line: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - started:7.0f} s] {line}\n")
        sys.stderr.flush()

    path = options.out / FILE if options.out else None
    searches = Searches(path, machine(torch.get_num_threads())["date"], options.keep, log)
    configurations = dict(options.configurations) | ({PEER: []} if options.reference else {})
    synthetic_options = SyntheticOptions(
        options.synthetic_seconds,
        options.synthetic_subgroups,
        options.synthetic_density,
        options.synthetic_tolerance,
    )
    runs: Runs = {}
    with TemporaryDirectory() as scratch:
        songs = [measured_song(text, Path(scratch), synthetic_options) for text in options.songs]
        twice = [song.name for i, song in enumerate(songs) if song.name in {other.name for other in songs[:i]}]
        if twice:
            raise ValueError(f"songs: a folder's name names its song, and two are named {', '.join(twice)}")
        at = tuple(options.measure_at)
        all_rules = [Rules(name, arguments, options.recipe, at) for name, arguments in configurations.items()]
        estimators = {rules.name: check_estimates(songs, rules) for rules in all_rules}
        for text, song in zip(options.songs, songs, strict=True):
            for seed in options.seeds:
                for rules in all_rules:
                    key = (
                        {"song": text, "synthetic": asdict(synthetic_options)}
                        if song.synthetic
                        else {"song": song.name}
                    )
                    if estimators[rules.name]:
                        key |= {"estimator": estimators[rules.name]}
                    search = _search(searches, song, rules, seed, key)
                    answer = search.answer
                    runs.setdefault((song.name, rules.name), []).append(answer)
                    log(
                        f"{song.name}, {rules.name}, seed {seed}: loss {answer['loss_target']:.3f} / "
                        f"{answer['loss_prediction']:.3f}, pruning ratio {answer['pruning_ratio']:.3f}, "
                        f"{answer['seconds']:.0f} s{', kept' if search.earlier else ''}"
                    )
    return runs


def _search(searches: Searches, song: MeasuredSong, rules: Rules, seed: int, options_key: dict[str, Any]) -> Search:
    """Runs a search, or returns the kept result of an earlier one."""
    side: Literal["ours", "peer"] = "peer" if rules.name == PEER else "ours"
    texts = [configuration(a).read_text(encoding="utf-8") for a in rules.arguments if not a.startswith("--")]
    key = options_key | {
        "files": "" if song.synthetic else digest_of_files(song.folder),  # a synthetic song is identified by its name
        "rules": side if side == "peer" else [a for a in rules.arguments if a.startswith("--")] + texts,
        "steps": str(rules.recipe),
        "measured_steps": list(rules.measured_steps),
        "seed": seed,
        "versions": versions(side),
        "threads": torch.get_num_threads(),
    }
    return searches.get(key) or searches.add(key, run_search(song, rules, seed))


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    keep_freed_memory()
    quiet_lightning()
    about = machine(torch.get_num_threads())
    runs = run(options)
    head = [
        f"{about['processor']}, {about['threads']} threads; {about['date']}; {options.recipe} steps; seeds "
        f"{', '.join(map(str, options.seeds))}; medians over seeds.",
        *([] if options.loss is None else [f"- stated loss: {options.loss:g} over the target's norm"]),
        *(f"- {name}: {' '.join(parts) or 'defaults'}" for name, parts in options.configurations.items()),
    ]
    text = to_markdown(runs, head, options.loss)
    if options.measure_at:
        text += "\n" + losses_after_steps(runs, options.measure_at)
    if options.recovery:
        known = {key: [answer["recovery"] for answer in answers] for key, answers in runs.items()}
        text += "\n" + recovery_markdown({key: seeds for key, seeds in known.items() if all(seeds)})
    if options.out is not None:
        _write(options.out, runs, text, about, options.loss)
    sys.stdout.write(text)


def _write(folder: Path, runs: Runs, text: str, about: dict[str, Any], stated: float | None) -> None:
    """Writes the report and its pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    summaries = summarise(runs, stated)
    report = {
        "about": about,
        "summaries": [{"song": song, "rules": name} | summary for (song, name), summary in summaries.items()],
        "against_reference": against_peer(summaries),
    }
    write_atomically(folder / "fidelity.md", text.encode())
    write_atomically(folder / "fidelity.json", json_text(report, 1).encode())
    draw_course(runs, folder / "curves.png")
    draw_ends(runs, folder / "ends.png")


if __name__ == "__main__":
    main()
