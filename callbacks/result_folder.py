"""Writes a search to a result folder for each song: complete or absent."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, get_args

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_info

from mixgraph.pruning import SongRecord
from mixgraph.results import CHECKPOINT, CONFIG, CONSOLE, FOUND_AUDIO, PAGE, SEARCH_LOG, TIMINGS
from mixgraph.results.metrics import Metrics
from mixgraph.results.mixes import AudioRate, check_audio_rate, make_mixes
from mixgraph.results.outcome import SearchRun
from mixgraph.results.summary import summarise
from mixgraph.results.write import Spectrograms, write_song
from mixgraph.search.module import ConsoleModule
from mixgraph.songs import Song, write_audio
from mixgraph.songs.describe import describe
from mixgraph.songs.own_rate import own_rate
from mixgraph.system.files import json_text, write_atomically
from mixgraph.system.memory import give_freed_memory_back

from .excerpts import ResultExcerpts, result_excerpts
from .iterative_pruning import find_pruning, searched_songs
from .loggers import log_excerpts, log_pictures, log_rounds
from .result_page import PAGE_BYTES, add_page
from .result_places import ResultPlaces, default_path, how_to_go_on
from .sealed_checkpoints import seal_checkpoints
from .song_outcome import song_outcome
from .stage_lines import StageLines, append_line

_AUDIO_BYTES, _OTHER_BYTES = 6, 2_000_000  # of a result: two files of 24 bits a sample, and the pictures
_LOGGED = ("match/full", "match/lr", "match/mid", "match/side", "gain_staging", "parameter_penalty", "sparsity")


class ResultFolder(L.Callback):
    """Writes the results of a search. Work goes to `PATH.partial`, which becomes `PATH` when the search is done.

    `search.log` in it gets a line at the end of each stage; a search that goes on continues it.

    Several songs have a folder each, `PATH/SONG`. The checkpoint of the search, from the end of its last stage that
    was trained in full, is in the unfinished folder of the first one; the result of a search that was stopped keeps it.

    Args:
        path: the folder of the result; `results/SONG` by default.
        overwrite: replace an existing result, and leftovers of a search that did not end.
        log_every: steps between rows of log.csv; each stage's last step has one, too.
        spectrograms: transform of spectrograms.png: `"stft"`, or `"ragged"`, Bark bands of the sliced constant-Q
            transform, in which low notes are thin lines and clicks are thin columns.
        audio_rate: sample rate of mix_target and mix_found: `"song"`, that of the file of the song's mix, `"search"`,
            or a number of Hz. Losses and pictures are of the rate of the search.
        page: write `report.html`, a page with the graph as a console that can be heard and changed in a browser. It
            takes a few seconds, and 8 to 12 MB for most songs (20 at most), since excerpts of all tracks are in it.
        keep_console: keep `console.ckpt`, the trained console with the state of its optimizer. A search by another
            sampler or tolerance that begins there (`--ckpt_path`) finds what it would find from the start, and the
            console is not trained again.
    """

    def __init__(
        self,
        path: str | None = None,
        overwrite: bool = False,
        log_every: int = 10,
        spectrograms: Literal["stft", "ragged"] = "stft",
        audio_rate: int | Literal["song", "search"] = "song",
        page: bool = True,
        keep_console: bool = False,
    ) -> None:
        if spectrograms not in get_args(Spectrograms):
            raise ValueError(f"spectrograms: one of {', '.join(get_args(Spectrograms))}, got {spectrograms!r}")
        check_audio_rate(audio_rate)
        self.audio_rate, self.page, self.keep_console = audio_rate, page, keep_console
        self.path = None if path is None else Path(path)
        self.overwrite, self.log_every, self.spectrograms = overwrite, log_every, spectrograms
        self.config_text: Callable[[Path], str] = lambda folder: ""  # that is saved in a folder
        self.starts_from: list[Path] = []  # results that the search reads, so that it must not replace them
        self.logs: list[list[dict[str, Any]]] = []
        self.seconds = 0.0
        self._started = 0.0
        self._planned = 0
        self._places = ResultPlaces()
        self._lines = StageLines()

    def folders(self, songs: tuple[Song, ...]) -> list[Path]:
        """Returns the result folder of each song."""
        if self.path is None:
            return [default_path(song) for song in songs]
        return [self.path / song.name for song in songs] if len(songs) > 1 else [self.path]

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage not in ("fit", "predict"):
            return
        songs, self._started = searched_songs(trainer), 0.0
        self._places.hold(self.folders(songs))
        if stage == "predict":
            self._places.check_audio(self.overwrite, getattr(trainer.datamodule, "paths", ()))  # type: ignore[attr-defined]
            return
        self._places.check_start(self.starts_from)
        self.logs, self.seconds = [[] for _ in songs], 0.0
        for song in songs:
            for line in describe(song):
                rank_zero_info(line)
        page_bytes = PAGE_BYTES if self.page else 0
        self._places.check_space(sum(_result_bytes(song, self.audio_rate) + page_bytes for song in songs))

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._places.release()

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        seal_checkpoints(trainer)
        self._places.check(trainer.ckpt_path, self.overwrite)  # known by now, but not in `setup`
        self._places.begin()
        for partial in self._places.partials:
            write_atomically(partial / CONFIG, self.config_text(partial).encode())
        self._places.take_logs(trainer.ckpt_path)
        self._lines.start(trainer)
        self._started = time.perf_counter() - self.seconds

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, ConsoleModule)
        begins = f"goes on after stage {trainer.current_epoch}" if trainer.current_epoch else "begins"
        for song, partial in enumerate(self._places.partials):
            left = sum(pl_module.graph.songs[node] == song for node in pl_module.graph.processors)
            first_line = f"The search {begins}: {trainer.max_epochs} stages, {left} processors"
            append_line(partial / SEARCH_LOG, first_line)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        left = (trainer.max_epochs or 0) - trainer.current_epoch
        self._planned = trainer.global_step + left * int(trainer.num_training_batches)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self.log_every == 0 or batch_idx + 1 == trainer.num_training_batches:
            self._log(trainer, pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, ConsoleModule)
        self._log_once(trainer, pl_module)
        self._log_rounds(trainer, pl_module)
        for song, partial in enumerate(self._places.partials):
            append_line(partial / SEARCH_LOG, self._lines.line(trainer, pl_module, song))
        self._lines.end_stage()
        if trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs:
            return  # a stage that was cut, or one that nothing follows, is none to go on from
        self.seconds = time.perf_counter() - self._started
        checkpoint = self._places.partials[0] / CHECKPOINT
        trainer.save_checkpoint(checkpoint, weights_only=False)  # with the optimizer's state
        pruning = find_pruning(trainer)
        if self.keep_console and pruning and trainer.current_epoch + 1 == pruning.console_stages:
            write_atomically(checkpoint.with_name(CONSOLE), checkpoint.read_bytes())

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, ConsoleModule)
        songs, steps = searched_songs(trainer), trainer.global_step
        give_freed_memory_back()  # of steps and trials, before whole mixes are made
        pruning = find_pruning(trainer)
        records = pruning.songs if pruning else [SongRecord() for _ in songs]
        self.seconds = time.perf_counter() - self._started
        self._log_once(trainer, pl_module)
        folders, partials, stopped = self._places.folders, self._places.partials, trainer.should_stop
        planned, checkpoint = self._planned if stopped else steps, partials[0] / CHECKPOINT
        if stopped and trainer.ckpt_path is not None and not checkpoint.exists():
            write_atomically(checkpoint, Path(trainer.ckpt_path).read_bytes())  # no stage was trained since
        metrics: list[Metrics] = []
        excerpts: list[ResultExcerpts] = []
        for partial, song, record, log in zip(partials, songs, records, self.logs, strict=True):
            run = SearchRun(record, log, steps, planned, pl_module.failure)
            written = write_song(partial, song_outcome(pl_module, song, run), self.spectrograms, self.audio_rate)
            metrics.append(written.metrics)
            excerpts.append(result_excerpts(song, written.found_mix))
            for note in written.notes:
                rank_zero_info(note)
            (partial / PAGE).unlink(missing_ok=True)  # of an earlier end of this search
            if self.page:
                line = add_page(partial, song, written.found_mix)
                append_line(partial / SEARCH_LOG, line)
                rank_zero_info(line)
        for partial, figures in zip(partials, metrics, strict=True):
            loss, left = figures.losses.found.loss["full"], figures.num_processors.found
            ends = "was stopped" if stopped else "is done"
            append_line(
                partial / SEARCH_LOG, f"The search {ends}: match loss of the whole song {loss:.3f}, {left} processors"
            )
        for partial, record in zip(partials, records, strict=True):
            timings = self._timings(record, records, steps) | {"stopped": stopped}
            write_atomically(partial / TIMINGS, json_text(timings, indent=1).encode())
        self._places.publish()
        self._log_result(trainer, metrics, excerpts, pl_module.metric_suffixes())
        for folder, song_metrics in zip(folders, metrics, strict=True):
            rank_zero_info(summarise(folder, song_metrics))
            if (folder / PAGE).exists():
                rank_zero_info(f"To open in a browser: {folder / PAGE}")
        if (folders[0] / CHECKPOINT).exists():
            rank_zero_info(f"To finish the search:\n  {how_to_go_on(folders[0])}")

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        if self._started:
            rank_zero_info(self._places.what_is_left())
        self._places.release()

    def on_predict_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        songs = searched_songs(trainer)
        song, folder = songs[batch_idx], self.folders(songs)[batch_idx]
        assert isinstance(pl_module, ConsoleModule)
        rendered = make_mixes(song_outcome(pl_module, song), outputs, self.audio_rate)
        for note in rendered.notes:
            rank_zero_info(note)
        written = write_audio(folder / "mix_found.flac", rendered.found, rendered.sample_rate)
        for other in (folder / name for name in FOUND_AUDIO if folder / name != written.path):
            other.unlink(missing_ok=True)  # of a prediction that this one replaces
        rank_zero_info(written.warning or f"Rendered to {written.path}.")

    def _log_rounds(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Logs the round of pruning before this stage."""
        assert isinstance(module, ConsoleModule)
        pruning = find_pruning(trainer)
        for record, suffix in zip(pruning.songs if pruning else (), module.metric_suffixes(), strict=False):
            rounds = [row for row in record.trace if row["kind"] == "round"]
            if rounds and rounds[-1]["step"] >= trainer.global_step - int(trainer.num_training_batches):
                log_rounds(trainer.loggers, rounds[-1:], suffix)

    def _log_result(
        self, trainer: L.Trainer, metrics: list[Metrics], excerpts: list[ResultExcerpts], suffixes: list[str]
    ) -> None:
        """Logs the final figures, the pictures and the excerpts at the last step."""
        figures = final_figures(metrics, suffixes)
        for logger in trainer.loggers:
            logger.log_metrics(figures, step=trainer.global_step)
        for folder, song_excerpts, suffix in zip(self._places.folders, excerpts, suffixes, strict=True):
            prefix = f"{suffix.removeprefix('/')}/" if suffix else ""
            log_pictures(trainer.loggers, sorted(folder.glob("*.png")), trainer.global_step, prefix)
            log_excerpts(trainer.loggers, song_excerpts, trainer.global_step, prefix)

    def _log_once(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if not self.logs[0] or self.logs[0][-1]["step"] != trainer.global_step:
            self._log(trainer, module)

    def _log(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Adds a row with a song's logged values to the log of every song."""
        assert isinstance(module, ConsoleModule)
        row = {"step": trainer.global_step, "stage": "prune" if module.prune_phase else "console"}
        logged: dict[str, Any] = {**trainer.callback_metrics, **module.statistics()}
        for log, counts, suffix in zip(self.logs, module.initial_counts, module.metric_suffixes(), strict=True):
            names = [*_LOGGED, *(f"{kind}/{t}" for t in counts for kind in ("weight", "ratio")), "num_processors"]
            log.append(row | {name: float(logged[name + suffix]) for name in names if name + suffix in logged})

    def _timings(self, record: SongRecord, records: list[SongRecord], steps: int) -> dict[str, Any]:
        return {
            "total_seconds": self.seconds,
            "trial_seconds": record.seconds,
            "loss_increase_seconds": record.loss_increase_seconds,
            "training_seconds": self.seconds - sum(r.seconds for r in records),
            "steps": steps,
            "num_songs": len(records),
            "version": version("mixgraph"),
            "num_trials": sum(row["kind"] == "trial" for row in record.trace),
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
        return {"logs": self.logs, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.logs, self.seconds = state_dict["logs"], state_dict["seconds"]


def _result_bytes(song: Song, audio_rate: AudioRate) -> int:
    rates: dict[AudioRate, Callable[[Song], int]] = {"song": own_rate, "search": lambda song: song.sample_rate}
    rate = audio_rate if isinstance(audio_rate, int) else rates[audio_rate](song)
    return round(_AUDIO_BYTES * song.mix.numel() * rate / song.sample_rate) + _OTHER_BYTES


def final_figures(metrics: Sequence[Metrics], suffixes: Sequence[str]) -> dict[str, float]:
    """Returns the figures of a search for a logger: means over the songs, and the figures of each song."""
    losses = [song.losses.found.loss["full"] for song in metrics]
    ratios = [song.pruning_ratio for song in metrics]
    figures = {"search/found_loss": fmean(losses), "search/pruning_ratio": fmean(ratios)}
    for suffix, loss, ratio in zip(suffixes, losses, ratios, strict=True):
        figures |= {f"search/found_loss{suffix}": loss, f"search/pruning_ratio{suffix}": ratio}
    return figures
