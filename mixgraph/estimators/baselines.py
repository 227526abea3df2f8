"""Baselines that an estimator has to beat: their predictions use the training set and nothing of the song.

All of them set processors to the mean of the training set's codes and dry/wet logits (of those that were kept).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import torch

from mixgraph.estimators.examples import MASTER, SUBGROUP, TRACK, Console
from mixgraph.estimators.module import EstimatorModule
from mixgraph.estimators.prediction import Prediction, nodes_of
from mixgraph.graph import GraphValues
from mixgraph.graph.types import MIX

Baseline = Callable[[Console], Prediction]
_MIDDLE = 0.5  # the middle of a delay's segment, in turns


class MeanSettings:
    """Predictions with the mean settings of a training set.

    Args:
        module: holds the training set's means and rates.
        seed: seeds the random baseline, together with the song.
    """

    def __init__(self, module: EstimatorModule, seed: int = 0) -> None:
        self.module, self.seed = module, seed
        self.best = best_slots(module.slots)

    def values(self, console: Console) -> GraphValues:
        """The mean parameters and weights for the full console, on the CPU."""
        graph, module = console.graph, self.module
        parameters = {}
        for t, count in graph.count().items():
            code = module.codes[t]
            mean = torch.cat(
                (module.get_buffer(f"mean_{t}"), module.weight_mean.new_full((code.num_positions,), _MIDDLE))
            )
            parameters[t] = {name: v.cpu() for name, v in code.decode(mean.expand(count, -1)).items()}
        vocabulary = module.network.vocabulary
        logits = module.weight_mean[[vocabulary[graph.types[node]] for node in graph.processors]]
        return GraphValues(graph, parameters, torch.sigmoid(logits).cpu())

    def nothing(self, console: Console) -> Prediction:
        """Predicts no processor; the mix is the sum of the dry tracks."""
        return self._prediction(console, torch.zeros(len(console.graph.processors)))

    def everything(self, console: Console) -> Prediction:
        """Predicts every processor of the console."""
        return self._prediction(console, torch.ones(len(console.graph.processors)))

    def at_random(self, console: Console) -> Prediction:
        """Keeps each processor at random, with the training set's rate of its type on its level as the probability."""
        name = console.graph.names[console.graph.outputs[0]]
        digest = hashlib.sha256(f"{self.seed}/{name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        rates = torch.tensor([self._rate(*slot) for slot in slots_of(console)])
        return self._prediction(console, (torch.rand(len(rates), generator=generator) < rates).float())

    def at_rates(self, console: Console) -> Prediction:
        """Keeps all processors, with their mean weights times the training set's rate of their type on its level."""
        rates = torch.tensor([self._rate(*slot) for slot in slots_of(console)])
        return self._prediction(console, rates)

    def best_by_type(self, console: Console) -> Prediction:
        """Keeps all processors of the (type, level) pairs that give the best F1 on the training set."""
        return self._prediction(console, torch.tensor([float(slot in self.best) for slot in slots_of(console)]))

    def _rate(self, node_type: str, level: int) -> float:
        kept, of = self.module.slots.get((node_type, level), (0, 0))
        return kept / of if of else 0.0

    def _prediction(self, console: Console, keep: torch.Tensor) -> Prediction:
        return Prediction(console, keep, nodes_of(console, (keep > 0).tolist()), self.values(console))


def slots_of(console: Console) -> list[tuple[str, int]]:
    """Returns (type, level) for each processor of a console."""
    graph = console.graph
    return [
        (graph.types[node], SUBGROUP if graph.types[graph.chain_head(node)] == MIX else TRACK)
        for node in graph.processors
    ]


def best_slots(slots: Mapping[tuple[str, int], tuple[int, int]]) -> set[tuple[str, int]]:
    """Chooses the slots, (type, level), that give the best F1 on the training set if exactly their processors are kept.

    The best set is a prefix in order of rate: taking a slot of a higher rate instead of a lower one matches more for
    each that is kept.
    """
    used = {slot: counts for slot, counts in slots.items() if slot[1] != MASTER and counts[1] > 0}
    num_true = sum(kept for kept, _ in used.values())
    order = sorted(used, key=lambda slot: (-used[slot][0] / used[slot][1], slot))
    best, best_rank, num_matched, num_chosen = 0.0, 0, 0, 0
    for rank, slot in enumerate(order, 1):
        num_matched, num_chosen = num_matched + used[slot][0], num_chosen + used[slot][1]
        f1 = 2 * num_matched / (num_true + num_chosen)
        if f1 > best:
            best, best_rank = f1, rank
    return set(order[:best_rank])
