"""Adds to Lightning's checkpoints the graph, so that they load after pruning, and the state of the search."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mixgraph.graph import GraphValues, MixGraph
from mixgraph.graph.io import graph_from_json, graph_to_json

CHECKPOINT_KEY = "mixgraph"


def write_state(checkpoint: dict[str, Any], graph: MixGraph, state: Mapping[str, Any]) -> None:
    """Adds a graph and the search's state, which JSON must be able to hold, to a checkpoint."""
    checkpoint[CHECKPOINT_KEY] = json.dumps({"graph": json.loads(graph_to_json(graph)), **state})


def read_state(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Reads the graph and the state that `write_state` added.

    Raises:
        ValueError: the checkpoint is not that of a search, or of an earlier version.
    """
    if CHECKPOINT_KEY not in checkpoint:
        raise ValueError(f"checkpoint: {CHECKPOINT_KEY!r} is missing; it was not made by a ConsoleModule")
    state: dict[str, Any] = json.loads(checkpoint[CHECKPOINT_KEY])
    if not {"origin", "consoles"} <= state.keys():
        raise ValueError("checkpoint: it was made by an earlier version of mixgraph. HINT: search anew")
    return state


def saved_values(checkpoint: Mapping[str, Any]) -> GraphValues:
    """Reads the graph of a checkpoint with its parameters and dry/wet weights.

    Raises:
        ValueError: a part is missing, or none of its kind.
    """
    parameters: dict[str, dict[str, Tensor]] = {}
    try:
        graph = graph_from_json(json.dumps(json.loads(checkpoint[CHECKPOINT_KEY])["graph"]))
        for key, value in checkpoint["state_dict"].items():
            if key.startswith("values."):
                _, node_type, name = key.split(".", 2)
                parameters.setdefault(node_type, {})[name] = value
        return GraphValues(graph, parameters, torch.sigmoid(checkpoint["state_dict"]["dry_wet_logits"]))
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"checkpoint: is damaged ({error!r}). HINT: an earlier one") from error
