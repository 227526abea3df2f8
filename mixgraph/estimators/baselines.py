"""What an estimator has to beat: predictions that know the training set and nothing of the song.

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
_MIDDLE = 0.5  # of a delay's segment, in turns


class MeanSettings:
    """Predictions with the mean settings of a training set.

    Args:
        module: knows the training set's means and rates.
        seed: of the random baseline; each song draws from a seed of its own.
    """

    def __init__(self, module: EstimatorModule, seed: int = 0) -> None:
        self.module, self.seed = module, seed
        self.best = best_slots(module.slots)

    def values(self, console: Console) -> GraphValues:
        """Mean parameters and weights on the full console, on the CPU."""
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
        """No processor: the dry sum."""
        return self._prediction(console, torch.zeros(len(console.graph.processors)))

    def everything(self, console: Console) -> Prediction:
        """Every processor of the console."""
        return self._prediction(console, torch.ones(len(console.graph.processors)))

    def at_random(self, console: Console) -> Prediction:
        """Every processor with the training set's rate of its type on its level, by chance."""
        name = console.graph.names[console.graph.outputs[0]]
        digest = hashlib.sha256(f"{self.seed}/{name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        rates = torch.tensor([self._rate(*slot) for slot in slots_of(console)])
        return self._prediction(console, (torch.rand(len(rates), generator=generator) < rates).float())

    def at_rates(self, console: Console) -> Prediction:
        """All processors, with their mean weights times the training set's rate of their type on its level."""
        rates = torch.tensor([self._rate(*slot) for slot in slots_of(console)])
        return self._prediction(console, rates)

    def best_by_type(self, console: Console) -> Prediction:
        """All processors of the types, each on its level, that give the best F1 on the training set."""
        return self._prediction(console, torch.tensor([float(slot in self.best) for slot in slots_of(console)]))

    def _rate(self, node_type: str, level: int) -> float:
        kept, of = self.module.slots.get((node_type, level), (0, 0))
        return kept / of if of else 0.0

    def _prediction(self, console: Console, keep: torch.Tensor) -> Prediction:
        return Prediction(console, keep, nodes_of(console, (keep > 0).tolist()), self.values(console))


def slots_of(console: Console) -> list[tuple[str, int]]:
    """(type, level) of each processor of a console."""
    graph = console.graph
    return [
        (graph.types[node], SUBGROUP if graph.types[graph.chain_head(node)] == MIX else TRACK)
        for node in graph.processors
    ]


def best_slots(slots: Mapping[tuple[str, int], tuple[int, int]]) -> set[tuple[str, int]]:
    """The slots to keep always, others never, for the best F1 on the training set.

    The best set is a prefix in order of rate: taking a slot of a higher rate instead of a lower one matches more for
    each that is found.
    """
    used = {slot: counts for slot, counts in slots.items() if slot[1] != MASTER and counts[1] > 0}
    wanted = sum(kept for kept, _ in used.values())
    order = sorted(used, key=lambda slot: (-used[slot][0] / used[slot][1], slot))
    best, chosen, matched, found = 0.0, 0, 0, 0
    for rank, slot in enumerate(order, 1):
        matched, found = matched + used[slot][0], found + used[slot][1]
        f1 = 2 * matched / (wanted + found)
        if f1 > best:
            best, chosen = f1, rank
    return set(order[:chosen])
