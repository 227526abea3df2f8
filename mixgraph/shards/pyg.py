"""Converts examples to PyTorch Geometric data and batches, with tracks and targets beside nodes and edges."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch_geometric.data import Batch, Data

from mixgraph.graph.convert import to_pyg
from mixgraph.shards.examples import Example

FOLLOW = ("tracks", "source_index", "processor_index")
"""What batches count beside nodes: `tracks_batch` and `tracks_ptr` say which graph each track belongs to."""


def to_data(example: Example) -> Data:
    """Converts an example to PyG data: the graph by `graph.convert.to_pyg`, and the rest of the example.

    Returns:
        The data of `to_pyg` with parameters of every type, `weight` and `loss_increase` (NaN if not known). Further
        attributes are `key`, that of the sample; `sample_rate`, `num_samples` and `start`, (1,) each; and, if audio
        is read, `tracks` (K, 2, T), whose row `k` is that of node `source_index[k]`, and `target` (1, 2, T).
    """
    sample = example.sample
    increases = sample.loss_increases
    if increases is None:
        increases = torch.full_like(sample.weights, torch.nan, dtype=torch.float64)
    data = to_pyg(sample.graph, sample.parameters, sample.weights, increases, sample.processors())
    data.key = sample.key
    for name, value in (
        ("sample_rate", sample.sample_rate),
        ("num_samples", sample.num_samples),
        ("start", example.start),
    ):
        data[name] = torch.tensor([value])
    if example.tracks is not None and example.target is not None:
        data.tracks, data.target = example.tracks, example.target.unsqueeze(0)
    return data


def to_batch(examples: Sequence[Example]) -> Batch:
    """Joins examples into one PyG batch; `to_data_list` splits it again.

    Indices of nodes, edges, sources and processors are shifted. `batch` holds the graph of each node, `tracks_batch`
    that of each track, and `processor_index_batch` that of each processor.

    Raises:
        ValueError: there are no examples, or their stretches have different lengths.
    """
    if not examples:
        raise ValueError("examples: at least one is needed for a batch, got none")
    lengths = {e.target.shape[-1] if e.target is not None else 0 for e in examples}
    if len(lengths) > 1:
        raise ValueError(
            f"examples: one length is needed in a batch, got {sorted(lengths)} samples. HINT: set segment_seconds, or "
            "batch_size 1"
        )
    data = [to_data(example) for example in examples]
    return Batch.from_data_list(data, follow_batch=[name for name in FOLLOW if name in data[0]])
