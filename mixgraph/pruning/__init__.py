"""Pruning: rules that propose candidates, trials that measure them. No Trainer."""

from mixgraph.pruning.evaluator import SongEvaluator
from mixgraph.pruning.record import SongRecord
from mixgraph.pruning.samplers import SAMPLERS, BruteForce, DryWet, Hybrid, Order, Proposal, Sampler, make_sampler
from mixgraph.pruning.schedule import Costs, Schedule, SongCosts
from mixgraph.pruning.trials import Evaluator, RoundResult, Trial, TrialLoss, leave_one_out, prune_round

__all__ = [
    "SAMPLERS",
    "BruteForce",
    "Costs",
    "DryWet",
    "Evaluator",
    "Hybrid",
    "Order",
    "Proposal",
    "RoundResult",
    "Sampler",
    "Schedule",
    "SongCosts",
    "SongEvaluator",
    "SongRecord",
    "Trial",
    "TrialLoss",
    "leave_one_out",
    "make_sampler",
    "prune_round",
]
