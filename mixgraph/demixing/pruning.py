"""Pruning of a trained demixer: channels are removed, so that the network is smaller, and it is trained on.

The three strategies are those that the author of xumx-sliCQ-V2 tried: pruning once, pruning and training on in turns,
and pruning while training. In his, weights are set to zero and stay in the file; here the convolutions have fewer
channels, and what was removed never comes back.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from mixgraph.checkpoints import read_checkpoint, sealed
from mixgraph.demixing.batches import StemBatch
from mixgraph.demixing.channels import (
    Importances,
    KeptChannels,
    channel_gates,
    choose_channels,
    count_parameters,
    group_widths,
    keep_channels,
)
from mixgraph.demixing.module import CHECKPOINT_KEY, Demixer, make_demixer
from mixgraph.demixing.network import DemixingNetwork
from mixgraph.demixing.settings import Performance
from mixgraph.system.files import plain_json, write_atomically

Strategy = Literal["once", "in_turns", "while_training"]
STATE_KEY = "mixgraph_pruning"
_FIRST_BATCH = 1000
"""Importances are those of batches from -1000 down, which no training step and no whitening has."""
_SMALL_STEPS = 20
"""Prunings of `"while_training"`, over the first half of the steps."""
_WARM_UP = 20  # steps
_BETAS, _TINY = (0.9, 0.999), 1e-8


@dataclass(frozen=True)
class PruningSettings:
    """How a demixer is pruned.

    Attributes:
        share: the share of its parameters that may stay, above 0; 1 prunes nothing and trains on.
        strategy: `"once"` prunes before all training; `"in_turns"` prunes `turns` times, each time trained after it;
            `"while_training"` prunes a little at a time over the first half of the training, by the gradients of its
            own steps.
        steps: training steps in all.
        turns: prunings of `"in_turns"`.
        importance_batches: batches whose gradients say which channels matter, for each pruning but those of
            `"while_training"`.
        learning_rate: after a short warm-up; it falls to a hundredth along a cosine.
    """

    share: float = 0.5
    strategy: Strategy = "in_turns"
    steps: int = 500
    turns: int = 4
    importance_batches: int = 16
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share: above 0 and at most 1, got {self.share}")
        if self.strategy not in get_args(Strategy):
            raise ValueError(f"strategy: one of {', '.join(get_args(Strategy))}, got {self.strategy!r}")
        if self.steps < 0 or (self.steps == 0 and self.strategy != "once"):
            raise ValueError(f"steps: at least 1, or 0 for once, got {self.steps}")
        for name in ("turns", "importance_batches"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: at least 1, got {getattr(self, name)}")
        if not (self.learning_rate > 0 and math.isfinite(self.learning_rate)):
            raise ValueError(f"learning_rate: above 0, got {self.learning_rate}")

    def shares(self) -> dict[int, float]:
        """The share of the parameters that may stay from a step on; sizes fall by equal factors."""
        if self.share == 1:
            return {}
        if self.strategy == "once":
            return {0: self.share}
        number, steps = (self.turns, self.steps) if self.strategy == "in_turns" else (_SMALL_STEPS, self.steps // 2)
        # While training, gradients come first: those of one step at least.
        first = 0 if self.strategy == "in_turns" else 1
        due = [max(first, (turn + first) * steps // number) for turn in range(number)]
        return {step: self.share ** ((turn + 1) / number) for turn, step in enumerate(due)}


class ChannelPruning:
    """Prunes a demixer and trains it on, a step at a time.

    A run depends on the settings and the batches alone, in one piece or gone on with from a `state`.

    Args:
        demixer: the trained demixer, which stays as it is.
        settings: how it is pruned.
        batch: gives the batch of a step; negative numbers are of no step.
        about: what the demixer and the batches come from, as JSON takes it; a run goes on only where it is equal.

    Raises:
        ValueError: a demixer with another network than ours, or a share that cannot be reached.
    """

    def __init__(
        self,
        demixer: Demixer,
        settings: PruningSettings,
        batch: Callable[[int], StemBatch],
        about: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(demixer.network, DemixingNetwork):
            raise ValueError(
                "demixer: channels of our network can be pruned, got "
                f"{'a blended one' if demixer.architecture == 'ours' else 'the published one'}. HINT: a checkpoint of "
                "model.architecture=ours"
            )
        self.settings, self.batch, self.about = settings, batch, plain_json(about or {})
        self.demixer = make_demixer(demixer.settings(), demixer.performance).to(demixer.device)
        self.demixer.load_state_dict(demixer.state_dict())
        self.parameters_before = self.num_parameters
        num_blocks = len(self.network.layout.blocks)
        widths = group_widths(self.network.settings, num_blocks)
        self._least = {name: max(1, math.floor(width * settings.share / 2)) for name, width in widths.items()}
        self._refuse_too_small()
        self.step = 0
        self._shares = settings.shares()
        self._gates = _zeros(self.network)
        self._gated = 0
        self._moments: dict[str, tuple[Tensor, Tensor]] = {}

    @property
    def network(self) -> DemixingNetwork:
        """The network as it is now."""
        network = self.demixer.network
        assert isinstance(network, DemixingNetwork)
        return network

    @property
    def num_parameters(self) -> int:
        """The parameters of the network as it is now."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def _refuse_too_small(self) -> None:
        """Refuses a share that no pruning can reach, before any time is spent on it."""
        network, most = self.network, math.floor(self.settings.share * self.parameters_before)
        kernel, num_targets = network.settings.band_kernel, len(self.demixer.targets)
        least = count_parameters(self._least, network.layout, num_targets, self.demixer.channels, kernel)
        if self.settings.share < 1 and least > most:
            raise ValueError(f"share: at least {least} parameters stay, got {most} at most. HINT: a larger share")

    def advance(self) -> float | None:
        """Prunes, if it is time, and trains a step; returns the step's loss, None where all steps are done.

        Raises:
            FloatingPointError: a loss or gradient is not finite.
        """
        self.prune_if_due()
        if self.step >= self.settings.steps:
            return None
        self.demixer.train()
        loss = self._backward(self.step)
        parameters = list(self.network.parameters())
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if not (math.isfinite(loss) and bool(norm.isfinite())):
            raise FloatingPointError(
                f"training broke down at step {self.step + 1}: a loss or gradient is not finite (loss {loss:g}). HINT: "
                f"a lower learning rate (it is {self.settings.learning_rate:g})"
            )
        if self.settings.strategy == "while_training" and self.step < max(self._shares, default=0):
            self._add_gates()
        nn.utils.clip_grads_with_norm_(parameters, self.demixer.optimizer_settings.clip_norm, norm)
        self._descend()
        self.step += 1
        self.prune_if_due()
        return loss

    def prune_if_due(self) -> None:
        """Prunes to the share that this step may have at most, if the network is larger; `advance` does so, too."""
        share = min((share for step, share in self._shares.items() if step <= self.step), default=1.0)
        most = math.floor(share * self.parameters_before)
        if self.num_parameters <= most:
            return
        if self.settings.strategy != "while_training":
            self._gates, self._gated = _zeros(self.network), 0
            self.demixer.eval()
            for number in range(self.settings.importance_batches):
                self._backward(-_FIRST_BATCH - number)
                self._add_gates()
        self.prune(choose_channels(self._importances(), self.network, most, self._least))

    def _backward(self, step: int) -> float:
        self.network.zero_grad()
        loss = self.demixer.terms(self.batch(step))["loss"]
        loss.backward()
        return float(loss.detach())

    def _add_gates(self) -> None:
        for name, gate in channel_gates(self.network).items():
            self._gates[name] += gate.square()
        self._gated += 1

    def _importances(self) -> Importances:
        return {name: gate / max(1, self._gated) for name, gate in self._gates.items()}

    def prune(self, kept: KeptChannels) -> None:
        """Removes all other channels, from the network and from what the optimizer remembers of it."""
        self.demixer = without_channels(self.demixer, kept)
        first, second = (
            keep_channels({name: moments[part] for name, moments in self._moments.items()}, kept) for part in (0, 1)
        )
        self._moments = {name: (first[name], second[name]) for name in first}
        self._gates, self._gated = _zeros(self.network), 0

    @torch.no_grad()
    def _descend(self) -> None:
        """A step of AdamW, whose moments can be pruned with the weights."""
        settings, number = self.settings, self.step + 1
        share = self.step / settings.steps
        rate = settings.learning_rate * min(1.0, number / _WARM_UP)
        rate *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share))
        decay = 1 - rate * self.demixer.optimizer_settings.weight_decay
        for name, parameter in self.network.named_parameters():
            gradient = parameter.grad
            if gradient is None:
                continue
            first, second = self._moments.get(name) or (torch.zeros_like(parameter), torch.zeros_like(parameter))
            first.lerp_(gradient, 1 - _BETAS[0])
            second.mul_(_BETAS[1]).addcmul_(gradient, gradient, value=1 - _BETAS[1])
            self._moments[name] = (first, second)
            spread = (second / (1 - _BETAS[1] ** number)).sqrt_().add_(_TINY)
            parameter.mul_(decay).addcdiv_(first, spread, value=-rate / (1 - _BETAS[0] ** number))

    # What is kept of a run that is stopped.

    def state(self) -> bytes:
        """The bytes of a checkpoint from which the run goes on; it is one of a demixer, too."""
        content = {
            "pruning_moments": {name: list(moments) for name, moments in self._moments.items()},
            "pruning_gates": self._gates,
            STATE_KEY: json.dumps(
                {
                    **self._fixed(),
                    "step": self.step,
                    "gated": self._gated,
                }
            ),
        }
        return demixer_bytes(self.demixer, content)

    def _fixed(self) -> dict[str, Any]:
        """What does not change in a run."""
        fixed = {"settings": asdict(self.settings), "about": self.about}
        return {**fixed, "parameters_before": self.parameters_before, "least": self._least}

    def resume(self, path: Path) -> None:
        """Goes on from a file with a `state`.

        Raises:
            ValueError: the file is damaged, or is of a run of other settings or of another demixer.
        """
        checkpoint = read_checkpoint(path)
        if STATE_KEY not in checkpoint:
            raise ValueError(f"{path}: the state of a pruning is needed, got a checkpoint without {STATE_KEY!r}")
        saved = json.loads(checkpoint[STATE_KEY])
        for name, value in self._fixed().items():
            if saved[name] != value:
                raise ValueError(
                    f"{path}: holds another run, its {name} {saved[name]}, got {value}. HINT: remove the file to start "
                    "anew, or give the options of that run to go on"
                )
        demixer = make_demixer(json.loads(checkpoint[CHECKPOINT_KEY]), self.demixer.performance)
        demixer.load_state_dict(checkpoint["state_dict"])
        device = self.demixer.device
        self.demixer = demixer.to(device)
        self.step, self._gated = saved["step"], saved["gated"]
        self._gates = {name: gate.to(device) for name, gate in checkpoint["pruning_gates"].items()}
        self._moments = {
            name: (first.to(device), second.to(device))
            for name, (first, second) in checkpoint["pruning_moments"].items()
        }


def without_channels(demixer: Demixer, kept: KeptChannels, performance: Performance | None = None) -> Demixer:
    """Makes a demixer whose network has only some of the channels of another one's.

    Where the weights that read a removed channel are zero, the masks are the same.

    Args:
        demixer: the demixer, which stays as it is; of our architecture.
        kept: the channels that the smaller one has.
        performance: how the smaller one is computed; None computes it as the other one.
    """
    network = demixer.network
    assert isinstance(network, DemixingNetwork)
    settings = kept.settings(network.settings, len(network.layout.blocks))
    smaller = make_demixer({**demixer.settings(), "network": asdict(settings)}, performance or demixer.performance)
    smaller.network.load_state_dict(keep_channels(network.state_dict(), kept))
    smaller.transform.load_state_dict(demixer.transform.state_dict())
    return smaller.to(demixer.device).train(demixer.training)


def demixer_bytes(demixer: Demixer, more: dict[str, Any] | None = None) -> bytes:
    """The bytes of a checkpoint that `load_demixer` reads, sealed with their sha256."""
    file = io.BytesIO()
    content = {"state_dict": demixer.state_dict(), CHECKPOINT_KEY: json.dumps(demixer.settings()), **(more or {})}
    torch.save(content, file)
    return sealed(file.getvalue())


def save_demixer(demixer: Demixer, path: Path) -> None:
    """Writes a checkpoint that `load_demixer` reads; the file is there whole or not at all."""
    write_atomically(path, demixer_bytes(demixer))


def _zeros(network: DemixingNetwork) -> Importances:
    """Importances of zero."""
    widths = group_widths(network.settings, len(network.layout.blocks))
    groups = network.decoders[0].answer.groups  # type: ignore[union-attr]
    shapes = {name: (int(groups), width) if name.startswith("target") else (width,) for name, width in widths.items()}  # type: ignore[arg-type]
    device = network.whitening.mean.device
    return {name: torch.zeros(shape, device=device) for name, shape in shapes.items()}
