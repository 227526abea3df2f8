"""`python -m mixgraph automix SONG --out DIR`, `transfer SONG --reference MIX --out DIR`: mixes songs without a mix."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixgraph.cli.command_parser import CommandParser

if TYPE_CHECKING:
    from mixgraph.automix import Proposal, Reference
    from mixgraph.estimators import EstimatorModule
    from mixgraph.songs import Song
    from mixgraph.style import MixStatistics
    from mixgraph.style.refine import RefineSettings

_DESCRIPTIONS = {
    "automix": (
        "Proposes a mix of dry tracks that have none, as a graph, with a trained network. A mix in the song's folder "
        "is not used. The proposal is refined towards the mean style of mixes of its instruments. The result can be "
        "rendered, exported and changed like that of a search."
    ),
    "transfer": (
        "Proposes a mix of dry tracks in the style of another mix, as a graph: a network's proposal, refined towards "
        "the reference's spectrum, width, crest and loudness range. The song's own mix is not "
        "used, unless it is the reference."
    ),
}


def main(arguments: Sequence[str]) -> int:
    """Runs `automix` or `transfer`, the first of the words; returns the exit code."""
    command, *words = arguments
    options = _parser(command).parse_args(words)
    if options.proposals < 1:
        raise ValueError(f"proposals: at least 1, got {options.proposals}")
    if options.refine_steps < 0:
        raise ValueError(f"refine-steps: at least 0, got {options.refine_steps}")
    down, up = options.level_bounds
    if not down <= 0 <= up:
        raise ValueError(f"level-bounds: a number up to 0 and one from 0 are needed, got {down:g} and {up:g}")

    # These imports load torch and Lightning, which the help does not need.
    from mixgraph.automix import PROPOSAL, PROPOSALS
    from mixgraph.results.publish import Place, publish_folder
    from mixgraph.search.run import quiet_lightning

    quiet_lightning()
    kind = PROPOSAL if options.proposals == 1 else PROPOSALS
    place = Place(options.out, kind, "out", "choose another folder or give --overwrite")
    with publish_folder(place, options.overwrite) as work:
        lines = list(_make(options, work))
    for line in lines:
        sys.stdout.write(f"{line}\n")
    return 0


def _parser(command: str) -> argparse.ArgumentParser:
    parser = CommandParser(description=_DESCRIPTIONS[command])
    parser.add_argument("song", type=Path, help="folder of the song (with tracks/), or of its dry tracks")
    if command == "transfer":
        parser.add_argument("--reference", type=Path, required=True, help="audio file of the mix whose style is wanted")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--proposals", type=int, default=1, metavar="N", help="so many proposals, told apart (1)")
    parser.add_argument(
        "--seed", type=int, default=0, help="of all proposals but the first, which is the likely one (0)"
    )
    parser.add_argument(
        "--variety", type=float, default=0.5, help="how far settings of the others move, 0 to 2 (0.5); 0: not at all"
    )
    parser.add_argument("--threshold", type=float, help="on the probability of keeping a processor, for the first")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        help="another network (.safetensors, or .ckpt of fit --config automix.yaml) than mixgraph's own",
    )
    parser.add_argument(
        "--refine-steps", type=int, default=30, help="steps of a stage of the refinement (30); 0 leaves it out"
    )
    parser.add_argument(
        "--level-bounds",
        type=float,
        nargs=2,
        default=(-6.0, 6.0),
        metavar=("DOWN", "UP"),
        help="how far the refinement may move a track's level against the mix, in dB (-6 6); -inf inf: at will",
    )
    parser.add_argument("--subgrouping", default="auto", help="auto, rule or one_per_track")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing folder")
    if command == "automix":
        parser.set_defaults(reference=None)
    return parser


def _make(options: argparse.Namespace, work: Path) -> Iterator[str]:
    """Makes the proposals, writes them to a folder, and yields what is to be said."""
    from mixgraph.automix import hear, odd_tracks, propose, read_reference_mix, tell_apart
    from mixgraph.automix.words import figures, hardly_heard, said_levels
    from mixgraph.automix.write import WORDS, write_proposal
    from mixgraph.estimators import load_estimator
    from mixgraph.estimators.network import ONE_QUESTION
    from mixgraph.shipped import song_path
    from mixgraph.songs.unmixed import load_unmixed
    from mixgraph.system.files import write_atomically

    estimator = load_estimator(options.checkpoint)
    if not estimator.network_settings.questions:
        raise ValueError(ONE_QUESTION)
    rate, tracks = estimator.task.sample_rate, song_path(options.song)
    reference = None if options.reference is None else read_reference_mix(options.reference, rate)
    song = load_unmixed(tracks, rate, subgrouping=options.subgrouping)
    beside = options.reference is not None and options.reference.resolve().parent == tracks.resolve()
    about = odd_tracks(song, estimator.about.get("max_tracks"), options.reference.name if beside else None)
    about += reference.notes if reference else ()
    yield from about
    wanted = None if reference is None else reference.audio
    proposals = propose(estimator, song, wanted, options.proposals, options.seed, options.variety, options.threshold)
    refinements: list[list[str]] = [[] for _ in proposals]
    if options.refine_steps:
        target, whose = _target(song, reference)
        pairs = [_refined(proposal, target, whose, options, estimator) for proposal in proposals]
        proposals, refinements = [p for p, _ in pairs], [notes for _, notes in pairs]
    heard = [hear(proposal, estimator.processors) for proposal in proposals]
    words = tell_apart(heard)
    for proposal, said, sound, refinement in zip(proposals, words, heard, refinements, strict=True):
        name = "" if len(proposals) == 1 else f"proposal_{proposal.number}"
        folder = work / name
        folder.mkdir(exist_ok=True)
        lines = [*([said] if len(proposals) > 1 else []), *refinement, *said_levels(sound), *hardly_heard(sound)]
        with _naming(folder, options.out / name):
            written = write_proposal(
                folder, options.out / name, proposal, tracks, reference, [*about, *lines], _made_with(options, proposal)
            )
        yield from (*lines, *written.notes)
        counts = len(proposal.values.graph.processors), sum(proposal.console_counts.values())
        yield f"{options.out / name}: {counts[0]} of {counts[1]} processors; report.html is its page"
    if len(proposals) > 1:
        write_atomically(work / WORDS, ("\n".join([*about, *words, "", *figures(heard)]) + "\n").encode())


@contextmanager
def _naming(work: Path, final: Path) -> Iterator[None]:
    """Names the folder that will be in errors on files in the one that is written to."""
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        raise type(error)(str(error).replace(str(work), str(final))) from error


def _made_with(options: argparse.Namespace, proposal: Proposal) -> dict[str, Any]:
    return {
        "question": "nothing" if options.reference is None else "reference",
        "reference": None if options.reference is None else options.reference.name,
        "network": "mixgraph's own" if options.checkpoint is None else options.checkpoint.name,
        "proposal": proposal.number,
        "seed": options.seed,
        "variety": options.variety,
        "threshold": options.threshold,
        "refine_steps": options.refine_steps,
        "level_bounds_db": list(options.level_bounds),
    }


def _target(song: Song, reference: Reference | None) -> tuple[MixStatistics, str]:
    """Returns the statistics that proposals are refined towards, and whose they are, in words.

    Without a reference: the mean of the mixes that come with mixgraph, by the instruments that they share with the
    song; a mix of the song itself is left out.
    """
    from mixgraph.style import mix_statistics
    from mixgraph.style.training_mixes import instruments_of, read_training_mixes

    if reference is not None:
        return mix_statistics(reference.audio, song.sample_rate), "the reference's"
    instruments = instruments_of(song)
    mean = read_training_mixes().mean(instruments, without=(song.name,))
    return mean.statistics, f"the mean of {len(mean.names)} mixes, for {', '.join(instruments) or 'any instruments'},"


def _refined(
    proposal: Proposal,
    target: MixStatistics,
    whose: str,
    options: argparse.Namespace,
    estimator: EstimatorModule,
) -> tuple[Proposal, list[str]]:
    """Moves a proposal towards statistics; returns it, and what was reached, in words."""
    from dataclasses import replace

    from mixgraph.automix.proposals import levelled
    from mixgraph.style.refine import refine

    refined = refine(proposal.song, proposal.values, target, _refine_settings(options, proposal.number))
    moved = levelled(replace(proposal, values=refined.values), estimator)
    said = (
        f"Refined in {refined.steps} steps: the distance of its statistics to {whose} went from "
        f"{float(refined.before.full):.2f} to {float(refined.after.full):.2f} dB"
    )
    return moved, [f"{said}.", *(f"{note}." for note in refined.notes)]


def _refine_settings(options: argparse.Namespace, number: int) -> RefineSettings:
    """The settings of a proposal's refinement; that of the first does not depend on `--seed`."""
    from mixgraph.style.refine import REFINE, RefineSettings

    return RefineSettings(
        steps_per_stage=options.refine_steps,
        seed=REFINE.seed if number == 1 else options.seed,
        level_bounds_db=(options.level_bounds[0], options.level_bounds[1]),
    )
