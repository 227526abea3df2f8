"""Figure 2, the console beside the found graph, and Figure 11, the graphs of repeated searches of one song."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from mixgraph.graph import MixGraph, build_console
from mixgraph.graph.io import load_graph
from mixgraph.paper.readings import Reading, check_alike, check_one_song
from mixgraph.report.console_drawing import ConsoleAndFound
from mixgraph.report.drawing.draw import Drawing, draw_together
from mixgraph.report.loss_increases import console_increases
from mixgraph.results.contents import CONSOLE_DRAWING
from mixgraph.results.write import console_weights


def console_figure(reading: Reading) -> Figure:
    """Draws the console of a search, and the graph that it found of it below (paper Figure 2).

    The weights of the console's processors are shown where the search measured loss increases, which tells them.
    """
    found = load_graph(reading.folder / "graph.json")
    console, losses = console_of(reading, found.graph), reading.metrics.searched_losses
    increases = console_increases(reading.trace(), console.count())
    return draw_together(
        ConsoleAndFound(
            reading.metrics.song.title or reading.song,
            console,
            console_weights(console, increases),
            found.graph,
            found.weights,
            (losses["console"], losses["found"]),
        ).drawings()
    )


def console_of(reading: Reading, graph: MixGraph) -> MixGraph:
    """Builds the console that a found graph is a part of, from the chains of its search's settings.

    Raises:
        ValueError: the search began with another graph (`start`).
    """
    subgroups: dict[str, list[str]] = {}
    for node, subgroup in zip(graph.inputs, graph.subgroups, strict=True):
        subgroups.setdefault(subgroup, []).append(graph.names[node])
    model = reading.config["model"]
    chains = model["track_chain"], model["subgroup_chain"], reading.song, model.get("master_chain") or ""
    wires = model.get("returns") or {}, model.get("sidechains") or {}
    console = build_console(subgroups, *chains, *wires, model.get("single_track_subgroups", "chain"))
    expected = reading.metrics.num_processors.console
    if len(console.processors) != expected:
        raise ValueError(
            f"result: {reading.folder}: the console of its settings has {len(console.processors)} processors, and its "
            f"search began with {expected}, from another graph. HINT: its {CONSOLE_DRAWING} is of what it began with"
        )
    return console


def runs_figure(readings: Sequence[Reading]) -> Figure:
    """Draws the graphs of searches of one song by different seeds, with their processors and losses (Figure 11).

    Raises:
        ValueError: no results, results of different songs, settings or versions, or one seed twice.
    """
    check_alike(readings)
    check_one_song(readings)
    seeds = [reading.config["seed_everything"] for reading in readings]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"result: searches by different seeds are needed, got seeds {', '.join(map(str, seeds))}")
    drawings = []
    for reading, seed in zip(readings, seeds, strict=True):
        found = load_graph(reading.folder / "graph.json")
        count, loss = len(found.graph.processors), reading.metrics.searched_losses["found"]
        name = reading.metrics.song.title or reading.song
        drawings.append(
            Drawing(found.graph, found.weights, f"{name}, seed {seed}: {count} processors, loss {loss:.3f}")
        )
    return draw_together(drawings, columns=2)
