"""Writes a search to a result folder: complete or absent."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import platform
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from callbacks.iterative_pruning import IterativePruning
from mixgraph.graph.draw import save_drawing
from mixgraph.graph.io import save_graph, save_parameters
from mixgraph.module import ConsoleModule
from mixgraph.report.figures import save_figure
from mixgraph.report.progress import progress_figure
from mixgraph.report.spectrograms import spectrogram_figure
from mixgraph.songs import Song, write_audio
from mixgraph.songs.align import MIN_CONFIDENCE

CHECKPOINT = "stage.ckpt"
FILES = (
    "graph.json, parameters.safetensors, metrics.json, timings.json, trace.jsonl, config.yaml, log.csv, "
    "mix_target, mix_found, graph.svg, graph.png, spectrograms.png, progress.png"
)


class ResultFolder(L.Callback):
    """Keeps what a search finds. Work goes to `PATH.partial`, which becomes `PATH` when the search is done.

    Args:
        path: of the result; `results/SONG` by default.
        overwrite: replace an existing result, and leftovers of a search that did not end.
        log_every: steps between rows of log.csv.
    """

    def __init__(self, path: str | None = None, overwrite: bool = False, log_every: int = 10) -> None:
        self.path = None if path is None else Path(path)
        self.overwrite, self.log_every = overwrite, log_every
        self.config_text = ""
        self.records: list[dict[str, Any]] = []
        self.seconds = 0.0
        self._started = 0.0
        self._resumed = False

    @property
    def partial(self) -> Path:
        assert self.path is not None
        return self.path.with_name(self.path.name + ".partial")

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        song: Song = trainer.datamodule.song  # type: ignore[attr-defined]
        self.path = self.path or default_path(song)
        if self.path.exists() and not self.overwrite:
            raise FileExistsError(
                f"result.path: {self.path} exists and is kept; choose another path or set --result.overwrite=true"
            )
        for line in describe(song):
            rank_zero_info(line)

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.partial.exists() and not self._resumed:
            if not self.overwrite and (self.partial / CHECKPOINT).exists():
                raise FileExistsError(
                    f"result.path: {self.partial} holds a search that did not end; go on with "
                    f"--ckpt_path {self.partial / CHECKPOINT}, or set --result.overwrite=true"
                )
            shutil.rmtree(self.partial)
        self.partial.mkdir(parents=True, exist_ok=True)
        self._started = time.perf_counter() - self.seconds

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self.log_every == 0:
            self._record(trainer, pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.seconds = time.perf_counter() - self._started
        temporary = self.partial / (CHECKPOINT + ".tmp")
        trainer.save_checkpoint(temporary, weights_only=False)  # with the optimizer's state
        os.replace(temporary, self.partial / CHECKPOINT)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, ConsoleModule)
        pruning = next((c for c in trainer.callbacks if isinstance(c, IterativePruning)), None)  # type: ignore[attr-defined]
        song: Song = trainer.datamodule.song  # type: ignore[attr-defined]
        self.seconds = time.perf_counter() - self._started
        if not self.records or self.records[-1]["step"] != trainer.global_step:
            self._record(trainer, pl_module)
        metrics = self._write(pl_module, song, pruning, trainer.global_step)
        (self.partial / CHECKPOINT).unlink(missing_ok=True)
        assert self.path is not None
        replaced = self.path.with_name(self.path.name + ".replaced")
        if self.path.exists():
            os.replace(self.path, replaced)
        os.replace(self.partial, self.path)
        if replaced.exists():
            shutil.rmtree(replaced)
        for logger in trainer.loggers:
            found = metrics["losses"]["found"]["loss"]["full"]
            logger.log_metrics({"search/found_loss": found, "search/pruning_ratio": metrics["pruning_ratio"]})
        rank_zero_info(summary(self.path, metrics))

    def on_predict_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        song: Song = trainer.datamodule.song  # type: ignore[attr-defined]
        folder = self.path or default_path(song)
        written = write_audio(folder / "mix_found.flac", outputs / song.level, song.sample_rate)
        rank_zero_info(written.warning or f"Rendered to {written.path}.")

    def _record(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, ConsoleModule)
        row: dict[str, Any] = {"step": trainer.global_step, "stage": "prune" if module.prune_phase else "console"}
        names = ("match/full", "match/lr", "match/mid", "match/side", "gain_staging", "delay_radius", "sparsity")
        row |= {name: float(trainer.callback_metrics[name]) for name in names if name in trainer.callback_metrics}
        self.records.append(row | module.statistics())

    def _write(self, module: ConsoleModule, song: Song, pruning: IterativePruning | None, steps: int) -> dict[str, Any]:
        folder = self.partial
        found = module.render(song)
        metrics = measure(module, song, found, pruning, steps)
        increases = pruning.loss_increases if pruning else None
        weights = module.weights.detach().cpu()
        save_graph(
            folder / "graph.json",
            module.graph,
            weights,
            loss_increases=_known(increases),
            sample_rate=module.sample_rate,
            processor_options=module.processor_options,
        )
        save_parameters(folder / "parameters.safetensors", module.parameters_by_type(), weights)
        write_text(folder / "metrics.json", to_json(metrics, indent=1))
        write_text(folder / "timings.json", to_json(self._timings(pruning, steps), indent=1))
        rows = pruning.trace if pruning else []
        write_text(folder / "trace.jsonl", "".join(to_json(row) + "\n" for row in rows))
        write_text(folder / "config.yaml", self.config_text)
        write_text(folder / "log.csv", to_csv(self.records))
        for name, audio in (("mix_target", song.mix), ("mix_found", found)):
            written = write_audio(folder / f"{name}.flac", audio / song.level, song.sample_rate)
            if written.warning:
                rank_zero_info(written.warning)
        title = song.title or song.name
        for name in ("graph.svg", "graph.png"):
            save_drawing(folder / name, module.graph, weights, title=title)
        candidates: dict[str, Tensor] = {"dry sum": song.sources.sum(dim=0), "found": found}
        save_figure(spectrogram_figure(song.mix, candidates, song.sample_rate), folder / "spectrograms.png")
        save_figure(progress_figure(self.records), folder / "progress.png")
        return metrics

    def _timings(self, pruning: IterativePruning | None, steps: int) -> dict[str, Any]:
        trials = pruning.trial_seconds if pruning else 0.0
        return {
            "total_seconds": self.seconds,
            "trial_seconds": trials,
            "training_seconds": self.seconds - trials,
            "steps": steps,
            "num_trials": sum(row["kind"] == "trial" for row in pruning.trace) if pruning else 0,
            "machine": {
                "system": platform.system(),
                "processor": platform.machine(),
                "cores": os.cpu_count(),
                "threads": torch.get_num_threads(),
                "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
                "torch": torch.__version__,
            },
        }

    def state_dict(self) -> dict[str, Any]:
        return {"records": self.records, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.records, self.seconds = state_dict["records"], state_dict["seconds"]
        self._resumed = True


def describe(song: Song) -> list[str]:
    """What was read, for a person: tracks, offsets and polarities against the mix, warnings."""
    seconds = song.num_samples / song.sample_rate
    lines = [f"{song.title or song.name}: {len(song.tracks)} tracks, {len(song.subgroups)} subgroups, {seconds:.1f} s"]
    for track in song.alignment:
        if track.confidence < MIN_CONFIDENCE:
            lines.append(f"  {track.track}: no clear offset against the mix (confidence {track.confidence:.2f})")
            continue
        sign = ", polarity flipped" if track.polarity < 0 else ""
        applied = ", applied" if track.applied else ""
        estimate = f"{track.offset_samples:+d} samples{sign} against the mix"
        lines.append(f"  {track.track}: {estimate} (confidence {track.confidence:.2f}{applied})")
    return lines + [f"  warning: {warning}" for warning in song.warnings]


def default_path(song: Song) -> Path:
    """`results/SONG`, or, in a wandb sweep, `results/SONG_RUN`, so that its runs do not collide."""
    run = os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None
    return Path("results") / (f"{song.name}_{run}" if run else song.name)


def _known(increases: list[float | None] | None) -> Tensor | None:
    """Loss increases where all of them were measured (an interrupted search has only some)."""
    if increases is None or None in increases:
        return None
    return torch.tensor(increases, dtype=torch.float64)


def measure(
    module: ConsoleModule, song: Song, found: Tensor, pruning: IterativePruning | None, steps: int
) -> dict[str, Any]:
    """The figures of a result: losses before and after pruning beside the dry sum, ratios, what was read."""
    target = module.target(song)
    score = target.score(found)
    console = pruning.console_score if pruning and pruning.console_score else score
    counts = module.graph.count()
    initial, left = sum(module.initial_counts.values()), len(module.graph.processors)
    return {
        "song": {"name": song.name, "title": song.title, "licence": song.licence},
        "sample_rate": song.sample_rate,
        "num_samples": song.num_samples,
        "level": song.level,
        "tracks": [
            {"name": name, "start_sample": start, "polarity": polarity, "mono": mono}
            for name, (start, polarity), mono in zip(song.tracks, song.placements, song.mono, strict=True)
        ],
        "alignment": [asdict(track) for track in song.alignment],
        "warnings": list(song.warnings),
        "steps": steps,
        "losses": {
            "dry_sum": asdict(target.score(song.sources.sum(dim=0))),
            "console": asdict(console),
            "found": asdict(score),
        },
        "num_processors": {"console": initial, "found": left},
        "pruning_ratio": 1 - left / initial if initial else 0.0,
        "pruning_ratio_by_type": {t: 1 - counts.get(t, 0) / n for t, n in module.initial_counts.items()},
        "num_processors_by_type": {t: counts.get(t, 0) for t in module.initial_counts},
    }


def summary(path: Path, metrics: dict[str, Any]) -> str:
    """The few figures that matter, for a person."""
    losses = metrics["losses"]
    full = {name: losses[name]["loss"]["full"] for name in losses}
    count = metrics["num_processors"]
    return (
        f"Match loss: dry sum {full['dry_sum']:.3f}, console {full['console']:.3f}, found graph {full['found']:.3f}.\n"
        f"Processors: {count['found']} of {count['console']} left ({metrics['pruning_ratio']:.0%} pruned).\n"
        f"Result in {path}: {FILES}."
    )


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON in which numbers that JSON lacks (NaN, infinity) are null."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def to_csv(records: list[dict[str, Any]]) -> str:
    """Rows with all columns that any of them has."""
    buffer = io.StringIO()
    columns = list(dict.fromkeys(name for row in records for name in row))
    writer = csv.DictWriter(buffer, columns)
    writer.writeheader()
    writer.writerows(records)
    return buffer.getvalue()


def write_text(path: Path, text: str) -> None:
    """Writes a file under a temporary name, then renames it."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
