"""Trains demixers side by side for equal times, and scores them on songs that they have not heard.

    python -m tools.bench.demixer train ours SONGS --out FOLDER --left-out clingo_band mdb_reggae --minutes 30
    python -m tools.bench.demixer steps --out FOLDER
    python -m tools.bench.demixer table --out FOLDER --to docs/results/demixer.json
    python -m tools.bench.demixer stems ours=SCORES published=SCORES --to docs/results/demixer_stems.json

`train` trains one row of the table (ROWS) and appends its scores to FOLDER/scores.jsonl every few minutes: the
signal-to-distortion ratio of every left-out song and target, over the whole song. Minutes are those of the processor
that the training takes, without those of scoring, so that what else runs on a machine matters little; the learning rate
falls to a hundredth along a cosine over them. A run that was killed goes on from its last score. `steps` measures the
time of a training step of every row, and `table` makes the table of a page of both. `stems` makes a table of all stems
of what `evaluate-demixer --out` wrote for one demixer or several.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import torch

from datamodules import StemData
from datamodules.stems import read_excerpt
from mixgraph.cli.command_parser import CommandParser
from mixgraph.demixing import Demixer, DemixerLosses, DemixerOptimizer, DemixerTransform, NetworkSettings
from mixgraph.demixing.batches import StemBatch
from mixgraph.demixing.evaluation import DEMIXER, MIX, STEMS
from mixgraph.demixing.scores import song_sdr_db
from mixgraph.demixing.settings import FOUR_TARGETS
from mixgraph.demixing.stem_songs import StemSong
from mixgraph.search.run import quiet_lightning
from mixgraph.songs import write_audio
from mixgraph.synthetic.instruments import INSTRUMENTS, make_sheet, make_track
from mixgraph.system.files import write_atomically
from mixgraph.system.memory import keep_freed_memory
from tools.bench.machine import measured

TRAINING = "python -m tools.bench.demixer train ROW SONGS --left-out SONGS --minutes M --every 5 --seed S --out FOLDER"
SPEEDS = (0.8, 0.9, 1.0, 1.1, 1.25)
NETWORK, LOSSES = NetworkSettings(), DemixerLosses()
PUBLISHED: dict[str, Any] = {
    "architecture": "published",
    "transform": DemixerTransform(raster="ragged", slice_samples=18060),
    "masks": "sigmoid",
    "magnitude_power": 1.0,
    "wiener": "always",
    "optimizer": DemixerOptimizer(learning_rate=1e-3),  # its own
    "losses": DemixerLosses(mask_sum=1.0, waveform=0.0, weighting="blocks"),
}
REALTIME = DemixerTransform("mel", 32, 115.5, slice_samples=2048)

# The steps by which the source went from its first version to its second, each added to the one before, on our network.
# The others are not settings: it has all bands, encoders over all coefficients of a slice, and a complex error, always.
_FIRST: dict[str, Any] = {
    "network": NetworkSettings(width=32, target_width=8, exchange=0),
    "masks": "sigmoid",
    "magnitude_power": 1.0,
    "losses": replace(LOSSES, waveform=0.0),
}
_NOT_DILATED = _FIRST | {"network": replace(_FIRST["network"], dilated=False)}
_WIENER = _NOT_DILATED | {"wiener": "always"}
_LARGER = _WIENER | {"network": replace(NETWORK, exchange=0, dilated=False)}
_MASK_SUM = _LARGER | {"losses": replace(_FIRST["losses"], mask_sum=1.0)}
LADDER: dict[str, dict[str, Any]] = {
    "ladder 1, dilated": _FIRST,
    "ladder 2, no dilation": _NOT_DILATED,
    "ladder 3, Wiener-EM": _WIENER,
    "ladder 4, larger": _LARGER,
    "ladder 5, mask sum": _MASK_SUM,
}

ROWS: dict[str, dict[str, Any]] = {
    "ours": {},
    "published": PUBLISHED,
    "published without Wiener-EM": PUBLISHED | {"wiener": "never"},
    "without waveform loss": {"losses": replace(LOSSES, waveform=0.0)},
    "without exchange": {"network": replace(NETWORK, exchange=0)},
    "sigmoid masks, mask sum": {"masks": "sigmoid", "losses": replace(LOSSES, mask_sum=1.0)},
    "sigmoid masks": {"masks": "sigmoid"},
    "Wiener-EM when separating": {"wiener": "separating"},
    "Wiener-EM in training": {"wiener": "always"},
    "magnitudes as they are": {"magnitude_power": 1.0},
    "causal": {"network": replace(NETWORK, causal=True)},
    "causal, slices of 46 ms": {"network": replace(NETWORK, causal=True, num_layers=5), "transform": REALTIME},
    "linear scale": {"transform": DemixerTransform("linear", 262, 84.0)},
    "mel scale": {"transform": DemixerTransform("mel", 262)},
    **LADDER,
}
"""The settings of a row that differ from the defaults of `Demixer`."""


class TimedTraining(L.Callback):
    """Scores every few minutes, stops when the minutes are over, and lets the learning rate fall until then.

    Args:
        folder: folder for the checkpoint.
        scores: file of JSON lines, to which all runs append.
        about: what every line says of the run.
        songs: songs to score on.
        minutes: length of the training, in minutes of the processor.
        every: minutes between two scores.
        learning_rate: at the start.
    """

    def __init__(
        self,
        folder: Path,
        scores: Path,
        about: dict[str, Any],
        songs: Sequence[StemSong],
        minutes: float,
        every: float,
        learning_rate: float,
    ) -> None:
        self.folder, self.scores, self.about, self.songs = folder, scores, about, songs
        self.minutes, self.every, self.learning_rate = minutes, every, learning_rate
        self.spent, self.lines = 0.0, list[dict[str, Any]]()
        self._mark = 0.0
        self._losses: list[float] = []

    def state_dict(self) -> dict[str, Any]:
        return {"spent": self.spent, "lines": self.lines}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.spent, self.lines = state_dict["spent"], state_dict["lines"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._mark = time.process_time()

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        share = min(1.0, self.spent / (60 * self.minutes))
        rise = min(1.0, (trainer.global_step + 1) / 50)
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = self.learning_rate * rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any) -> None:
        before, self._mark = self._mark, time.process_time()  # what reading the chunk took counts
        self.spent += self._mark - before
        self._losses.append(float(outputs["loss"]))
        due = (len(self.lines) + 1) * self.every
        if self.spent < 60 * min(due, self.minutes):
            return
        assert isinstance(pl_module, Demixer)
        self.lines.append(
            {
                **self.about,
                "minutes": round(self.spent / 60, 3),
                "steps": trainer.global_step,
                "loss": round(statistics.mean(self._losses), 4),
                **scores_of(pl_module, self.songs),
            }
        )
        self._losses = []
        trainer.save_checkpoint(self.folder / "last.ckpt", weights_only=False)
        keep_lines(self.scores, self.about, self.lines)
        line = self.lines[-1]
        sys.stdout.write(f"{line['row']}, seed {line['seed']}: {line['minutes']} min, median {line['median']} dB, ")
        sys.stdout.write(f"loss {line['loss']}, {line['steps']} steps, {line['sdr']}\n")
        sys.stdout.flush()
        self._mark = time.process_time()
        if self.spent >= 60 * self.minutes:
            trainer.should_stop = True


def scores_of(module: Demixer, songs: Sequence[StemSong]) -> dict[str, Any]:
    """Scores whole songs: ratios in dB by song and target, None for silent ones, and the median of all others."""
    ratios: dict[str, dict[str, float | None]] = {}
    for song in songs:
        excerpt = read_excerpt(song)
        estimates = module.separate(excerpt.mix)
        values = [song_sdr_db(true, estimate) for true, estimate in zip(excerpt.targets, estimates, strict=True)]
        ratios[song.name] = {
            target: None if value is None else round(value, 3)
            for target, value in zip(module.targets, values, strict=True)
        }
    every = [value for by_target in ratios.values() for value in by_target.values() if value is not None]
    silent = sum(len(by_target) for by_target in ratios.values()) - len(every)
    return {"median": round(statistics.median(every), 3), "silent": silent, "sdr": ratios}


def keep_lines(file: Path, about: dict[str, Any], lines: Sequence[dict[str, Any]]) -> None:
    """Writes a run's lines to the file that all runs share, in place of those it had there."""
    others = read_lines(file)
    kept = [line for line in others if any(line.get(name) != value for name, value in about.items())]
    write_atomically(file, "".join(f"{json.dumps(line)}\n" for line in (*kept, *lines)).encode())


def read_lines(file: Path) -> list[dict[str, Any]]:
    """Reads a file of JSON lines; none where there is no such file."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def write_synthetic(folder: Path, count: int, seconds: float, sample_rate: int) -> None:
    """Writes songs of synthetic instruments in the plain layout, where they are not there yet. None has vocals."""
    for number in range(count):
        song = folder / f"synthetic_{number}"
        if (song / "mix.wav").is_file():
            continue
        generator = torch.Generator().manual_seed(1000 + number)
        sheet = make_sheet(round(seconds * sample_rate), sample_rate, generator)
        tracks = {instrument.name: make_track(instrument, sheet, generator) for instrument in INSTRUMENTS}
        for name, track in tracks.items():
            write_audio(song / "tracks" / f"{name}.wav", track, sample_rate)
        write_audio(song / "mix.wav", torch.stack(list(tracks.values())).sum(0) / len(tracks), sample_rate)


def songs_of(options: argparse.Namespace, module: Demixer) -> StemData:
    """Prepares the songs that the options name, with synthetic ones beside them, for a demixer."""
    roots, weights = [str(root) for root in options.songs], None
    if options.synthetic:
        write_synthetic(options.out / "synthetic", options.synthetic, 20.0, module.sample_rate)
        roots, weights = [*roots, str(options.out / "synthetic")], [*[3.0 for _ in roots], 1.0]
    data = StemData(
        roots,
        weights=weights,
        left_out=options.left_out,
        batch_size=options.batch_size,
        chunk_seconds=options.chunk_seconds,
        speeds=options.speeds,
        cache_dir=str(options.out / "cache"),
        seed=options.seed,
    )
    data.prepare(module.targets, module.sample_rate)
    return data


def add_song_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that `songs_of` reads, but for the seed and the folder."""
    parser.add_argument("songs", type=Path, nargs="+")
    parser.add_argument("--left-out", nargs="+", required=True)
    parser.add_argument("--synthetic", type=int, default=6, help="synthetic songs to train on beside (%(default)s)")
    parser.add_argument("--speeds", type=float, nargs="+", default=SPEEDS, help="see StemData (%(default)s)")


def settings_of(row: str, changes: str | None) -> dict[str, Any]:
    """Returns the settings of a row, with changes to them, as JSON."""
    settings = dict(ROWS[row])
    for name, value in json.loads(changes or "{}").items():
        default = {"network": NETWORK, "losses": LOSSES, "transform": DemixerTransform()}.get(name)
        settings[name] = value if default is None else replace(settings.get(name, default), **value)
    return settings


def train(options: argparse.Namespace) -> None:
    """Trains one row."""
    about = {"row": options.name or options.row, "seed": options.seed, "budget": options.minutes}
    for line in read_lines(options.out / "scores.jsonl"):
        if line["minutes"] >= options.minutes and all(line[name] == value for name, value in about.items()):
            sys.stdout.write(f"{about['row']}, seed {options.seed}: is done.\n")
            return
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    module = Demixer(**settings_of(options.row, options.change))
    data = songs_of(options, module)
    folder = options.out / f"{about['row'].replace(' ', '_').replace(',', '')}_{options.seed}_{options.minutes:g}"
    folder.mkdir(parents=True, exist_ok=True)
    timed = TimedTraining(
        folder,
        options.out / "scores.jsonl",
        {**about, "parameters": sum(p.numel() for p in module.network.parameters())},
        data.validation_songs,
        options.minutes,
        options.every,
        options.learning_rate or module.optimizer_settings.learning_rate,
    )
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=10**6,
        limit_val_batches=0,
        callbacks=[timed],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    checkpoint = folder / "last.ckpt"
    trainer.fit(module, data, ckpt_path=str(checkpoint) if checkpoint.is_file() else None, weights_only=True)
    # The clone's commit and the machine, for the table.
    write_atomically(folder / "measured.json", json.dumps(measured(TRAINING, 1)).encode())


def steps(options: argparse.Namespace) -> None:
    """Measures the median time of a training step of the rows, and counts their parameters."""
    torch.set_num_threads(1)
    lines = []
    for row in options.rows or ("ours", "published", "published without Wiener-EM"):
        torch.manual_seed(0)
        module = Demixer(**ROWS[row])
        length = round(options.chunk_seconds * module.sample_rate)
        targets = 0.1 * torch.randn(options.batch_size, len(FOUR_TARGETS), 2, length)
        batch = StemBatch(targets, targets.sum(1), ())
        optimizer = torch.optim.AdamW(module.network.parameters())
        times = []
        for _ in range(options.count + 1):
            started = time.process_time()
            module.terms(batch)["loss"].backward()
            optimizer.step()
            optimizer.zero_grad()
            times.append(time.process_time() - started)
        line = {
            "row": row,
            "parameters": sum(p.numel() for p in module.network.parameters()),
            "seconds": round(statistics.median(times[1:]), 3),
            "batch_size": options.batch_size,
            "chunk_seconds": options.chunk_seconds,
        }
        lines.append(line)
        sys.stdout.write(f"{json.dumps(line)}\n")
        sys.stdout.flush()
    options.out.mkdir(parents=True, exist_ok=True)
    write_atomically(options.out / "steps.json", json.dumps(lines, indent=1).encode())


def table(options: argparse.Namespace) -> None:
    """Makes the table of all runs: a line each, in the order of ROWS, longer ones first."""
    runs: dict[tuple[str, float, int], list[dict[str, Any]]] = {}
    for line in read_lines(options.out / "scores.jsonl"):
        runs.setdefault((line["row"], -line["budget"], line["seed"]), []).append(line)
    times = {}
    if (options.out / "steps.json").is_file():
        times = {line["row"]: line["seconds"] for line in json.loads((options.out / "steps.json").read_text())}
    order = {row: place for place, row in enumerate(ROWS)}
    rows = []
    for row, minutes, seed in sorted(runs, key=lambda run: (run[1], order.get(run[0], len(order)), run[2])):
        lines = sorted(runs[row, minutes, seed], key=lambda line: line["minutes"])
        last = lines[-1]
        ratios = [value for by_target in last["sdr"].values() for value in by_target.values() if value is not None]
        rows.append(
            [
                row,
                f"{-minutes:g}" + ("" if last["minutes"] >= -minutes else f" (stopped at {last['minutes']:.0f})"),
                str(seed),
                f"{last['parameters'] / 1e6:.2f}",
                f"{times[row]:.2f}" if row in times else "-",
                str(last["steps"]),
                f"{last['median']:.2f}",
                f"{statistics.fmean(ratios):.2f}",
                ", ".join(f"{line['median']:.1f}" for line in lines),
            ]
        )
    files = sorted(options.out.glob("*/measured.json"))
    known = {json.dumps(json.loads(file.read_text()) | {"command": TRAINING}, sort_keys=True) for file in files}
    last = read_lines(options.out / "scores.jsonl")[-1]
    content = {
        "title": "Demixers trained for equal times",
        "measured": [json.loads(text) for text in sorted(known)],
        "columns": [
            *("row", "minutes", "seed", "parameters (M)", "seconds a step", "steps"),
            *("median SDR (dB)", "mean SDR (dB)", "median SDR on the way (dB)"),
        ],
        "rows": rows,
        "note": (
            f"Median over {sum(map(len, last['sdr'].values()))} targets of {', '.join(last['sdr'])}, which no run was "
            f"trained on, {last['silent']} of them silent and skipped. Minutes are those of one core."
        ),
    }
    write_atomically(options.to, (json.dumps(content, indent=1) + "\n").encode())


def stems(options: argparse.Namespace) -> None:
    """Makes the table of all stems: ratios of each demixer beside those of ideal masks, loudness and leakage.

    Raises:
        ValueError: no NAME=FILE, or reports of other songs or targets than the first one's.
    """
    reports = {}
    for text in options.scores:
        name, sign, file = text.partition("=")
        if not sign:
            raise ValueError(f"scores: NAME=FILE is needed, got {text}")
        reports[name] = json.loads(Path(file).read_text())

    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.1f}"

    first = next(iter(reports.values()))
    names = [song["song"] for song in first["songs"]]
    for name, report in reports.items():
        judged = [song["song"] for song in report["songs"]], report["targets"]
        if judged != (names, first["targets"]):
            raise ValueError(f"scores: songs and targets as in the first report are needed, got others in {name}")
    ideal = [column for column in first["median_db"] if column not in (DEMIXER, MIX)]
    rows = []
    for place, song in enumerate(first["songs"]):
        for target in first["targets"]:
            of = {name: report["songs"][place] for name, report in reports.items()}
            found = {name: theirs["sdr_db"][DEMIXER][target] for name, theirs in of.items()}
            mix, *ceilings = (song["sdr_db"][column][target] for column in (MIX, *ideal))
            heard = [theirs[figure][target] for theirs in of.values() for figure in ("loudness_lu", "leakage_db")]
            rows.append([song["song"], target, *map(shown, (mix, *found.values(), *ceilings, *heard))])
    heads = [f"{name}, {figure}" for name in reports for figure in ("louder by (LU)", "leakage (dB)")]
    content = {
        "title": "Stems of demixers",
        "measured": [measured(f"python -m mixgraph evaluate-demixer CHECKPOINT SONGS --songs {' '.join(names)}", 1)],
        "columns": ["song", "target", MIX, *reports, *ideal, *heads],
        "rows": rows,
        "note": f"{first['measure']}; {STEMS}.",
    }
    write_atomically(options.to, (json.dumps(content, indent=1) + "\n").encode())


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    parser = CommandParser(description="Trains demixers side by side for equal times.")
    commands = parser.add_subparsers(required=True)
    training = commands.add_parser("train")
    training.set_defaults(run=train)
    training.add_argument("row", choices=sorted(ROWS))
    add_song_options(training)
    training.add_argument("--minutes", type=float, default=30.0)
    training.add_argument("--every", type=float, default=5.0)
    training.add_argument("--seed", type=int, default=0)
    training.add_argument("--learning-rate", type=float, help="that of the row's settings if left out")
    training.add_argument("--name", help="of the row in the file of scores")
    training.add_argument("--change", help="settings that differ from the row's, as JSON")
    timing = commands.add_parser("steps")
    timing.set_defaults(run=steps)
    timing.add_argument("--rows", nargs="*", choices=sorted(ROWS))
    timing.add_argument("--count", type=int, default=5)
    tabling = commands.add_parser("table")
    tabling.set_defaults(run=table)
    tabling.add_argument("--to", type=Path, required=True)
    listing = commands.add_parser("stems")
    listing.set_defaults(run=stems)
    listing.add_argument("scores", nargs="+", metavar="NAME=FILE", help="what evaluate-demixer --out wrote")
    listing.add_argument("--to", type=Path, required=True)
    for command in (training, timing, tabling):
        command.add_argument("--out", type=Path, required=True)
        command.add_argument("--batch-size", type=int, default=4)
        command.add_argument("--chunk-seconds", type=float, default=1.5)
    options = parser.parse_args(arguments)
    keep_freed_memory()
    quiet_lightning()
    options.run(options)


if __name__ == "__main__":
    main(sys.argv[1:])
