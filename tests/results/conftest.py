"""A found graph of every kind of console, with random settings, and tracks for it."""

import pytest
import torch

from mixgraph.graph import MixGraph, build_console
from mixgraph.processors import make_processors
from mixgraph.results.found_graph import FoundGraph

SUBGROUPS = {"drums": ["kick", "hat"], "voices": ["lead"]}


def make_found_graph(
    graph: MixGraph, rate: int, seconds: float = 1.5, seed: int = 0, spread: float = 0.5
) -> FoundGraph:
    """Random settings around the initial ones; detectors meet signals above and below their thresholds."""
    generator = torch.Generator().manual_seed(seed)
    processors, parameters = make_processors(rate), {}
    for node_type, count in graph.count().items():
        values = processors[node_type].sample_initial_values(count, generator, spread)
        if "log_threshold" in values:
            values["log_threshold"] = values["log_threshold"] + 2
        parameters[node_type] = values
    weights = 0.1 + 0.8 * torch.rand(len(graph.processors), generator=generator)
    return FoundGraph(graph, processors, parameters, weights, rate, 0.7, round(seconds * rate), {})


@pytest.fixture(scope="session")
def found():
    """found(graph, rate, seconds=1.5, seed=0, spread=0.5)"""
    return make_found_graph


@pytest.fixture(scope="session")
def every_console(found):
    """Buses, splitters, a sidechain, a chain on the mix and faders, at 2 kHz, and sources of 1.5 s."""
    sidechains = {"voices": "drums", "hat": "kick"}
    graph = build_console(SUBGROUPS, "et(c,s)f", "b(c,)gd", "song", "ek", {"room": "r", "echo": "dg"}, sidechains)
    sources = torch.rand(3, 2, 3000, generator=torch.Generator().manual_seed(1)) - 0.5
    return found(graph, 2000), sources
