"""Trains the estimator that comes with mixgraph, and writes its weights and their card.

    python -m tools.train_shipped_estimator ev3_francium k8_synthetic --out results/shipped_estimator

SONGS are folders of songs whose licence allows it (those that were used are CC0); tracks made from formulas are added.
Half of the mixes are made by our own processors, half by the effects of `mixgraph.effects`. Everything follows from the
seeds. Run again, it goes on where it was stopped: finished parts of the data set are kept, and so are epochs.

What is in OUT: `data/` (parts of the set, as shards with audio), `last.ckpt`, and `estimator.safetensors` with
`estimator.md`, its card, which are copied to `mixgraph/estimators/weights/` when they are to be shipped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import lightning as L
import torch

from mixgraph.estimators import EstimatorData, EstimatorModule
from mixgraph.estimators.settings import EstimatorTask, NetworkSettings
from mixgraph.search.run import quiet_lightning
from tools.generate_synthetic import main as generate_synthetic

SET = {
    "--seconds": 6,
    "--min-tracks": 2,
    "--max-tracks": 12,
    "--least-increase": -1,
    "--effects-share": 0.5,
    "--one-song-share": 0.4,
    "--random-subgroups": 0.3,
    "--instrument-songs": 6,
    "--level-db": 6,
    "--bleed-share": 0.15,
    "--noise-share": 0.3,
    "--fade-share": 0.1,
    "--corpus-seed": 0,
}
"""The options of `tools.generate_synthetic` that all parts share."""
HELD_OUT = {"validation": 100_000, "test": 200_000}
"""Split -> the seed of its part."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path, nargs="*", help="folders of songs")
    parser.add_argument("--out", type=Path, required=True, help="folder of data, checkpoints and weights")
    parser.add_argument("--parts", type=int, default=20, help="parts of the training set (20)")
    parser.add_argument("--part-songs", type=int, default=50, help="songs of a part (50)")
    parser.add_argument("--validation", type=int, default=80, help="songs that choose the threshold (80)")
    parser.add_argument("--test", type=int, default=80, help="songs for tools.evaluate_estimator (80)")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the training")
    parser.add_argument("--only-data", action="store_true", help="make the data set, and train nothing")
    return parser.parse_args(arguments)


def make_part(options: argparse.Namespace, name: str, split: str, count: int, seed: int) -> Path:
    """Makes a part of the data set unless it is there; its card is written last."""
    out: Path = options.out / "data" / name
    if not (out / "README.md").is_file():
        counts = {"train": 0, "validation": 0, "test": 0} | {split: count}
        settings = SET | {f"--{name}": number for name, number in counts.items()} | {"--seed": seed}
        arguments = [text for option, value in settings.items() for text in (option, str(value))]
        cache = options.out / "cache"
        generate_synthetic([*map(str, options.songs), "--out", str(out), "--cache-dir", str(cache), *arguments])
    return out


def make_data(options: argparse.Namespace, task: EstimatorTask) -> EstimatorData:
    """Makes all parts and their features, part by part."""
    parts = [make_part(options, split, split, getattr(options, split), seed) for split, seed in HELD_OUT.items()]
    for number in range(options.parts):
        part = make_part(options, f"part_{number:03d}", "train", options.part_songs, number)
        parts.append(part)
        _data(options, [parts[0], part]).prepare(task)
    return _data(options, parts)


def _data(options: argparse.Namespace, parts: list[Path]) -> EstimatorData:
    cache = str(options.out / "cache")
    return EstimatorData([str(part) for part in parts], max_segments=1, cache_dir=cache, cache_workers=1)


def train(options: argparse.Namespace, data: EstimatorData, task: EstimatorTask) -> EstimatorModule:
    """Trains, or goes on from the last epoch."""
    L.seed_everything(options.seed, verbose=False)
    module = EstimatorModule(task, NetworkSettings())
    last = options.out / "last.ckpt"

    class KeepLast(L.Callback):
        """Writes a checkpoint after each epoch, in place of the one before."""

        def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            scores = " ".join(f"{name} {float(v):.3f}" for name, v in sorted(trainer.callback_metrics.items()))
            sys.stdout.write(f"epoch {trainer.current_epoch}: {scores}\n")
            sys.stdout.flush()

        def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            trainer.save_checkpoint(last.with_suffix(".part"))
            last.with_suffix(".part").replace(last)

    trainer = L.Trainer(
        max_epochs=options.epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[KeepLast()],
    )
    resumed = str(last) if last.is_file() else None
    trainer.fit(module, data, ckpt_path=resumed, weights_only=bool(resumed))
    return module


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    quiet_lightning()
    torch.set_num_threads(1)
    task = EstimatorTask()
    data = make_data(options, task)
    if options.only_data:
        return
    train(options, data, task)


if __name__ == "__main__":
    main()
