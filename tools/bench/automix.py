"""How the network's mixes compare with baselines and with the engineers' graphs, and its transfers with references.

    python -m tools.bench.automix SONG=RESULT... --synthetic 3 --seconds 15 --closely 2 --out judged

Songs that the network was trained on are there for the baselines to learn from; nothing is judged on them. The first
`--closely` songs of the others are moved towards the mix of the next song, too, and get four proposals each. OUT has
`automix_judged.json`, `automix_transfers.json` and `automix_proposals.json`, which are tables of a page, and
`evaluation.json` with all figures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from mixgraph.automix import Proposal, hear, propose, tell_apart
from mixgraph.automix.proposals import LOUDNESS_LUFS
from mixgraph.cli.command_parser import CommandParser
from mixgraph.cli.evaluate_automix import read_songs
from mixgraph.estimators import EstimatorModule, load_estimator
from mixgraph.processors import make_processors
from mixgraph.songs import Song
from mixgraph.songs.loudness import level_for
from mixgraph.style import mix_statistics, statistics_distance
from mixgraph.style.baseline_graphs import dry_loudness, equal_loudness
from mixgraph.style.evaluation import HEAD, JudgedSong, Row, evaluate, report, table_lines
from mixgraph.style.judging import MixedSong
from mixgraph.style.refine import RefineSettings, refine
from mixgraph.system.files import json_text, write_atomically
from tools.bench.machine import command_line, measured

NETWORK = "the network"


def answer(estimator: EstimatorModule, song: Song, reference: Tensor | None = None) -> Proposal:
    """Returns the network's likely mix of a song, whose own mix is not heard."""
    return propose(estimator, song, reference)[0]


def as_mixed(song: Song, proposal: Proposal) -> MixedSong:
    return MixedSong(song, proposal.values, make_processors(song.sample_rate), proposal.song.level / song.level)


def judged_rows(estimator: EstimatorModule, songs: Sequence[JudgedSong], seed: int) -> list[Row]:
    """Judges the network's mixes beside the baselines, on songs that it was not trained on; says each that is done."""
    fresh = [judged.song for judged in songs if judged.song.name not in estimator.about["songs"]]
    answers = {NETWORK: {song.name: as_mixed(song, answer(estimator, song)) for song in fresh}}
    rows = []
    for row, _, _ in evaluate(songs, answers, seed):
        rows += [row] if row.song in answers[NETWORK] else []
        sys.stdout.write(f"{row.song}: {row.method}: {row.judgement.level_db} dB\n")
        sys.stdout.flush()
    return rows


def transfer_row(estimator: EstimatorModule, song: Song, reference: Song, steps: int) -> tuple[str, ...]:
    """Moves a song towards another one's mix: distances of the sum at equal loudness, of the network, and refined."""
    louder = level_for(reference.mix, reference.sample_rate, LOUDNESS_LUFS).factor
    target = mix_statistics(reference.mix * louder, reference.sample_rate)
    plain = equal_loudness(song, make_processors(song.sample_rate), dry_loudness(song)).mix()
    plain = plain * level_for(plain, song.sample_rate, LOUDNESS_LUFS).factor
    proposal = answer(estimator, song, reference.mix * louder)
    distances = [
        float(statistics_distance(mix_statistics(m, song.sample_rate), target).full) for m in (plain, proposal.mix)
    ]
    refined = refine(proposal.song, proposal.values, target, RefineSettings(steps_per_stage=steps))
    distances.append(float(refined.after.full))
    shares = [f"{distance / distances[0]:.0%}".replace("%", " %") for distance in distances[1:]]
    numbers = [f"{distance:.2f}" for distance in distances]
    row = (f"`{song.name}` like `{reference.name}`", numbers[0], numbers[1], shares[0], numbers[2], shares[1])
    sys.stdout.write(f"{' '.join(row)}\n")
    sys.stdout.flush()
    return row


def proposal_rows(estimator: EstimatorModule, song: Song) -> list[tuple[str, ...]]:
    """Makes four proposals: the words that tell them apart, and the distance of their statistics to the first."""
    proposals = propose(estimator, song, count=4, seed=1)
    heard = [hear(proposal, estimator.processors) for proposal in proposals]
    rows: list[tuple[str, ...]] = []
    for one, words in zip(heard, tell_apart(heard), strict=True):
        distance = float(statistics_distance(one.statistics, heard[0].statistics).full)
        rows.append((f"`{song.name}`", words, f"{distance:.2f}"))
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the tool; returns its exit code."""
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", nargs="+", metavar="SONG=RESULT", help="as for evaluate-automix")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--checkpoint", type=Path, help="another network than mixgraph's own")
    parser.add_argument("--synthetic", type=int, default=0, help="number of synthetic songs to judge on, too (0)")
    parser.add_argument("--seconds", type=float, help="judge the middle of each song; all of it by default")
    parser.add_argument("--closely", type=int, default=0, help="number of songs with transfers and proposals (0)")
    parser.add_argument("--refine-steps", type=int, default=RefineSettings.steps_per_stage, help="of a stage")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=Path(".mixgraph_cache"), help="folder for decoded songs")
    options = parser.parse_args(arguments)
    estimator = load_estimator(options.checkpoint)
    if "songs" not in estimator.about:
        raise ValueError("checkpoint: weights that say what they were trained on are needed (.safetensors)")
    if options.closely and len(options.songs) < 2:
        raise ValueError("closely: at least two songs are needed, for references")
    options.sample_rate = estimator.task.sample_rate
    songs = read_songs(options)
    options.out.mkdir(parents=True, exist_ok=True)
    about = [measured(command_line("tools.bench.automix", arguments), 1)]

    def write(name: str, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        table = {"title": title, "measured": about, "columns": columns, "rows": rows}
        write_atomically(options.out / name, (json_text(table, indent=1) + "\n").encode())

    rows = judged_rows(estimator, songs, options.seed)
    lines = [(kind, *line) for kind, of in table_lines(rows).items() for line in of]
    write("automix_judged.json", "Mixes by the network, and baselines", ("kind", *HEAD), lines)
    write_atomically(options.out / "evaluation.json", (json_text(report(rows), indent=1) + "\n").encode())
    trained_on = estimator.about["songs"]
    real = [judged.song for judged in songs[: len(options.songs)]]
    pairs = [(s, r) for s, r in zip(real, real[1:] + real[:1], strict=True) if s.name not in trained_on]
    pairs = pairs[: options.closely]
    if pairs:
        moved = [transfer_row(estimator, song, reference, options.refine_steps) for song, reference in pairs]
        head = ("song and reference", "sum at equal loudness, dB", "network, dB", "of the sum's")
        write("automix_transfers.json", "Transfers", (*head, "refined, dB", "of the sum's"), moved)
        told = [row for song, _ in pairs for row in proposal_rows(estimator, song)]
        write("automix_proposals.json", "Four proposals", ("song", "in words", "distance to the first, dB"), told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
