"""Prunes a trained demixer by every strategy, and scores it on songs that it has not heard: size against quality.

    python -m tools.bench.pruned_demixer run CHECKPOINT SONGS --left-out clingo_band mdb_reggae --out FOLDER
    python -m tools.bench.pruned_demixer table --out FOLDER --to docs/results/pruned_demixer.json

CHECKPOINT is a `last.ckpt` of `tools.bench.demixer`, whose songs, synthetic songs and cache it takes (link FOLDER/cache
and FOLDER/synthetic to those of that training to save their making). A run goes on from where it was killed, and what
is done is not done again. The first row is the network as it was, the second is trained on without pruning for as many
steps: what the others lose is told from that one. Minutes are those of the processor, without scoring.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import torch

from datamodules import StemData
from mixgraph.cli.command_parser import CommandParser
from mixgraph.demixing import load_demixer
from mixgraph.demixing.pruning import ChannelPruning, PruningSettings, Strategy, save_demixer
from mixgraph.search.run import quiet_lightning
from mixgraph.system.files import file_sha256, write_atomically
from mixgraph.system.memory import keep_freed_memory
from tools.bench.demixer import add_song_options, read_lines, scores_of, songs_of
from tools.bench.machine import measured

_KEEP_SECONDS = 30.0
LABELS = {"once": "once", "in_turns": "in turns", "while_training": "while training"}
UNTOUCHED, TRAINED_ON = "as it was", "trained on, not pruned"
Line = dict[str, Any]


def run(options: argparse.Namespace) -> None:
    """Prunes by all strategies and shares that are asked for and not done."""
    torch.set_num_threads(1)
    demixer = load_demixer(options.checkpoint)
    options.out.mkdir(parents=True, exist_ok=True)
    data = songs_of(options, demixer)
    about = {"checkpoint": file_sha256(options.checkpoint), "seed": options.seed, "steps": options.steps}
    about |= {"learning_rate": options.learning_rate}
    lines = options.out / "pruned.jsonl"
    if not _done(lines, about, UNTOUCHED, 1.0):
        scores = scores_of(demixer, data.validation_songs)
        count = sum(parameter.numel() for parameter in demixer.network.parameters())
        _keep(lines, {**about, "strategy": UNTOUCHED, "share": 1.0, "parameters": count, "minutes": 0.0, **scores})
    jobs = [(strategy, share) for share in options.shares for strategy in options.strategies]
    for strategy, share in [*([("once", 1.0)] if options.trained_on else []), *jobs]:
        label = TRAINED_ON if share == 1 else strategy
        if _done(lines, about, label, share):
            continue
        settings = PruningSettings(share, strategy, options.steps, learning_rate=options.learning_rate)
        _keep(lines, {**about, "strategy": label, **_pruned(options.out, demixer, settings, data, about)})
    note = json.dumps(measured("python -m tools.bench.pruned_demixer run", 1))
    write_atomically(options.out / "measured.json", note.encode())


def _pruned(folder: Path, demixer: Any, settings: PruningSettings, data: StemData, about: Line) -> Line:
    """Prunes and trains on; the scores after the last pruning and at the end."""
    pruning = ChannelPruning(demixer, settings, data.batch, about)
    name = f"{settings.strategy}_{settings.share:g}_{settings.steps}"
    state, kept = folder / f"{name}.state", folder / f"{name}.json"
    spent, first = 0.0, None
    if state.is_file() and kept.is_file():
        pruning.resume(state)
        spent, first = json.loads(kept.read_text())
    most = settings.share * pruning.parameters_before
    mark, kept_at = time.process_time(), time.monotonic()
    pruning.prune_if_due()
    while True:
        if settings.share < 1 and first is None and pruning.num_parameters <= most:
            spent += time.process_time() - mark
            first = scores_of(pruning.demixer, data.validation_songs)
            sys.stdout.write(f"{name}: {pruning.num_parameters} parameters, {first['median']} dB just after it\n")
            sys.stdout.flush()
            mark = time.process_time()
        loss = pruning.advance()
        if loss is None:
            break
        if time.monotonic() - kept_at > _KEEP_SECONDS:
            now = time.process_time()
            spent, mark, kept_at = spent + now - mark, now, time.monotonic()
            # The state comes last: with an older one, some time would be counted twice, and never too little.
            write_atomically(kept, json.dumps([spent, first]).encode())
            write_atomically(state, pruning.state())
    spent += time.process_time() - mark
    scores = scores_of(pruning.demixer, data.validation_songs)
    save_demixer(pruning.demixer, folder / f"{name}.ckpt")
    state.unlink(missing_ok=True)
    kept.unlink(missing_ok=True)
    just_after = None if first is None else first["median"]
    counts = {"share": settings.share, "parameters": pruning.num_parameters, "minutes": round(spent / 60, 2)}
    return {**counts, "just_after": just_after, **scores}


def _done(lines: Path, about: Line, strategy: str, share: float) -> bool:
    wanted = {**about, "strategy": strategy, "share": share}
    return any(all(line[name] == value for name, value in wanted.items()) for line in read_lines(lines))


def _keep(lines: Path, line: Line) -> None:
    write_atomically(lines, "".join(f"{json.dumps(each)}\n" for each in (*read_lines(lines), line)).encode())
    sys.stdout.write(f"{json.dumps(line)}\n")
    sys.stdout.flush()


def table(options: argparse.Namespace) -> None:
    """Makes the table of all runs."""
    lines = read_lines(options.out / "pruned.jsonl")
    order = [UNTOUCHED, TRAINED_ON, *get_args(Strategy)]
    lines.sort(key=lambda line: (-line["share"], order.index(line["strategy"])))
    trained_on = next((line for line in lines if line["strategy"] == TRAINED_ON), None)
    whole = next(line for line in lines if line["strategy"] == UNTOUCHED)
    rows = []
    for line in lines:
        just_after = line.get("just_after")
        cells = [f"{line['share']:g}", LABELS.get(line["strategy"], line["strategy"])]
        cells += [f"{line['parameters'] / 1e6:.3f}", f"{100 * line['parameters'] / whole['parameters']:.1f}"]
        cells += ["-" if just_after is None else f"{just_after:.2f}", f"{line['median']:.2f}"]
        cells += [f"{line['median'] - other['median']:+.2f}" if other else "-" for other in (whole, trained_on)]
        rows.append([*cells, f"{line['minutes']:.1f}"])
    content = {
        "title": "Pruned demixers",
        "measured": [json.loads((options.out / "measured.json").read_text())],
        "columns": [
            *("share to keep", "strategy", "parameters (M)", "of all (%)", "SDR just after the last pruning (dB)"),
            *("SDR at the end (dB)", "against as it was (dB)", "against trained on (dB)", "minutes"),
        ],
        "rows": rows,
        "note": (
            f"Median SDR over {sum(map(len, whole['sdr'].values()))} targets of {', '.join(whole['sdr'])}, which no "
            f"network was trained on; {whole['steps']} training steps in each row but the first. Minutes are those of "
            "one core."
        ),
    }
    write_atomically(options.to, (json.dumps(content, indent=1) + "\n").encode())


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    pruning = commands.add_parser("run")
    pruning.set_defaults(run=run)
    pruning.add_argument("checkpoint", type=Path)
    add_song_options(pruning)
    pruning.add_argument("--shares", type=float, nargs="+", default=[0.5], help="(%(default)s)")
    pruning.add_argument("--strategies", nargs="+", choices=get_args(Strategy), default=list(get_args(Strategy)))
    pruning.add_argument("--steps", type=int, default=400, help="training steps of each (%(default)s)")
    pruning.add_argument("--learning-rate", type=float, default=1e-3, help="(%(default)s)")
    pruning.add_argument("--no-trained-on", dest="trained_on", action="store_false", help="without the second row")
    pruning.add_argument("--batch-size", type=int, default=4)
    pruning.add_argument("--chunk-seconds", type=float, default=1.5)
    pruning.add_argument("--seed", type=int, default=100, help="of the chunks (%(default)s)")
    tabling = commands.add_parser("table")
    tabling.set_defaults(run=table)
    tabling.add_argument("--to", type=Path, required=True)
    for command in (pruning, tabling):
        command.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    keep_freed_memory()
    quiet_lightning()
    options.run(options)


if __name__ == "__main__":
    main(sys.argv[1:])
