"""The command line: LightningCLI for fit, validate, test and predict; `render` for found graphs."""

from __future__ import annotations

import argparse
import difflib
import inspect
import os
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from operator import add
from pathlib import Path
from typing import Any, NoReturn

import soundfile
import yaml
from jsonargparse import set_parsing_settings
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.utilities import rank_zero_info

from callbacks import IterativePruning, ResultFolder, SearchProgress, TimeBudget
from callbacks.iterative_pruning import SongRecord
from callbacks.song_result import summary, write_song
from datamodules import SongData
from mixgraph.checkpoints import check_checkpoint
from mixgraph.config_paths import read_saved_config, saved_config
from mixgraph.estimators import estimate_song, load_estimator
from mixgraph.files import json_text, write_atomically
from mixgraph.found import load_result, render_result
from mixgraph.graph import GraphValues, batch_values
from mixgraph.module import ConsoleModule
from mixgraph.names import uninterpolated, visible
from mixgraph.render import BLOCK, LEAST_BLOCK
from mixgraph.results import CONFIG, RESULT, TIMINGS, HeldPlace, Place
from mixgraph.search import TRAINER_DEFAULTS
from mixgraph.settings import written_out
from mixgraph.songs import load_song

SEED = 42
_PROGRAM = "python -m mixgraph"
_SAVED_BY = "# Settings of a training with mixgraph."
_SAVED = (_SAVED_BY, "# lightning.pytorch==")  # how files begin that trainings wrote
_DESCRIPTION = (
    "Finds mixing graphs: fit, validate, test and predict work on a search of songs (--data.path). Where a "
    "configuration names a class of its own (model.class_path, as configs/estimator.yaml does), they work on that "
    "model and its data instead. Also: render, estimate, validate-shards and rehydrate; see their --help."
)
_RENDER = (
    "Renders a found graph on tracks. A track's file is found by the content that it had in the search, by its name in "
    "the graph and by its file's name; what is not found by name is said. The tracks of the search give a mix as long "
    "as that of the search, others one as long as the longest track; shorter tracks are followed by silence."
)


class OptionParser(LightningArgumentParser):
    """Says what is wrong with options in a line or two: an option that is close, and how to list all of them."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        known = [option for action in self._actions for option in action.option_strings]
        unknown = [word.partition("=")[0] for word in message.split() if word.startswith("--")]
        close = [hint for word in unknown if word not in known for hint in difflib.get_close_matches(word, known, n=2)]
        hint = f"HINT: did you mean {' or '.join(dict.fromkeys(close))}? " if close else ""
        program, told = self.prog.replace(" [options]", ""), message.replace("a typing.Literal", "one of ")
        sys.stderr.write(f"{program}: {told}\n{hint}All options: {program} --help\n")
        sys.exit(2)

    def parse_path(self, path: str | os.PathLike, *args: Any, **kwargs: Any) -> Any:
        config = read_saved_config(Path(path))
        if config is None:
            return super().parse_path(path, *args, **kwargs)
        return self.parse_string(yaml.safe_dump(config, sort_keys=False), os.path.basename(path), *args, **kwargs)


class KeepConfig(SaveConfigCallback):
    """Hands the configuration to the result folder: whole, and as it runs again from any folder."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **(kwargs | {"save_to_log_dir": False}))

    def save_config(self, trainer: Any, pl_module: Any, stage: str) -> None:
        for callback in trainer.callbacks:
            if isinstance(callback, ResultFolder):
                config = written_out(yaml.safe_load(self.parser.dump(self.config, skip_unset=False)))
                config["ckpt_path"] = None  # the whole search is described, wherever it was taken up
                if callback.path is None:
                    songs = trainer.datamodule.songs
                    folders = callback.folders(songs)
                    if len(folders) == 1:
                        config["result"]["path"] = str(folders[0])
                    elif all(folder.name == song.name for folder, song in zip(folders, songs, strict=True)):
                        config["result"]["path"] = str(folders[0].parent)
                callback.config_text = partial(saved_config, config)


class KeepNetworkConfig(SaveConfigCallback):
    """Writes the configuration to where the logger or else the checkpoints go; nowhere where neither does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **(kwargs | {"save_to_log_dir": False}))

    def save_config(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if stage != "fit":
            return  # these are the settings of the training
        if trainer.loggers:
            folder = trainer.log_dir
        elif trainer.checkpoint_callback is not None:
            folder = trainer.checkpoint_callback.dirpath or Path(trainer.default_root_dir) / "checkpoints"
        else:
            return
        path = Path(folder) / self.config_filename
        if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(_SAVED):
            raise FileExistsError(
                f"{path}: exists and is kept, since no training wrote it; name another folder (trainer.logger), or "
                "rename it"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, f"{_SAVED_BY}\n{self.parser.dump(self.config, skip_unset=False)}".encode())


class CheckedCLI(LightningCLI):
    """Checks a checkpoint that is to be loaded before anything is read from it."""

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        super().parse_arguments(parser, args)
        check_checkpoint(self.config[self.config.subcommand].get("ckpt_path"))


class SearchCLI(CheckedCLI):
    """Parser and runner of `python -m mixgraph fit | validate | test | predict`."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_lightning_class_args(IterativePruning, "pruning")
        parser.add_lightning_class_args(SearchProgress, "progress")  # its bars end before the result is named
        parser.add_lightning_class_args(ResultFolder, "result")
        parser.add_lightning_class_args(TimeBudget, "time")
        help_start = "A result folder to start from, or a list of them, one a song."
        parser.add_argument("--start", type=str | list[str] | None, default=None, help=help_start)
        parser.add_argument("--budget", type=str | None, default=None, help="Time to fit the search into: 20m, 1h30m.")
        parser.link_arguments("budget", "time.budget")
        parser.link_arguments("data.sample_rate", "model.sample_rate")
        parser.link_arguments("data.warm_up_seconds", "model.warm_up_seconds")
        parser.link_arguments(("pruning.console_stages", "pruning.rounds"), "trainer.max_epochs", compute_fn=add)
        for target in ("data.seed", "model.seed", "pruning.seed"):
            parser.link_arguments("seed_everything", target, compute_fn=_seed)

    def _set_seed(self) -> None:
        config = self.config[self.subcommand]
        config["seed_everything"] = _seed(config["seed_everything"])
        super()._set_seed()

    def before_instantiate_classes(self) -> None:
        os.environ.setdefault("WANDB_SILENT", "true")

    def _prepare(self) -> None:
        self.config_init[self.subcommand]["weights_only"] = True  # a checkpoint is data, never code
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, TimeBudget):
                callback.start_clock()  # reading the songs counts
        start = self._get(self.config_init, "start")
        if start is not None:
            found = {path: load_result(path) for path in (start if isinstance(start, list) else [start])}
            for path, result in found.items():
                if result.sample_rate != self.model.sample_rate:
                    rates = f"{result.sample_rate} Hz, data.sample_rate is {self.model.sample_rate}"
                    raise ValueError(f"start: {path} was found at {rates}")
                if result.processor_options != self.model.processor_options:
                    raise ValueError(
                        f"start: {path} was found with model.processors={result.processor_options}, got "
                        f"{self.model.processor_options}. HINT: give its own settings, --config {path}/config.yaml"
                    )
            self._check_start(list(found))
            values = batch_values([GraphValues(r.graph, r.parameters, r.weights) for r in found.values()])
            self.model.load(values.graph, values.parameters, values.weights)

    def _check_start(self, paths: list[str]) -> None:
        """Refuses settings of another graph than that which is started from, where they would be without effect."""
        configs = [Path(path) / "config.yaml" for path in paths]
        saved = [yaml.safe_load(file.read_text(encoding="utf-8")) or {} for file in configs if file.is_file()]
        signature = inspect.signature(ConsoleModule).parameters
        for name in ("track_chain", "subgroup_chain", "master_chain", "returns", "sidechains"):
            value = self.model.settings[name]
            known = [signature[name].default, *(config.get("model", {}).get(name) for config in saved)]
            if all((value or None) != (other or None) for other in known):
                raise ValueError(
                    f"model.{name}: the search starts from the graph of {', '.join(paths)}, so that {value!r} would be "
                    "without effect. HINT: leave it out, or start without --start"
                )
        rank_zero_info(
            f"Starting from the graph of {', '.join(paths)}: chains, returns and sidechains are those of the graph."
        )

    before_fit = before_validate = before_test = before_predict = _prepare


class NetworkCLI(CheckedCLI):
    """Parser and runner of the same subcommands for a model and data that the configuration names by class."""

    def _prepare(self) -> None:
        self.config_init[self.subcommand]["weights_only"] = True

    before_fit = before_validate = before_test = before_predict = _prepare


def names_classes(arguments: Sequence[str]) -> bool:
    """Whether a command line is of a model that is named by its class, on the command line or in a configuration."""
    for i, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        if name in ("--model", "--model.class_path"):
            return True
        if name in ("--config", "-c"):
            path = Path(value or (arguments[i + 1] if i + 1 < len(arguments) else ""))
            found = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
            model = found.get("model") if isinstance(found, dict) else None
            if isinstance(model, dict) and "class_path" in model:
                return True
    return False


def run(arguments: list[str] | None = None) -> LightningCLI:
    """Parses and runs a Lightning subcommand: of a search, or of the classes that the configuration names.

    Args:
        arguments: of the command line; those of the process by default.
    """
    set_parsing_settings(omegaconf_absolute_to_relative_paths=True)
    arguments = [_with_literal_path(argument) for argument in (sys.argv[1:] if arguments is None else arguments)]
    if names_classes(arguments):
        return NetworkCLI(
            args=arguments,
            subclass_mode_model=True,
            subclass_mode_data=True,
            parser_class=OptionParser,
            seed_everything_default=SEED,
            save_config_callback=KeepNetworkConfig,
            parser_kwargs={"parser_mode": "omegaconf+", "description": _DESCRIPTION, "prog": _PROGRAM},
            auto_configure_optimizers=False,
        )
    return SearchCLI(
        ConsoleModule,
        SongData,
        args=arguments,
        parser_class=OptionParser,
        seed_everything_default=SEED,
        trainer_defaults=TRAINER_DEFAULTS | {"devices": 1},
        save_config_callback=KeepConfig,
        parser_kwargs={"parser_mode": "omegaconf+", "description": _DESCRIPTION, "prog": _PROGRAM},
        auto_configure_optimizers=False,
    )


def render(arguments: list[str]) -> None:
    """`mixgraph render RESULT --tracks DIR --out FILE`: a found graph on tracks again."""
    parser = argparse.ArgumentParser(prog="mixgraph render", description=_RENDER)
    parser.add_argument("result", type=Path, help="result folder of a search")
    parser.add_argument("--tracks", type=Path, required=True, help="folder of a song, or of its tracks alone")
    parser.add_argument("--out", type=Path, required=True, help="audio file to write (.flac or .wav)")
    parser.add_argument(
        "--block", type=int, default=BLOCK, help=f"samples a block, {LEAST_BLOCK} or more; any size gives the same mix"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    options = parser.parse_args(arguments)
    rendering = render_result(options.result, options.tracks, options.out, options.block, options.overwrite)
    written, about = rendering.written, soundfile.info(str(rendering.written.path))
    told = f"{written.path}: {about.duration:.1f} s at {about.samplerate} Hz, at which the graph was found"
    lines = [*rendering.notes, *([written.warning] if written.warning else []), told]
    parser.exit(0, "".join(f"{visible(line)}\n" for line in lines))


def estimate(arguments: list[str]) -> None:
    """`mixgraph estimate CHECKPOINT SONG --out DIR`: a graph from a trained estimator, as a result folder."""
    parser = argparse.ArgumentParser(
        prog="mixgraph estimate",
        description="Predicts a song's graph without a search. `fit --config DIR/config.yaml` searches on from it.",
    )
    parser.add_argument("checkpoint", type=Path, help="of an estimator (fit --config configs/estimator.yaml)")
    parser.add_argument("song", type=Path, help="folder of the song")
    parser.add_argument("--out", type=Path, required=True, help="result folder to write")
    parser.add_argument("--threshold", type=float, help="on the probability of keeping a processor, 0 to 1")
    parser.add_argument("--layout", default="auto", help="of the song's folder")
    parser.add_argument("--subgrouping", default="auto", help="auto, rule or one_per_track")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing result")
    options = parser.parse_args(arguments)
    place = Place(options.out, RESULT, "out", "choose another folder or give --overwrite")
    with place.held() as held:
        held.check(options.overwrite)
        metrics = _estimate(options, held)
    config = shlex.quote(os.path.abspath(options.out / CONFIG))
    on = f"To search on from it:\n  {_PROGRAM} fit --config {config}\n"
    parser.exit(0, f"{summary(options.out, metrics)}\n{on}")


def _estimate(options: argparse.Namespace, place: HeldPlace) -> dict[str, Any]:
    """Predicts, and publishes the result; returns its metrics."""
    estimator = load_estimator(options.checkpoint)
    song = load_song(options.song, estimator.task.sample_rate, layout=options.layout, subgrouping=options.subgrouping)
    prediction = estimate_song(estimator, song, threshold=options.threshold)
    module = ConsoleModule(sample_rate=song.sample_rate)
    found = prediction.graph
    module.load(found.graph, found.parameters, found.weights)
    module.initial_counts = [prediction.console.graph.count()]
    work = place.new_work()
    try:
        metrics = write_song(work, module, song, SongRecord(), [{"step": 0, "stage": "console"}], steps=0)
        write_atomically(work / CONFIG, _config_of_estimate(options, song.sample_rate).encode())
        write_atomically(work / TIMINGS, json_text({"steps": 0}, indent=1).encode())
        place.publish(work, options.overwrite)
    finally:
        place.discard(work)
    return metrics


def _config_of_estimate(options: argparse.Namespace, sample_rate: int) -> str:
    """The settings of a search that starts from an estimate: its delays are near the true ones, so they must move."""
    data = {
        "path": str(options.song),
        "sample_rate": sample_rate,
        "layout": options.layout,
        "subgrouping": options.subgrouping,
    }
    settings = {"start": str(options.out), "data": data, "model": {"initial_values": "drawn"}}
    return f"# Predicted by {options.checkpoint.name}.\n{saved_config(settings, options.out)}"


def _seed(value: bool | int) -> int:
    """The seed of a search, which has one whatever is asked for."""
    return value if isinstance(value, int) and not isinstance(value, bool) else SEED


def _with_literal_path(argument: str) -> str:
    """An argument in which the path of a file or folder that exists, as `songs/${x}`, is taken as it is."""
    option, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    return f"{option}{equals}{uninterpolated(value) if os.path.exists(value) else value}"
