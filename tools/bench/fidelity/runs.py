"""One search, by a configuration of ours or by the peer's rules, and everything that is measured of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightning as L
from torch import Tensor

from callbacks import IterativePruning, ResultFolder, SearchProgress, TimeBudget
from datamodules import SongData
from mixgraph.graph import GraphValues
from mixgraph.processors import Processors, make_processors
from mixgraph.recovery import parameter_errors
from mixgraph.search.module import ConsoleModule
from mixgraph.search.run import TRAINER_DEFAULTS, search
from mixgraph.songs.song import Song
from tools.bench.cases import Case
from tools.bench.fidelity.curve import Curve, CurveCallback
from tools.bench.fidelity.known_settings import settings_errors
from tools.bench.fidelity.responses import measure_responses
from tools.bench.fidelity.truth import agreement, in_places, of_kinds, processors_of, read_settings, read_truth
from tools.bench.losses import clip_mix, independent_losses
from tools.bench.ours import renderer
from tools.bench.recipe import Recipe

Found = dict[str, Any]
REFERENCE = "reference"
"""The name of the peer's rules among the configurations."""
_PEER_OPTIONS = {"equalizer": {"window": "periodic"}}
"""Of our processors, that they respond as the peer's."""


def run_search(
    name: str, arguments: Sequence[str], folder: Path, truth: GraphValues | None, recipe: Recipe, seed: int
) -> Found:
    """Searches a song and measures what is found.

    Args:
        name: of the configuration; `REFERENCE` stands for the peer.
        arguments: of `python -m mixgraph fit`, for ours. Its options, not its files, may part the steps into other
            stages.
        folder: of the song.
        truth: the graph that made the song's mix, where it is one of ours.
        recipe: steps.
        seed: of everything.

    Returns:
        curve: see `Curve`; seconds, of the search alone; losses of the last point and of `independent_losses`;
        console and found: processors of each type; pruning_ratio; processors: those that are left; truth: agreement
        with what is known, or None; responses: see `measure_responses`; errors: of parameters against the graph that
        made the mix, else of those that `settings_errors` compares with truth.json.
    """
    run = _run_peer if name == REFERENCE else _run_ours
    return run(arguments, folder, truth, recipe, seed)


def _run_ours(arguments: Sequence[str], folder: Path, truth: GraphValues | None, recipe: Recipe, seed: int) -> Found:
    stages = {
        "data.steps_per_stage": recipe.round_steps,
        "pruning.console_stages": recipe.console_steps // recipe.round_steps,
        "pruning.rounds": recipe.rounds,
    }
    fixed = {"data.path": folder, "pruning.leave_one_out": "false", "result.path": "null", "seed_everything": seed}
    given = [f"--{key}={value}" for key, value in fixed.items()]
    if truth is not None:
        given.append("--data.loudness_lufs=null")  # thresholds are compared
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # read on import; about Lightning's own calls
    from mixgraph.cli.search import SearchCLI

    cli = SearchCLI(
        ConsoleModule,
        SongData,
        args=[*_files(arguments), *(f"--{key}={value}" for key, value in stages.items()), *_options(arguments), *given],
        run=False,
        save_config_callback=None,
        trainer_defaults=TRAINER_DEFAULTS | {"devices": 1},
        parser_kwargs={"parser_mode": "omegaconf+"},
        auto_configure_optimizers=False,
    )
    module, data = cli.model, cli.datamodule
    given_callbacks: list[L.Callback] = cli.trainer.callbacks  # type: ignore[attr-defined]
    callbacks = [c for c in given_callbacks if not isinstance(c, SearchProgress | ResultFolder | TimeBudget)]
    (pruning,) = (c for c in callbacks if isinstance(c, IterativePruning))
    wanted = [c for c in callbacks if type(c).__module__.partition(".")[0] != "lightning"]
    data.setup("fit")
    if data.song.sample_rate != (rate := Case(song=str(folder)).sample_rate):
        raise ValueError(f"data.sample_rate: songs are measured at {rate} Hz only, got {data.song.sample_rate}")
    curve = CurveCallback(Curve(_at_file_level(data.song)), data.song.level)
    search(module, data, [*wanted, curve], pruning.num_stages, "cpu", enable_progress_bar=False)
    values = GraphValues(module.graph, module.parameters_by_type(), module.weights.detach())
    render = renderer(module, data.song.level)
    found = _found(curve.curve, curve.console, values, module.processors, render, folder, truth, data.song.level)
    if truth is not None:
        own = make_processors(data.song.sample_rate)
        errors = parameter_errors(truth, values, own, data.song.sources, module.processors)
        found["errors"] = errors.to_dict()["values"]
    return found


def _files(arguments: Sequence[str]) -> list[str]:
    """`--config FILE` of each file; how many steps there are the files do not say here."""
    return [word for pair in pairwise(arguments) if pair[0] == "--config" for word in pair]


def _options(arguments: Sequence[str]) -> list[str]:
    return [a for a in arguments if a.startswith("--") and a != "--config"]


def _run_peer(arguments: Sequence[str], folder: Path, truth: GraphValues | None, recipe: Recipe, seed: int) -> Found:
    from tools.bench.peer import PeerSearch  # grafx is an optional extra
    from tools.bench.peer_side import PeerSide, peer_renderer

    def add_point(search: PeerSearch) -> None:
        curve.add(search.steps, len(search.console.graph.processors), peer_renderer(search))

    side = PeerSide(Case(song=str(folder)))
    run = side.prepared_search(seed, add_point)
    console = run.console.graph.count()
    curve = Curve(side.song)
    run.run(recipe.console_steps, recipe.rounds, recipe.round_steps)
    values, processors = peer_values(run.console), make_processors(side.song.sample_rate, _PEER_OPTIONS)
    return _found(curve, console, values, processors, peer_renderer(run), folder, truth)


def peer_values(console: Any) -> GraphValues:
    """The values of a `PeerConsole` as ours: the inverse of its `copy_values`."""
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


def _found(
    curve: Curve,
    console: dict[str, int],
    values: GraphValues,
    processors: Processors,
    render: Callable[[Tensor, int], Tensor],
    folder: Path,
    truth: GraphValues | None,
    level: float = 1.0,
) -> Found:
    song, end, graph = curve.song, curve.points[-1], values.graph
    mix, target = clip_mix(song, render)
    left = processors_of(graph)
    known = processors_of(truth.graph) if truth is not None else read_truth(folder)
    return {
        "curve": curve.points,
        "seconds": end["seconds"],
        "loss_target": end["loss_target"],
        "loss_prediction": end["loss_prediction"],
        **independent_losses(mix, target, song.sample_rate),
        "console": console,
        "found": graph.count(),
        "pruning_ratio": 1 - sum(graph.count().values()) / sum(console.values()),
        "processors": left,
        "truth": None if known is None else agreement(known, of_kinds(left) if truth is not None else in_places(left)),
        "responses": measure_responses(song, folder, truth, values, processors, (target, mix)),
        "errors": settings_errors(read_settings(folder) or [], values, processors, level),
    }


def _at_file_level(song: Song) -> Song:
    return replace(song, sources=song.sources / song.level, mix=song.mix / song.level, level=1.0)
