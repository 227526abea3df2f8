"""Trains a console by configs/reference.yaml and prints its loss by the reference's protocol at given steps.

The reference's own curves, to compare with, were measured with its code on two songs: match loss over the prediction's
norm, 3.8 s clips from silence, first second dropped.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import lightning as L
import yaml

from datamodules import SongData
from mixgraph.search import search
from mixgraph.search.module import ConsoleModule
from mixgraph.search.settings import LossSettings, OptimizerSettings, RegularizerSettings
from mixgraph.system.memory import keep_freed_memory


class Curve(L.Callback):
    """Measures the module at given steps."""

    def __init__(self, steps: list[int]) -> None:
        self.steps = steps
        self.rows: list[dict[str, float]] = []

    def _measure(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.global_step in self.steps and isinstance(module, ConsoleModule):
            song = trainer.datamodule.song  # type: ignore[attr-defined]
            score = module.paper_score(song)
            self.rows.append({"step": trainer.global_step} | score.loss_prediction)
            sys.stdout.write(json.dumps(self.rows[-1]) + "\n")
            sys.stdout.flush()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._measure(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._measure(trainer, pl_module)


def main() -> None:
    """Reads the arguments, trains, prints one JSON line a measured step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("song", type=Path, help="folder of the song")
    parser.add_argument("--steps", type=int, nargs="+", default=[0, 100, 250, 500, 750, 1000])
    parser.add_argument("--seed", type=int, default=42)
    options = parser.parse_args()
    keep_freed_memory()
    config = yaml.safe_load((Path(__file__).parent.parent / "configs" / "reference.yaml").read_text())
    made = {"loss": LossSettings, "regularizers": RegularizerSettings, "optimizer": OptimizerSettings}
    settings = {key: made[key](**value) if key in made else value for key, value in config["model"].items()}
    module = ConsoleModule(**settings, seed=options.seed)
    stage = config["data"].pop("steps_per_stage")
    last = max(options.steps)
    data = SongData(str(options.song), steps_per_stage=min(stage, last), seed=options.seed, **config["data"])
    search(
        module, data, [Curve(options.steps)], -(-last // min(stage, last)), max_steps=last, enable_progress_bar=False
    )


if __name__ == "__main__":
    main()
