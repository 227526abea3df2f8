"""What the tests of rendering share: processors, a console with its parameters, random graphs."""

import random
from dataclasses import dataclass

import pytest
import torch

from mixgraph.graph import GraphValues, MixGraph, batch, build_console
from mixgraph.processors import make_processors, registered


@dataclass(frozen=True)
class Scene:
    """A graph with all that it takes to render it."""

    graph: MixGraph
    parameters: dict
    weights: torch.Tensor
    sources: torch.Tensor

    @property
    def values(self):
        return GraphValues(self.graph, self.parameters, self.weights)

    def to(self, dtype):
        parameters = {t: {n: v.to(dtype) for n, v in values.items()} for t, values in self.parameters.items()}
        return Scene(self.graph, parameters, self.weights.to(dtype), self.sources.to(dtype))

    def leaves(self):
        """The same, every tensor a leaf that asks for its gradient."""
        parameters = {
            t: {n: v.clone().requires_grad_() for n, v in values.items()} for t, values in self.parameters.items()
        }
        return Scene(
            self.graph, parameters, self.weights.clone().requires_grad_(), self.sources.clone().requires_grad_()
        )

    def gradients(self):
        gradients_by_name = {f"{t}.{n}": v.grad for t, values in self.parameters.items() for n, v in values.items()}
        return {**gradients_by_name, "weights": self.weights.grad, "sources": self.sources.grad}


def make_scene(graph, length, seed=0, dtype=torch.float64, rate=30000):
    """Parameters with a spread of 0.5; detectors are so slow that blocks meet a moving envelope."""
    generator = torch.Generator().manual_seed(seed)
    parameters = {}
    for node_type, count in graph.count().items():
        values = registered()[node_type](sample_rate=rate).sample_initial_values(count, generator, 0.5)
        if "log_threshold" in values:
            values["log_threshold"] = values["log_threshold"] + 2
        parameters[node_type] = {n: v.to(dtype) for n, v in values.items()}
    weights = 0.1 + 0.8 * torch.rand(len(graph.processors), generator=generator, dtype=dtype)
    sources = torch.rand(len(graph.inputs), 2, length, generator=generator, dtype=dtype) - 0.5
    return Scene(graph, parameters, weights, sources)


def make_random_graph(seed, nodes=10):
    """Any acyclic graph: fan-out, sums at any node, parallel branches, all types in any order, outlets and keys."""
    rng = random.Random(seed)
    num_inputs = rng.randint(1, 3)
    kinds = [*registered(), "mix"]
    types = ["input"] * num_inputs + [rng.choice(kinds) for _ in range(nodes)]
    edges = set()
    for node in range(num_inputs, len(types)):
        for p in rng.sample(range(node), min(node, rng.choice([1, 1, 1, 2, 3]))):
            edges.add((p, node))
    types.append("output")
    fed = {s for s, _ in edges}
    edges |= {(node, len(types) - 1) for node in range(len(types) - 1) if node not in fed}

    def outlets(node):
        return registered()[types[node]].outlets if types[node] in registered() else 1

    cables = {(source, node, rng.randrange(outlets(source)), 0) for source, node in edges}
    for node, node_type in enumerate(types):
        if node_type in registered() and registered()[node_type].inlets > 1:
            for p in rng.sample(range(node), min(node, rng.choice([0, 1, 1, 2]))):
                cables.add((p, node, rng.randrange(outlets(p)), 1))
        if outlets(node) > 1:  # another outlet to where one leads already
            cables.add((node, max(d for s, d in edges if s == node), rng.randrange(outlets(node)), 0))
    ordered = sorted(cables)
    rng.shuffle(ordered)
    names = tuple(f"n{i}" for i in range(len(types)))
    return MixGraph(
        types=tuple(types),
        edges=tuple((source, node) for source, node, _, _ in ordered),
        names=names,
        subgroups=("",) * num_inputs,
        ports=tuple((outlet, inlet) for _, _, outlet, inlet in ordered),
    )


def make_batch(scenes):
    """One scene of several songs: rows are concatenated in order."""
    graph = batch([s.graph for s in scenes])
    parameters = {}
    for node_type in graph.count():
        having = [s.parameters[node_type] for s in scenes if node_type in s.parameters]
        parameters[node_type] = {n: torch.cat([values[n] for values in having]) for n in having[0]}
    return Scene(graph, parameters, torch.cat([s.weights for s in scenes]), torch.cat([s.sources for s in scenes]))


@pytest.fixture(scope="session")
def scene():
    """scene(graph, length, seed=0, dtype=float64, rate=30000)"""
    return make_scene


@pytest.fixture(scope="session")
def random_graph():
    """random_graph(seed, nodes=10)"""
    return make_random_graph


@pytest.fixture(scope="session")
def join():
    """join(scenes)"""
    return make_batch


@pytest.fixture(scope="session")
def processors():
    """One of each type, by number format; at 30 kHz, and at 2 kHz where everything is 15 times shorter."""
    formats = (torch.float64, torch.float32)
    return {(dtype, rate): make_processors(rate).to(dtype) for dtype in formats for rate in (30000, 2000)}


@pytest.fixture(scope="session")
def console():
    return build_console({"drums": ["kick", "snare"], "bass": ["bass"]})
