"""Pruning without a Trainer: rules that propose candidates for removal, and trials that measure the loss without them.

- `proposals`: how a sampler proposes a trial and gets its result.
- `orders`: the orders in which brute force tries processors, by name.
- `samplers`: brute force, dry/wet and hybrid (paper section 3.2), by name.
- `trials`: one round of trials, and the loss increase of every processor (paper Algorithm 1, eq. 9).
- `evaluator`: whole-song losses of pruned variants of a graph, with everything cached that a candidate does not touch.
- `streams`: signals of a song that are rendered block by block when they are read.
- `schedule`: how long a search takes, and the schedule that fits into a time budget.
- `record`: the results of pruning one song, round by round.
"""

from mixgraph.pruning.evaluator import SongEvaluator
from mixgraph.pruning.orders import ORDERS, Order
from mixgraph.pruning.proposals import Proposal, Trials
from mixgraph.pruning.record import SongRecord
from mixgraph.pruning.samplers import SAMPLERS, BruteForce, DryWet, Hybrid, Rule, Sampler, SamplerSettings
from mixgraph.pruning.schedule import Costs, Schedule, SongCosts
from mixgraph.pruning.trials import Evaluator, RoundResult, Trial, TrialLoss, leave_one_out, prune_round

__all__ = [
    "ORDERS",
    "SAMPLERS",
    "BruteForce",
    "Costs",
    "DryWet",
    "Evaluator",
    "Hybrid",
    "Order",
    "Proposal",
    "RoundResult",
    "Rule",
    "Sampler",
    "SamplerSettings",
    "Schedule",
    "SongCosts",
    "SongEvaluator",
    "SongRecord",
    "Trial",
    "TrialLoss",
    "Trials",
    "leave_one_out",
    "prune_round",
]
