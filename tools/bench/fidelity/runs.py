"""Runs one search, by our configuration or by the peer's rules, and measures its result."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightning as L

from callbacks import IterativePruning, ResultFolder, SearchProgress, TimeBudget
from datamodules import SongData
from mixgraph.graph import GraphValues
from mixgraph.processors import Processors, make_processors
from mixgraph.recovery import parameter_errors
from mixgraph.recovery.equivalence import PlacedProcessor, placed_processors
from mixgraph.report.closeness import measure_closeness
from mixgraph.search.module import ConsoleModule
from mixgraph.search.run import TRAINER_DEFAULTS, search
from mixgraph.songs.song import Song
from tools.bench.cases import Case
from tools.bench.fidelity.curve import Curve, CurveCallback
from tools.bench.fidelity.equal_graphs import equal_graphs, true_processors
from tools.bench.fidelity.known_settings import settings_errors
from tools.bench.fidelity.recovery import recovery_of
from tools.bench.fidelity.responses import measure_responses
from tools.bench.fidelity.songs import MeasuredSong
from tools.bench.fidelity.truth import agreement, in_places, of_kinds, processors_of, read_settings, read_truth
from tools.bench.losses import Render, clip_mix, independent_losses
from tools.bench.ours import renderer
from tools.bench.recipe import Recipe

Answer = dict[str, Any]
"""What `run_search` returns."""

PEER = "reference"
"""The name of the peer's rules among the configurations."""
_PEER_OPTIONS = {"equalizer": {"window": "periodic"}}
"""Of our processors, that they respond as the peer's."""


@dataclass(frozen=True)
class Rules:
    """The rules by which a song is searched.

    Attributes:
        name: name of the configuration; `PEER` for the peer.
        arguments: the arguments of `python -m mixgraph fit` (not for the peer). Options, but not files, may divide the
            steps into other stages.
        recipe: the numbers of steps and rounds.
        measured_steps: further numbers of steps after which losses are measured, besides the ends of the stages (not
            for the peer).
    """

    name: str
    arguments: Sequence[str]
    recipe: Recipe
    measured_steps: tuple[int, ...] = ()


def run_search(song: MeasuredSong, rules: Rules, seed: int) -> Answer:
    """Searches a song and measures the graph that comes out.

    Args:
        song: the song to search.
        rules: the rules to search by.
        seed: seeds the initial values, the clips and the order of candidates.

    Returns:
        A dict with `curve`, see `Curve`; `seconds` of searching; `losses` of the last point and of
        `independent_losses`; `octaves_db`, the level of the mix against its target by octave from 31 Hz; `console` and
        `found`, numbers of processors by type; `pruning_ratio`; `processors`, those that are left; `truth`, the
        agreement with the known processors, or None; `equal`, the same modulo what cannot be told apart, see
        `equal_graphs`, or None; `responses`, see `measure_responses`; `errors` of parameters against the graph that
        made the mix, else those that `settings_errors` compares with truth.json; and `recovery` of synthetic songs, see
        `recovery_of`.
    """
    end = _search_by_the_peer(song, rules, seed) if rules.name == PEER else _search_by_ours(song, rules, seed)
    answer = _measures(end, song)
    truth = song.truth
    if truth is not None and rules.name != PEER:
        audio = end.curve.song
        true_processors = make_processors(audio.sample_rate)
        errors = parameter_errors(truth, end.values, true_processors, audio.sources * end.level, end.processors)
        answer["errors"] = errors.to_dict()["values"]
    return answer


@dataclass(frozen=True, eq=False)
class SearchEnd:
    """The result of a search.

    Attributes:
        curve: losses in the course of the search, and the song at the level of its files.
        console: processors of each type when it started.
        console_steps: steps before the first round of pruning.
        values: the graph and its values.
        processors: one module for each type of the graph.
        render: renders clips at the level of the song's files.
        level: the factor that the song was multiplied by before the training.
    """

    curve: Curve
    console: dict[str, int]
    console_steps: int
    values: GraphValues
    processors: Processors
    render: Render
    level: float = 1.0


def _search_by_ours(song: MeasuredSong, rules: Rules, seed: int) -> SearchEnd:
    cli = _command_line(song, rules, seed)
    module, data = cli.model, cli.datamodule
    all_callbacks: list[L.Callback] = cli.trainer.callbacks
    callbacks = [c for c in all_callbacks if not isinstance(c, SearchProgress | ResultFolder | TimeBudget)]
    (pruning,) = (c for c in callbacks if isinstance(c, IterativePruning))
    of_the_search = [c for c in callbacks if type(c).__module__.partition(".")[0] != "lightning"]
    data.setup("fit")
    if data.song.sample_rate != (rate := Case(song=str(song.folder)).sample_rate):
        raise ValueError(f"data.sample_rate: songs are measured at {rate} Hz only, got {data.song.sample_rate}")
    curve = CurveCallback(Curve(_at_file_level(data.song)), data.song.level, rules.measured_steps)
    search(module, data, [*of_the_search, curve], pruning.num_stages, "cpu", enable_progress_bar=False)
    return SearchEnd(
        curve.curve,
        curve.console,
        curve.console_steps,
        GraphValues(module.graph, module.parameters_by_type(), module.weights.detach()),
        module.processors,
        renderer(module, data.song.level),
        data.song.level,
    )


def _command_line(song: MeasuredSong, rules: Rules, seed: int) -> Any:
    """Sets up the search as `python -m mixgraph fit` does, but without a result folder."""
    recipe, arguments = rules.recipe, rules.arguments
    stages = {
        "data.steps_per_stage": recipe.round_steps,
        "pruning.console_stages": recipe.console_steps // recipe.round_steps,
        "pruning.rounds": recipe.rounds,
    }
    fixed: dict[str, Any] = {
        "data.path": song.folder,
        "pruning.leave_one_out": "false",
        "result.path": "null",
        "seed_everything": seed,
    }
    if song.synthetic is not None:
        fixed["data.loudness_lufs"] = "null"  # thresholds are compared
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # read on import; about Lightning's own calls
    from mixgraph.cli.search import SearchCLI

    files = [word for pair in pairwise(arguments) if pair[0] == "--config" for word in pair]
    options = [a for a in arguments if a.startswith("--") and a != "--config"]
    before, after = ([f"--{key}={value}" for key, value in settings.items()] for settings in (stages, fixed))
    return SearchCLI(
        ConsoleModule,
        SongData,
        args=[*files, *before, *options, *after],  # numbers of steps in files are overridden
        run=False,
        save_config_callback=None,
        trainer_defaults=TRAINER_DEFAULTS | {"devices": 1},
        parser_kwargs={"parser_mode": "omegaconf+"},
        auto_configure_optimizers=False,
    )


def check_estimates(songs: Sequence[MeasuredSong], rules: Rules) -> str:
    """Refuses songs that an estimator was trained on where searches start from its estimates; returns its digest.

    The digest is of the file of the estimator; it is empty for rules without estimates.

    Raises:
        ValueError: an estimator would be judged by songs that it was trained on.
    """
    if rules.name == PEER:
        return ""
    module = _command_line(songs[0], rules, 0).model
    if module.initial_values != "estimated":
        return ""
    from mixgraph.estimators import load_estimator  # loads what other rules do not need
    from mixgraph.estimators.weights import SHIPPED
    from mixgraph.search.initial_estimate import trained_on

    estimator = load_estimator(module.estimated_checkpoint)
    if seen := [song.name for song in songs if trained_on(estimator, song.name)]:
        raise ValueError(
            f"--config {rules.name}: the estimator was trained on tracks of {', '.join(seen)}, which therefore cannot "
            "judge it. HINT: leave these songs out, or name another estimator (--model.estimated_checkpoint)"
        )
    path = Path(module.estimated_checkpoint or SHIPPED)
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def _search_by_the_peer(song: MeasuredSong, rules: Rules, seed: int) -> SearchEnd:
    from tools.bench.peer import PeerSearch  # grafx is an optional extra
    from tools.bench.peer_side import PeerSide, peer_renderer

    def add_point(search: PeerSearch) -> None:
        curve.add(search.steps, len(search.console.graph.processors), peer_renderer(search))

    side = PeerSide(Case(song=str(song.folder)))
    run = side.prepared_search(seed, add_point)
    console = run.console.graph.count()
    curve = Curve(side.song)
    recipe = rules.recipe
    run.run(recipe.console_steps, recipe.rounds, recipe.round_steps)
    processors = make_processors(side.song.sample_rate, _PEER_OPTIONS)
    return SearchEnd(curve, console, recipe.console_steps, peer_values(run.console), processors, peer_renderer(run))


def peer_values(console: Any) -> GraphValues:
    """Converts the values of a `PeerConsole` to ours; the inverse of `PeerConsole.copy_values`."""
    from tools.bench.peer.console import PARAMETER_NAMES, TYPES

    graph, nodes, weights = console.graph, console.nodes, console.weights().detach()
    parameters = {}
    for node_type in graph.count():
        rows = [graph.rows[node] for node in nodes if graph.types[node] == node_type]
        order = sorted(range(len(rows)), key=rows.__getitem__)
        theirs = console.values[TYPES[node_type]]
        names = {PARAMETER_NAMES.get(name, name): name for name in make_processors()[node_type].specification}
        parameters[node_type] = {names[name]: value.detach()[order] for name, value in theirs.items()}
    place = {node: i for i, node in enumerate(nodes)}
    return GraphValues(graph, parameters, weights[[place[node] for node in graph.processors]])


def _measures(end: SearchEnd, song: MeasuredSong) -> Answer:
    audio, graph, last, truth = end.curve.song, end.values.graph, end.curve.points[-1], song.truth
    mix, target = clip_mix(audio, end.render)
    left = processors_of(graph)
    known = processors_of(truth.graph) if truth is not None else read_truth(song.folder)
    synthetic = song.synthetic
    places = of_kinds(left) if truth is not None else in_places(left)
    return {
        "curve": end.curve.points,
        "seconds": last["seconds"],
        "loss_target": last["loss_target"],
        "loss_prediction": last["loss_prediction"],
        **independent_losses(mix, target, audio.sample_rate),
        "octaves_db": measure_closeness(target, mix, audio.sample_rate).octaves_db,
        "console": end.console,
        "found": graph.count(),
        "pruning_ratio": 1 - sum(graph.count().values()) / sum(end.console.values()),
        "processors": left,
        "truth": None if known is None else agreement(known, places),
        "equal": None if (true := _true_processors(song)) is None else equal_graphs(true, graph),
        "responses": measure_responses(audio, song.folder, truth, end.values, end.processors, (target, mix)),
        "errors": settings_errors(read_settings(song.folder) or [], end.values, end.processors, end.level),
        "recovery": None if synthetic is None else recovery_of(synthetic, audio, graph, _losses_by_stage(end)),
    }


def _true_processors(song: MeasuredSong) -> list[PlacedProcessor] | None:
    """Returns the processors that made the mix and what they are worth, or None where they are not known."""
    synthetic = song.synthetic
    if synthetic is None:
        return true_processors(song.folder)
    return placed_processors(synthetic.graph, synthetic.loss_increases or None)


def _losses_by_stage(end: SearchEnd) -> dict[str, float]:
    """Returns the losses over the target's norm of the trained console and of the found graph."""
    before = [point for point in end.curve.points if point["step"] <= end.console_steps]
    return {"console": before[-1]["loss_target"], "found": end.curve.points[-1]["loss_target"]}


def _at_file_level(song: Song) -> Song:
    return replace(song, sources=song.sources / song.level, mix=song.mix / song.level, level=1.0)
