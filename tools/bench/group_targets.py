"""Whether demixed groups help a search that has dry tracks and mix: synthetic songs whose graph is known.

    python -m tools.bench.group_targets --out docs/results/group_targets.json --searches results/group_targets

Every song is searched as it is, and with what its subgroups truly give to the mix as further targets, and with targets
into which each other subgroup leaks at a stated level, with a sum that is still the mix. All searches of a song have
the same steps, clips and seeds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from callbacks import IterativePruning
from datamodules import SyntheticSongData
from mixgraph import ConsoleModule
from mixgraph.cli.command_parser import CommandParser
from mixgraph.graph import MixGraph
from mixgraph.graph.outputs import split_outputs
from mixgraph.losses import SongTarget, make_match_loss
from mixgraph.processors import Processors
from mixgraph.recovery import compare_graphs, parameter_errors
from mixgraph.render import render_song
from mixgraph.search import search
from mixgraph.search.settings import RegularizerSettings
from mixgraph.songs import Song
from mixgraph.songs.song import SongGroup
from mixgraph.synthetic.song import SyntheticSong, make_synthetic_song
from mixgraph.system.files import json_text, write_atomically
from tools.bench.blind import LEAKAGES_DB, leaked
from tools.bench.machine import measured

_COMMAND = "python -m tools.bench.group_targets --out docs/results/group_targets.json --searches results/group_targets"
RATE = 8000
TOLERANCE = 0.02
OFF = "none"
_TRACKS, _SUBGROUPS, _SECONDS, _DENSITY = 6, 3, 6.0, 0.5
_WARM_UP, _SCORED = 0.5, 2.0


@dataclass(frozen=True)
class Targets:
    """Auxiliary targets of a search.

    Attributes:
        leakage_db: level of each other group in a target, against its own in the mix; None for true targets.
        weight: the weight of their losses; 0 for a search without them.
    """

    leakage_db: float | None = None
    weight: float = 0.0

    @property
    def name(self) -> str:
        if self.weight == 0:
            return OFF
        return "true groups" if self.leakage_db is None else f"leakage of {self.leakage_db:g} dB"


@dataclass(frozen=True, eq=False)
class Found:
    """The graph that a search found."""

    graph: MixGraph
    processors: Processors
    parameters: Mapping[str, Mapping[str, Tensor]]
    weights: Tensor


class GroupedSongData(SyntheticSongData):
    """A synthetic song whose subgroups have targets.

    Args:
        targets: which ones.
        steps_per_stage: the number of clips of a stage.
        song_seed: seeds the song and its graph.
        truth: the song with the graph that made it, where it is made already.
    """

    def __init__(self, targets: Targets, steps_per_stage: int, song_seed: int, truth: SyntheticSong) -> None:
        super().__init__(
            *(song_seed, _TRACKS, _SUBGROUPS, _SECONDS, TOLERANCE, _DENSITY),
            sample_rate=RATE,
            steps_per_stage=steps_per_stage,
            warm_up_seconds=_WARM_UP,
            scored_seconds=_SCORED,
        )
        self.targets, self.made = targets, truth

    @cached_property
    def truth(self) -> SyntheticSong:
        return self.made

    def read(self) -> tuple[Song, ...]:
        song = self.truth.song
        stems = leaked(group_parts(self.truth, song.sources), self.targets.leakage_db)
        groups = tuple(SongGroup(name, (name,), stem) for name, stem in stems.items())
        return (replace(song, groups=groups if self.targets.weight else ()),)


@torch.no_grad()
def group_parts(made_by: Found | SyntheticSong, sources: Tensor) -> dict[str, Tensor]:
    """Renders what each subgroup gives to the mix, (2, L), by its name."""
    names = {name: number for number, name in enumerate(made_by.graph.members)}
    split = split_outputs(made_by.graph, [names])
    outputs = render_song(split.graph, made_by.processors, sources, made_by.parameters, made_by.weights)
    return {name: outputs[split.groups.index(number)] for name, number in names.items()}


def judge(found: Found, truth: SyntheticSong) -> dict[str, Any]:
    """Compares a found graph with the graph that made the mix."""
    song = truth.song
    errors = parameter_errors(truth, found, truth.processors, song.sources, found.processors)
    by_quantity = {(row.type, row.quantity): row.median for row in errors.summary()}
    ours, theirs = (group_parts(made_by, song.sources) for made_by in (found, truth))
    losses = {name: _loss(theirs[name], ours[name]) for name in theirs}
    agreement = compare_graphs(truth.graph, found.graph).overall
    return {
        "f1": agreement.f1 or 0.0,
        "processors": agreement.found,
        "balance_error_db": by_quantity.get(("gain_panning", "balance")),
        "equalizer_error_db": by_quantity.get(("equalizer", "shape")),
        "level_error_db": statistics.median(_level_errors(found, truth)),
        "group_loss": statistics.fmean(losses.values()),
        "loss": _loss(song.mix, sum(ours.values(), torch.zeros_like(song.mix))),
    }


def _loss(target: Tensor, audio: Tensor) -> float:
    return SongTarget(make_match_loss(RATE), target).score(audio).loss["full"]


def _level_errors(found: Found, truth: SyntheticSong) -> list[float]:
    """How many dB what each track alone gives to the mix is off the truth."""
    errors = []
    for row, track in enumerate(truth.song.sources):
        alone = torch.zeros_like(truth.song.sources)
        alone[row] = track
        powers = [
            sum(float(part.double().square().sum()) for part in group_parts(made_by, alone).values())
            for made_by in (found, truth)
        ]
        errors.append(abs(10 * float(torch.log10(torch.tensor(powers[0] / powers[1])))))
    return errors


@dataclass(frozen=True)
class Schedule:
    """Steps of a stage, stages before pruning, and rounds of pruning."""

    steps: int
    stages: int
    rounds: int


def run_one(seed: int, truth: SyntheticSong, targets: Targets, schedule: Schedule) -> dict[str, Any]:
    """Searches a song, and judges the result."""
    data = GroupedSongData(targets, schedule.steps, seed, truth)
    console = ConsoleModule(
        sample_rate=RATE,
        warm_up_seconds=_WARM_UP,
        regularizers=RegularizerSettings(group_weight=targets.weight),
    )
    pruning = IterativePruning(schedule.stages, schedule.rounds, tolerance=TOLERANCE, leave_one_out=False)
    search(console, data, [pruning], stages=pruning.num_stages, enable_progress_bar=False)
    found = Found(console.graph, console.processors, console.parameters_by_type(), console.weights.detach())
    return {"seed": seed, "targets": targets.name, "weight": targets.weight, **judge(found, truth)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns its exit code."""
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--searches", type=Path, required=True, help="folder of searches that are done, to go on from")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds of the songs (0 1 2)")
    parser.add_argument("--weights", type=float, nargs="+", default=[0.1, 0.5], help="weights of a group (0.1 0.5)")
    parser.add_argument("--steps", type=int, default=20, help="steps of a stage (20)")
    parser.add_argument("--stages", type=int, default=8, help="stages before pruning (8)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of pruning (3)")
    options = parser.parse_args(arguments)
    schedule = Schedule(options.steps, options.stages, options.rounds)
    kinds = [Targets(), *(Targets(leak, weight) for weight in options.weights for leak in LEAKAGES_DB)]
    rows = []
    options.searches.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        truth = None
        for targets in kinds:
            record = options.searches / f"{seed} {targets.name} {targets.weight:g}.json"
            if not record.is_file():
                truth = truth or make_synthetic_song(seed, _TRACKS, _SUBGROUPS, _SECONDS, RATE, TOLERANCE, _DENSITY)
                row = run_one(seed, truth, targets, schedule)
                write_atomically(record, json_text({"schedule": asdict(schedule), **row}).encode())
            row = json.loads(record.read_text(encoding="utf-8"))
            if row.pop("schedule") != asdict(schedule):
                raise ValueError(f"{record}: a search of {schedule} is needed, got another. HINT: another --searches")
            rows.append(row)
            sys.stdout.write(f"{row}\n")
            sys.stdout.flush()
    write_atomically(options.out, (json_text(table(rows, measured(_command(options), 1)), indent=1) + "\n").encode())
    return 0


def _command(options: argparse.Namespace) -> str:
    lists = (f"--{name} {' '.join(map(str, getattr(options, name)))}" for name in ("seeds", "weights"))
    numbers = (f"--{name} {getattr(options, name)}" for name in ("steps", "stages", "rounds"))
    return " ".join((_COMMAND, *lists, *numbers))


_COLUMNS = {
    "f1": ("F1", 2),
    "processors": ("processors", 0),
    "balance_error_db": ("balance off by (dB)", 2),
    "equalizer_error_db": ("equalizer off by (dB)", 2),
    "level_error_db": ("level of a track off by (dB)", 2),
    "group_loss": ("match loss of true groups", 3),
    "loss": ("match loss of the mix", 3),
}


def table(rows: Sequence[Mapping[str, Any]], measurement: Mapping[str, str]) -> dict[str, Any]:
    """The table of `docs/results`: medians over songs, and each song's F1."""
    lines = []
    for weight in sorted({row["weight"] for row in rows}):
        for name in dict.fromkeys(row["targets"] for row in rows if row["weight"] == weight):
            alike = [row for row in rows if (row["weight"], row["targets"]) == (weight, name)]
            each = ", ".join(f"{row['f1']:.2f}" for row in alike)
            cells = [_median_text(alike, key, digits) for key, (_, digits) in _COLUMNS.items()]
            lines.append([name, f"{weight:g}" if weight else "", f"{cells[0]} ({each})", *cells[1:]])
    return {
        "title": "Searches of synthetic songs with auxiliary targets for their subgroups",
        "measured": [measurement],
        "columns": ["targets", "weight", *(title for title, _ in _COLUMNS.values())],
        "rows": lines,
        "note": f"Medians over songs of {_TRACKS} tracks in {_SUBGROUPS} subgroups, {_SECONDS:g} s at {RATE} Hz, with "
        "graphs of 24 or 25 processors of seven types; F1 of each song in brackets. Leakage is the level of each other "
        "group in a target, against its own in the mix. Balance and equalizers: of the processors that are in both "
        "graphs. Levels: what a track alone gives to the mix. The match loss of true groups is against what the "
        "subgroups truly give, whatever the targets were.",
    }


def _median_text(rows: Sequence[Mapping[str, Any]], key: str, digits: int) -> str:
    values = [row[key] for row in rows if row[key] is not None]
    return f"{statistics.median(values):.{digits}f}" if values else ""


if __name__ == "__main__":
    raise SystemExit(main())
