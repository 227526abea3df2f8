"""The command line: LightningCLI for fit, validate, test and predict; `render` for found graphs."""

from __future__ import annotations

import argparse
import os
from operator import add
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import set_parsing_settings
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback

from callbacks import IterativePruning, ResultFolder, SearchProgress, TimeBudget
from datamodules import SongData
from mixgraph.found import load_result, render_result
from mixgraph.graph import GraphValues, batch_values
from mixgraph.module import ConsoleModule
from mixgraph.search import TRAINER_DEFAULTS

SEED = 42


class KeepConfig(SaveConfigCallback):
    """Hands the configuration to the result folder, with paths made relative."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **(kwargs | {"save_to_log_dir": False}))

    def save_config(self, trainer: Any, pl_module: Any, stage: str) -> None:
        for callback in trainer.callbacks:
            if isinstance(callback, ResultFolder):
                config = yaml.safe_load(self.parser.dump(self.config, skip_unset=False))
                callback.config_text = yaml.safe_dump(_relative(config), sort_keys=False)


class SearchCLI(LightningCLI):
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

    def before_instantiate_classes(self) -> None:
        os.environ.setdefault("WANDB_SILENT", "true")

    def _prepare(self) -> None:
        self.config_init[self.subcommand]["weights_only"] = True  # a checkpoint is data, never code
        start = self._get(self.config_init, "start")
        if start is not None:
            found = {path: load_result(path) for path in (start if isinstance(start, list) else [start])}
            for path, result in found.items():
                if result.sample_rate != self.model.sample_rate:
                    rates = f"{result.sample_rate} Hz, data.sample_rate is {self.model.sample_rate}"
                    raise ValueError(f"start: {path} was found at {rates}")
            values = batch_values([GraphValues(r.graph, r.parameters, r.weights) for r in found.values()])
            self.model.load(values.graph, values.parameters, values.weights)

    before_fit = before_validate = before_test = before_predict = _prepare


def run(arguments: list[str] | None = None) -> SearchCLI:
    """Parses and runs a Lightning subcommand.

    Args:
        arguments: of the command line; those of the process by default.
    """
    set_parsing_settings(omegaconf_absolute_to_relative_paths=True)
    return SearchCLI(
        ConsoleModule,
        SongData,
        args=arguments,
        seed_everything_default=SEED,
        trainer_defaults=TRAINER_DEFAULTS | {"devices": 1},
        save_config_callback=KeepConfig,
        parser_kwargs={"parser_mode": "omegaconf+"},
        auto_configure_optimizers=False,
    )


def render(arguments: list[str]) -> None:
    """`mixgraph render RESULT --tracks DIR --out FILE`: a found graph on tracks again."""
    parser = argparse.ArgumentParser(prog="mixgraph render", description="Renders a found graph on tracks.")
    parser.add_argument("result", type=Path, help="result folder of a search")
    parser.add_argument("--tracks", type=Path, required=True, help="folder with the tracks, named as in the graph")
    parser.add_argument("--out", type=Path, required=True, help="audio file to write (.flac or .wav)")
    parser.add_argument("--block", type=int, default=1 << 18, help="samples a block; any size gives the same mix")
    options = parser.parse_args(arguments)
    written = render_result(options.result, options.tracks, options.out, options.block)
    parser.exit(0, f"{written}\n")


def _seed(value: bool | int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else SEED


def _relative(value: Any) -> Any:
    if isinstance(value, str) and os.path.isabs(value):
        return os.path.relpath(value)
    if isinstance(value, dict):
        return {key: _relative(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_relative(item) for item in value]
    return value
