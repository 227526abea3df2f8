"""How much of a mix can be read off the mix alone: synthetic songs whose stems, gains and panning are known.

    python -m tools.bench.blind --out docs/results/blind_synthetic.json

Every song has four stems of synthetic instruments, each at the loudness of its reference state (not of its spectrum),
then at a known gain and panning in the mix. A search gets the mix and the stems as they are in it: the true ones, or
ones in which each other stem leaks at a stated level, with a sum that is still the mix. What the found graph does to
each stem, its change of loudness and the level of its left channel against the right one, is compared with what was
done to it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from scipy.stats import spearmanr
from torch import Tensor

from callbacks import IterativePruning, ResultFolder
from datamodules import BlindData
from mixgraph import ConsoleModule, load_result
from mixgraph.blind.normalise import loudness
from mixgraph.blind.reference import read_reference
from mixgraph.cli.command_parser import CommandParser
from mixgraph.results.stems import render_stem, stem_places
from mixgraph.search import search
from mixgraph.songs.audio import read_audio, write_audio
from mixgraph.synthetic.instruments import INSTRUMENTS, make_sheet, make_track
from mixgraph.system.files import json_text, write_atomically
from tools.bench.machine import measured

RATE = 30000
STEMS = {"vocals": ("lead",), "drums": ("kick", "snare", "hats"), "bass": ("bass",), "other": ("pluck", "pad")}
LEAKAGES_DB = (None, -20.0, -10.0, -5.0)
_LOUD_DB, _WIDE_DB = 8.0, 6.0  # the most that a gain is off the reference, and that channels are apart
_LEAST_WIDE_DB = 1.5
_WARM_UP = 0.5


@dataclass(frozen=True, eq=False)
class KnownMix:
    """A mix whose making is known.

    Attributes:
        stems: stem -> (2, samples), as it is in the mix.
        gains_db: stem -> gain against the reference state.
        widths_db: stem -> level of the left channel against the right one.
    """

    stems: Mapping[str, Tensor]
    gains_db: Mapping[str, float]
    widths_db: Mapping[str, float]


def make_known_mix(seed: int, seconds: float = 6.0, sample_rate: int = RATE) -> KnownMix:
    """Makes four stems from formulas and places them; the same arguments give the same samples."""
    generator = torch.Generator().manual_seed(seed)
    sheet = make_sheet(round(seconds * sample_rate), sample_rate, generator)
    by_name = {instrument.name: instrument for instrument in INSTRUMENTS}
    reference = read_reference().instruments
    order = torch.randperm(len(STEMS), generator=generator).tolist()
    gains, widths, stems = {}, {}, {}
    for number, (name, members) in enumerate(STEMS.items()):
        tracks = [make_track(by_name[member], sheet, generator, 0) for member in members]
        dry = torch.stack([track.expand(2, -1) for track in tracks]).sum(0).float()
        gains[name] = _LOUD_DB * (2 * order[number] / (len(STEMS) - 1) - 1)
        drawn = 2 * float(torch.rand((), generator=generator)) - 1
        widths[name] = drawn * (_WIDE_DB - _LEAST_WIDE_DB) + (_LEAST_WIDE_DB if drawn >= 0 else -_LEAST_WIDE_DB)
        level_db = -23.0 + reference[name].loudness_lu - loudness(dry, sample_rate) + gains[name]
        sides = torch.tensor([[widths[name] / 2], [-widths[name] / 2]])
        stems[name] = dry * 10 ** ((level_db + sides) / 20)
    return KnownMix(stems, gains, widths)


def leaked(stems: Mapping[str, Tensor], leakage_db: float | None) -> dict[str, Tensor]:
    """Lets each other stem leak into every stem, that many dB below its own; the sum stays as it is."""
    leak = 0.0 if leakage_db is None else 10 ** (leakage_db / 20)
    whole = torch.stack(list(stems.values())).sum(0)
    return {name: ((1 - leak) * stem + leak * whole) / (1 + (len(stems) - 1) * leak) for name, stem in stems.items()}


def judge(result: Path, known: KnownMix) -> dict[str, Any]:
    """Compares what a found graph does to each stem with what was done to it."""
    found = load_result(result)
    places = {place.name: place for place in stem_places(found.graph) if place.level == "track"}
    config_tracks = result.parent / "song" / "tracks"
    names = list(known.stems)
    tracks = {name: read_audio(config_tracks / f"{name}.wav", found.sample_rate).expand(2, -1) for name in names}
    in_order = torch.stack([tracks[found.graph.names[node]] for node in found.graph.inputs])
    gains, widths = {}, {}
    for name in names:
        out = render_stem(found, in_order, places[name])
        gains[name] = round(loudness(out, found.sample_rate) - loudness(tracks[name], found.sample_rate), 2)
        left, right = (float(channel.double().square().sum()) for channel in out)
        widths[name] = round(10 * float(torch.log10(torch.tensor((left + 1e-12) / (right + 1e-12)))), 2)
    rank = spearmanr([known.gains_db[name] for name in names], [gains[name] for name in names]).statistic
    return {
        "rank_correlation": round(float(rank), 3),
        "signs_of_panning": sum(known.widths_db[name] * widths[name] > 0 for name in names),
        "stems": len(names),
        "gains_db": gains,
        "true_gains_db": {name: round(gain, 2) for name, gain in known.gains_db.items()},
        "left_against_right_db": widths,
        "true_left_against_right_db": {name: round(width, 2) for name, width in known.widths_db.items()},
        "loss": None if found.metrics is None else round(found.metrics.losses.found.loss["full"], 4),
    }


def run_one(folder: Path, seed: int, leakage_db: float | None, steps: int, stages: int, rounds: int) -> dict[str, Any]:
    """Makes a song, searches it from its mix alone, and judges the result."""
    known = make_known_mix(seed)
    mix = torch.stack(list(known.stems.values())).sum(0)
    write_audio(folder / "mix.wav", mix, RATE)
    for name, stem in leaked(known.stems, leakage_db).items():
        write_audio(folder / "stems" / f"{name}.wav", stem, RATE)
    data = BlindData(
        str(folder),
        str(folder / "stems"),
        normalised=str(folder / "song"),
        steps_per_stage=steps,
        warm_up_seconds=_WARM_UP,
        scored_seconds=2.0,
        cache_dir=None,
    )
    console = ConsoleModule(track_chain="eg", subgroup_chain="", sample_rate=RATE, warm_up_seconds=_WARM_UP)
    pruning = IterativePruning(console_stages=stages, rounds=rounds, leave_one_out=False)
    search(console, data, [pruning, ResultFolder(str(folder / "result"), page=False)], stages=pruning.num_stages)
    return {"seed": seed, "leakage_db": leakage_db, **judge(folder / "result", known)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns its exit code."""
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--songs", type=int, default=2, help="number of songs (2)")
    parser.add_argument("--steps", type=int, default=20, help="steps of a stage (20)")
    parser.add_argument("--stages", type=int, default=4, help="stages before pruning (4)")
    parser.add_argument("--rounds", type=int, default=1, help="rounds of pruning (1)")
    options = parser.parse_args(arguments)
    rows = []
    for seed in range(options.songs):
        for leakage_db in LEAKAGES_DB:
            with tempfile.TemporaryDirectory() as folder:
                row = run_one(Path(folder), seed, leakage_db, options.steps, options.stages, options.rounds)
            rows.append(row)
            sys.stdout.write(f"{row}\n")
            sys.stdout.flush()
    write_atomically(options.out, (json_text(table(rows, measured(_command(options), 1)), indent=1) + "\n").encode())
    return 0


def _command(options: argparse.Namespace) -> str:
    words = (f"--{name} {getattr(options, name)}" for name in ("songs", "steps", "stages", "rounds"))
    return f"python -m tools.bench.blind --out docs/results/blind_synthetic.json {' '.join(words)}"


def table(rows: Sequence[Mapping[str, Any]], measurement: Mapping[str, str]) -> dict[str, Any]:
    """The table of `docs/results`."""
    return {
        "title": "What a search from the mix alone finds, by the leakage of the stems",
        "measured": [measurement],
        "columns": [
            *("stems", "songs", "rank correlation of gains", "sides of panning that are right"),
            *("error of gains (dB)", "match loss"),
        ],
        "rows": [[str(value) for value in line.values()] for line in summary(rows)],
        "note": "Synthetic songs of 6 s with four stems, within 8 dB of the reference state and 1.5 to 6 dB to one "
        "side; console of equalizers and gains, shortened schedule. Leakage is the level of each other stem in a stem, "
        "against its own in the mix. Errors of gains are apart from what all stems of a song have in common.",
    }


def _gain_errors(row: Mapping[str, Any]) -> list[float]:
    """The errors of the gains of one song in dB, apart from what all have in common, the level of the whole mix."""
    differences = [row["gains_db"][name] - row["true_gains_db"][name] for name in row["gains_db"]]
    return [abs(difference - statistics.fmean(differences)) for difference in differences]


def summary(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The means over songs, for each leakage."""
    lines = []
    for leakage_db in LEAKAGES_DB:
        of_it = [row for row in rows if row["leakage_db"] == leakage_db]
        if not of_it:
            continue
        errors = [error for row in of_it for error in _gain_errors(row)]
        lines.append(
            {
                "leakage": "true stems" if leakage_db is None else f"{leakage_db:g} dB",
                "songs": len(of_it),
                "rank_correlation": round(sum(row["rank_correlation"] for row in of_it) / len(of_it), 3),
                "signs_of_panning": f"{sum(row['signs_of_panning'] for row in of_it)} of "
                f"{sum(row['stems'] for row in of_it)}",
                "gain_error_db": round(sum(errors) / len(errors), 2),
                "loss": round(sum(row["loss"] for row in of_it) / len(of_it), 3),
            }
        )
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
