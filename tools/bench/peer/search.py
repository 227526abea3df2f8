"""The peer's pruning rules and its search."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from tools.bench.peer.console import PeerConsole
from tools.bench.peer.evaluation import PeerEvaluator, Segment
from tools.bench.peer.loss import PeerLoss
from tools.bench.peer.training import PeerTrainer
from tools.bench.recipe import HYBRID_PERIOD

Policy = Literal["brute_force", "dry_wet", "hybrid"]
Evaluate = Callable[[Sequence[int]], float]


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
    ranked = {
        t: sorted((i for i, other in enumerate(types) if other == t), key=weights.__getitem__) for t in set(types)
    }
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


@dataclass(frozen=True)
class PeerRound:
    """One round of pruning, and the training after it.

    Attributes:
        trials: all trials, in order.
        left: processors of each type after it.
        seconds: time of its evaluations and of rewriting the graph.
        training: seconds of the steps after it.
    """

    trials: tuple[PeerTrial, ...]
    left: dict[str, int]
    seconds: float
    training: float


@dataclass
class PeerSearch:
    """A whole search: training of the console, then rounds of pruning with training after each.

    Attributes:
        console: the console to start from; pruning replaces it.
        loss: the match loss.
        segments: clips of the song, for evaluations.
        clip: returns the (sources, target) of a training step.
        policy: the kind of trials of each round.
        tolerance: the absolute rise of the loss that is accepted.
        rng: draws the order of candidates.
        minimum: the least loss so far.
        steps: number of steps that were trained.
        console_seconds: time of the training before the first round.
        rounds: the rounds so far.
        on_stage: called after every `round_steps` steps, which are not timed together with it.
    """

    console: PeerConsole
    loss: PeerLoss
    segments: list[Segment]
    clip: Callable[[int], tuple[Tensor, Tensor]]
    policy: Policy = "hybrid"
    tolerance: float = 0.01
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    minimum: float = float("inf")
    steps: int = 0
    console_seconds: float = 0.0
    rounds: list[PeerRound] = field(default_factory=list)
    on_stage: Callable[[PeerSearch], None] = lambda search: None

    def run(self, console_steps: int, rounds: int, round_steps: int) -> None:
        """Searches. An optimizer lasts for 500 steps of the console's training, and for those after a round."""
        trainer = PeerTrainer(self.console, self.loss)
        self.console_seconds = self._train(trainer, console_steps, round_steps)
        trainer.pruning = True
        for index in range(rounds):
            start = time.perf_counter()
            trials = self.prune(index)
            trainer.replace(self.console)
            seconds = time.perf_counter() - start
            left = self.console.graph.count()
            self.rounds.append(PeerRound(tuple(trials), left, seconds, self._train(trainer, round_steps, round_steps)))

    def _train(self, trainer: PeerTrainer, count: int, stage: int) -> float:
        """Trains `count` steps, stage by stage; returns their seconds."""
        seconds = 0.0
        for first in range(0, count, stage):
            start = time.perf_counter()
            for _ in range(min(stage, count - first)):
                trainer.step(*self.clip(self.steps))
                self.steps += 1
            seconds += time.perf_counter() - start
            self.on_stage(self)
        return seconds

    def prune(self, round_index: int) -> list[PeerTrial]:
        """One round: evaluate, try, rewrite the graph, evaluate once more. Returns its trials."""
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
        self.console = self.console.pruned(removed)
        PeerEvaluator(self.console, self.loss, self.segments).evaluate()
        return bound.trials
