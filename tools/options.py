"""The options of the tools that are commands of `python -m mixgraph`. Their help loads neither torch nor Lightning."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mixgraph.cli.command_parser import CommandParser
from mixgraph.dataset.quality import QualityRules


def _parser(function: Callable[[], argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Makes a parser whose description is the docstring of the function that defines its options."""
    return CommandParser(description=inspect.getdoc(function), formatter_class=argparse.RawDescriptionHelpFormatter)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"at least 1 is needed, got {value}")
    return value


def _add_machine_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options on where searches run, see `tools.dataset.machines`."""
    machine = parser.add_argument_group("one machine")
    machine.add_argument("--workers", type=_positive, help="searches at a time; one a GPU, or one, by default")
    machine.add_argument("--threads", type=_positive, help="of each search; the cores shared out by default")
    machine.add_argument("--retries", type=int, default=2, help="of a search whose process (or node) died")
    cluster = parser.add_argument_group("a Ray cluster")
    cluster.add_argument("--ray", metavar="ADDRESS", help="auto, or the address of the cluster")
    cluster.add_argument("--cpus-per-song", type=float, default=1.0, help="of a task, and its threads")
    cluster.add_argument("--gpus-per-song", type=float, default=0.0, help="of a task; 0.5 puts two on a GPU")
    cluster.add_argument("--shared", action="store_true", help="all nodes see OUT: they work there, and resume there")


def build_dataset_parser() -> argparse.ArgumentParser:
    """Builds a dataset of mixing graphs: songs and search settings in; results, shards and a dataset card out.

        python -m mixgraph build-dataset SONGS... --config configs/demo.yaml --out DIR -- --pruning.tolerance=0.03

    Whatever stands after `--` goes to the search, as `python -m mixgraph fit` takes it. Run again, it does what is
    missing: songs whose settings or audio changed are searched anew, and failures are tried again. Of several runs
    (`--runs`) the one with the lowest whole-song match loss is the sample.

    What is in DIR: `results/SONG/run_N` (complete or absent), `songs.jsonl` (every song: verdict, measurements, runs
    and their agreement for each processor), `failures.jsonl`, `rejected.jsonl`, `quality.json` (the rules, their
    reasons and effect), `index.html` (a page of all songs) and `shards/` with its card.

    The exit code is 0 if all is done, 1 if songs failed or the arguments cannot be used, 2 if options are not
    understood, 130 if Ctrl-C ended it, and 143 if SIGTERM did. Stopped searches are resumed from their last stage.
    """
    parser = _parser(build_dataset_parser)
    parser.add_argument("roots", metavar="SONGS", nargs="+", help="songs, or folders of them, of any layout")
    parser.add_argument("--config", action="append", default=[], help="YAML of the search; later files win")
    parser.add_argument("--out", type=Path, required=True, help="folder of the dataset")
    parser.add_argument("--name", help="of the dataset; the folder's name by default")
    parser.add_argument("--match", action="append", default=[], help="only songs whose name fits a pattern, mdb_*")
    parser.add_argument("--songs", default=":", help="only a range of these, in order of names: 0:100")
    parser.add_argument("--runs", type=_positive, default=1, help="searches of each song, with different seeds")
    parser.add_argument(
        "--audio",
        choices=("none", "free", "all"),
        default="none",
        help="audio in the shards: none (it is found again by name and hash), of songs whose licence allows it, of all",
    )
    parser.add_argument("--date-published", default="", help="such as 2026-11-29, for croissant.json; none by default")
    parser.add_argument("--excerpt-seconds", type=float, help="cut samples of this length; whole songs by default")
    _add_machine_options(parser)
    quality = parser.add_argument_group("quality control: what breaks a rule is left out of the shards")
    for rule in QualityRules.rules():
        flag, reason = f"--{rule.name.replace('_', '-')}", rule.metadata["reason"]
        default: Any = rule.default
        text = f"{reason} (default {default:g})".replace("%", "%%")
        quality.add_argument(flag, type=type(default), default=default, help=text)
    return parser


def fidelity_parser() -> argparse.ArgumentParser:
    """Measures how well searches match, how sparse they are and what they recover, by configurations.

        python -m mixgraph fidelity SONG synthetic:6:0 --config ours= --out DIR
        python -m mixgraph fidelity SONGS --config ours= --config loose=--pruning.tolerance=0.05 --reference --out DIR

    A configuration is NAME=PARTS: YAML files and options of `python -m mixgraph fit`, separated by commas (a file by
    its name alone, without `--config=`). `--reference` adds the peer (the harness of tools/bench/peer, see `python -m
    tools.benchmark --help` for how to install it) by its own rules, at equal steps, on the same songs and seeds. Every
    search is kept in OUT/searches.jsonl as it ends; with `--keep` those that are there, made with the same code and
    settings, are not run again.

    All losses are measured by one function on every side: clips from silence, all inside the song. What is written:
    fidelity.md, fidelity.json, curves.png (loss and processors against steps) and ends.png (loss against pruning
    ratio).

    How much of the graphs that made synthetic songs is recovered, with losses beside theirs and the processors that
    were missed or are spurious; and the loss of a console by the published protocol (clips from silence, over the
    prediction's norm), after given numbers of steps, without pruning:

        python -m mixgraph fidelity synthetic:6:0 --recovery --steps 6000 12 500 --out recovery
        python -m mixgraph fidelity SONG --config theirs=reference.yaml --steps 1000 0 500 --measure-at 0 250 500
    """
    parser = _parser(fidelity_parser)
    parser.add_argument("songs", nargs="+", help="folders of songs, or synthetic:TRACKS:SEED")
    parser.add_argument("--config", action="append", metavar="NAME=PARTS", help="(ours=, the defaults)")
    parser.add_argument("--reference", action="store_true", help="also search by the peer's rules")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the searches (0 1 2)")
    parser.add_argument("--steps", type=int, nargs=3, default=[300, 4, 50], metavar=("CONSOLE", "ROUNDS", "STEPS"))
    parser.add_argument("--loss", type=float, help="over the target's norm: also tell when it is reached")
    parser.add_argument(
        "--measure-at", type=int, nargs="+", default=[], metavar="STEP",
        help="also tell the losses by the published protocol after these steps of ours",
    )  # fmt: skip
    parser.add_argument("--recovery", action="store_true", help="also tell what of synthetic graphs is missed")
    synthetic = parser.add_argument_group("synthetic songs")
    synthetic.add_argument("--synthetic-seconds", type=float, default=20.0, help="length (20)")
    synthetic.add_argument("--synthetic-subgroups", type=int, help="number (a third of the tracks)")
    synthetic.add_argument(
        "--synthetic-density", type=float, default=0.4,
        help="share of the console's processors that the graph starts from (0.4)",
    )  # fmt: skip
    synthetic.add_argument(
        "--synthetic-tolerance", type=float, default=0.01,
        help="removing any processor of the graph costs at least twice as much (0.01)",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, help="of torch; its default where left out")
    parser.add_argument("--keep", action="store_true", help="take the searches that OUT holds")
    parser.add_argument("--out", type=Path, help="folder for the report")
    return parser


def generate_synthetic_parser() -> argparse.ArgumentParser:
    """Makes a synthetic set with known graphs from the dry tracks of songs, as shards with audio and a card.

        python -m mixgraph generate-synthetic SONGS/* --results dataset/results/*/run_0 --out data/synthetic --workers 2

    Tracks of several songs are cast into subgroups and mixed by a sparse console whose processors are kept as often,
    and set like, those of the graphs in `--results` (settings moved a little); without results, by the rules of
    `mixgraph.synthetic.engineer`. Processors whose removal costs less than `--least-increase` are removed. Every track
    is in one split only. The same arguments give the same bytes, with any number of workers.

    With `--effects-share`, a part of the mixes is made by other effects (recursive equalizers, dynamics with attack,
    release and look-ahead, feedback delays and reverbs, saturation, a limiter behind the sum); their graphs tell types
    and places, and their settings stand in words in `meta.json`.
    """
    parser = _parser(generate_synthetic_parser)
    parser.add_argument("songs", type=Path, nargs="*", help="folders of songs; other paths among them are passed over")
    parser.add_argument("--out", type=Path, required=True, help="folder of the data set; an existing one is replaced")
    parser.add_argument("--results", type=Path, nargs="*", default=[], help="result folders of graphs found on songs")
    parser.add_argument("--test-songs", nargs="*", default=[], help="names of songs that only the test split may use")
    for split, count in {"train": 3000, "validation": 200, "test": 200}.items():
        parser.add_argument(f"--{split}", type=int, default=count, help=f"samples of this split (default {count})")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of a sample, or of each of its passages")
    parser.add_argument("--passages", type=int, default=1, help="passages of its tracks that a sample has, joined (1)")
    parser.add_argument("--min-tracks", type=int, default=2)
    parser.add_argument("--max-tracks", type=int, default=6)
    parser.add_argument("--sample-rate", type=int, default=30000)
    parser.add_argument(
        "--least-increase",
        type=float,
        default=0.01,
        help="of the match loss, by removing a processor; below 0 nothing is measured (three times as fast)",
    )
    parser.add_argument("--rule-share", type=float, default=0.3, help="share of settings by rule, not by results")
    parser.add_argument("--jitter", type=float, default=0.3, help="how far settings move, in spreads of their type")
    parser.add_argument("--effects-share", type=float, default=0.0, help="share of samples mixed by other effects (0)")
    parser.add_argument("--instrument-songs", type=int, default=0, help="songs made from formulas, added to SONGS (0)")
    parser.add_argument(
        "--one-song-share", type=float, default=0.0, help="share of samples with tracks of one song (0)"
    )
    parser.add_argument(
        "--songs-per-engineer", type=int, default=1, help="samples, one after another, that are mixed in one style (1)"
    )
    parser.add_argument(
        "--balanced-share", type=float, default=0.0, help="share of samples with gains that suit the tracks' levels (0)"
    )
    parser.add_argument(
        "--random-subgroups", type=float, default=0.0, help="share of samples dealt to groups at random"
    )
    parser.add_argument("--level-db", type=float, default=4.0, help="random gain of tracks, at most (4)")
    parser.add_argument("--bleed-share", type=float, default=0.0, help="share of tracks that pick up others (0)")
    parser.add_argument("--noise-share", type=float, default=0.0, help="share of tracks with a noise floor (0)")
    parser.add_argument(
        "--fade-share", type=float, default=0.0, help="share of tracks that begin late or end early (0)"
    )
    parser.add_argument("--no-varispeed", action="store_true", help="play training tracks at their own speed only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--corpus-seed", type=int, help="of splits and instrument songs; that of --seed by default")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--cache-dir", type=Path, default=Path(".mixgraph_cache"), help="of decoded songs")
    parser.add_argument("--date-published", default="", help="such as 2026-11-29, for croissant.json; none by default")
    parser.add_argument("--max-count", type=int, default=100, help="samples of a shard")
    return parser


def sweep_parser() -> argparse.ArgumentParser:
    """Runs a sweep: the trials that a file of Weights & Biases describes, with its server or without.

        python -m mixgraph sweep configs/sweeps/sampling.yaml --song SONG --offline --out DIR --workers 2
        python -m mixgraph sweep configs/sweeps/sampling.yaml --song SONG

    The first runs all trials here (or on a Ray cluster): grid and random as the file says, bayes and the early end of
    bad trials by Optuna. Run again, it does what is missing: trials that were running go on from their checkpoints,
    those that ended are not run again, those that failed are tried again. The second one checks the file, gives it to
    the server and prints the command of an agent. Whatever stands after `--` goes to `fit`.

    What is in DIR: `trials/trial_NNN` (the result folder of each, complete or absent), `trials.md`, `trials.csv`,
    `trials.json`, `trials.png` (loss against pruning ratio, with the Pareto front) and `sweep.log`.

    The exit code is 0 if all is done, 1 if trials failed or the file cannot be used, 2 if options are not understood,
    130 if Ctrl-C ended it, and 143 if SIGTERM did.
    """
    parser = _parser(sweep_parser)
    parser.add_argument("file", metavar="FILE", help="sweep file, or one that comes along: sweeps/sampling.yaml")
    parser.add_argument("--song", metavar="SONG", help="folder of the song, in place of the file's")
    parser.add_argument("--project", help="of Weights & Biases; the file's, or mixgraph, by default")
    offline = parser.add_argument_group("without a server")
    offline.add_argument("--offline", action="store_true", help="run the trials here")
    offline.add_argument("--out", type=Path, help="folder of the sweep")
    offline.add_argument("--trials", type=_positive, help="number of trials, in place of the file's run_cap")
    offline.add_argument("--seed", type=int, default=0, help="of random and bayes (0); trials have the settings' seed")
    offline.add_argument("--winner-seeds", type=int, metavar="N", help="run the winner with N seeds in all, at least 3")
    _add_machine_options(parser)
    return parser


def evaluate_estimator_parser() -> argparse.ArgumentParser:
    """Judges a trained estimator against baselines on a test set, and writes the table.

        python -m mixgraph evaluate-estimator results/estimator/checkpoints/best.ckpt data/test --out results/table

    Baselines know the training set and nothing of the song: keep nothing, keep everything (also with weights times the
    training set's rate of each type on its level), that rate by chance, and the choice of whole types with the best
    F1, all with mean parameters. Two rows know the true processors: with the estimated settings and with mean ones.
    `--search-songs N` also searches the first N songs for a short time, from the default console and from the
    estimate, with the same schedule.
    """
    parser = _parser(evaluate_estimator_parser)
    parser.add_argument("checkpoint", type=Path, help="of an EstimatorModule")
    parser.add_argument("shards", type=Path, nargs="+", help="shards to judge on: tars, or folders of them")
    parser.add_argument("--only", nargs="*", default=[], help="names of songs to judge on (all by default)")
    parser.add_argument("--audio-root", type=Path, help="the songs' folder, for data sets without audio")
    parser.add_argument("--limit", type=int, help="judge on so many samples")
    parser.add_argument("--search-songs", type=int, default=0, help="songs to search for a short time")
    parser.add_argument("--search-steps", type=int, default=20, help="steps of a stage of the short search")
    parser.add_argument("--search-stages", type=int, default=2, help="stages before pruning")
    parser.add_argument("--search-rounds", type=int, default=2, help="rounds of pruning")
    parser.add_argument("--out", type=Path, required=True, help="folder for evaluation.md and evaluation.json")
    parser.add_argument("--overwrite", action="store_true", help="replace the files of an earlier evaluation")
    return parser


def paper_tables_parser() -> argparse.ArgumentParser:
    """Makes the tables of the paper on your songs, with the paper's figures in columns beside ours.

        python -m mixgraph paper-tables 2 6 --songs MedleyDB=SONGS OTHER_SONGS --out DIR --workers 2
        python -m mixgraph paper-tables 1 2 --songs SONGS --schedule 60 2 10 --out DIR -- --data.sample_rate=44100
        python -m mixgraph paper-tables 3 --dataset MedleyDB=DATASET --out DIR

    Tables 1 and 5 train the eight consoles without pruning; 2 and 6 search by brute force, dry/wet and hybrid at three
    tolerances; 3 is of data sets that build-dataset wrote. `10` and `11` run the searches of Figures 10 and 11, which
    `paper-figures` draws. Each table is written as Markdown, LaTeX, CSV and JSON.

    Run again, it does what is missing: it goes on where it was stopped, and a larger table reuses the searches of a
    smaller one. Searches of all samplers begin from one trained console. A song that fails is reported and left out of
    the means. A folder of other settings is refused. Whatever stands after `--` goes to every search.

    The default configuration is reference.yaml: the constants of the published code, which very probably made the
    printed tables. With a shorter `--schedule` the ramp of the sparsity is shortened in proportion.
    """
    parser = _parser(paper_tables_parser)
    names = ("1", "2", "3", "5", "6", "10", "11")
    parser.add_argument("tables", metavar="TABLE", nargs="+", choices=names, help=f"some of {', '.join(names)}")
    parser.add_argument(
        "--songs", nargs="+", default=[], metavar="[NAME=]PATH", help="songs, or folders of them, of a data set NAME"
    )
    parser.add_argument("--dataset", nargs="+", default=[], metavar="[NAME=]DIR", help="of build-dataset, for table 3")
    parser.add_argument(
        "--schedule", type=int, nargs=3, default=[6000, 12, 500], metavar=("CONSOLE", "ROUNDS", "STEPS"),
        help="steps of the console, rounds of pruning, steps after each (6000 12 500, the paper's)",
    )  # fmt: skip
    parser.add_argument("--config", action="append", default=[], help="YAML of the searches (reference.yaml)")
    parser.add_argument(
        "--subset", default="all", help="of each data set: all, a number, or published (the published code's lists)"
    )
    parser.add_argument("--subset-seed", type=int, default=0, help="of the rule by which a number is taken (0)")
    parser.add_argument("--seed", type=int, default=42, help="of the searches (42)")
    parser.add_argument("--runs", type=_positive, default=4, help="searches of each song for Figure 11 (4)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables and of their searches")
    _add_machine_options(parser)
    return parser


def paper_figures_parser() -> argparse.ArgumentParser:
    """Draws a figure of the paper of your results.

        python -m mixgraph paper-figures 2a results/MY_SONG --out figure_2a.svg
        python -m mixgraph paper-figures 7 TABLES --only MY_SONG --out figure_7.png
        python -m mixgraph paper-figures 6 MedleyDB=DATASET --out figure_6.png

    Results are result folders of `fit`, all of which are drawn, or the folder of `paper-tables` or of a sweep, of which
    those are drawn that the paper's figure shows:

    - 2a: the console of a search beside the graph that it found;
    - 3: pruning ratios and mean weights over the steps, a line a song;
    - 4: weight and loss increase of each processor of the console, by type, a panel a song;
    - 5: target, then graphs by tolerance, with their errors in mid and side; 7 and 15 to 18: consoles before them
      (--song adds the dry sum where no base graph is among the results);
    - 6: histograms of data sets that build-dataset wrote, before and after quality rules;
    - 8: a found graph, and the step in which each node is processed by each schedule; 8e: the tree of all its
      schedules; 9: steps and speed of schedules, of the benchmark.json of `python -m tools.benchmark --parts schedule`;
    - 10: loss increase against what is left, by samplers and tolerances, a panel a song;
    - 11: the graphs of repeated searches of one song.

    Results of other settings or versions, and unfinished ones, are refused by name.
    """
    parser = _parser(paper_figures_parser)
    names = ("2a", "3", "4", "5", "6", "7", "8", "8e", "9", "10", "11", "15", "16", "17", "18")
    parser.add_argument("figure", metavar="FIGURE", choices=names, help=f"one of {', '.join(names)}")
    parser.add_argument("results", metavar="RESULT", nargs="+", help="result folders, or a folder of paper-tables")
    parser.add_argument("--out", type=Path, required=True, help="the picture to write (.png, .svg)")
    parser.add_argument("--only", nargs="+", default=[], metavar="SONG", help="songs whose names fit a pattern")
    parser.add_argument("--dpi", type=_positive, default=100, help="dots per inch of a .png (100)")
    parser.add_argument("--song", type=Path, help="folder of the song, for a row of the dry sum (figures 5 and 7)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    return parser
