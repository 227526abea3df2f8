"""A mixing console as a `grafx` graph, with its parameters and dry/wet logits."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from grafx.data import GRAFX, NodeConfigs, convert_to_tensor
from grafx.processors import (
    Compressor,
    DryWet,
    GainStagingRegularization,
    MultitapDelay,
    NoiseGate,
    SideGainImager,
    StereoGain,
    STFTMaskedNoiseReverb,
    ZeroPhaseFIREqualizer,
)
from grafx.render import prepare_render, render_grafx, reorder_for_fast_render
from grafx.utils import create_empty_parameters
from torch import Tensor, nn

from mixgraph.graph.edit import prune
from mixgraph.graph.types import INPUT, MIX, OUTPUT, MixGraph

# Our name of a type -> the peer's, in the order in which consoles chain them.
TYPES = {
    "equalizer": "eq",
    "compressor": "compressor",
    "noisegate": "noisegate",
    "stereo_imager": "stereo_imager",
    "gain_panning": "gain_panning",
    "delay": "delay",
    "reverb": "reverb",
}
UTILITY = {INPUT: "in", MIX: "mix", OUTPUT: "out"}
PARAMETER_NAMES = {"smoothing_logit": "z_alpha_pre"}  # ours -> the peer's, where they differ


def make_peer_processors() -> nn.ModuleDict:
    """One processor of each type, wrapped as DryWet(GainStaging(processor)) with gain staging on two of them."""
    reverb = STFTMaskedNoiseReverb(
        ir_len=60000, processor_channel="pseudo_midside", n_fft=384, hop_length=192, flashfftconv=False
    )
    delay = MultitapDelay(
        segment_len=3000,
        num_segments=20,
        num_delay_per_segment=1,
        processor_channel="stereo",
        zp_filter_per_tap=True,
        zp_filter_bins=20,
        flashfftconv=False,
    )
    return nn.ModuleDict(
        {
            "eq": DryWet(GainStagingRegularization(ZeroPhaseFIREqualizer(num_magnitude_bins=1024))),
            "compressor": DryWet(Compressor(iir_len=16384, flashfftconv=False)),
            "noisegate": DryWet(NoiseGate(iir_len=16384, flashfftconv=False)),
            "stereo_imager": DryWet(SideGainImager()),
            "gain_panning": DryWet(StereoGain()),
            "delay": DryWet(delay),
            "reverb": DryWet(GainStagingRegularization(reverb)),
        }
    )


@dataclass(frozen=True)
class PeerRendering:
    """A mix and the regularizers that rendering gives.

    Attributes:
        mix: the rendered mix, (1, 2, L).
        gain_staging: sum over the staged nodes, differences of ln mean energy.
        radii: sum over the taps of the delays.
    """

    mix: Tensor
    gain_staging: Tensor
    radii: Tensor


class PeerConsole(nn.Module):
    """The graph, its parameters N(0, 0.01^2) and one dry/wet logit, 0, for every node (also in, mix and out).

    Args:
        graph: a console, or what pruning left of one; chains in the order of `TYPES`.
        processors: shared between a console and its pruned versions.
    """

    def __init__(self, graph: MixGraph, processors: nn.ModuleDict | None = None) -> None:
        super().__init__()
        self.processors = make_peer_processors() if processors is None else processors
        self.graph = graph
        ordered = _ordered_graph(graph)
        self.render_data = prepare_render(convert_to_tensor(ordered))
        # For every node of the peer, the node of our graph.
        self.nodes = [data["name"] for _, data in sorted(ordered.nodes(data=True))]
        self.values = create_empty_parameters(self.processors, ordered, std=0.01)
        self.soft_mask = nn.Parameter(torch.zeros(len(graph)))

    def weights(self) -> Tensor:
        """Dry/wet weights of all nodes, (nodes,)."""
        return torch.sigmoid(self.soft_mask)

    def position(self, processors: Collection[int]) -> list[int]:
        """Where the given processors (indices into `graph.processors`) are among the peer's nodes."""
        nodes = {self.graph.processors[i] for i in processors}
        return [place for place, node in enumerate(self.nodes) if node in nodes]

    def forward(self, sources: Tensor, weights: Tensor | None = None, grad: bool = True) -> PeerRendering:
        """Renders a clip from silence.

        Args:
            sources: the dry tracks, (inputs, 2, L).
            weights: the dry/wet weights of all nodes, (nodes,); by default those of the console.
            grad: prepare for a backward pass.
        """
        common = {"drywet_weight": self.weights() if weights is None else weights}
        mix, intermediates, _ = render_grafx(
            self.processors, sources, self.values, self.render_data, common, parameters_grad=grad
        )
        return PeerRendering(mix, _total(intermediates, "gain_reg", mix), _total(intermediates, "radii_reg", mix))

    @torch.no_grad()
    def copy_values(self, parameters: Mapping[str, Mapping[str, Tensor]], weights: Tensor) -> None:
        """Takes the values of one of our consoles with the same graph.

        Args:
            parameters: our type -> our name -> (nodes of the type, *shape).
            weights: (processors,), in 0..1.
        """
        for node_type, values in parameters.items():
            rows = [self.graph.rows[node] for node in self.nodes if self.graph.types[node] == node_type]
            for name, value in values.items():
                self.values[TYPES[node_type]][PARAMETER_NAMES.get(name, name)].copy_(value[rows])
        logit_of = dict(zip(self.graph.processors, torch.logit(weights, eps=1e-6), strict=True))
        for place, node in enumerate(self.nodes):
            if node in logit_of:
                self.soft_mask[place] = logit_of[node]

    def pruned(self, removed: Collection[int]) -> PeerConsole:
        """The console without some processors (indices): a graph rewritten, the rows of what stays kept."""
        gone = {self.graph.processors[i] for i in removed}
        keep = [node for node in self.graph.processors if node not in gone]
        console = PeerConsole(prune(self.graph, keep)[0], self.processors)
        for ours, theirs in TYPES.items():
            rows = [node not in gone for node in self.nodes if self.graph.types[node] == ours]
            mask = torch.tensor(rows, dtype=torch.bool)
            for name, value in self.values[theirs].items():
                console.values[theirs][name] = nn.Parameter(value.detach()[mask].clone())
        stay = torch.tensor([node not in gone for node in self.nodes])
        console.soft_mask = nn.Parameter(self.soft_mask.detach()[stay].clone())
        return console


def _ordered_graph(graph: MixGraph) -> Any:
    """The `grafx` graph in its rendering order; each node carries the number of ours as its name."""
    unknown = set(graph.types) - set(TYPES) - set(UTILITY)
    if unknown:
        raise ValueError(f"graph: the peer has no processors of type {', '.join(sorted(unknown))}")
    config = NodeConfigs(list(TYPES.values()))
    peer_graph = GRAFX(config=config)
    for node, node_type in enumerate(graph.types):
        peer_graph.add(UTILITY.get(node_type) or TYPES[node_type], name=node)
    for source, destination in graph.edges:
        peer_graph.connect(source, destination)
    chain = list(TYPES.values())
    order = [config.node_type_to_index[t] for t in ("in", *chain, "mix", *chain, "out")]
    return reorder_for_fast_render(peer_graph, method="fixed", fixed_order=order)


def _total(intermediates: list[dict[str, Tensor]], key: str, like: Tensor) -> Tensor:
    values = [step[key] for step in intermediates if key in step]
    return torch.stack(values).sum() if values else like.new_zeros(())
