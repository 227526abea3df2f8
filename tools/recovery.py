"""Searches a synthetic song and reports how much of the graph that made it was found."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from callbacks.iterative_pruning import IterativePruning
from datamodules.synthetic import SyntheticSongData
from mixgraph.losses import SongTarget
from mixgraph.recovery import GraphValues, compare_graphs, parameter_errors
from mixgraph.render import render_song
from mixgraph.search import search
from mixgraph.search.module import ConsoleModule
from mixgraph.synthetic.song import SyntheticSong
from mixgraph.system.files import write_atomically


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--song-seed", type=int, default=0, help="of the song and its graph")
    parser.add_argument("--seed", type=int, default=42, help="of the search")
    parser.add_argument("--tracks", type=int, default=6)
    parser.add_argument("--subgroups", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--sample-rate", type=int, default=30000)
    parser.add_argument("--density", type=float, default=0.4, help="share of the console that the truth starts from")
    parser.add_argument("--steps-per-stage", type=int, default=500)
    parser.add_argument("--console-stages", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--sampler", choices=("brute_force", "dry_wet", "hybrid"), default="brute_force")
    parser.add_argument("--tolerance", type=float, default=0.03)
    parser.add_argument("--accelerator", default="auto")
    parser.add_argument("--out", type=Path, help="folder for recovery.json and recovery.md")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Makes the song, searches it, and returns the report as JSON values and as Markdown."""
    data = SyntheticSongData(
        song_seed=options.song_seed,
        num_tracks=options.tracks,
        num_subgroups=options.subgroups,
        seconds=options.seconds,
        tolerance=options.tolerance,
        density=options.density,
        sample_rate=options.sample_rate,
        steps_per_stage=options.steps_per_stage,
        seed=options.seed,
    )
    truth = data.truth
    module = ConsoleModule(sample_rate=options.sample_rate, seed=options.seed)
    pruning = IterativePruning(
        options.console_stages, options.rounds, options.sampler, options.tolerance, seed=options.seed
    )
    started = time.perf_counter()
    search(module, data, [pruning], pruning.num_stages, options.accelerator)
    seconds = time.perf_counter() - started

    target = module.target(truth.song)
    losses = {
        "dry_sum": target.score(truth.song.sources.sum(dim=0)).loss["full"],
        "truth": target.score(_render_truth(truth, target)).loss["full"],
        "console": pruning.console_score.loss["full"] if pruning.console_score else None,
        "found": module.score(truth.song).loss["full"],
    }
    found = GraphValues(module.graph, module.parameters_by_type(), module.weights.detach())
    comparison = compare_graphs(truth.graph, found.graph)
    errors = parameter_errors(truth, found, truth.processors, truth.song.sources, module.processors)
    increases = dict(zip(map(truth.graph.label, truth.graph.processors), truth.loss_increases, strict=True))
    report = {
        "options": {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items() if k != "out"},
        "losses": losses,
        "comparison": comparison.to_dict(),
        "parameter_errors": errors.to_dict(),
        "true_loss_increases": increases,
        "seconds": seconds,
    }
    console = sum(module.initial_counts[0].values())
    text = "\n".join(
        [
            f"# Recovery of synthetic song {options.song_seed}\n",
            f"{len(truth.song.tracks)} tracks, {len(truth.song.subgroups)} subgroup(s), {options.seconds:g} s; console "
            f"of {console} processors, truth of {len(truth.graph.processors)}, found {len(found.graph.processors)}, "
            f"in {seconds:.0f} s.\n",
            "## Match loss of the whole song\n",
            *(f"- {name}: {'-' if loss is None else format(loss, '.4f')}" for name, loss in losses.items()),
            "\n## Processors\n",
            comparison.format_table(),
            *(f"- missed: {label} (removing it costs {increases[label]:.3f})" for label in comparison.missed),
            *(f"- spurious: {label}" for label in comparison.spurious),
            "\n## Parameters of the processors in both\n",
            errors.format_table(),
        ]
    )
    return report, text


def _render_truth(truth: SyntheticSong, target: SongTarget) -> torch.Tensor:
    with torch.no_grad():
        mix = render_song(truth.graph, truth.processors, truth.song.sources, truth.parameters, truth.weights)[0]
    return mix[..., : target.num_samples]


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    report, text = run(options)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        write_atomically(options.out / "recovery.json", (json.dumps(report, indent=1) + "\n").encode())
        write_atomically(options.out / "recovery.md", text.encode())
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
