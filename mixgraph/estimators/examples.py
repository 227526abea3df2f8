"""Makes examples: the network's inputs for a segment of a song, on the song's full console, and their labels.

An example is a PyTorch Geometric `Data`, so that songs of any size batch. On the console's nodes:

- `x` (nodes,) type ids of `vocabulary_of` the task's types, `level` (nodes,) 0 track, 1 subgroup, 2 output;
  `head_index` (nodes,) the input, mix or output whose audio features the node uses; `edge_index` (2, edges) the cables;
  `tree_index` (2, edges) inputs to their mix, mixes to the output, and heads to their processors.
- `signal_index` (signals,) nodes of tracks, subgroups and the output, to which the rows of the features belong:
  `mels`, `mix_mels` (one a song), `cues`, `lags`, see `SegmentFeatures`.
- `processor_index` (processors,) nodes; `keep` (processors,) 1 where the true graph has the processor, `weight`
  (processors,) its dry/wet weight; `code_{type}` (nodes of the type, numbers) its settings, see `ParameterCode`. Both
  are 0 where it is not kept. `known` (processors,) is 1 where it is kept and weight and settings are known: other
  effects than ours give the place of a processor alone.
- `clip_tracks` (tracks, 2, T) and `clip_mix` (1, 2, T), where the settings keep audio for the match loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch_geometric.data import Data

from mixgraph.estimators.coding import ParameterCode
from mixgraph.estimators.features import SegmentFeatures
from mixgraph.graph import GraphValues, MixGraph, build_console
from mixgraph.graph.types import AUXILIARY, INPUT, MIX, OUTPUT
from mixgraph.recovery.agreement import matched_keys

TRACK, SUBGROUP, MASTER = 0, 1, 2


@dataclass(frozen=True)
class Console:
    """The full console of a song, with the order of its tracks.

    Attributes:
        graph: the console as `build_console` makes it; its inputs are ordered by subgroup.
        order: the row of the song's tracks that feeds each input of the console.
        groups: the inputs of the console, by number, that belong to each subgroup.
    """

    graph: MixGraph
    order: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]


def console_of(graph: MixGraph, track_chain: str = "ecnsgdr", subgroup_chain: str = "ecnsgdr") -> Console:
    """Builds the full console on the tracks and subgroups of a graph of one song."""
    return _console(
        graph.members, [graph.names[i] for i in graph.inputs], track_chain, subgroup_chain, _song_name(graph)
    )


def console_of_subgroups(
    subgroups: Mapping[str, Sequence[str]], track_chain: str, subgroup_chain: str, name: str
) -> Console:
    """Builds the full console of a song whose tracks are in the order of its subgroups."""
    names = [track for tracks in subgroups.values() for track in tracks]
    members = {group: [names.index(track) for track in tracks] for group, tracks in subgroups.items()}
    return _console(members, names, track_chain, subgroup_chain, name)


def _console(
    members: Mapping[str, Sequence[int]], names: Sequence[str], track_chain: str, subgroup_chain: str, name: str
) -> Console:
    console = build_console(
        {group: [names[row] for row in rows] for group, rows in members.items()}, track_chain, subgroup_chain, name
    )
    order = tuple(row for rows in members.values() for row in rows)
    groups, first = [], 0
    for rows in members.values():
        groups.append(tuple(range(first, first + len(rows))))
        first += len(rows)
    return Console(console, order, tuple(groups))


def _song_name(graph: MixGraph) -> str:
    return graph.names[graph.outputs[0]]


def vocabulary_of(types: Iterable[str]) -> dict[str, int]:
    """Type -> its id in `x`: input, mix and output, then the processor types that an estimator knows."""
    return {node_type: i for i, node_type in enumerate((*AUXILIARY, *types))}


def console_data(console: Console, features: SegmentFeatures, types: Sequence[str]) -> Data:
    """The inputs of the network; features are of the console's tracks, in its order; types are the task's."""
    graph = console.graph
    vocabulary = vocabulary_of(types)
    heads = [graph.chain_head(node) if graph.types[node] != OUTPUT else node for node in range(len(graph))]
    level = {INPUT: TRACK, MIX: SUBGROUP, OUTPUT: MASTER}
    mixes, output = graph.nodes_of(MIX), graph.outputs[0]
    tree = [(heads[node], node) for node in graph.processors]
    tree += [(graph.inputs[row], mix) for mix, rows in zip(mixes, console.groups, strict=True) for row in rows]
    tree += [(mix, output) for mix in mixes]
    return Data(
        x=torch.tensor([vocabulary[node_type] for node_type in graph.types]),
        level=torch.tensor([level[graph.types[head]] for head in heads]),
        head_index=torch.tensor(heads),
        edge_index=torch.tensor(graph.edges).T.contiguous(),
        tree_index=torch.tensor(tree).T.contiguous(),
        signal_index=torch.tensor([*graph.inputs, *mixes, output]),
        processor_index=torch.tensor(graph.processors),
        mels=features.mels,
        mix_mels=features.mix_mels,
        cues=features.cues,
        lags=features.lags,
    )


def add_labels(
    data: Data, console: Console, true: GraphValues, codes: Mapping[str, ParameterCode], settings_known: bool = True
) -> Data:
    """Adds the labels, taken from the true graph, to the data of a console; returns the data.

    Args:
        data: the inputs of the network.
        console: the console of the song.
        true: the true graph.
        codes: the codes of the console's processor types.
        settings_known: whether the true graph's parameters and weights are those of the mix.

    Raises:
        ValueError: the true graph has other tracks or subgroups than the console, or a processor that it lacks.
    """
    graph = console.graph
    ours, theirs = matched_keys(true.graph, graph)
    if unknown := [true.graph.label(node) for key, node in ours.items() if key not in theirs]:
        raise ValueError(f"graph: processors that the console has are needed, got {', '.join(unknown)} too")
    keep, weight = torch.zeros(len(graph)), torch.zeros(len(graph))
    position = {node: i for i, node in enumerate(true.graph.processors)}
    rows: dict[str, list[tuple[int, int]]] = {}
    for key, node in ours.items():
        console_node = theirs[key]
        keep[console_node], weight[console_node] = 1.0, true.weights[position[node]]
        rows.setdefault(key.type, []).append((graph.rows[console_node], true.graph.rows[node]))
    data.keep, data.weight = keep[list(graph.processors)], weight[list(graph.processors)]
    data.known = data.keep * float(settings_known)
    for node_type, code in codes.items():
        values = torch.zeros(len(graph.nodes_of(node_type)), code.size + code.num_positions)
        if pairs := rows.get(node_type):
            console_rows, true_rows = map(list, zip(*pairs, strict=True))
            parameters = {name: value[true_rows].float() for name, value in true.parameters[node_type].items()}
            values[console_rows] = code.encode(parameters)
        data[label_key(node_type)] = values
    return data


def label_key(node_type: str) -> str:
    """The key of an example under which the codes of a processor type's settings are kept."""
    return f"code_{node_type}"
