"""Saved graphs of the tiny song, with random settings, to export."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from mixgraph.graph import build_console
from mixgraph.processors import make_processors
from mixgraph.results.found_graph import FoundGraph
from mixgraph.songs.track_files import TrackOrigin

RATE = 8000
LEVEL = 0.8


def make_random_graph(
    song: Path,
    track_chain: str,
    subgroup_chain: str,
    subgroups: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
    spread: float = 0.5,
    **console: Any,
) -> FoundGraph:
    """A console of the tracks of a song with random settings, at 8 kHz."""
    subgroups = {"drums": ["kick", "hat"], "lead": ["lead"]} if subgroups is None else subgroups
    graph = build_console(subgroups, track_chain, subgroup_chain, name="tiny", **console)
    processors = make_processors(RATE)
    generator = torch.Generator().manual_seed(seed)
    parameters = {
        node_type: processors[node_type].sample_initial_values(count, generator, spread)
        for node_type, count in graph.count().items()
    }
    weights = 0.2 + 0.7 * torch.rand(len(graph.processors), generator=generator)
    origins = {
        name: TrackOrigin(f"tracks/{name}.wav", hashlib.sha256(path.read_bytes()).hexdigest())
        for tracks in subgroups.values()
        for name in tracks
        if (path := song / "tracks" / f"{name}.wav").is_file()
    }
    return FoundGraph(graph, processors, parameters, weights, RATE, LEVEL, 3 * RATE, {}, origins=origins)


@pytest.fixture(scope="session")
def random_graph():
    """The function `make_random_graph`."""
    return make_random_graph


@pytest.fixture(scope="session")
def full_result(tiny_song, tmp_path_factory) -> Path:
    """A console with all processors of the paper on three tracks and two subgroups."""
    folder = tmp_path_factory.mktemp("exports") / "full"
    make_random_graph(tiny_song, "ecnsgdr", "ecnsgdr").save(folder)
    return folder


@pytest.fixture(scope="session")
def plain_result(tiny_song, tmp_path_factory) -> Path:
    """A console of compressors and gains, which any export writes at once."""
    folder = tmp_path_factory.mktemp("exports") / "plain"
    make_random_graph(tiny_song, "cg", "g").save(folder)
    return folder
