"""Blending: the masks of some targets from other checkpoints.

Targets share most of a network, so that a target's weights are no part that could be moved alone: the whole network of
the other checkpoint answers, and its logits are taken for that target. This takes the time of one network more for each
further checkpoint.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import nn

from mixgraph.demixing.module import Demixer
from mixgraph.dsp.slicqt import RaggedSpectrum
from mixgraph.names import did_you_mean

_EQUAL = ("transform", "architecture", "masks", "magnitude_power", "wiener")


class BlendedNetwork(nn.Module):
    """Logits of every target from the network that was chosen for it.

    Args:
        networks: the networks.
        sources: for every target the number of its network, and of its target there.
    """

    def __init__(self, networks: list[nn.Module], sources: list[tuple[int, int]]) -> None:
        super().__init__()
        self.networks, self.sources = nn.ModuleList(networks), sources

    def forward(self, magnitude: RaggedSpectrum) -> RaggedSpectrum:
        """Predicts logits; shapes are those of `DemixingNetwork.forward`."""
        answers = [network(magnitude).flat for network in self.networks]
        logits = torch.stack([answers[network][:, target] for network, target in self.sources], dim=1)
        return RaggedSpectrum(logits, magnitude.layout)


def blend(demixer: Demixer, others: Mapping[str, Demixer]) -> Demixer:
    """Makes a demixer that separates some targets by other demixers; for separating only.

    Args:
        demixer: separates all other targets.
        others: target -> the demixer whose logits are taken for it.

    Raises:
        ValueError: a target that one of them does not know, or demixers with other transforms, masks or contexts.
    """
    networks: list[Demixer] = [demixer]
    sources = [(0, number) for number in range(len(demixer.targets))]
    for target, other in others.items():
        for owner in (demixer, other):
            if target not in owner.targets:
                hint = did_you_mean(target, owner.targets)
                raise ValueError(f"blend: a target among {', '.join(owner.targets)} is needed, got {target!r}.{hint}")
        mine, theirs = demixer.settings(), other.settings()
        different = [name for name in _EQUAL if mine[name] != theirs[name]]
        if different:
            name = different[0]
            raise ValueError(
                f"blend: the checkpoint for {target} needs the same model.{name}, {mine[name]}, got {theirs[name]}"
            )
        if demixer.is_causal != other.is_causal:
            kinds = ["causal" if part.is_causal else "not causal" for part in (demixer, other)]
            raise ValueError(f"blend: the checkpoint for {target} needs to be {kinds[0]} as the first, got {kinds[1]}")
        if demixer.context_samples != other.context_samples:
            raise ValueError(
                f"blend: the checkpoint for {target} needs a network that sees {demixer.context_samples} samples "
                f"around its own, got {other.context_samples}"
            )
        if other not in networks:
            networks.append(other)
        sources[demixer.targets.index(target)] = (networks.index(other), other.targets.index(target))
    blended = copy.copy(demixer)
    blended._modules = dict(demixer._modules)
    blended.network = BlendedNetwork([part.network for part in networks], sources)  # type: ignore[assignment]
    blended._run_network = blended._logits
    return blended.eval()
