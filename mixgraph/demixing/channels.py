"""Channels of a demixing network: how much each matters, which to remove for a size, and the network without them.

There are four kinds, and a group of channels of every kind and place:

- `code`: the numbers that stand for a band in a slice. Blocks exchange them, so that all blocks have the same.
- `exchange`: the width of the exchange.
- `inner/LAYER/BLOCK`: between the two convolutions of a residual layer.
- `target/BLOCK`: the inputs of a group of the decoder's grouped convolution, of which all groups need as many. A
  channel is one of every target, each target's n-th in the order of its own importance.

How much a channel matters is the first-order Taylor estimate of Molchanov et al., "Importance Estimation for Neural
Network Pruning" (CVPR 2019): with g the gradient of the loss and w the weights that read the channel, (sum g w)^2 is
the squared change of the loss when the channel is set to zero, to first order, and the mean of it over batches is
taken. The sum is the derivative by a gate on the channel, for what reads a channel is linear in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from mixgraph.demixing.network import DemixingNetwork, NetworkSettings
from mixgraph.dsp.slicqt import Layout

Importances = dict[str, Tensor]
"""Group of channels -> the importance of each: (channels,), of `target/BLOCK` (targets, channels)."""
CODE, EXCHANGE = "code", "exchange"


def inner_group(layer: int, block: int) -> str:
    """The name of a residual layer's channels."""
    return f"inner/{layer}/{block}"


def target_group(block: int) -> str:
    """The name of a decoder's channels."""
    return f"target/{block}"


@dataclass(frozen=True)
class KeptChannels:
    """The channels that stay, as ascending indices.

    Attributes:
        groups: group -> (kept channels,), of `target/BLOCK` (targets, kept channels).
    """

    groups: Mapping[str, Tensor]

    def settings(self, before: NetworkSettings, num_blocks: int) -> NetworkSettings:
        """The settings of the network without the others."""
        widths = {name: kept.shape[-1] for name, kept in self.groups.items()}
        return replace(
            before,
            width=widths[CODE],
            exchange=widths.get(EXCHANGE, 0),
            inner_widths=tuple(
                tuple(widths[inner_group(layer, block)] for block in range(num_blocks))
                for layer in range(before.num_layers)
            ),
            target_widths=tuple(widths[target_group(block)] for block in range(num_blocks)),
        )


def group_widths(settings: NetworkSettings, num_blocks: int) -> dict[str, int]:
    """The number of channels of every group."""
    widths = {CODE: settings.width}
    if settings.exchange:
        widths[EXCHANGE] = settings.exchange
    for layer, row in enumerate(settings.all_inner_widths(num_blocks)):
        widths |= {inner_group(layer, block): width for block, width in enumerate(row)}
    return widths | {target_group(block): width for block, width in enumerate(settings.all_target_widths(num_blocks))}


def count_parameters(
    widths: Mapping[str, int], layout: Layout, num_targets: int, channels: int, band_kernel: int
) -> int:
    """The number of parameters of a network of these widths, without making it."""
    code, exchange, bands = widths[CODE], widths.get(EXCHANGE, 0), layout.num_bands
    total = 2 * bands
    if exchange:
        total += 2 * code + exchange * (bands + 1) + code * (code + 1) + bands * (exchange + 1)
    for name, width in widths.items():
        if name.startswith("inner"):
            total += 2 * code + 3 * band_kernel * code * width + 2 * width + code * (width + 1)
    for block, part in enumerate(layout.blocks):
        inputs, width = channels * part.size, widths[target_group(block)]
        total += code * (band_kernel * inputs + 1)
        total += 2 * code + num_targets * width * (code + 1) + num_targets * inputs * (band_kernel * width + 1)
    return total


def channel_gates(network: DemixingNetwork) -> Importances:
    """The derivatives of the loss by gates on all channels, of the gradients that the network's weights have now."""

    def products(layer: nn.Module) -> Tensor:
        weight = layer.weight
        assert isinstance(weight, nn.Parameter)
        if weight.grad is None:
            raise ValueError("network: gradients are needed, got none. HINT: loss.backward()")
        return weight.detach() * weight.grad

    def by_input(layer: nn.Module) -> Tensor:
        return products(layer).flatten(2).sum(dim=(0, 2))

    code = torch.zeros_like(network.encoders[0].look.bias)  # type: ignore[union-attr, arg-type]
    gates: Importances = {}
    for layer, parts in enumerate(network.layers):
        assert isinstance(parts, nn.ModuleList)
        for block, part in enumerate(parts):
            code += by_input(part.look)  # type: ignore[arg-type]
            gates[inner_group(layer, block)] = by_input(part.mix)  # type: ignore[arg-type]
    if network.exchange is not None:
        code += by_input(network.exchange.mix)
        gates[EXCHANGE] = products(network.exchange.spread).sum(dim=0)
    for block, decoder in enumerate(network.decoders):
        code += by_input(decoder.split)  # type: ignore[arg-type]
        answers = products(decoder.answer)  # type: ignore[arg-type]
        groups = answers.unflatten(0, (decoder.answer.groups, -1))  # type: ignore[union-attr]
        gates[target_group(block)] = groups.flatten(3).sum(dim=(1, 3))
    return {CODE: code, **gates}


def choose_channels(
    importances: Importances, network: DemixingNetwork, most_parameters: int, least: Mapping[str, int]
) -> KeptChannels:
    """Chooses the channels to keep: again and again the one that matters least for the parameters that it takes goes.

    Args:
        importances: of all channels of the network.
        network: the network.
        most_parameters: how many parameters the smaller network may have.
        least: the channels that a group keeps at least.

    Raises:
        ValueError: so small a network would need fewer channels than `least`.
    """
    layout, kernel = network.layout, network.settings.band_kernel
    num_targets = importances[target_group(0)].shape[0]
    inputs = network.encoders[0].look.in_channels  # type: ignore[union-attr]
    channels = int(inputs) // layout.blocks[0].size  # type: ignore[arg-type]
    widths = group_widths(network.settings, len(layout.blocks))

    def count(changed: Mapping[str, int]) -> int:
        return count_parameters(changed, layout, num_targets, channels, kernel)

    orders = {name: values.argsort(dim=-1, stable=True) for name, values in importances.items()}  # least first
    # Of targets, the n-th least important ones of all go together.
    ascending = {name: values.sort(dim=-1).values for name, values in importances.items()}
    costs = {name: (values if values.dim() == 1 else values.sum(0)).tolist() for name, values in ascending.items()}
    removed = dict.fromkeys(widths, 0)
    total = count(widths)
    while total > most_parameters:
        candidates = {}
        for name, width in widths.items():
            if width > least[name]:
                saved = total - count({**widths, name: width - 1})
                candidates[name] = costs[name][removed[name]] / saved
        if not candidates:
            raise ValueError(f"share: at least {total} parameters stay, got {most_parameters} at most")
        name = min(candidates, key=candidates.__getitem__)
        removed[name] += 1
        widths[name] -= 1
        total = count(widths)
    return KeptChannels({name: order[..., removed[name] :].sort(dim=-1).values for name, order in orders.items()})


def keep_channels(values: Mapping[str, Tensor], kept: KeptChannels) -> dict[str, Tensor]:
    """Takes the kept channels of what has the shapes of the network's parameters and buffers, by their names."""
    return {name: _rows(name.split("."), value, kept.groups) for name, value in values.items()}


def _rows(name: Sequence[str], value: Tensor, kept: Mapping[str, Tensor]) -> Tensor:
    if value.dim() == 0 or name[0] == "whitening":
        return value.clone()
    code = kept[CODE]
    if name[0] == "encoders":
        return value[code]
    if name[0] == "exchange":
        if name[1] == "gather":
            return value[kept[EXCHANGE]]
        if name[1] == "spread":
            return value[:, kept[EXCHANGE]] if value.dim() == 2 else value.clone()
        return value[code][:, code] if value.dim() > 1 else value[code]
    if name[0] == "layers":
        inner = kept[inner_group(int(name[1]), int(name[2]))]
        rows = inner if name[3] in ("look", "mix_norm") else code
        if value.dim() == 1:
            return value[rows]
        return value[rows][:, code if name[3] == "look" else inner]
    if name[2] == "norm":
        return value[code]
    target = kept[target_group(int(name[1]))]
    if name[2] == "split":
        rows = value.unflatten(0, (len(target), -1))
        chosen = torch.cat([of_target[keep] for of_target, keep in zip(rows, target, strict=True)])
        return chosen[:, code] if value.dim() > 1 else chosen
    if value.dim() == 1:  # the bias of the answers
        return value.clone()
    rows = value.unflatten(0, (len(target), -1))
    return torch.cat([of_target[:, keep] for of_target, keep in zip(rows, target, strict=True)])
