"""The peer's pruning rules and its search."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from tools.peer.console import PeerConsole
from tools.peer.evaluation import PeerEvaluator, Segment
from tools.peer.loss import PeerLoss
from tools.peer.training import PeerTrainer

Policy = Literal["brute_force", "dry_wet", "hybrid"]
Evaluate = Callable[[Sequence[int]], float]
HYBRID_PERIOD = 4


@dataclass(frozen=True)
class PeerTrial:
    """One trial: all processors (indices) that were masked, the loss, and the verdict."""

    masked: tuple[int, ...]
    loss: float
    accepted: bool


@dataclass
class Bound:
    """The least loss so far, and the verdicts that it gives."""

    minimum: float
    tolerance: float
    trials: list[PeerTrial] = field(default_factory=list)

    def accept(self, masked: Sequence[int], loss: float) -> bool:
        accepted = not loss > self.minimum + self.tolerance
        if accepted:
            self.minimum = min(self.minimum, loss)
        self.trials.append(PeerTrial(tuple(masked), loss, accepted))
        return accepted


def brute_force_round(count: int, evaluate: Evaluate, bound: Bound, rng: random.Random) -> list[int]:
    """Tries each processor once, in random order, on top of those accepted; returns what to remove."""
    order = list(range(count))
    rng.shuffle(order)
    removed: list[int] = []
    for processor in order:
        masked = [*removed, processor]
        if bound.accept(masked, evaluate(masked)):
            removed = masked
    return removed


def weight_round(
    types: Sequence[str], weights: Sequence[float], evaluate: Evaluate, bound: Bound, rng: random.Random
) -> list[int]:
    """Tries growing shares of the lowest weights of one type at a time; returns what to remove.

    A share grows by 10 % of the type's count, or by one node, which is the type's last trial. A failure halves it.
    """
    ranked = {t: sorted((i for i, own in enumerate(types) if own == t), key=weights.__getitem__) for t in set(types)}
    share, step = dict.fromkeys(ranked, 0.0), dict.fromkeys(ranked, 0.1)
    pool = sorted(ranked)

    def masked() -> list[int]:
        return [i for t, nodes in ranked.items() for i in nodes[: round(len(nodes) * share[t])]]

    while pool:
        node_type = rng.choice(pool)
        size = step[node_type]
        if size <= 1 / len(ranked[node_type]):
            size = 1 / len(ranked[node_type])
            pool.remove(node_type)
        share[node_type] += size
        candidates = masked()
        if not bound.accept(candidates, evaluate(candidates)):
            share[node_type] -= size
            step[node_type] /= 2
        elif share[node_type] >= 1:
            share[node_type] = 1.0
            if node_type in pool:
                pool.remove(node_type)
    return masked()


@dataclass
class PeerSearch:
    """A whole search: epochs of training, then rounds of pruning with training after each.

    Attributes:
        console: to start from; replaced by what is found.
        loss: the match loss.
        segments: of the song, for evaluations.
        clip: returns the (sources, target) of a training step.
        policy: which rounds try what.
        tolerance: absolute.
        rng: of the candidates.
        trials: of every round so far.
    """

    console: PeerConsole
    loss: PeerLoss
    segments: list[Segment]
    clip: Callable[[int], tuple[Tensor, Tensor]]
    policy: Policy = "hybrid"
    tolerance: float = 0.01
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    trials: list[list[PeerTrial]] = field(default_factory=list)
    minimum: float = float("inf")

    def run(self, console_epochs: int, rounds: int, steps_per_epoch: int) -> float:
        """Searches; returns the final whole-song loss."""
        trainer = PeerTrainer(self.console, self.loss, steps_per_epoch)
        for epoch in range(console_epochs + rounds):
            if epoch >= console_epochs:
                trainer.pruning = True
                self.prune(epoch - console_epochs)
                trainer.replace(self.console)
            for step in range(steps_per_epoch):
                trainer.step(*self.clip(epoch * steps_per_epoch + step))
        return PeerEvaluator(self.console, self.loss, self.segments).evaluate()

    def prune(self, round_index: int) -> None:
        """One round: evaluate, try, rewrite the graph, evaluate once more."""
        evaluator = PeerEvaluator(self.console, self.loss, self.segments)
        self.minimum = min(self.minimum, evaluator.evaluate())
        bound = Bound(self.minimum, self.tolerance)
        graph = self.console.graph
        brute = self.policy == "brute_force" or (
            self.policy == "hybrid" and round_index % HYBRID_PERIOD == HYBRID_PERIOD - 1
        )
        if brute:
            removed = brute_force_round(len(graph.processors), evaluator.evaluate, bound, self.rng)
        else:
            weight_of = dict(zip(self.console.nodes, self.console.weights().tolist(), strict=True))
            types = [graph.types[node] for node in graph.processors]
            weights = [weight_of[node] for node in graph.processors]
            removed = weight_round(types, weights, evaluator.evaluate, bound, self.rng)
        self.minimum = bound.minimum
        self.trials.append(bound.trials)
        self.console = self.console.pruned(removed)
        PeerEvaluator(self.console, self.loss, self.segments).evaluate()
