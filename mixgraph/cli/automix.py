"""`python -m mixgraph automix SONG --out DIR`, `transfer SONG --reference MIX --out DIR`: mixes songs without a mix."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixgraph.cli.command_parser import CommandParser

if TYPE_CHECKING:
    from mixgraph.automix import Proposal, Reference
    from mixgraph.estimators import EstimatorModule
    from mixgraph.songs import Song
    from mixgraph.style import MixStatistics
    from mixgraph.style.refine import RefineSettings


@dataclass(frozen=True)
class Refinement:
    """What a refinement of a proposal reached, in words and as figures for automix.json."""

    notes: tuple[str, ...]
    figures: dict[str, float]


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
        lines = _make(options, work)
    _say(lines)
    return 0


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


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


def _make(options: argparse.Namespace, work: Path) -> list[str]:
    """Makes the proposals and writes them to a folder; says what is odd and how far it is, and returns the rest."""
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
    _say(about)
    wanted = None if reference is None else reference.audio
    proposals = propose(estimator, song, wanted, options.proposals, options.seed, options.variety, options.threshold)
    refinements: list[Refinement | None] = [None for _ in proposals]
    if options.refine_steps:
        target, whose = _target(song, reference)
        for place, proposal in enumerate(proposals):
            proposals[place], refinements[place] = _refined(proposal, target, whose, options, estimator)
            _say([f"Proposal {proposal.number} of {len(proposals)} is refined."])
    facts = _made_with(options, estimator)
    said_at_the_end = []
    heard = [hear(proposal, estimator.processors) for proposal in proposals]
    words = tell_apart(heard)
    for proposal, said, sound, refinement in zip(proposals, words, heard, refinements, strict=True):
        name = "" if len(proposals) == 1 else f"proposal_{proposal.number}"
        folder = work / name
        folder.mkdir(exist_ok=True)
        refined = refinement.notes if refinement else ()
        lines = [*([said] if len(proposals) > 1 else []), *refined, *said_levels(sound), *hardly_heard(sound)]
        made_with = {**facts, "proposal": proposal.number, "refinement": refinement and refinement.figures}
        with _naming(folder, options.out / name):
            written = write_proposal(
                folder, options.out / name, proposal, tracks, reference, [*about, *lines], made_with
            )
        counts = len(proposal.values.graph.processors), sum(proposal.console_counts.values())
        page = f"{options.out / name}: {counts[0]} of {counts[1]} processors; report.html is its page"
        said_at_the_end += [*lines, *written.notes, page]
    if len(proposals) > 1:
        write_atomically(work / WORDS, ("\n".join([*about, *words, "", *figures(heard)]) + "\n").encode())
    return said_at_the_end


@contextmanager
def _naming(work: Path, final: Path) -> Iterator[None]:
    """Names the folder that will be in errors on files in the one that is written to."""
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        text = str(error).replace(str(work), str(final))
        raise (FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError)(text) from error


def _made_with(options: argparse.Namespace, estimator: EstimatorModule) -> dict[str, Any]:
    """What all proposals were made with, for automix.json. A bound of -inf or inf is null."""
    from mixgraph.estimators.questions import Question
    from mixgraph.estimators.weights import SHIPPED
    from mixgraph.system.files import file_sha256

    question = Question.NOTHING if options.reference is None else Question.REFERENCE
    own = float(estimator.threshold_of(question))
    return {
        "question": "nothing" if options.reference is None else "reference",
        "reference": None if options.reference is None else options.reference.name,
        "reference_sha256": None if options.reference is None else file_sha256(options.reference),
        "network": "mixgraph's own" if options.checkpoint is None else options.checkpoint.name,
        "network_sha256": file_sha256(SHIPPED if options.checkpoint is None else options.checkpoint),
        "subgrouping": options.subgrouping,
        "seed": options.seed,
        "variety": options.variety,
        "threshold": own if options.threshold is None else options.threshold,
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
) -> tuple[Proposal, Refinement]:
    """Moves a proposal towards statistics; returns it, and what was reached."""
    from dataclasses import replace

    from mixgraph.automix.proposals import levelled
    from mixgraph.style.refine import refine

    refined = refine(proposal.song, proposal.values, target, _refine_settings(options, proposal.number))
    moved = levelled(replace(proposal, values=refined.values), estimator)
    before, after = float(refined.before.full), float(refined.after.full)
    said = (
        f"Refined in {refined.steps} steps: the distance of its statistics to {whose} went from "
        f"{before:.2f} to {after:.2f} dB"
    )
    figures = {"steps": refined.steps, "distance_before_db": before, "distance_after_db": after}
    return moved, Refinement((f"{said}.", *(f"{note}." for note in refined.notes)), figures)


def _refine_settings(options: argparse.Namespace, number: int) -> RefineSettings:
    """The settings of a proposal's refinement; that of the first does not depend on `--seed`."""
    from mixgraph.style.refine import REFINE, RefineSettings

    return RefineSettings(
        steps_per_stage=options.refine_steps,
        seed=REFINE.seed if number == 1 else options.seed,
        level_bounds_db=(options.level_bounds[0], options.level_bounds[1]),
    )
