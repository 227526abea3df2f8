"""Trains the estimator that comes with mixgraph, and writes its weights and their card.

    python -m tools.train_shipped_estimator ev3_francium k8_synthetic --out results/shipped_estimator

SONGS are folders of songs whose licence allows it (those that were used are CC0); tracks made from formulas are added.
Half of the mixes are made by our own processors, half by the effects of `mixgraph.effects`. Everything follows from the
seeds. Run again, it goes on where it was stopped: finished parts of the data set are kept, and so are epochs.

What is in OUT: `data/` (parts of the set, as shards with audio), `last.ckpt`, and `estimator.safetensors` with
`estimator.md`, its card, which are copied to `mixgraph/estimators/shipped/` when they are to be shipped. The card has
the F1 of the processors that are predicted: on the test part, whose tracks no training song has, and on songs with a
truth.json (`--judged`), none of which may be trained on. `--checkpoint` judges another estimator on the same songs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

from mixgraph.cli.command_parser import CommandParser
from mixgraph.estimators import (
    EstimatorData,
    EstimatorModule,
    estimate_song,
    load_estimator,
)
from mixgraph.estimators.baselines import MeanSettings, best_slots
from mixgraph.estimators.cache import ExampleFiles, ExampleSettings, cached_examples
from mixgraph.estimators.data import always_asked
from mixgraph.estimators.examples import Console, console_of_subgroups
from mixgraph.estimators.prediction import Prediction
from mixgraph.estimators.questions import Question
from mixgraph.estimators.settings import EstimatorTask, NetworkSettings
from mixgraph.estimators.weights import save_weights
from mixgraph.recovery import Agreement
from mixgraph.recovery.agreement import markdown
from mixgraph.search.run import quiet_lightning
from mixgraph.songs import load_song
from mixgraph.synthetic.engineer import LIKENESS
from mixgraph.system.files import file_sha256, write_atomically
from tools.bench.fidelity.truth import agreement, in_places, processors_of, read_truth
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
STYLES = {"train": 300_000, "validation": 400_000, "test": 500_000}
"""Split -> the seed of its first part whose engineers mix several songs each."""
SONGS_PER_ENGINEER = 5
OTHER_SHARE = 0.25
"""The share of the examples that are shown a reference, and of those that are shown no mix, with style parts."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path, nargs="*", help="folders of songs")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder of data, checkpoints and weights",
    )
    parser.add_argument("--parts", type=int, default=20, help="parts of the training set (20)")
    parser.add_argument(
        "--skip",
        type=int,
        nargs="*",
        default=[],
        help="numbers of parts that are left out",
    )
    parser.add_argument(
        "--style-parts",
        type=int,
        default=0,
        help="parts whose engineers mix several songs each (0); with them it also learns to mix without the song's mix",
    )
    parser.add_argument("--part-songs", type=int, default=50, help="songs of a part (50)")
    parser.add_argument(
        "--validation",
        type=int,
        default=80,
        help="songs that choose the threshold (80)",
    )
    parser.add_argument("--test", type=int, default=80, help="songs for tools.evaluate_estimator (80)")
    parser.add_argument(
        "--balanced-share",
        type=float,
        default=0.0,
        help="share of the songs whose engineers listen before they set the gains of tracks (0)",
    )
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the training")
    parser.add_argument(
        "--judged",
        type=Path,
        nargs="*",
        default=[],
        help="songs with a truth.json to judge on",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        help="judge this estimator, and make and train nothing",
    )
    parser.add_argument("--only-data", action="store_true", help="make the data set, and train nothing")
    return parser.parse_args(arguments)


def numbers(options: argparse.Namespace) -> list[int]:
    """The numbers of the training set's parts, which are the seeds of their songs."""
    return [number for number in range(options.parts) if number not in options.skip]


def make_part(
    options: argparse.Namespace,
    name: str,
    split: str,
    count: int,
    seed: int,
    songs_per_engineer: int = 1,
) -> Path:
    """Makes a part of the data set unless it is there; its card is written last."""
    out: Path = options.out / "data" / name
    if not (out / "README.md").is_file():
        counts = {"train": 0, "validation": 0, "test": 0} | {split: count}
        settings = SET | {f"--{name}": number for name, number in counts.items()} | {"--seed": seed}
        settings["--songs-per-engineer"] = songs_per_engineer
        settings["--balanced-share"] = options.balanced_share
        arguments = [text for option, value in settings.items() for text in (option, str(value))]
        cache = options.out / "cache"
        generate_synthetic(
            [
                *map(str, options.songs),
                "--out",
                str(out),
                "--cache-dir",
                str(cache),
                *arguments,
            ]
        )
    return out


def make_data(options: argparse.Namespace, task: EstimatorTask) -> EstimatorData:
    """Makes all parts and their features, part by part."""
    parts = [make_part(options, split, split, getattr(options, split), seed) for split, seed in HELD_OUT.items()]
    for number in numbers(options):
        part = make_part(options, f"part_{number:03d}", "train", options.part_songs, number)
        parts.append(part)
        _data(options, [parts[0], part]).prepare(task)
    for split, seed in STYLES.items() if options.style_parts else ():
        for number in range(options.style_parts if split == "train" else 1):
            name = f"styles_{split}_{number:03d}"
            parts.append(
                make_part(
                    options,
                    name,
                    split,
                    options.part_songs,
                    seed + number,
                    SONGS_PER_ENGINEER,
                )
            )
            _data(options, [parts[0], parts[2], parts[-1]]).prepare(task)
    return _data(options, parts)


def _data(options: argparse.Namespace, parts: list[Path]) -> EstimatorData:
    share, cache = OTHER_SHARE if options.style_parts else 0.0, str(options.out / "cache")
    return EstimatorData(
        [str(part) for part in parts],
        max_segments=1,
        reference_share=share,
        nothing_share=share,
        cache_dir=cache,
        cache_workers=1,
    )


def train(options: argparse.Namespace, data: EstimatorData, task: EstimatorTask) -> EstimatorModule:
    """Trains, or goes on from the last epoch."""
    L.seed_everything(options.seed, verbose=False)
    settings = NetworkSettings(questions=options.style_parts > 0)
    module = EstimatorModule(task, settings)
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


# Figures.


WITHOUT = {
    Question.REFERENCE: "a half of the mix as a mere reference",
    Question.NOTHING: "without a mix",
}
OWN, OTHER = "test songs, our processors", "test songs, other effects"


def figures(module: EstimatorModule, options: argparse.Namespace) -> list[tuple[str, str, str, str, str, str]]:
    """F1 of the kept processors by the estimator, with precision and recall, beside the best choice of whole types."""
    best, vocabulary = best_slots(module.slots), module.network.vocabulary
    settings = ExampleSettings(module.task, max_segments=1)
    folder, items = cached_examples([options.out / "data" / "test"], settings, options.out / "cache")
    sums: dict[str, list[Agreement]] = {}
    files = ExampleFiles(folder, items, module.task)
    without_mix = {question: always_asked([files], question) for question in module.questions[1:]}
    for example in range(len(items)):
        data = files[example]
        node_types, levels = (
            data.x[data.processor_index].tolist(),
            data.level[data.processor_index].tolist(),
        )
        names = {number: name for name, number in vocabulary.items()}
        chosen = [(names[t], level) in best for t, level in zip(node_types, levels, strict=True)]
        with torch.no_grad():
            kept = module(data).keep > module.threshold
            for question, examples in without_mix.items():
                without = module(examples[example]).keep > module.threshold_of(question)
                name = f"test songs, {WITHOUT[question]}"
                row = sums.setdefault(name, [Agreement(0, 0, 0)] * 2)
                pairs = zip(row, (without, torch.tensor(chosen)), strict=True)
                row[:] = [_with(a, _agreement(data.keep > 0, k)) for a, k in pairs]
        row = sums.setdefault(OWN if bool((data.known > 0).any()) else OTHER, [Agreement(0, 0, 0)] * 2)
        row[:] = [
            _with(a, _agreement(data.keep > 0, k)) for a, k in zip(row, (kept, torch.tensor(chosen)), strict=True)
        ]
    rows = [_row(name, *row) for name, row in sorted(sums.items())]
    baseline = MeanSettings(module).best_by_type
    return rows + [_row(path.name, *judged(module, path, baseline)) for path in options.judged]


def judged(module: EstimatorModule, path: Path, baseline: Callable[[Console], Prediction]) -> list[Agreement]:
    """Compares predictions for a song with its truth.json: of the estimator, then of a baseline.

    Raises:
        ValueError: the song has no truth.json.
    """
    truth, task = read_truth(path), module.task
    if truth is None:
        raise ValueError(f"--judged: {path}: a song with a truth.json is needed")
    song = load_song(path, task.sample_rate)
    console = console_of_subgroups(song.subgroups, task.track_chain, task.subgroup_chain, song.name)
    places = [
        in_places(processors_of(prediction.graph.graph))
        for prediction in (estimate_song(module, song), baseline(console))
    ]
    known = in_places(truth)
    return [Agreement(len(known), len(p), round(agreement(known, p)["all"]["matched"])) for p in places]


def _agreement(true: Tensor, kept: Tensor) -> Agreement:
    return Agreement(int(true.sum()), int(kept.sum()), int((true & kept).sum()))


def _with(a: Agreement, b: Agreement) -> Agreement:
    return Agreement(a.true + b.true, a.found + b.found, a.matched + b.matched)


def _row(name: str, estimator: Agreement, types: Agreement) -> tuple[str, str, str, str, str, str]:
    def text(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    numbers = (estimator.f1, estimator.precision, estimator.recall, types.f1)
    return (name, *map(text, numbers), f"{estimator.found} of {estimator.true}")  # type: ignore[return-value]


# The card.

_CARD = """# The estimator that comes with mixgraph

A network that predicts from dry tracks and mix which processors of the console `{chain}` are used, and how they are
set, at {rate} Hz, from stretches of {seconds:g} s ([how it is used](../../../docs/guide/estimator.md)).

- **Weights**: `{file}`, {megabytes:.1f} MB, Apache-2.0, as mixgraph. sha256:
  `{digest}`
- **Data**: {songs} songs of 2 to {most} tracks and 6 s, made by `tools.generate_synthetic`. Dry tracks: {sources},
  and tracks made from formulas. About half of the mixes are made by our own processors with settings as engineers
  choose them, half by other effects (`mixgraph/effects`), of which the network learns types and places only.
{styles}- **Recipe**: {epochs} epochs of these songs with the defaults of `mixgraph/estimators/settings.py`; the
  threshold is the highest whose F1 is within .005 of the best on {validation} validation songs.

      {command}

{table}

F1, precision and recall of the processors that are kept; "types" is the F1 of the best choice of whole processor types,
which knows nothing of the song; the last column is the number of processors that are kept, and of the truth's. The
tracks of test songs are in no training song. {judged}
"""

_STYLES = """- **Questions**: with the song's own mix, with a reference, and without a mix; each of the last two is
  asked in a share of {share:g}. References are mixes of the same song, or of another by the same engineer: in the parts
  made for it an engineer mixes {songs} songs, with choices that have the correlation {likeness:g}.
"""


_BALANCE = """- **Gains**: in a share of {share:g} of the songs, those of an engineer who listens to the tracks
  (`mixgraph/synthetic/balance.py`); in the others they are drawn at random.
"""


def card(module: EstimatorModule, options: argparse.Namespace, weights: Path, sources: str) -> str:
    task = module.task
    names = ", ".join(path.name for path in options.judged)
    rows = figures(module, options)
    head = ("songs", "F1", "precision", "recall", "types", "processors")
    styles = _STYLES.format(songs=SONGS_PER_ENGINEER, share=OTHER_SHARE, likeness=LIKENESS)
    styles = styles if options.style_parts else ""
    gains = _BALANCE.format(share=options.balanced_share) if options.balanced_share else ""
    return _CARD.format(
        chain=task.track_chain,
        rate=task.sample_rate,
        seconds=task.segment_seconds,
        file=weights.name,
        megabytes=weights.stat().st_size / 1e6,
        digest=file_sha256(weights),
        songs=(len(numbers(options)) + options.style_parts) * options.part_songs,
        most=SET["--max-tracks"],
        sources=sources,
        command=command_of(options),
        styles=styles + gains,
        epochs=options.epochs,
        validation=options.validation + (options.part_songs if options.style_parts else 0),
        table=markdown(head, rows).strip(),
        judged=f"Nothing of {names} was trained on." if names else "",
    )


def command_of(options: argparse.Namespace) -> str:
    """The command that makes the same weights again."""
    names = " ".join(path.resolve().name for path in options.songs)
    skip = f" --skip {' '.join(map(str, options.skip))}" if options.skip else ""
    skip += f" --style-parts {options.style_parts}" if options.style_parts else ""
    skip += f" --balanced-share {options.balanced_share:g}" if options.balanced_share else ""
    judged = "".join(f" {path.resolve().name}" for path in options.judged)
    judged = judged and f" --judged{judged}"
    counts = f"--parts {options.parts}{skip} --part-songs {options.part_songs} --validation {options.validation}"
    return (
        f"python -m tools.train_shipped_estimator {names} --out DIR {counts} "
        f"--epochs {options.epochs} --seed {options.seed}{judged}"
    )


def sources_of(songs: Sequence[Path]) -> str:
    """The titles and licences of the songs, in words."""
    loaded = [load_song(path, 8000) for path in songs]
    return ", ".join(f"{song.name} ({song.title}, {song.licence})" for song in loaded) or "none"


def check(options: argparse.Namespace) -> None:
    """Checks what songs are for.

    Raises:
        ValueError: a song is both trained on and judged.
    """
    both = sorted({path.resolve().name for path in options.songs} & {path.resolve().name for path in options.judged})
    if both:
        raise ValueError(f"--judged: songs that are not trained on are needed, got {', '.join(both)}")


def same_as_before(file: Path, recipe: dict[str, Any], what: str) -> None:
    """Writes down what a folder is made from, or checks that it is made from the same.

    Args:
        file: where it stands.
        recipe: what decides, as JSON.
        what: of what is there already, in words.

    Raises:
        ValueError: what is there was made from something else.
    """
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, (json.dumps(recipe, indent=1) + "\n").encode())
        return
    before = json.loads(file.read_text())
    different = [name for name, value in recipe.items() if before.get(name) != value]
    if different:
        name = different[0]
        raise ValueError(
            f"--out: {what} in {file.parent} made with {name} {before.get(name)}, got {recipe[name]}. HINT: name "
            "another folder, or remove this one"
        )


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    check(options)
    quiet_lightning()
    torch.set_num_threads(1)
    if options.checkpoint is not None:
        rows = figures(load_estimator(options.checkpoint), options)
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
        return
    task = EstimatorTask()
    songs = [path.resolve().name for path in options.songs]
    counts = {name: getattr(options, name) for name in ("part_songs", "validation", "test")}
    same_as_before(
        options.out / "data" / "recipe.json",
        {"songs": songs, **counts, "set": SET | {"--balanced-share": options.balanced_share}},
        "songs",
    )
    data = make_data(options, task)
    if options.only_data:
        return
    recipe = {
        "parts": numbers(options),
        "style_parts": options.style_parts,
        "seed": options.seed,
    }
    same_as_before(options.out / "recipe.json", recipe, "epochs")
    module = train(options, data, task)
    weights = options.out / "estimator.safetensors"
    save_weights(module, weights, {"max_tracks": SET["--max-tracks"], "songs": songs})
    text = card(load_estimator(weights), options, weights, sources_of(options.songs))
    write_atomically(options.out / "estimator.md", text.encode())


if __name__ == "__main__":
    main()
