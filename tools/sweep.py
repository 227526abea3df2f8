"""Runs a sweep file of Weights & Biases: without a server on this machine or a Ray cluster, or with the server.

Its options, and what it writes: `tools/options.py`.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mixgraph.cli.arguments import env_is_allowed, take_imports, trusted_words
from mixgraph.dataset import FileHashes, SongSource, find_sources
from mixgraph.dataset.settings import differences, digest
from mixgraph.names import visible, visible_lines
from mixgraph.sweeps.folder import SweepFolder
from mixgraph.sweeps.space import grid
from mixgraph.sweeps.sweep_file import SweepFile, read_sweep
from mixgraph.sweeps.table import header, rows, seeds_sentence
from mixgraph.system.files import plain_json
from mixgraph.system.locks import locked
from tools.dataset.machines import make_workers, num_threads
from tools.options import sweep_parser
from tools.resumable import let_interrupts_end, run_resumable
from tools.sweeps.check import PATH, absolute_song, is_search, resolve_sweep, with_song
from tools.sweeps.run import SweepRun, sweep_record

_LOCK_SECONDS = 20.0  # time to wait for a lock: the workers of a killed sweep end a moment after it
_SHOWN = 50
_FILE_WIDTH = 160  # of the table, where it goes to a file and no terminal cuts it
_LEAST_SEEDS = 3  # fewer say little about how much a seed matters


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Parses the options; returns them and the arguments after `--`."""
    words = take_imports(arguments)
    split = words.index("--") if "--" in words else len(words)
    return sweep_parser().parse_args(words[:split]), words[split + 1 :]


def read(options: argparse.Namespace, overrides: Sequence[str]) -> SweepFile:
    """Reads the sweep file, and puts in the song and the further options of `fit`.

    Raises:
        ValueError: the file cannot be used.
        FileNotFoundError: there is no such file.
    """
    from mixgraph.shipped import configuration

    sweep = read_sweep(configuration(options.file), env_is_allowed())
    parameters, words = with_song(sweep.parameters, options.song), (*sweep.words, *overrides)
    return replace(sweep, parameters=parameters, words=words, added=len(overrides))


def run_offline(options: argparse.Namespace, overrides: Sequence[str], console: Console) -> int:
    """Runs the trials that have not ended, and returns the number of those that failed."""
    sweep = read(options, overrides)
    num_trials = _num_trials(sweep, options.trials)
    _check_options(sweep, options)
    settings = resolve_sweep(sweep)
    out: Path = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    with locked(out / ".lock", partial(_busy, out), _LOCK_SECONDS) as lock:
        folder = SweepFolder(out, sweep.metric)
        folder.sweep()
        saved = folder.saved_record()
        record = plain_json(sweep_record(sweep, settings, _files(sweep, settings, out), options.seed))
        if saved is None:
            folder.save_record(record)
        elif saved.get("mixgraph") != record["mixgraph"]:
            of = f"version {saved['mixgraph']}" if "mixgraph" in saved else "an earlier version"
            raise ValueError(
                f"out: {out} has trials of {of} of mixgraph, this is {record['mixgraph']}: trials of two versions "
                "cannot be compared. HINT: another --out, or that version"
            )
        elif saved != record:
            changed = "; ".join(differences(saved, record)[:5])
            raise ValueError(f"out: {out} has trials of another sweep: {changed}. HINT: another --out")
        folder.digest = digest(record)
        threads = num_threads(options, settings)

        def say(line: str) -> None:
            folder.log(line)
            console.print(visible_lines(line), markup=False, highlight=False, soft_wrap=True)

        workers = partial(make_workers, options, settings, threads, lock, options.workers)
        run = SweepRun(sweep, settings, folder, num_trials, options.seed, threads, workers, say)
        run.run()
        if options.winner_seeds:
            run.repeat_winner(options.winner_seeds)
        run.write()
        _print_summary(run, console)
        return len(run.failures)


def register(options: argparse.Namespace, overrides: Sequence[str], console: Console) -> int:
    """Checks the file, gives it to the server of Weights & Biases, and prints the command of an agent."""
    sweep = read(options, overrides)
    resolve_sweep(sweep)
    import wandb

    content = for_server(sweep, overrides)
    name = wandb.sweep(content, project=options.project or content.get("project") or "mixgraph")
    console.print(f"On each machine that is to run trials:\n  wandb agent {name}", markup=False, highlight=False)
    return 0


def for_server(sweep: SweepFile, overrides: Sequence[str]) -> dict[str, Any]:
    """Returns the sweep as its server takes it, with the song, the further options of `fit`, and what is trusted."""
    content = copy.deepcopy(sweep.content)
    song = next((parameter for parameter in sweep.parameters if parameter.name == PATH), None)
    if song is not None:
        content["parameters"][PATH] = {"values": [absolute_song(str(value)) for value, _ in song.probes()]}
    at = content["command"].index("${args}")
    content["command"][at:at] = [*trusted_words(), *overrides]
    return content


def _num_trials(sweep: SweepFile, asked: int | None) -> int:
    """Returns the number of trials: what is asked for, or the file's, or all of a grid.

    Raises:
        ValueError: nothing says how many.
    """
    cap: int | None = asked or sweep.run_cap
    if sweep.method == "grid":
        return sum(1 for _ in itertools.islice(grid(sweep.parameters), cap))
    if cap is None:
        raise ValueError(f"{sweep.path}: run_cap is needed with method: {sweep.method}. HINT: --trials 20")
    return cap


def _check_options(sweep: SweepFile, options: argparse.Namespace) -> None:
    if options.winner_seeds is not None and options.winner_seeds < _LEAST_SEEDS:
        raise ValueError(f"winner-seeds: at least {_LEAST_SEEDS} are needed, got {options.winner_seeds}")
    if options.ray is None:
        return
    if sweep.bands is not None and not options.shared:
        raise ValueError(
            "early_terminate: trials on a cluster compare themselves by a file in OUT. HINT: --shared, with OUT on a "
            "disk that all nodes see"
        )
    if sweep.method == "bayes" and options.workers is None:
        raise ValueError("workers: with --ray and bayes, which learns from trials that ended, --workers is needed")


def _files(sweep: SweepFile, settings: dict[str, Any], out: Path) -> dict[str, Any]:
    """Returns the hashes of the songs' audio; nothing where the data are of another kind than a song's folder."""
    data = settings["data"]
    if not is_search(settings) or "class_path" in data or data.get("mix") is not None:
        return {}
    paths = next((p.values for p in sweep.parameters if p.name == PATH), [data["path"]])  # type: ignore[union-attr]
    if any(not isinstance(path, str) for path in paths):
        raise ValueError(f"{sweep.path}: {PATH}: one song a trial is needed, got a list. HINT: values: [SONG, SONG]")
    hashes = FileHashes(out / ".hashes.json")
    files = {}
    for path in paths:
        song = _source(absolute_song(path), hashes, data)
        files[path] = {"files": song.file_hashes, "arrangement": song.arrangement}
    hashes.save()
    return files


def _source(path: str, hashes: FileHashes, data: dict[str, Any]) -> SongSource:
    """Reads what a song is made of.

    Raises:
        ValueError: it is no song that can be read, or there are several.
    """
    sources, unreadable = find_sources([path], hashes, data["layout"], data["subgrouping"])
    if unreadable or len(sources) != 1:
        why = next(iter(unreadable.values()), f"{len(sources)} songs")
        raise ValueError(f"{PATH}: one song that can be read is needed, got {why}")
    return sources[0]


def _busy(out: Path, holder: str) -> str:
    return f"out: another sweep runs in {out}: {holder}; wait until it has ended"


def _print_summary(run: SweepRun, console: Console) -> None:
    metric, out = run.sweep.metric, run.folder.root
    if run.trials:
        table = Table(*header(run.trials, metric))
        for row in rows(run.trials, metric)[:_SHOWN]:
            table.add_row(*(Text(visible(cell)) for cell in row))
        wide = console if console.is_terminal else Console(width=_FILE_WIDTH)
        wide.print(table)
    for line in (
        seeds_sentence(run.trials, metric),
        *(f"{n} failed: {' '.join(why.split())}" for n, why in run.failures.items()),
    ):
        if line:
            console.print(visible(line), markup=False, highlight=False, soft_wrap=True)
    written = ", ".join(path.name for path in sorted(out.glob("trials.*")))  # no picture where no trial is done
    console.print(f"Written: {out}/{written}", markup=False, highlight=False, soft_wrap=True)


def main(arguments: list[str] | None = None) -> None:
    command_line = sys.argv[1:] if arguments is None else arguments
    options, overrides = parse(command_line)
    if options.offline == (options.out is None):
        sweep_parser().error("--offline and --out go together")
    run = run_offline if options.offline else register
    run_resumable("sweep", command_line, lambda: run(options, overrides, Console()))


if __name__ == "__main__":
    let_interrupts_end()
    main()
