"""The subcommands of a search: their options, the links between options, and the settings that a result keeps."""

from __future__ import annotations

import inspect
import os
from functools import partial
from operator import add
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback
from lightning.pytorch.utilities import rank_zero_info

from callbacks import IterativePruning, ResultFolder, SearchProgress, TimeBudget
from callbacks.loggers import log_settings
from datamodules import BlindData
from datamodules.blind import rate_of_mix
from mixgraph.cli.config_paths import saved_config
from mixgraph.cli.options import CheckedCLI
from mixgraph.graph import GraphValues, batch_values
from mixgraph.names import shown_value
from mixgraph.pruning import ORDERS, SAMPLERS
from mixgraph.results.found_graph import load_result
from mixgraph.search.checks import check_data, check_estimator_file, check_trainer
from mixgraph.search.module import ConsoleModule
from mixgraph.search.settings import with_defaults
from mixgraph.songs.own_rate import resolve_rate
from mixgraph.system.files import parse_yaml, read_text

SEED = 42
DEFAULT_RATE = 30000


class KeepConfig(SaveConfigCallback):
    """Gives the result folder the whole configuration, with paths that are valid from any folder."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **(kwargs | {"save_to_log_dir": False}))

    def save_config(self, trainer: Any, pl_module: Any, stage: str) -> None:
        for callback in trainer.callbacks:
            if isinstance(callback, ResultFolder):
                config = with_defaults(yaml.safe_load(self.parser.dump(self.config, skip_unset=False)))
                config["ckpt_path"] = None  # the configuration describes the whole search, also after it was resumed
                if callback.path is None:
                    songs = trainer.datamodule.songs
                    folders = callback.folders(songs)
                    if len(folders) == 1:
                        config["result"]["path"] = str(folders[0])
                    elif all(folder.name == song.name for folder, song in zip(folders, songs, strict=True)):
                        config["result"]["path"] = str(folders[0].parent)
                if isinstance(trainer.datamodule, BlindData):
                    config["data"] = trainer.datamodule.settings_of_song()  # it has been written, and is read as any
                callback.config_text = partial(saved_config, config)
                if stage == "fit":
                    log_settings(trainer.loggers, config)


class SearchCLI(CheckedCLI):
    """Parser and runner of `python -m mixgraph fit | validate | test | predict`."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_lightning_class_args(IterativePruning, "pruning")
        parser.add_lightning_class_args(SearchProgress, "progress")  # its bars end before the result folder is printed
        parser.add_lightning_class_args(ResultFolder, "result")
        parser.add_lightning_class_args(TimeBudget, "time")
        help_start = "A result folder to start from, or a list of them, one a song."
        parser.add_argument("--start", type=str | list[str] | None, default=None, help=help_start)
        parser.add_argument("--budget", type=str | None, default=None, help="Time to fit the search into: 20m, 1h30m.")
        # The settings of a class that `class_path` names are one level deeper.
        model = "model.init_args" if self.subclass_mode_model else "model"
        data = "data.init_args" if self.subclass_mode_data else "data"
        parser.link_arguments("budget", "time.budget")
        parser.link_arguments(f"{data}.sample_rate", f"{model}.sample_rate", compute_fn=_model_rate)
        parser.link_arguments(f"{data}.warm_up_seconds", f"{model}.warm_up_seconds")
        parser.link_arguments(("pruning.console_stages", "pruning.rounds"), "trainer.max_epochs", compute_fn=add)
        for target in (f"{data}.seed", f"{model}.seed", "pruning.seed"):
            parser.link_arguments("seed_everything", target, compute_fn=_seed)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Reports unregistered names (of processors, samplers and the like) as errors; puts in the song's rate."""
        super().parse_arguments(parser, args)
        subcommand = self.config.get("subcommand")
        config = self.config if subcommand is None else self.config[subcommand]
        _put_in_rate(config)
        pruning = config["pruning"]
        for name, registry in (("sampler", SAMPLERS), ("order", ORDERS)):
            try:
                registry.find(pruning[name])
            except ValueError as error:
                self._parser(subcommand).error(f"pruning.{error}")

    def _set_seed(self) -> None:
        config = self.config if self.subcommand is None else self.config[self.subcommand]
        config["seed_everything"] = _seed(config["seed_everything"])
        super()._set_seed()

    def before_instantiate_classes(self) -> None:
        os.environ.setdefault("WANDB_SILENT", "true")
        trainer = self._get(self.config, "trainer")
        if any(_is_checkpointing(callback) for callback in trainer["callbacks"] or ()):
            trainer["enable_checkpointing"] = True  # the default is false, for the result folder keeps a search's own
        for name, off in (("max_steps", -1), ("fast_dev_run", False)):
            if self.subcommand == "fit" and (value := trainer[name]) != off:
                raise ValueError(
                    f"trainer.{name}: {off} is needed, got {value}: a search that it cuts would pass for a whole one. "
                    "HINT: data.steps_per_stage, pruning.console_stages and pruning.rounds, or --budget"
                )

    def _prepare(self) -> None:
        self.config_init[self.subcommand]["weights_only"] = True  # a checkpoint is data, never code
        check_data(self.datamodule, trains=self.subcommand == "fit")
        check_trainer(self.trainer)  # before the songs are read, and before other processes start
        if self.subcommand == "fit" and self._get(self.config_init, "ckpt_path") is None:
            check_estimator_file(self.model.estimated_checkpoint)
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, TimeBudget):
                callback.start_clock()  # the time to read the songs counts
        start = self._get(self.config_init, "start")
        if start is not None:
            results = {path: load_result(path) for path in (start if isinstance(start, list) else [start])}
            for path, result in results.items():
                if result.sample_rate != self.model.sample_rate:
                    rates = f"{result.sample_rate} Hz, data.sample_rate is {self.model.sample_rate}"
                    raise ValueError(f"start: {path} was found at {rates}")
                if result.processor_options != self.model.processor_options:
                    raise ValueError(
                        f"start: {path} was found with model.processors={result.processor_options}, got "
                        f"{self.model.processor_options}. HINT: give its own settings, --config {path}/config.yaml"
                    )
            self._check_start(list(results))
            for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, ResultFolder):
                    callback.starts_from = [Path(path) for path in results]
            values = batch_values([GraphValues(r.graph, r.parameters, r.weights) for r in results.values()])
            self.model.load(values.graph, values.parameters, values.weights)

    def _check_start(self, paths: list[str]) -> None:
        """Refuses settings of a console that have no effect because the search starts from another graph."""
        saved = [_saved_settings(Path(path) / "config.yaml") for path in paths]
        signature = inspect.signature(ConsoleModule).parameters
        names = "track_chain", "subgroup_chain", "master_chain", "returns", "sidechains", "single_track_subgroups"
        for name in names:
            value = self.model.settings[name]
            allowed_values = [signature[name].default, *(_model_settings(config).get(name) for config in saved)]
            if all((value or None) != (other or None) for other in allowed_values):
                raise ValueError(
                    f"model.{name}: the search starts from the graph of {', '.join(paths)}, so that {value!r} would be "
                    "without effect. HINT: leave it out, or start without --start"
                )
        rank_zero_info(
            f"Starting from the graph of {', '.join(paths)}: chains, returns and sidechains are those of the graph."
        )

    before_validate = before_test = before_predict = _prepare

    def before_fit(self) -> None:
        self._prepare()
        for callback in self.trainer.checkpoint_callbacks:
            # Lightning would wait for a validation, which a search does not have.
            if isinstance(callback, ModelCheckpoint) and callback._save_on_train_epoch_end is None:
                callback._save_on_train_epoch_end = True


def _saved_settings(file: Path) -> dict[str, Any]:
    """The settings of a search to start from; none where the graph was saved without them."""
    if not file.is_file():
        return {}
    try:
        settings = parse_yaml(read_text(file)) or {}
    except ValueError as error:
        raise ValueError(f"start: {file}: YAML is needed ({error})") from error
    if not isinstance(settings, dict):
        raise ValueError(f"start: {file}: a YAML mapping is needed, got {shown_value(settings)}")
    return settings


def _model_rate(sample_rate: Any) -> Any:
    """The rate of the console for that of the data, until the song's own is put in."""
    return DEFAULT_RATE if sample_rate == "song" else sample_rate


def _put_in_rate(config: Any) -> None:
    """Puts the rate of the song's mix in place of `data.sample_rate: song`, so that all that follows has a number."""
    data, model = (config[group].get("init_args", config[group]) for group in ("data", "model"))
    if data.get("sample_rate") != "song":
        return
    path = data.get("path")
    if path is None:
        raise ValueError("data.sample_rate: song is the rate of a song's mix, got no path of a song; give Hz")
    if str(config["data"].get("class_path", "")).endswith(BlindData.__name__):
        rate = data["sample_rate"] = model["sample_rate"] = rate_of_mix(path)
        rank_zero_info(f"Sample rate of the search: {rate} Hz, that of the mix.")
        return
    paths = path if isinstance(path, list) else [path]
    rate, notes = resolve_rate("song", paths, data.get("layout", "auto"), data.get("mix"))
    data["sample_rate"] = model["sample_rate"] = rate
    for note in notes:
        rank_zero_info(note)


def _is_checkpointing(callback: Any) -> bool:
    return str(callback.get("class_path", "")).endswith("ModelCheckpoint")


def _model_settings(config: dict[str, Any]) -> dict[str, Any]:
    """The console's settings in a saved configuration, also where the console is a class of the user's."""
    model = config.get("model")
    if not isinstance(model, dict):
        return {}
    settings = model.get("init_args", model)
    return settings if isinstance(settings, dict) else {}


def _seed(value: bool | int) -> int:
    """The seed of a search, which always has one."""
    return value if isinstance(value, int) and not isinstance(value, bool) else SEED
